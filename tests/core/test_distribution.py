"""A model as a `tfd.Distribution`."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ar_zoo.testing import laws
from tests.core.models import colour, image, sound, text


@pytest.mark.parametrize("model", [text, colour], ids=lambda model: model.__name__)
def test_is_the_model(model):
    model = model()
    distribution = model.as_distribution()
    assert isinstance(distribution, tfd.Distribution)
    event = [size or 12 for size in model.event_shape]
    assert distribution.event_shape == event
    assert distribution.batch_shape == []
    assert distribution.dtype == tf.int32
    x = laws.events(model, 6, sites=12)
    expected = np.asarray(model.log_prob(x))
    np.testing.assert_allclose(np.asarray(distribution.log_prob(x)), expected, rtol=1e-5)
    np.testing.assert_allclose(
        np.asarray(distribution.log_prob(x.reshape(2, 3, *event))), expected.reshape(2, 3), rtol=1e-5
    )
    np.testing.assert_allclose(np.asarray(distribution.log_prob(x[0])), expected[0], rtol=1e-5)
    np.testing.assert_allclose(np.asarray(distribution.prob(x)), np.exp(expected), rtol=1e-4)
    drawn = np.asarray(distribution.sample(3, seed=5))
    np.testing.assert_array_equal(drawn, np.asarray(distribution.sample(3, seed=5)))
    assert drawn.shape == (3, *event)
    assert np.asarray(distribution.sample((3, 1), seed=5)).shape == (3, 1, *event)


def test_context_and_length():
    distribution = sound().as_distribution(context=1, num_sites=7)
    x = laws.events(sound(), 3, sites=7)
    np.testing.assert_allclose(
        np.asarray(distribution.log_prob(x)), np.asarray(sound().log_prob(x, np.ones(3, int))), rtol=1e-5
    )
    np.testing.assert_array_equal(
        np.asarray(distribution.sample(3, seed=4)), sound().sample(3, seed=4, context=1, num_sites=7)
    )
    with pytest.raises(ValueError, match="`num_sites` must be given"):
        sound().as_distribution()


def test_log_prob_reductions():
    """Sites add up to events; of a pixel that is drawn at once, channels add up to sites."""
    for model in (text(), image(), colour()):
        x = laws.events(model, 3)
        event, site, coordinate = (np.asarray(model.log_prob(x, reduce=how)) for how in ("event", "site", "coordinate"))
        assert coordinate.shape == x.shape
        assert site.shape == (3, *[size or 9 for size in model.grid_shape])
        np.testing.assert_allclose(site.reshape(3, -1).sum(1), event, rtol=1e-5)
        np.testing.assert_allclose(coordinate.reshape(3, -1).sum(1), event, rtol=1e-4)
