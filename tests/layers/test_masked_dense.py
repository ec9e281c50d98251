"""MaskedDense against a loop over connections in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.layers import MaskedDense, indicators
from ar_zoo.layers.masked_dense import reached
from tests.layers.cases import randomised, values


def naive(layer, x, degrees_in, degrees_out):
    kernel = np.asarray(layer.kernel).T if layer.by_output else np.asarray(layer.kernel)
    out = np.zeros((*x.shape[:-1], layer.units))
    for j in range(layer.units):
        for i in range(x.shape[-1]):
            if degrees_in[i] < degrees_out[j] or (not layer.strict and degrees_in[i] == degrees_out[j]):
                out[..., j] += x[..., i] * kernel[i, j]
        out[..., j] += np.asarray(layer.bias)[j] if layer.use_bias else 0.0
    return out


def made(**arguments):
    layer = MaskedDense(6, dtype="float64", **arguments)
    layer.build((None, 4))
    return randomised(layer)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("by_output", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_values(strict, by_output, use_bias):
    """Inputs of degree 0 stand for a context; several outputs share a degree."""
    layer = made(strict=strict, by_output=by_output, use_bias=use_bias)
    x, degrees_in, degrees_out = (
        values((2, 3, 4)).astype("float64"),
        np.array([0, 1, 3, 2]),
        np.array([1, 1, 3, 2, 2, 3]),
    )
    found = np.asarray(layer(x, degrees_in, degrees_out))
    np.testing.assert_allclose(found, naive(layer, x, degrees_in, degrees_out), rtol=1e-12)
    everything = naive(layer, x, np.zeros(4), np.ones(6))
    np.testing.assert_allclose(layer(x), everything, rtol=1e-12)
    assert np.abs(found - everything).max() > 0.1


@pytest.mark.parametrize("groups", [1, [1, 0]])
def test_a_step_reads_rows(groups):
    x, groups = values((2, 2)).astype("float64"), np.array(groups)
    layer = made()
    kernel = np.asarray(layer.kernel)
    wanted = np.stack([row @ kernel[2 * g : 2 * g + 2] for row, g in zip(x, np.resize(groups, 2), strict=True)])
    np.testing.assert_allclose(layer.added(x, layer.rows(groups, 2)), wanted, rtol=1e-12)
    units = np.stack([2 * groups, 2 * groups + 1], axis=-1)
    np.testing.assert_allclose(layer.added(x, layer.rows(units)), wanted, rtol=1e-12)

    layer, x = made(by_output=True), values((2, 4)).astype("float64")
    whole = x @ np.asarray(layer.kernel).T + np.asarray(layer.bias)
    wanted = np.stack([row[3 * g : 3 * g + 3] for row, g in zip(whole, np.resize(groups, 2), strict=True)])
    np.testing.assert_allclose(layer.outputs(x, groups, 3), wanted, rtol=1e-12)


def test_reached():
    found = np.asarray(reached(np.array([[0], [7]]), np.array([-1, 0, 1, 7, 8, 900]), "float32"))
    assert found.tolist() == [[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]


def test_indicators():
    found = np.asarray(indicators(np.array([[2, 0], [-1, 1]]), 1, 3, "float32"))
    assert found.tolist() == [[[0, 1], [0, 0]], [[0, 0], [1, 0]]]


def test_refused():
    with pytest.raises(ValueError, match="`units` must be at least 1; got 0"):
        MaskedDense(0)
