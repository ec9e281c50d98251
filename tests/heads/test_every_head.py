"""What holds for every head alike: samples follow the distribution, coordinates agree with it, copies are equal.

Those of continuous data are in test_continuous.py.
"""

from __future__ import annotations

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import chi2

from ar_zoo import heads
from ar_zoo.core.noise import uniform_noise
from ar_zoo.heads import (
    Bernoulli,
    Categorical,
    CategoricalEnergy,
    DiscretizedLogisticMixture,
    MuLawCategorical,
    PaletteCategorical,
    PredictiveLogisticMixture,
    Tokens,
)
from tests.heads import test_continuous

HEADS = [
    Bernoulli(),
    Categorical(7),
    CategoricalEnergy(5, 3),
    MuLawCategorical(6),
    PaletteCategorical.even(2, 2),
    DiscretizedLogisticMixture(3, 9, channels=1),
    DiscretizedLogisticMixture(2, 4, channels=3),
    PredictiveLogisticMixture(3, outside=1, mirror=False),
    Tokens('{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3}, "merges": [["a", "b"]]}}', 5),
]


def params_for(head, count, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=(count, head.params_size)).astype(dtype)


def alphabet(head):
    """Every site, [count, *site_shape]."""
    size = int(np.prod(head.site_shape, dtype=int))
    every = np.array(list(itertools.product(range(head.num_symbols), repeat=size)), np.int32)
    return every.reshape(-1, *head.site_shape)


def log_probs(head, params, temperature=1.0):
    """Of every site under one set of parameters."""
    every = alphabet(head)
    return np.asarray(head.distribution(tf.constant(params)[None], temperature).log_prob(every))


def test_all_heads_are_here():
    every = {type(head).__name__ for head in (*HEADS, *test_continuous.EVERY)}
    assert every | {"Head"} == set(heads.__all__)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_probabilities_add_up_to_one(head):
    for params in params_for(head, 5):
        assert abs(np.exp(log_probs(head, params)).sum() - 1) < 1e-12


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_coordinates_make_up_the_site(head):
    """log p(site) = Σ log p(coordinate | earlier ones), and each of them is normalised."""
    every = alphabet(head)
    for params in params_for(head, 3):
        params = np.broadcast_to(params, (len(every), head.params_size))
        expected, total = np.asarray(head.distribution(params).log_prob(every)), 0.0
        for c in range(int(np.prod(head.site_shape, dtype=int))):
            known = every.reshape(len(every), -1).copy()
            here = known[:, c : c + 1].copy()
            known[:, c:] = 0  # what is not drawn yet has no say
            table = np.asarray(head.coordinate_log_probs(params, known.reshape(every.shape), c))
            assert table.shape == (len(every), head.num_symbols)
            np.testing.assert_allclose(np.exp(table).sum(-1), 1, atol=1e-12)
            total = total + np.take_along_axis(table, here, axis=1)[:, 0]
        np.testing.assert_allclose(total, expected, atol=1e-11)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_samples_follow_the_distribution(head, temperature):
    draws, every = 40_000, alphabet(head)
    params = params_for(head, 1, seed=3, dtype="float32")
    noise = uniform_noise(5, [0], 0, draws, head.noise_shape)[0]
    drawn = np.asarray(head.sample(np.repeat(params, draws, 0), noise, temperature))
    assert drawn.dtype == np.int32
    assert drawn.shape == (draws, *head.site_shape)
    assert drawn.min() >= 0
    assert drawn.max() < head.num_symbols
    base = head.num_symbols ** np.arange(every[0].size)[::-1]
    counts = np.bincount(drawn.reshape(draws, -1) @ base, minlength=len(every))
    expected = np.exp(log_probs(head, params[0].astype("float64"), temperature)) * draws
    rare = expected < 5
    counts, expected = (np.append(v[~rare], v[rare].sum()) for v in (counts, expected))
    statistic = ((counts - expected) ** 2 / np.maximum(expected, 1e-9))[expected > 1e-6].sum()
    assert statistic < chi2.ppf(1 - 1e-4, (expected > 1e-6).sum() - 1)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_temperature_zero_is_greedy(head):
    """The mode; of a mixture, the middle of its most likely component (channel after channel)."""
    params = params_for(head, 200, seed=1, dtype="float32")
    noise = uniform_noise(0, range(2), 0, 200, head.noise_shape)
    drawn, again = (np.asarray(head.sample(params, part, 0.0)) for part in noise)
    np.testing.assert_array_equal(drawn, again)
    if isinstance(head, DiscretizedLogisticMixture):
        expected = [_middle(head, row) for row in params.astype("float64")]
    else:
        expected = [alphabet(head)[np.argmax(log_probs(head, row))] for row in params]
    np.testing.assert_array_equal(drawn, expected)


