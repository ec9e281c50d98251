"""MADE: masks against a loop, all of the past through several layers, direct connections, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.heads import Bernoulli, Categorical, ContinuousMixture, DiscretizedLogisticMixture, Normal
from ar_zoo.models.made import MADE
from ar_zoo.testing import laws


def variant(**arguments):
    """The family with another `tiny`, for the laws."""
    return type(MADE.__name__, (MADE,), {"PRESETS": {"tiny": MADE.PRESETS["tiny"] | arguments}})


def naive(model, x, order):
    """Parameters of one event [S], connection by connection."""
    place = [list(model.orders[order]).index(site) for site in range(len(x))]
    symbols = (model.head.num_symbols or 2) - 1
    values = [float(x[i // symbols] == i % symbols + 1) for i in range(len(x) * symbols)]
    if model.head.num_symbols is None:
        values = [float(value) for value in x]
    degrees, inputs, input_degrees = [place[i // symbols] + 1 for i in range(len(values))], values, None
    input_degrees = degrees
    for layer, own in zip(model._hidden, model._degrees, strict=True):
        kernel, sums = np.asarray(layer.kernel), list(np.asarray(layer.bias))
        for unit in range(layer.units):
            for i, value in enumerate(values):
                if degrees[i] <= own[order][unit]:
                    sums[unit] += value * kernel[i, unit]
        values, degrees = [max(total, 0.0) for total in sums], own[order]
    size = model.head.params_size
    params = np.asarray(model._output.bias).reshape(-1, size).copy()
    for site in range(len(x)):
        rows = slice(site * size, (site + 1) * size)
        for i, value in enumerate(values):
            if degrees[i] < place[site] + 1:
                params[site] += value * np.asarray(model._output.kernel)[rows, i]
        for i, value in enumerate(inputs if model.direct else ()):
            if input_degrees[i] < place[site] + 1:
                params[site] += value * np.asarray(model._direct.kernel)[rows, i]
    return params


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("head", [Bernoulli(), Categorical(3), Normal()], ids=str)
def test_against_a_loop_over_connections(head, direct):
    model = laws.make(MADE, head=head, direct=direct, units=(7, 9), num_orders=2, num_masks=2)
    x = laws.events(model, 2)
    for order in range(4):
        found = np.asarray(model(x, order=order)).reshape(2, 6, -1)
        for row in range(2):
            np.testing.assert_allclose(found[row], naive(model, x[row].ravel(), order), rtol=1e-11, atol=1e-12)


def test_orders_and_masks_are_numbered():
    """Masks come within orders; the first deals degrees evenly, the others deal the same ones to other units."""
    model = MADE((9,), Bernoulli(), units=(20, 8), num_orders=3, num_masks=2)
    assert model.orders.shape == (6, 9)
    np.testing.assert_array_equal(model.orders[::2], model.orders[1::2])
    assert len(np.unique(model.orders, axis=0)) == 3
    for degrees in model._degrees:
        np.testing.assert_array_equal(degrees[::2], np.tile(degrees[0], (3, 1)))
        np.testing.assert_array_equal(np.sort(degrees[1]), degrees[0])
        assert not np.array_equal(degrees[1], degrees[0])
        assert set(degrees[0]) == set(range(1, 9))


@pytest.mark.parametrize("arguments", [{}, dict(num_masks=3, num_orders=2), dict(raster=False)], ids=str)
def test_deep_networks_see_all_of_their_past(arguments):
    """Five hidden layers of the least width that suffices, S - 1, and wider ones."""
    model = MADE((13,), Categorical(3), units=(12, 12, 17, 12, 40), **arguments)
    for order in range(len(model.orders)):
        place = np.argsort(model.orders[order])
        np.testing.assert_array_equal(model.receptive_field(order=order), place[:, None] > place)


def test_narrow_layers_lose_the_latest_sites_and_say_so():
    """One unit too few; direct connections make up for it."""
    model = MADE((13,), Bernoulli(), units=(11,))
    assert (np.tri(13, k=-1, dtype=bool) & ~model.receptive_field()).sum() == 1
    np.testing.assert_array_equal(
        MADE((13,), Bernoulli(), units=(3,), direct=True).receptive_field(), np.tri(13, k=-1, dtype=bool)
    )


@pytest.mark.parametrize("law", [laws.causality, laws.completeness, laws.step_equals_call, laws.ragged_rows])
@pytest.mark.parametrize(
    "arguments",
    [
        dict(direct=True, num_masks=1, units=(4,)),
        dict(head=Bernoulli(), event_shape=(7,), units=(30,), raster=False, num_orders=1),
        dict(head=ContinuousMixture(2), direct=True, num_masks=1),
    ],
    ids=["direct", "binary", "continuous"],
)
def test_laws_of_variants(law, arguments):
    law(variant(**arguments))


def test_random_orders_are_not_exported(tmp_path):
    model = ar_zoo.create("made.tiny", raster=False)
    with pytest.raises(ValueError, match="`model` must draw in raster order, the one that exports know"):
        ar_zoo.export(model, tmp_path / "export", "tflite", progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(event_shape=(None,)), r"`event_shape` must be a sequence of integers of at least 1.*got \(None,\)"),
        (dict(event_shape=784), "`event_shape` must be a sequence"),
        (dict(head=DiscretizedLogisticMixture(2, 4, 3)), "`head` must draw one symbol a site"),
        (dict(units=()), r"`units` must be a sequence of integers of at least 1, a hidden layer each; got \(\)"),
        (dict(units=500), "`units` must be a sequence"),
        (dict(num_orders=0), "`num_orders` must be an integer of at least 1; got 0"),
        (dict(num_masks=1.5), "`num_masks` must be an integer of at least 1; got 1.5"),
        (dict(order_seed=-1), "`order_seed` must be an integer of at least 0; got -1"),
    ],
)
@pytest.mark.parametrize("family", ["made", "nade"])
def test_refused(family, arguments, message):
    if family == "nade" and "num_masks" in arguments:
        message = "num_masks"
    with pytest.raises(ValueError, match=message):
        ar_zoo.create(f"{family}.tiny", **arguments)


def test_one_site():
    model = laws.make(MADE, event_shape=(1,), units=(3, 3), num_orders=1, num_masks=1)
    total = np.exp(np.asarray(model.log_prob(np.arange(4, dtype="int32")[:, None]))).sum()
    assert abs(total - 1) < 1e-12
