"""The small functions that heads share, against Keras's own."""

from __future__ import annotations

import numpy as np
from keras import ops

from ar_zoo.heads.base import most_likely, softplus


def test_most_likely_is_argmax_and_the_first_of_equals():
    logits = np.random.default_rng(0).integers(-3, 3, (200, 7)).astype("float32")
    np.testing.assert_array_equal(most_likely(logits), logits.argmax(axis=-1))


def test_softplus_at_both_ends():
    values = np.array([-200, -20, -1, 0, 1, 20, 200], "float32")
    np.testing.assert_allclose(softplus(values), ops.softplus(values), rtol=1e-6)
