"""Processors against what transformers make of the same logits (recorded by tools/record_processors.py), and alone."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.sampling import processors

_REFERENCE = Path(__file__).parents[1] / "references" / "processors.npz"
_BOTH = [
    processors.temperature(0.5),
    processors.top_k(3),
    processors.top_p(0.6),
    processors.min_p(0.2),
    processors.typical(0.5),
    processors.repetition_penalty(1.5),
    processors.presence_penalty(0.4),
    processors.frequency_penalty(0.4, new_only=True),
    processors.no_repeat_ngram(2),
    processors.suppress([1, 5]),
    processors.min_new_tokens(9, [2]),
    processors.force({8: 3}),
]


@functools.cache
def stored():
    return dict(np.load(_REFERENCE))


def cases():
    return [name for name in np.load(_REFERENCE).files if name.count(":") == 2]


@pytest.mark.parametrize("case", cases())
def test_equals_transformers(case):
    """In values; what they suppress is -inf here too. A slot behind `index` changes nothing.

    Which of equally likely tokens top-p keeps is chance there (their sort is not stable), and how many is not.
    """
    name, arguments, kind = case.split(": ")
    tokens = np.concatenate([stored()["tokens"], np.full((3, 2), -1, np.int32)], axis=1)
    processor = getattr(processors, name)(*json.loads(arguments))
    found = np.asarray(processor(tf.constant(stored()[f"logits {kind}"]), tf.constant(tokens), tf.constant(12)))
    expected = stored()[case]
    if name == "top_p" and kind in ("ties", "equal"):
        found, expected = np.sort(found), np.sort(expected)
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_top_p_of_nothing_is_greedy():
    """The first of the most likely ones, as `temperature=0` takes it."""
    logits = tf.constant([[0.0, 3.0, 1.0, 3.0, 3.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
    found = np.asarray(processors.top_p(0)(logits, tf.zeros((2, 4), tf.int32), 4))
    np.testing.assert_array_equal(np.isfinite(found), [[False, True, False, False, False], [True] + [False] * 4])
    half = np.asarray(processors.top_p(0.5)(logits, tf.zeros((2, 4), tf.int32), 4))
    np.testing.assert_array_equal(np.isfinite(half), [[False, True, False, True, False], [True] * 3 + [False] * 2])


def some(batch=3, slots=12, vocabulary=9, seed=0):
    generator = np.random.default_rng(seed)
    logits = tf.constant(generator.normal(size=(batch, vocabulary)), tf.float32)
    tokens = generator.integers(0, 4, (batch, slots)).astype(np.int32)
    tokens[:, 10:] = -1
    tokens[0, :5] = -1
    return logits, tokens


@pytest.mark.parametrize("processor", [*_BOTH, processors.chain(*_BOTH)], ids=lambda it: it.apply.__name__)
def test_compiled_equals_eager(processor):
    """Under XLA, with an index that is a tensor; rows do not see each other; something can still be drawn."""
    logits, tokens = some()
    more = (tf.constant(2),) if processor.counts_new else ()
    eager = np.asarray(processor(logits, tf.constant(tokens), tf.constant(10), *more))
    compiled = tf.function(processor, jit_compile=True)(logits, tf.constant(tokens), tf.constant(10), *more)
    np.testing.assert_allclose(eager, np.asarray(compiled), rtol=1e-5)
    one = processor(logits[1:2], tf.constant(tokens[1:2]), tf.constant(10), *more)
    np.testing.assert_allclose(np.asarray(one)[0], eager[1], rtol=1e-5)
    assert np.isfinite(eager).any(axis=-1).all()
    assert not np.array_equal(eager, np.asarray(logits)), "the case changes nothing, so it shows nothing"


def test_penalties():
    """Those that transformers do not have."""
    logits, tokens = some()
    for first, new_only in ((0, False), (7, True)):
        counts = np.array([[np.sum(row[first:10] == token) for token in range(9)] for row in tokens])
        presence = processors.presence_penalty(0.7, new_only)(logits, tf.constant(tokens), 10, 7)
        frequency = processors.frequency_penalty(-0.3, new_only)(logits, tf.constant(tokens), 10, 7)
        np.testing.assert_allclose(presence, np.asarray(logits) - 0.7 * (counts > 0), atol=1e-6)
        np.testing.assert_allclose(frequency, np.asarray(logits) + 0.3 * counts, atol=1e-6)
        assert counts.max() > 1, "a token that occurs once does not tell the two apart"


def test_steps():
    """Forced tokens and the least number of new ones count from the slot behind the prompts."""
    logits, tokens = some()
    forced = processors.force({0: 4, 2: 0})
    at_least = processors.min_new_tokens(2, 8)
    for step, token in ((0, 4), (1, None), (2, 0), (3, None)):
        found = np.asarray(forced(logits, tf.constant(tokens), 5 + step, 5))
        if token is None:
            np.testing.assert_array_equal(found, logits)
        else:
            assert np.all(found[:, token] == 0)
            assert np.isneginf(np.delete(found, token, axis=1)).all()
        found = np.asarray(at_least(logits, tf.constant(tokens), 5 + step, 5))
        np.testing.assert_array_equal(found[:, :8], np.asarray(logits)[:, :8])
        assert np.all(np.isneginf(found[:, 8]) == (step < 2))
    assert processors.force([4, 1]) == processors.force({1: 1, 0: 4})


def test_made_alike_are_equal():
    """What is compiled with one serves the other."""
    for one, other in itertools.pairwise(_BOTH):
        assert one != other
    assert processors.top_k(3) == processors.top_k(np.int64(3)) != processors.top_k(4)
    assert hash(processors.suppress([1, 2])) == hash(processors.suppress(np.array([1, 2])))
    assert processors.chain(*_BOTH[:2]) == processors.chain(processors.temperature(0.5), processors.top_k(3))


@dataclasses.dataclass
class Unhashable:
    """As Python makes them where they compare equal."""

    strength: float = 1.0

    def __call__(self, logits, tokens, index):
        return logits * self.strength


@pytest.mark.parametrize("wrong", [lambda logits: logits[:, :-1], lambda logits: logits[0], lambda logits: None])
def test_what_is_returned_is_checked(wrong):
    logits, tokens = some()
    chained = processors.chain(lambda logits, tokens, index: wrong(logits))
    with pytest.raises(ValueError, match=r"`processors` must return logits of the shape that they are given, \[3, 9\]"):
        chained(logits, tf.constant(tokens), 10)


def test_numbers_of_numpy():
    assert processors.presence_penalty(np.float32(1)) == processors.presence_penalty(np.int64(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: processors.temperature(0), "`t` must be a number above 0; got 0"),
        (lambda: processors.temperature(float("inf")), "`t` must be a number above 0"),
        (lambda: processors.top_k(0), "`k` must be an integer of at least 1; got 0"),
        (lambda: processors.top_p(1.1), r"`p` must lie in \[0, 1\]; got 1.1"),
        (lambda: processors.min_p(-0.1), r"`p` must lie in \[0, 1\]"),
        (lambda: processors.typical(1), "`p` must lie between 0 and 1, both excluded; got 1"),
        (lambda: processors.repetition_penalty(0), "`r` must be a number above 0"),
        (lambda: processors.presence_penalty(float("nan")), "`a` must be a number.*got nan"),
        (lambda: processors.frequency_penalty("1"), "`a` must be a number.*got '1'"),
        (lambda: processors.no_repeat_ngram(1.5), "`n` must be an integer of at least 1; got 1.5"),
        (lambda: processors.suppress([]), "`tokens` must be tokens, integers of at least 0, one or more"),
        (lambda: processors.suppress([-1]), "`tokens` must be tokens"),
        (lambda: processors.min_new_tokens(3, "a"), "`tokens` must be tokens"),
        (lambda: processors.force({}), "`tokens_by_step` must hold a step"),
        (lambda: processors.force({0: -1}), r"`tokens_by_step\[0\]` must be an integer of at least 0; got -1"),
        (lambda: processors.force({-1: 2}), "`tokens_by_step's steps` must be an integer of at least 0; got -1"),
        (lambda: processors.suppress([1, [2]]), "`tokens` must hold rows of one length"),
        (lambda: processors.chain(3), "`processors` must be functions such as `top_k\\(50\\)`, .*; got 3"),
        (lambda: processors.chain(processors.top_k), r"of \(logits, tokens, index\); got <function top_k"),
        (lambda: processors.chain(Unhashable()), "`processors` must be hashable.*; got .* make that `frozen=True`"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (processors.suppress([9]), r"`tokens` must lie in 0\.\.8, the model's vocabulary; got 9"),
        (processors.suppress(range(9)), "`tokens` suppresses all of the vocabulary's 9 tokens. Leave one"),
        (processors.force({0: 9}), r"`tokens` must lie in 0\.\.8"),
    ],
)
def test_tokens_out_of_the_vocabulary(processor, message):
    logits, tokens = some()
    with pytest.raises(ValueError, match=message):
        processor(logits, tf.constant(tokens), 10, 7)
    with pytest.raises(ValueError, match="`first` must be given"):
        processors.min_new_tokens(1, 2)(logits, tf.constant(tokens), 10)
