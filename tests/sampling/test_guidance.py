"""Classifier-free guidance: transformers' values, and generation as the slow way does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.core.noise import uniform_noise
from ar_zoo.heads.base import draw_index
from ar_zoo.sampling import Guidance, generate, stream
from ar_zoo.sampling.guidance import guided
from tests.sampling.models import sound, text, windowed

_REFERENCE = Path(__file__).parents[1] / "references" / "processors.npz"
PROMPTS = [np.array([0, 3, 3, 1]), np.array([2, 4])]
NEW = 6


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_equals_transformers(scale):
    stored = np.load(_REFERENCE)
    logits = np.concatenate([stored["logits random"], stored["logits ties"]])
    found = guided(tf.constant(logits), tf.constant(scale, tf.float32))
    np.testing.assert_allclose(found, stored[f"guidance {scale}"], atol=1e-5)


def slow_way(model, prompt, weak, row, scale, context):
    """One row alone, without a cache, a token at a time."""
    noise, tokens = uniform_noise(2, [row], 0, 32, (1,))[0], []
    while len(tokens) < NEW:
        pair = []
        for beginning, label in ((prompt, context), (weak, None)):
            x = np.array([[*beginning, *tokens, 0]], np.int32)
            given = (
                {"context": {"label": np.array([label])} if label is not None else None} if model.context_spec else {}
            )
            pair.append(model.head.logits(model(x, **given)[:, -1]))
        logits = guided(tf.concat(pair, axis=0), scale)
        tokens.append(int(draw_index(logits, noise[len(prompt) + len(tokens)])[0]))
    return tokens


EACH = [np.array([1]), np.array([4, 4, 0, 1, 2, 2])]


@pytest.mark.parametrize(
    ("model", "negative"),
    [(text, EACH), (text, None), (text, [3, 3]), pytest.param(windowed, EACH, marks=pytest.mark.slow)],
)
def test_negative_prompts(model, negative):
    """One for each row, one for all, or by default each prompt's last token; of other lengths than the prompts."""
    model = model()
    found = generate(model, PROMPTS, NEW, seed=2, guidance=Guidance(2.5, negative))
    assert len(found.tokens) == 2
    weak = negative or [prompt[-1:] for prompt in PROMPTS]
    weak = [weak, weak] if negative == [3, 3] else weak
    for row, prompt in enumerate(PROMPTS):
        assert found.tokens[row].tolist() == slow_way(model, prompt, weak[row], row, 2.5, None)
    assert not np.array_equal(found.tokens, generate(model, PROMPTS, NEW, seed=2).tokens)


@pytest.mark.slow
def test_context():
    """With a label and without it, after the same prompts."""
    found = generate(sound(), PROMPTS, NEW, seed=2, context=1, guidance=Guidance(3.0))
    for row, prompt in enumerate(PROMPTS):
        assert found.tokens[row].tolist() == slow_way(sound(), prompt, prompt, row, 3.0, 1)
    assert not np.array_equal(found.tokens, generate(sound(), PROMPTS, NEW, seed=2, context=1).tokens)


@pytest.mark.slow
def test_scale_one_and_zero():
    """1 is what the prompts say, 0 what the weak ones say; log-probabilities are those after the prompts; `stream` too."""
    plain = generate(text(), PROMPTS, NEW, seed=2, log_probs=True)
    found = generate(text(), PROMPTS, NEW, seed=2, guidance=Guidance(1.0, "ab"), log_probs=True)
    np.testing.assert_array_equal(found.tokens, plain.tokens)
    np.testing.assert_allclose(found.log_probs, plain.log_probs, atol=1e-5)
    streamed = list(stream(text(), PROMPTS[0], NEW, seed=2, guidance=Guidance(0.5, "ab")))
    assert streamed == generate(text(), PROMPTS[0], NEW, seed=2, guidance=Guidance(0.5, "ab")).tokens[0].tolist()


def test_bad_arguments():
    with pytest.raises(ValueError, match="`scale` must be a number, 1 for no guidance; got nan"):
        Guidance(float("nan"))
    with pytest.raises(ValueError, match="`prompts` of Guidance must be one, or one for each of 2 rows; got 3"):
        generate(text(), PROMPTS, NEW, guidance=Guidance(2.0, [[1], [2], [3]]))
    with pytest.raises(ValueError, match=r"`prompts of Guidance` must lie in 0\.\.4"):
        generate(text(), PROMPTS, NEW, guidance=Guidance(2.0, [7]))
