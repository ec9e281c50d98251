"""DiagonalLSTM against a loop over pixels in NumPy: at once, by rows and by pixels; and what reaches what."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from ar_zoo.layers import DiagonalLSTM
from ar_zoo.layers.diagonal_lstm import _skewed, _straight
from tests.layers import image_lstm
from tests.layers.cases import randomised


def make(groups=1, shape=(3, 5)):
    layer = DiagonalLSTM(4, groups, dtype="float64")
    x = np.random.default_rng(2).normal(size=(2, *shape, 6))
    layer(x)
    return randomised(layer), x


@pytest.mark.parametrize(("groups", "shape"), [(1, (3, 5)), (2, (3, 5)), (1, (4, 2)), (1, (1, 3)), (1, (3, 1))])
def test_values(groups, shape):
    layer, x = make(groups, shape)
    *convs, state = (np.asarray(weight.value) for weight in layer.weights)
    assert state.shape == (2, 8, 16)
    kernels, biases = convs[::2], convs[1::2]
    expected = np.stack([image_lstm.diagonal_lstm(image, groups, kernels, biases, state) for image in x])
    image_lstm.assert_all_ways(layer, x, expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_reach(groups):
    layer, x = make(groups)
    np.testing.assert_array_equal(layer.reach(3, 5), image_lstm.reached(layer, x))


def test_skewed():
    """Pixel (r, c) comes to lie in column r + c; elsewhere there are zeros."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2))
    found = np.asarray(_skewed(ops.convert_to_tensor(x)))
    expected = np.zeros((2, 3, 6, 2))
    for r in range(3):
        expected[:, r, r : r + 4] = x[:, r]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(_straight(ops.convert_to_tensor(found), 4), x)


def test_first_bias():
    layer = DiagonalLSTM(2)
    layer.build((None, 3, 4, 5))
    for bias in (layer.weights[1], layer.weights[3]):
        np.testing.assert_array_equal(bias, [0, 0, 1, 1, 0, 0, 0, 0])


def test_refused():
    image_lstm.assert_refuses(DiagonalLSTM)
