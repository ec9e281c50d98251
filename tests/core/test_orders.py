"""Orders: how they are made, what is refused, the ensemble, and what a model of one order does not take."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.core import orders
from ar_zoo.core.registry import families
from ar_zoo.testing import laws
from tests.core.models import image


@functools.cache
def several():
    return laws.make(families()["made"], dtype="float32")


@functools.cache
def orderless():
    return laws.make(families()["nade"], dtype="float32")


def test_shuffled_is_the_same_everywhere():
    """Presets name orders by a seed: these numbers must never change."""
    assert orders.shuffled(8, 3, 5).tolist() == RECORDED
    assert orders.shuffled(8, 3, 6).tolist() != RECORDED


RECORDED = [6, 4, 3, 2, 0, 7, 5, 1]


def test_make_orders():
    made = orders.make_orders(4, 30, 2)
    assert made.shape == (4, 30)
    np.testing.assert_array_equal(made[0], np.arange(30))
    np.testing.assert_array_equal(np.sort(made), np.tile(np.arange(30), (4, 1)))
    assert len(np.unique(made, axis=0)) == 4
    np.testing.assert_array_equal(orders.make_orders(2, 30, 2), made[:2])
    others = orders.make_orders(4, 30, 2, raster=False)
    np.testing.assert_array_equal(others[1:], made[1:])
    assert not np.array_equal(others[0], made[0])
    assert not np.array_equal(orders.make_orders(4, 30, 3)[1:], made[1:])
    np.testing.assert_array_equal(np.take_along_axis(orders.places(made), made, 1), np.tile(np.arange(30), (4, 1)))


def test_known_first():
    known = np.array([[1, 0, 0, 1], [0, 0, 0, 0]], bool)
    order = np.array([[2, 3, 1, 0], [2, 3, 1, 0]])
    assert orders.known_first(order, known).tolist() == [[3, 0, 2, 1], [2, 3, 1, 0]]


def test_hide_shows_each_number_of_sites_and_weighs_without_bias():
    keras.utils.set_random_seed(0)
    known, weights = (np.asarray(value) for value in orders.hide(4000, 5, keras.random.SeedGenerator()))
    counts = np.bincount(known.sum(1), minlength=6)
    assert counts[5] == 0, "every row has something to score"
    assert np.abs(counts[:5] - 800).max() < 120
    assert np.abs(known.mean(0) - 0.4).max() < 0.03, "no site is shown more often than others"
    hidden = ~known
    np.testing.assert_allclose(weights, hidden * 5 / hidden.sum(1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("model", [several, orderless], ids=["several", "orderless"])
def test_the_ensemble_is_the_mean_of_the_probabilities(model):
    x = laws.events(model(), 5)
    each = [np.asarray(model().log_prob(x, order=number), np.float64) for number in range(len(model().orders))]
    assert np.std(each, axis=0).min() > 1e-3, "the orders do not differ"
    wanted = np.log(np.mean(np.exp(each), axis=0))
    np.testing.assert_allclose(model().log_prob(x, order="ensemble"), wanted, rtol=1e-5)
    with pytest.raises(ValueError, match="`reduce` must be 'event' with `order='ensemble'`"):
        model().log_prob(x, order="ensemble", reduce="site")


def test_a_family_of_one_order():
    x = laws.events(image(), 2)
    np.testing.assert_array_equal(image().log_prob(x, order=0), image().log_prob(x))
    np.testing.assert_array_equal(image().log_prob(x, order="ensemble"), image().log_prob(x))
    for method in (lambda order: image().log_prob(x, order=order), lambda order: image().sample(1, order=order)):
        with pytest.raises(
            ValueError, match=r"`order` must be an integer in 0\.\.0, since this GatedPixelCNN draws in one"
        ):
            method(1)


@pytest.mark.parametrize("order", [4, -1, True, 1.0, None, "all", [0, 1, 2, 3, 4, 5]])
def test_refused(order):
    message = r"`order` must be an integer in 0\.\.3, or 'ensemble' in `log_prob`; got"
    with pytest.raises(ValueError, match=message):
        several().log_prob(laws.events(several(), 1), order=order)
    with pytest.raises(ValueError, match=message):
        several().sample(1, order=order)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 4], [0, 1, 2], [[0, 1, 2, 3, 4, 5]]])
def test_no_permutation(order):
    with pytest.raises(ValueError, match=r"`order` must be a permutation of 0\.\.5, or a number; got \["):
        orderless().sample(1, order=order)


def test_a_prefix_is_drawn_first_and_given_sites_are_kept():
    model, order = several(), 2
    x = model.sample(3, seed=1, order=order)
    first = model.permutation(order)[:4]
    assert not np.array_equal(first, np.arange(4))
    again = model.sample(3, seed=2, order=order, prefix=x.reshape(3, -1)[:, first])
    np.testing.assert_array_equal(again.reshape(3, -1)[:, first], x.reshape(3, -1)[:, first])
    assert not np.array_equal(again, x)
    mask = np.zeros((2, 3, 1), bool)
    mask.ravel()[first] = True
    np.testing.assert_array_equal(model.sample(3, seed=2, order=order, given=x, mask=mask[..., 0:1]), again)


def test_training_draws_all_orders_from_its_seed():
    """Reproducible; and each network of the ensemble learns, also those that no evaluation looks at."""
    x = np.tile(np.array([[0, 1, 2, 3, 2, 1]], "int32").reshape(1, 2, 3, 1), (8, 1, 1, 1))
    ends = []
    for _ in range(2):
        model = laws.make(families()["made"], dtype="float32", scale=0.1)
        model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
        before = [float(model.log_prob(x[:1], order=number)[0]) for number in range(4)]
        model.fit(tf.data.Dataset.from_tensors(x).repeat(60), verbose=0, shuffle=False)
        ends.append([float(model.log_prob(x[:1], order=number)[0]) for number in range(4)])
    assert ends[0] == ends[1]
    assert min(np.array(ends[0]) - before) > 4