def _middle(head, params):
    k, c = head.num_components, head.channels
    component = params[k:].reshape(k, -1)[np.argmax(params[:k])]
    squashed = component[2 * c :] if isinstance(head, PredictiveLogisticMixture) else np.tanh(component[2 * c :])
    means, (alpha, beta, gamma) = component[:c], (*squashed, 0, 0, 0)[:3]
    values = []
    for channel in range(c):
        shift = (0, alpha * sum(values[:1]), beta * sum(values[:1]) + gamma * sum(values[1:2]))[channel]
        level = np.clip(np.round((means[channel] + shift + 1) * (head.num_levels - 1) / 2), 0, head.num_levels - 1)
        values.append(level * 2 / (head.num_levels - 1) - 1)
    return np.round((np.array(values) + 1) * (head.num_levels - 1) / 2).astype(int)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_temperature_scales_probabilities(head):
    """Of logits: p^(1/T), normalised. Of mixtures: logits of the weights / T, scales · T."""
    params = params_for(head, 1)[0]
    if isinstance(head, DiscretizedLogisticMixture):
        k, c, other = head.num_components, head.channels, params.copy()
        other[:k] /= 2.0
        rest = other[k:].reshape(k, -1)
        rest[:, c : 2 * c] += np.log(2.0)
        expected = log_probs(head, other)
    else:
        expected = log_probs(head, params) / 2.0
        expected -= np.log(np.exp(expected).sum())
    np.testing.assert_allclose(log_probs(head, params, 2.0), expected, atol=1e-10)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_tfp_samples_have_the_right_shape_and_follow(head):
    params, draws = params_for(head, 1, seed=3), 20_000
    drawn = np.asarray(head.distribution(params[0]).sample(draws, seed=tf.constant([1, 2])))
    assert drawn.shape == (draws, *head.site_shape)
    every = alphabet(head).reshape(-1, int(np.prod(head.site_shape, dtype=int)))
    wanted = np.exp(log_probs(head, params[0])) @ every
    spread = np.sqrt(np.exp(log_probs(head, params[0])) @ (every - wanted) ** 2 / draws)
    assert (np.abs(drawn.reshape(draws, -1).mean(0) - wanted) < 5 * spread).all()


@pytest.mark.parametrize(
    "head",
    [*HEADS, *test_continuous.EVERY, Categorical(3, alphabet="cab"), Categorical(4, source_levels=16)],
    ids=repr,
)
def test_copies_are_equal(head):
    text = json.dumps(keras.saving.serialize_keras_object(head))
    copy = keras.saving.deserialize_keras_object(json.loads(text))
    assert copy == head
    assert hash(copy) == hash(head)
    assert copy == type(head).from_config(head.get_config())
    if not isinstance(head, Tokens):  # a tokenizer has megabytes
        assert eval(repr(head), vars(heads)) == head


def test_heads_differ_by_their_arguments():
    assert Categorical(3) != Categorical(4)
    assert MuLawCategorical(5) != Categorical(5)
    assert Categorical(3) != Categorical(3, alphabet="abc")
    assert len({*HEADS, *HEADS}) == len(HEADS)
