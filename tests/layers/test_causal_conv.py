"""DilatedCausalConv1D against a loop in NumPy, and its ring buffer against the whole sequence."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from ar_zoo.core.cache import hold
from ar_zoo.layers import DilatedCausalConv1D
from tests.layers.cases import randomised

_LENGTH = 23
SIZES = [(1, 1), (2, 1), (2, 4), (3, 2), (4, 3)]


def naive(layer, x):
    kernel, bias = np.asarray(layer.kernel.value), np.asarray(layer.bias.value)
    y = np.zeros((*x.shape[:2], layer.filters)) + bias
    for t in range(x.shape[1]):
        for j in range(layer.kernel_size):
            before = t - (layer.kernel_size - 1 - j) * layer.dilation
            if before >= 0:
                y[:, t] += x[:, before] @ kernel[j]
    return y


def make(kernel_size, dilation):
    layer = DilatedCausalConv1D(4, kernel_size, dilation, dtype="float64")
    x = np.random.default_rng(2).normal(size=(3, _LENGTH, 5))
    layer(x)
    return randomised(layer), x


def empty(layer, batch=3):
    spec = layer.cache_spec()
    return spec and spec.init(batch)


@pytest.mark.parametrize(("kernel_size", "dilation"), SIZES)
def test_values(kernel_size, dilation):
    layer, x = make(kernel_size, dilation)
    np.testing.assert_allclose(np.asarray(layer(x)), naive(layer, x), atol=1e-12)
    assert layer.lookback == (kernel_size - 1) * dilation


@pytest.mark.parametrize("chunks", [[1] * _LENGTH, [2, 1, 7, 1, 1, 9, 2], [_LENGTH], [20, 3]])
@pytest.mark.parametrize(("kernel_size", "dilation"), SIZES)
def test_chunks(kernel_size, dilation, chunks):
    """The ring wraps around several times; chunks are longer and shorter than it."""
    layer, x = make(kernel_size, dilation)
    line, index, outputs = empty(layer), 0, []
    for length in chunks:
        y, line = layer.step(x[:, index : index + length], line, index)
        outputs.append(np.asarray(y))
        index += length
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), naive(layer, x), atol=1e-12)


@pytest.mark.parametrize(("kernel_size", "dilation"), SIZES[1:])
def test_ragged_rows(kernel_size, dilation):
    """Each row is at a place of its own, and waits now and then."""
    layer, x = make(kernel_size, dilation)
    expected, line, at = naive(layer, x), empty(layer), np.zeros(3, int)
    generator, rows = np.random.default_rng(0), np.arange(3)
    while at.min() < _LENGTH:
        goes = (generator.random(3) < 0.6) & (at < _LENGTH)
        now = np.minimum(at, _LENGTH - 1)
        y, new = layer.step(x[rows, now][:, None], line, ops.convert_to_tensor(now))
        np.testing.assert_allclose(np.asarray(y)[goes, 0], expected[rows, now][goes], atol=1e-12)
        line, at = hold(ops.convert_to_tensor(goes), new, line), at + goes


def test_exported_form_takes_taps_and_returns_what_to_push():
    layer, x = make(3, 2)
    expected = naive(layer, x)
    for t in (0, 3, 9):
        taps = np.stack([x[:, t - back] if t >= back else np.zeros((3, 5)) for back in (4, 2)], axis=1)
        y, pushed = layer.step(x[:, t : t + 1], {"taps": ops.convert_to_tensor(taps)}, t)
        np.testing.assert_allclose(np.asarray(y)[:, 0], expected[:, t], atol=1e-12)
        np.testing.assert_array_equal(np.asarray(pushed["push"]), x[:, t])


@pytest.mark.parametrize("name", ["filters", "kernel_size", "dilation"])
def test_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1; got 0"):
        DilatedCausalConv1D(**(dict(filters=2) | {name: 0}))
