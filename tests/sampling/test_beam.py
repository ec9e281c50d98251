"""Beam search: exhaustive with beams for all, the same as a slow search with few, greedy with one."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from ar_zoo.sampling import beam_search, generate, suppress
from tests.sampling.models import recurrent, sound, text, windowed

PROMPTS = [np.array([0, 3, 3, 1]), np.array([2])]
NEW, STOP = 3, 4


@functools.cache
def table(model, prompt):
    """Log-probabilities [5, 5, 5, 3] of each new token of all continuations."""
    new = np.array(list(itertools.product(range(5), repeat=NEW)), np.int32)
    x = np.concatenate([np.tile(np.array(prompt, np.int32), (len(new), 1)), new], axis=1)
    context = {"context": 1} if model().context_spec else {}
    each = np.asarray(model().log_prob(x, reduce="site", **context))[:, len(prompt) :]
    return each.reshape(5, 5, 5, NEW)


def log_prob(model, prompt, new):
    """Of one continuation; what would follow makes no difference."""
    return float(table(model, tuple(prompt.tolist()))[(*new, 0, 0, 0)[:NEW]][: len(new)].sum())


def every_continuation(stop):
    """All that end with the stop, or have `NEW` tokens without it."""
    for length in range(1, NEW + 1):
        for new in itertools.product(range(5), repeat=length):
            if stop not in new[:-1] and (length == NEW or new[-1] == stop):
                yield new


def ranked(model, prompt, continuations, penalty):
    scored = [(log_prob(model, prompt, new) / len(new) ** penalty, new) for new in continuations]
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("penalty", [1.0, 0.0, -1.5])
def test_equals_exhaustive_search(penalty):
    """With a beam for each continuation: every one that is returned, its score, and whether it stopped."""
    found = beam_search(text(), PROMPTS, NEW, num_beams=64, num_returned=64, length_penalty=penalty, stop=STOP)
    for row, prompt in enumerate(PROMPTS):
        expected = ranked(text, prompt, every_continuation(STOP), penalty)[:64]
        assert [tuple(new.tolist()) for new in found.tokens[row]] == [new for _, new in expected]
        np.testing.assert_allclose(found.scores[row], [score for score, _ in expected], atol=1e-4)
        np.testing.assert_array_equal(found.finished[row], [new[-1] == STOP for _, new in expected])
        assert {len(new) for _, new in expected} >= {2, 3}, "of several lengths, else the penalty shows nothing"


def slow_search(model, prompt, num_beams, stop, penalty):
    """With lists, and no cache."""
    live, ended = [()], []
    for _ in range(NEW):
        following = [(*new, token) for new in live for token in range(5)]
        ended += [new for new in following if new[-1] == stop]
        following = [new for new in following if new[-1] != stop]
        live = [new for _, new in ranked(model, prompt, following, 0.0)[:num_beams]]
    return ranked(model, prompt, ended + live, penalty)[:num_beams]


@pytest.mark.parametrize(
    "model",
    [text, recurrent, *(pytest.param(model, marks=pytest.mark.slow) for model in (sound, windowed))],
    ids=lambda model: model.__name__,
)
def test_equals_a_slow_search(model):
    """With too few beams for all; the cache's rows follow the beams they belong to."""
    context = {"context": 1} if model().context_spec else {}
    found = beam_search(model(), PROMPTS, NEW, num_beams=3, num_returned=3, length_penalty=0.7, stop=STOP, **context)
    for row, prompt in enumerate(PROMPTS):
        expected = slow_search(model, prompt, 3, STOP, 0.7)
        assert [tuple(new.tolist()) for new in found.tokens[row]] == [new for _, new in expected]
        np.testing.assert_allclose(found.scores[row], [score for score, _ in expected], atol=1e-4)


def test_goes_on_while_something_longer_can_win():
    """Where the likeliest token stops, but length is favoured so much that what does not stop wins."""
    likeliest = int(np.argmax(table(text, tuple(PROMPTS[0].tolist()))[:, 0, 0, 0]))
    ((short, *_),) = beam_search(text(), PROMPTS[:1], NEW, num_beams=1, length_penalty=0.0, stop=likeliest).tokens
    ((long, *_),) = beam_search(text(), PROMPTS[:1], NEW, num_beams=1, length_penalty=3.0, stop=likeliest).tokens
    assert short.tolist() == [likeliest]
    assert tuple(long.tolist()) == slow_search(text, PROMPTS[0], 1, likeliest, 3.0)[0][1]
    assert len(long) > 1


@pytest.mark.slow
def test_one_beam_is_greedy():
    """With processors too; without a stop the length is fixed."""
    for processors in ((), [suppress([1, 3])]):
        greedy = generate(text(), PROMPTS, NEW, processors, temperature=0)
        found = beam_search(text(), PROMPTS, np.int64(NEW), num_beams=np.int64(1), processors=processors)
        np.testing.assert_array_equal([new for (new,) in found.tokens], greedy.tokens)
        assert not np.any(found.finished)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_beams=0), "`num_beams` must be an integer of at least 1; got 0"),
        (dict(num_returned=5), "`num_returned` must be at most `num_beams`, 4; got 5"),
        (dict(length_penalty=1e3), "`length_penalty` must leave scores that float32 holds: 3 tokens .* got 1000.0"),
        (dict(length_penalty="long"), "`length_penalty` must be a number; got 'long'"),
        (dict(stop=[[1, 2]]), r"`stop` must hold single tokens for beam search; got \[\[1, 2\]\]"),
        (dict(num_tokens=0), "`num_tokens` must be an integer of at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        beam_search(text(), **(dict(prompts=PROMPTS, num_tokens=NEW) | arguments))
