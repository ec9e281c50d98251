"""Models made with their values: what is given, what is fresh, and what Keras had put off before."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.filling import filled
from ar_zoo.core.pretrained import named_weights


def make():
    return ar_zoo.create("gpt.tiny", units=8, num_heads=2, num_kv_heads=None)


def test_given_values_and_fresh_ones():
    keras.utils.set_random_seed(0)
    fresh = {path: np.asarray(weight.value) for path, weight in named_weights(make()).items()}
    given = {path: np.full_like(value, 0.5) for path, value in fresh.items() if "attention" in path}
    model = filled(make, lambda model: given.get)
    for path, weight in named_weights(model).items():
        value = np.asarray(weight.value)
        if path in given:
            np.testing.assert_array_equal(value, given[path])
        else:
            assert value.shape == fresh[path].shape
            assert not (value == 0.5).any()
    assert np.isfinite(model.log_prob(np.zeros((1, 4), "int32"))).all()


def test_what_fails_leaves_nothing_behind():
    def value_of(path):
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        filled(make, lambda model: value_of)
    with keras.StatelessScope():
        pass  # its end makes what Keras still holds to be put off
    make().sample(1, num_sites=2)


def test_what_was_put_off_before_is_made_at_its_end():
    with keras.StatelessScope():
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
        assert ar_zoo.num_weights("gpt.tiny") == 6336
    assert np.asarray(layer.kernel).shape == (3, 2)
