"""NADE against explicit loops, its orderless form, and inpainting that knows later sites."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.core import orders
from ar_zoo.heads import Bernoulli, Categorical, ContinuousMixture, Normal
from ar_zoo.models.nade import NADE
from ar_zoo.testing import laws


def naive(model, x, permutation):
    """Parameters of one event [S], site by site, each from all sites before it anew."""
    first, symbols, size = int(not model.orderless), model.head.num_symbols, model.head.params_size
    kernel = np.asarray(model._input.kernel).reshape(len(x), -1, model.units[0])
    outputs = np.asarray(model._output.kernel).reshape(len(x), size, -1)
    params = np.zeros((len(x), size))
    for place, site in enumerate(permutation):
        h = np.asarray(model._input.bias).copy()
        for before in permutation[:place]:
            if symbols is None:
                h += x[before] * kernel[before, 0] + (kernel[before, 1] if model.orderless else 0)
            elif x[before] >= first:
                h += kernel[before, x[before] - first]
        h = 1 / (1 + np.exp(-h))
        for layer in model._deeper:
            h = 1 / (1 + np.exp(-(h @ np.asarray(layer.kernel) + np.asarray(layer.bias))))
        params[site] = outputs[site] @ h + np.asarray(model._output.bias).reshape(-1, size)[site]
    return params


@pytest.mark.parametrize("event_shape", [(1,), (7,), (3, 3), (11,)], ids=str)
@pytest.mark.parametrize(
    "arguments",
    [
        dict(head=Bernoulli(), orderless=False, units=(5,)),
        dict(head=Categorical(3), orderless=False, units=(5, 4, 6)),
        dict(head=Bernoulli(), units=(5, 4)),
        dict(head=Categorical(3), units=(6,)),
        dict(head=Normal(), orderless=False, units=(6,)),
        dict(head=ContinuousMixture(2), units=(5, 4)),
    ],
    ids=["binary", "deep", "orderless", "categorical", "continuous", "continuous-orderless"],
)
def test_against_loops(event_shape, arguments):
    """Numbers of sites that chunks divide, and that they do not."""
    model = laws.make(NADE, event_shape=event_shape, num_orders=3, **arguments)
    x = laws.events(model, 2)
    for order in range(3):
        found = np.asarray(model(x, order=order)).reshape(2, model.num_sites, -1)
        for row in range(2):
            wanted = naive(model, x[row].ravel(), model.orders[order])
            np.testing.assert_allclose(found[row], wanted, rtol=1e-11, atol=1e-12)


def test_each_row_may_have_its_own_order():
    model = laws.make(NADE)
    x, order = laws.events(model, 2), np.stack([np.arange(6)[::-1], model.orders[1]]).astype("int32")
    cache, prev = model.init_cache(2), np.full((2, 1), -1, "int32")
    for place in range(6):
        params, cache = model.step(tf.constant(prev), cache, tf.constant(place), {}, order=tf.constant(order))
        for row in range(2):
            site = order[row, place]
            wanted = naive(model, x[row].ravel(), order[row])[site]
            np.testing.assert_allclose(params[row, 0], wanted, rtol=1e-10)
            prev[row] = x[row].ravel()[site]


@pytest.mark.parametrize("orderless", [True, False])
def test_inpainting_knows_later_sites_if_the_model_is_orderless(orderless):
    """Draws follow the model's conditional given all known sites: the last site is known, the first two are drawn."""
    model = laws.make(
        NADE, dtype="float32", event_shape=(3,), head=Bernoulli(), units=(6,), scale=3.0, orderless=orderless, seed=1
    )
    given, mask = np.array([0, 0, 1], "int32"), np.array([False, False, True])
    drawn = model.sample(20_000, seed=1, given=given, mask=mask)
    assert (drawn[:, 2] == 1).all()
    found = np.bincount(drawn[:, 0] * 2 + drawn[:, 1], minlength=4) / len(drawn)
    events = np.array([[*pair, 1] for pair in itertools.product((0, 1), repeat=2)], "int32")
    by_order = {"order": [2, 0, 1]} if orderless else {}
    each = np.asarray(model.log_prob(events, reduce="site", **by_order))
    wanted, ignorant = np.exp(each[:, :2].sum(1)), np.exp(np.asarray(model.log_prob(events, reduce="site")))[:, :2]
    np.testing.assert_allclose(found, wanted, atol=0.015)
    assert (np.abs(wanted - ignorant.prod(1)).max() > 0.1) == orderless


def test_rows_with_different_masks():
    """Each row keeps what it knows, and draws as it would alone."""
    model = laws.make(NADE, dtype="float32")
    x = laws.events(model, 3)
    mask = np.random.default_rng(0).random((3, 2, 3, 1)) < 0.5
    mask[0] = False
    drawn = model.sample(3, seed=1, given=x, mask=mask[..., :1])
    np.testing.assert_array_equal(drawn[mask], x[mask])
    np.testing.assert_array_equal(drawn[0], model.sample(1, seed=1)[0])
    assert not np.array_equal(drawn, x)


def test_orderless_training_scores_hidden_sites_alone():
    """The loss is the mean over sites of the weighted negative log-likelihoods, given the known ones."""
    model = laws.make(NADE, dtype="float32", scale=0.3)
    model.compile("sgd", jit_compile=False)
    x = laws.events(model, 8)
    state = np.asarray(model.hide_seed.state)
    known, weights = (np.asarray(value) for value in orders.hide(8, 6, model.hide_seed))
    model.hide_seed.state.assign(state)
    site = model.head.distribution(model(x, known=known)).log_prob(x)
    wanted = -(np.asarray(site).reshape(8, 6) * weights).sum() / 48
    model.optimizer.learning_rate = 0.0
    np.testing.assert_allclose(model.train_on_batch(x)[0], wanted, rtol=1e-5)


def test_training_learns_every_order():
    """Pixels that all agree: each order must find out, from whatever came first."""
    model = laws.make(NADE, dtype="float32", event_shape=(5,), head=Bernoulli(), scale=0.1, units=(16,))
    model.compile(keras.optimizers.Adam(0.05), jit_compile=False)
    x = np.repeat(np.array([[0], [1]], "int32"), 5, axis=1).repeat(32, axis=0)
    model.fit(tf.data.Dataset.from_tensors(x).repeat(60), verbose=0, shuffle=False)
    for order in (0, 1, [4, 2, 0, 3, 1]):
        assert float(np.mean(model.log_prob(x, order=order))) > -1.1, "log 2 = 0.69 is the least"


@pytest.mark.parametrize("orderless", [True, False])
@pytest.mark.parametrize(
    "law", [laws.causality, laws.completeness, laws.step_equals_call, laws.known_sites, laws.ragged_rows]
)
def test_laws_of_continuous_data(law, orderless):
    tiny = NADE.PRESETS["tiny"] | dict(head=Normal(), orderless=orderless)
    law(type(NADE.__name__, (NADE,), {"PRESETS": {"tiny": tiny}}))
