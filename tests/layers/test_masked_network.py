"""MaskedNetwork against a loop over sites in NumPy, and what each output sees."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.layers import MaskedNetwork
from tests.layers.cases import randomised, values


def made(order, units, **arguments):
    layer = MaskedNetwork(order, 2, units, dtype="float64", **arguments)
    layer(np.zeros((1, len(order))), *([np.zeros(1, "int32")] if layer.num_classes else []))
    return randomised(layer)


def naive(layer, x, label):
    """Each site's numbers from a network of its own, which is given the sites before it alone."""
    weights = {weight.path.split("/", 1)[1]: np.asarray(weight) for weight in layer.weights}
    sites = len(layer.order)
    out = np.zeros((len(x), sites, layer.outputs))
    degrees_of = lambda size: 1 + np.arange(size) * max(sites - 1, 1) // size  # noqa: E731
    place = np.argsort(layer.order)
    for i in range(sites):
        h = np.where(place < place[i], x, 0.0)
        before = place + 1
        for number, size in enumerate(layer.units):
            own = degrees_of(size)
            kernel = weights[f"hidden_{number}/kernel"] * (before[:, None] <= own)
            h = h @ kernel + weights[f"hidden_{number}/bias"]
            h = np.tanh(h + (weights["label/table"][label] if number == 0 else 0.0))
            before = own
        h = h * (before <= place[i])
        columns = slice(i * layer.outputs, (i + 1) * layer.outputs)
        out[:, i] = h @ weights["output/kernel"][:, columns] + weights["output/bias"][columns]
        out[:, i] += weights["label_output/table"][label][:, columns]
    return out


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1)])
@pytest.mark.parametrize("units", [(5,), (7, 4, 3)])
def test_values(order, units):
    layer, x, label = made(order, units, num_classes=2), values((3, 4)).astype("float64"), np.array([0, 2, 1])
    np.testing.assert_allclose(np.asarray(layer(x, label)), naive(layer, x, label), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("units", [(4,), (6, 4), (4, 5, 6)])
def test_each_output_sees_all_before_it_and_nothing_else(units):
    order = (3, 1, 4, 0, 2)
    layer, place = made(order, units), np.argsort(order)
    x = values((1, 5)).astype("float64")
    reach = np.zeros((5, 5), bool)
    for j in range(5):
        changed = x.copy()
        changed[:, j] += 1.0
        reach[:, j] = np.abs(np.asarray(layer(changed) - layer(x))).max(axis=(0, 2)) > 0
    np.testing.assert_array_equal(reach, place[None] < place[:, None])


def test_at_first_the_outputs_are_small():
    layer, x = MaskedNetwork(range(30), 2), values((50, 30))
    assert 0.01 < np.std(layer(x)[:, 10:]) < 0.2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(order=(0, 2), outputs=2), r"`order` must be a permutation of 0\.\.1; got \[0, 2\]"),
        (dict(order=range(5), outputs=2, units=(8, 3)), r"`units` must be at least 4 in each layer.* got \[8, 3\]"),
    ],
)
def test_what_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        MaskedNetwork(**arguments)
