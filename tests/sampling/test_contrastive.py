"""Contrastive search against a slow one, on features that are computed anew for each candidate."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.sampling import contrastive_search, generate, suppress
from ar_zoo.sampling.processors import Processor
from tests.sampling.models import recurrent, text, windowed

PROMPTS = [np.array([0, 3, 3, 1, 4]), np.array([2, 4, 1]), np.array([], int)]
NEW = 6


def features_of(model, tokens):
    """Those of each token after it was read [n, units], normalised, and the logits of the next [5]."""
    features = np.asarray(model.features(np.array([[*tokens, 0]], np.int32)))[0]
    logits = np.asarray(model.project(features[-1:]))[0]
    return features[1:] / np.linalg.norm(features[1:], axis=-1, keepdims=True), logits


def slow_search(model, prompt, alpha, k):
    tokens = list(prompt)
    for _ in range(NEW):
        so_far, logits = features_of(model, tokens)
        probability = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        scores = {}
        for token in np.argsort(-probability)[:k]:
            feature = features_of(model, [*tokens, token])[0][-1]
            likeness = (so_far @ feature).max() if len(so_far) else 0.0
            scores[int(token)] = (1 - alpha) * probability[token] - alpha * likeness
        tokens.append(max(scores, key=scores.get))
    return tokens[len(prompt) :]


@pytest.mark.parametrize(
    ("model", "alpha"),
    [(text, 0.95), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((text, 0.98), (windowed, 0.95)))],
)
def test_equals_a_slow_search(model, alpha):
    model = model()
    found = contrastive_search(model, PROMPTS, np.int64(NEW), penalty_alpha=alpha, top_k=np.int64(3))
    for prompt, new in zip(PROMPTS, found.tokens, strict=True):
        assert new.tolist() == slow_search(model, prompt, alpha, 3)
    greedy = generate(model, PROMPTS, NEW, temperature=0).tokens
    assert not np.array_equal(found.tokens, greedy), "it should differ from greedy decoding, else it shows nothing"
    zero = contrastive_search(model, PROMPTS, NEW, penalty_alpha=0, top_k=3).tokens
    np.testing.assert_array_equal(zero, greedy)


def test_each_row_stops_by_itself():
    plain = contrastive_search(text(), PROMPTS, NEW, penalty_alpha=0.95, top_k=3).tokens
    stop = int(plain[0][1])
    found = contrastive_search(text(), PROMPTS, NEW, penalty_alpha=0.95, top_k=3, stop=stop)
    for row, new, finished in zip(plain, found.tokens, found.finished, strict=True):
        at = np.flatnonzero(row == stop)
        np.testing.assert_array_equal(new, row[: at[0] + 1] if len(at) else row)
        assert finished == bool(len(at))


def nothing_after_two(logits, tokens, index, first):
    """Leaves no candidate after two tokens."""
    return tf.where(index - first < 2, logits, -np.inf)


@pytest.mark.slow
def test_nothing_that_is_suppressed_is_drawn():
    """Not even as a candidate whose features are the best; and when none is left, that is said."""
    arguments = dict(penalty_alpha=1.0, top_k=5)  # probabilities do not count
    first = int(contrastive_search(text(), PROMPTS, NEW, **arguments).tokens[0][0])
    found = contrastive_search(text(), PROMPTS, NEW, processors=suppress(first), **arguments)
    assert first not in np.concatenate(found.tokens)
    with pytest.raises(ValueError, match="`processors` left nothing to draw: new token 2 of row 0"):
        contrastive_search(text(), PROMPTS, NEW, processors=Processor(nothing_after_two, counts_new=True))


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (text, dict(penalty_alpha=1.5), r"`penalty_alpha` must lie in \[0, 1\]; got 1.5"),
        (text, dict(top_k=0), "`top_k` must be an integer of at least 1; got 0"),
        (text, dict(num_tokens=32), "`prompts` and `num_tokens` must fit into the 32 tokens"),
        (recurrent, dict(), "`model` must offer its features in steps, as gpt, llama and mistral do; got RecurrentLM"),
    ],
)
def test_bad_arguments(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        contrastive_search(model(), **(dict(prompts=[[]], num_tokens=NEW) | arguments))
