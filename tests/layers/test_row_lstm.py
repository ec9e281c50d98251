"""RowLSTM against a loop over pixels in NumPy: at once, by rows and by pixels; and what reaches what."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.layers import RowLSTM
from tests.layers import image_lstm
from tests.layers.cases import randomised


def make(groups=1, kernel_size=3):
    layer = RowLSTM(4, kernel_size, groups, dtype="float64")
    x = np.random.default_rng(2).normal(size=(2, 3, 5, 6))
    layer(x)
    return randomised(layer), x


@pytest.mark.parametrize(("groups", "kernel_size"), [(1, 3), (2, 3), (1, 5)])
def test_values(groups, kernel_size):
    layer, x = make(groups, kernel_size)
    kernel, bias, state = (np.asarray(weight.value) for weight in layer.weights)
    assert (kernel.shape, state.shape) == ((1, kernel_size // 2 + 1, 6, 16), (kernel_size * 4, 16))
    expected = np.stack([image_lstm.row_lstm(image, groups, kernel, bias, state) for image in x])
    image_lstm.assert_all_ways(layer, x, expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_reach(groups):
    layer, x = make(groups)
    np.testing.assert_array_equal(layer.reach(3, 5), image_lstm.reached(layer, x))


def test_a_triangle():
    """Above the last row's middle: one pixel more to both sides in each row, and one more to the left by the masked kernel."""
    seen = RowLSTM(4, 3)
    seen(np.zeros((1, 4, 9, 1), "float32"))
    picture = seen.reach(4, 9)[3 * 9 + 4].reshape(4, 9).astype(int)
    assert ["".join(map(str, row)) for row in picture] == ["111111110", "011111100", "001111000", "000110000"]


def test_first_bias():
    layer = RowLSTM(2)
    layer.build((None, 3, 4, 5))
    np.testing.assert_array_equal(layer.weights[1], [0, 0, 1, 1, 0, 0, 0, 0])


def test_refused():
    image_lstm.assert_refuses(RowLSTM)
