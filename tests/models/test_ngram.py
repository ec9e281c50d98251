"""NGram against Kneser-Ney written naively, with dictionaries; its look-up; what `fit` takes and refuses."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture
from ar_zoo.models.ngram import NGram
from ar_zoo.testing import laws

START = "start"


def naive(events, order, num_symbols):
    """p(symbol, past) by the equations, one n-gram after another; the past is a tuple of what came before."""
    seen = collections.Counter()
    for event in events:
        padded = [START] * (order - 1) + list(event)
        seen.update(tuple(padded[i : i + order]) for i in range(len(event)))
    counts = {order: seen}
    for length in range(order - 1, 0, -1):
        raw, kinds = collections.Counter(), collections.defaultdict(set)
        for ngram, count in seen.items():
            raw[ngram[-length:]] += count
            kinds[ngram[-length:]].add(ngram[-length - 1])
        counts[length] = {ngram: raw[ngram] if ngram[0] == START else len(before) for ngram, before in kinds.items()}
    discounts = {}
    for length in counts:
        n = [sum(value == i for value in counts[length].values()) for i in range(5)]
        discounts[length] = [0, 0.5, 1.0, 1.5]
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            for i in (1, 2, 3):
                found = i - (i + 1) * y * n[i + 1] / n[i]
                if 0 < found <= i:
                    discounts[length][i] = found

    def probability(symbol, context):
        length = len(context) + 1
        if length == 0:
            return 1 / num_symbols
        below = probability(symbol, context[1:]) if context else 1 / num_symbols
        following = {ngram[-1]: a for ngram, a in counts[length].items() if ngram[:-1] == context}
        if not following:
            return below
        total, discount = sum(following.values()), discounts[length]
        own = {w: min(discount[min(a, 3)], a) for w, a in following.items()}
        a = following.get(symbol, 0)
        return (a - own.get(symbol, 0)) / total + sum(own.values()) / total * below

    return lambda symbol, past: probability(symbol, ((START,) * (order - 1) + tuple(past))[-(order - 1) :])


def walks(count, length, num_symbols=4, seed=0):
    """Symbols of which some follow others far more often: contexts of all lengths seen once, often and never."""
    generator = np.random.default_rng(seed)
    x = np.zeros((count, length), np.int32)
    for i in range(1, length):
        step = generator.choice([0, 1, 1, 1, 1, 2, 3], count)
        x[:, i] = (x[:, i - 1] + np.where(generator.random(count) < 0.9, step % 2, step)) % num_symbols
    return x


def make(order=3, num_symbols=4, max_contexts=2000):
    return NGram(Categorical(num_symbols), order, max_contexts, dtype="float64")


@pytest.mark.parametrize(("order", "count"), [(2, 3), (3, 20), (4, 8), (5, 30)])
def test_equals_naive(order, count):
    """All conditionals of events that were counted and of others, whose contexts are in part unknown."""
    model, data = make(order), walks(count, 12)
    model.fit(data)
    probability = naive(data.tolist(), order, 4)
    x = np.concatenate([data[:2], np.random.default_rng(1).integers(0, 4, (2, 12), np.int32)])
    found = np.exp(np.asarray(model.log_prob(x, reduce="site")))
    expected = [[probability(event[i], event[:i]) for i in range(12)] for event in x.tolist()]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    rows = np.exp(np.asarray(model(x)))
    np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-9)  # the head finds them normalised


def test_both_kinds_of_discounts_occur():
    """Estimated ones at one length and rough ones at another, so that the test above compares both."""
    from ar_zoo.models.ngram import _ROUGH_DISCOUNTS, _counted, _discounts

    model = make(3)
    counts = _counted(model._ngrams({"x": walks(20, 12)}, None))[1]
    assert not np.array_equal(_discounts(counts), _ROUGH_DISCOUNTS)
    np.testing.assert_array_equal(_discounts(np.array([5, 7])), _ROUGH_DISCOUNTS)


def test_batches_masks_and_sets_count_alike():
    data, other = walks(6, 9), np.zeros((6, 9), np.int32)
    mask = np.random.default_rng(0).random((6, 12)) < 0.6
    padded = np.random.default_rng(1).integers(0, 4, (6, 12)).astype(np.int32)
    ragged = [row[keep] for row, keep in zip(padded, mask, strict=True)]
    whole = make()
    whole.fit(data)

    def same(model):
        return all(np.array_equal(one, two) for one, two in zip(whole.get_weights(), model.get_weights(), strict=True))

    batched = make()
    batched.fit(tf.data.Dataset.from_tensor_slices(data).batch(4))
    assert same(batched)
    part = make()
    part.fit(tf.data.Dataset.from_tensor_slices(data).repeat().batch(3), steps_per_epoch=2)
    assert same(part)
    part.fit(other)
    assert not same(part)
    part.fit(data)  # counts anew
    assert same(part)
    masked, one_by_one = make(), make()
    masked.fit({"x": padded, "mask": mask})
    one_by_one.fit(row[None] for row in ragged)
    assert all(np.array_equal(*pair) for pair in zip(masked.get_weights(), one_by_one.get_weights(), strict=True))


def test_validation_and_callbacks():
    model, data = make(), walks(6, 9)
    model.compile()
    history = model.fit(data, validation_data=data)
    bits = -np.asarray(model.log_prob(data)).mean() / 9 / np.log(2)
    np.testing.assert_allclose(history.history["val_bits_per_dim"], bits, rtol=1e-6)


def test_before_it_is_fitted_it_is_uniform():
    model = ar_zoo.create("ngram.tiny")
    np.testing.assert_allclose(model.log_prob(laws.events(model, 2)), -9 * np.log(5), rtol=1e-6)


@pytest.mark.parametrize("order", [2, 5])
def test_receptive_field(order):
    assert [int(row.sum()) for row in make(order).receptive_field(8)] == [min(i, order - 1) for i in range(8)]


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda model: model.fit(walks(2, 5), epochs=2), "`epochs` must be 1"),
        (lambda model: model.fit({"x": walks(2, 5), "sample_weight": np.ones(2)}), "`sample_weight` must be left out"),
        (lambda model: model.fit(walks(2, 5), sample_weight=np.ones(2)), "`sample_weight` must be left out"),
        (lambda model: model.fit(np.zeros((0, 5), np.int32)), "`x` must hold at least one symbol"),
        (lambda model: model.fit(walks(20, 12)), r"`max_contexts` must be at least \d+ for these data; got 5"),
    ],
)
def test_fit_refuses(fit, message):
    with pytest.raises(ValueError, match=message):
        fit(make(max_contexts=5))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(head=DiscretizedLogisticMixture(2, 5, 3)), "head"),
        (dict(head=Bernoulli()), "head"),
        (dict(order=1), "order"),
        (dict(order=27), "order"),  # 5 ** 27 is too large for a whole number of 62 bits
        (dict(max_contexts=0), "max_contexts"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        NGram(**(dict(head=Categorical(4)) | arguments))
