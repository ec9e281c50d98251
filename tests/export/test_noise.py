"""The noise inside a graph is the noise of every other engine, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.core import noise
from ar_zoo.export.noise import uniform_noise


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(1,), (5,), (3, 2)])
def test_same_bits(shape, jit_compile):
    drawn = tf.function(lambda seed: uniform_noise(seed, 3, 7, shape), jit_compile=jit_compile)
    for seed in (0, 1, 2**40 + 5, 2**63 - 1):
        np.testing.assert_array_equal(
            drawn(tf.constant(seed, tf.int64)), noise.uniform_noise(seed, range(3), 0, 7, shape)
        )
