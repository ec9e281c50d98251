"""TransformerBlock: both branches in NumPy around the attention, which has tests of its own."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from ar_zoo.core.cache import init_cache
from ar_zoo.layers import TransformerBlock
from tests.layers.cases import randomised

_LENGTH, _UNITS = 7, 8


def make(**arguments):
    layer = TransformerBlock(2, **arguments, dtype="float64")
    x = np.random.default_rng(0).normal(size=(3, _LENGTH, _UNITS))
    layer(x)
    return randomised(layer), x


def norm(layer, x):
    centred = x - x.mean(axis=-1, keepdims=True)
    centred /= np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return centred * np.asarray(layer.gamma.value) + np.asarray(layer.beta.value)


def dense(layer, x):
    return x @ np.asarray(layer.kernel.value) + np.asarray(layer.bias.value)


def naive(layer, x):
    x = x + np.asarray(layer.attention(norm(layer._norm_1, x)))
    wide = dense(layer._expand, norm(layer._norm_2, x))
    gelu = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
    return x + dense(layer._reduce, gelu)


def test_values():
    layer, x = make(positions="rotary")
    np.testing.assert_allclose(np.asarray(layer(x)), naive(layer, x), atol=1e-11)


@pytest.mark.parametrize("chunks", [[1] * _LENGTH, [3, 1, 3]], ids=len)
def test_step(chunks):
    layer, x = make(window=3)
    expected, cache, index = naive(layer, x), init_cache(layer.cache_spec(_LENGTH), 3), 0
    slots = ops.arange(_LENGTH)
    for length in chunks:
        at = index + ops.arange(length)
        y, cache = layer.step(x[:, index : index + length], cache, index, at, slots)
        np.testing.assert_allclose(np.asarray(y), expected[:, index : index + length], atol=1e-11)
        index += length


def test_dropout_acts_in_training_only():
    layer, x = make(dropout=0.5)
    np.testing.assert_allclose(np.asarray(layer(x)), naive(layer, x), atol=1e-11)
    assert np.abs(np.asarray(layer(x, training=True)) - naive(layer, x)).max() > 0.1
