"""`generate` and `stream`: the tokens of `sample`, per-row stop, processors, log-probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.core.noise import uniform_noise
from ar_zoo.core.registry import families
from ar_zoo.heads.base import draw_index
from ar_zoo.sampling import (
    chain,
    force,
    frequency_penalty,
    generate,
    min_new_tokens,
    no_repeat_ngram,
    stream,
    suppress,
    top_k,
    top_p,
)
from ar_zoo.sampling import temperature as tempered
from ar_zoo.sampling.loop import draw_token
from ar_zoo.testing import laws
from tests.sampling.models import recurrent, sound, text, windowed

# Prompts and new tokens: 13 in all, whatever the lengths, so that each shape is compiled once.
LENGTHS = (6, 1, 0)
PROMPTS = [np.array([0, 3, 3, 1, 4, 2]), np.array([2]), np.array([], int)]
NEW = 7


def whole(model, **arguments):
    context = {"context": 1} if model.context_spec else {}
    return model.sample(3, seed=2, num_sites=13, **context, **arguments)


@pytest.mark.parametrize(
    "model", [text, recurrent, pytest.param(sound, marks=pytest.mark.slow)], ids=lambda model: model.__name__
)
@pytest.mark.parametrize("temperature", [1.0, 0.4, 0.0])
def test_tokens_are_those_of_sample(model, temperature):
    """Without a prompt, and going on from the beginnings of what was drawn, of different lengths."""
    model = model()
    context = {"context": 1} if model.context_spec else {}
    x = whole(model, temperature=temperature)
    for lengths in ((0, 0, 0), LENGTHS):
        rows = [row[:length] for row, length in zip(x, lengths, strict=True)]
        found = generate(model, rows, 13 - max(lengths), temperature=temperature, seed=2, **context)
        for row, length, new in zip(x, lengths, found.tokens, strict=True):
            np.testing.assert_array_equal(new, row[length : length + 13 - max(lengths)])
            assert new.dtype == np.int32
        assert not found.finished.any()
        assert found.log_probs is None


def test_log_probs_are_the_models():
    """Before processors and temperature, whatever they do."""
    model = text()
    found = generate(model, PROMPTS, np.int64(NEW), [top_k(2)], temperature=0.5, log_probs=True)
    for prompt, new, log_probs in zip(PROMPTS, found.tokens, found.log_probs, strict=True):
        x = np.concatenate([prompt, new])[None].astype(np.int32)
        each = np.asarray(model.log_prob(x, reduce="site"))[0, len(prompt) :]
        np.testing.assert_allclose(log_probs, each, atol=1e-5)


def one_by_one(model, prompt, row, processors, temperature, seed):
    """The slow and obvious way: one row alone, without a cache, a step at a time."""
    tokens, process = list(prompt), chain(*processors)
    noise = uniform_noise(seed, [row], 0, 32, (1,))[0]
    while len(tokens) < len(prompt) + NEW:
        padded = np.array([[*tokens, 0]], np.int32)
        logits = model.head.logits(model(padded)[:, -1])
        so_far = tf.constant([[*tokens, *[-1] * (32 - len(tokens))]], tf.int32)
        logits = process(logits, so_far, len(tokens), len(prompt))
        if temperature == 0:
            tokens.append(int(np.argmax(logits[0])))
        else:
            tokens.append(int(draw_index(logits / temperature, noise[len(tokens)])[0]))
    return tokens[len(prompt) :]


@pytest.mark.parametrize(("model", "temperature"), [(text, 0.0), (text, 1.5), (windowed, 1.5)])
def test_processors_equal_the_slow_way(model, temperature):
    """Row by row, those that read what came before as well as those that count new tokens."""
    model = model()
    processors = [no_repeat_ngram(3), frequency_penalty(0.5, new_only=True), tempered(0.8), top_p(0.9), force({1: 3})]
    found = generate(model, PROMPTS, NEW, processors, temperature=temperature, seed=4)
    for row, (prompt, new) in enumerate(zip(PROMPTS, found.tokens, strict=True)):
        assert new.tolist() == one_by_one(model, prompt, row, processors, temperature, 4)
        assert new[1] == 3
    plain = generate(model, PROMPTS, NEW, temperature=temperature, seed=4)
    assert not np.array_equal(plain.tokens, found.tokens)


def test_each_row_stops_by_itself():
    model = text()
    plain = generate(model, PROMPTS, NEW, seed=1).tokens
    stop = int(plain[1][2])
    found = generate(model, PROMPTS, NEW, seed=1, stop=stop, log_probs=True)
    for row, new, finished, log_probs in zip(plain, found.tokens, found.finished, found.log_probs, strict=True):
        at = np.flatnonzero(row == stop)
        expected = row[: at[0] + 1] if len(at) else row
        np.testing.assert_array_equal(new, expected)
        assert finished == bool(len(at))
        assert len(log_probs) == len(expected)
    assert len({len(new) for new in found.tokens}) > 1, "all rows stop together, which shows nothing"


def test_stop_sequences():
    """They must lie in what is new as a whole; the first that ends a row counts."""
    model = text()
    row = generate(model, PROMPTS, NEW, seed=1).tokens[0].tolist()
    stopped = lambda *stop: generate(model, PROMPTS, NEW, seed=1, stop=stop).tokens[0].tolist()  # noqa: E731
    assert stopped(row[2:5]) == row[:5]
    assert stopped(row[2:5], row[1:3]) == row[:3]
    assert stopped([2, row[0]]) == row, "its first token is the prompt's last"
    letters = "".join("abcde"[token] for token in row)
    assert stopped(letters[2:5]) == row[:5]
    at_least = generate(model, PROMPTS, NEW, [min_new_tokens(4, row[2])], seed=1, stop=row[2]).tokens[0]
    assert len(at_least) > 4


def test_the_loop_ends_with_the_rows():
    """When all have stopped nothing more is drawn: what follows in the slots is nothing."""
    found = generate(text(), PROMPTS, NEW, seed=1, stop=range(5))
    assert [len(new) for new in found.tokens] == [1, 1, 1]
    assert found.finished.all()


def test_text_in():
    model = text()
    from_text = generate(model, ["adcb", "", "e"], NEW, seed=3)
    from_tokens = generate(model, [[0, 3, 2, 1], [], [4]], NEW, seed=3)
    np.testing.assert_array_equal(from_text.tokens, from_tokens.tokens)
    one = [generate(model, prompt, NEW, seed=3).tokens for prompt in ("adcb", [0, 3, 2, 1], np.array([0, 3, 2, 1]))]
    np.testing.assert_array_equal(one, [from_text.tokens[:1]] * 3)


def test_progress_changes_nothing(capsys):
    found = generate(text(), PROMPTS, NEW, seed=3, stop=1, progress=True)
    assert "generating" in capsys.readouterr().err
    for new, plain in zip(found.tokens, generate(text(), PROMPTS, NEW, seed=3, stop=1).tokens, strict=True):
        np.testing.assert_array_equal(new, plain)


@pytest.mark.parametrize("every", [1, 3, 50])
def test_stream(every):
    """The tokens of `generate`; none is drawn before it is asked for."""
    model, processors = text(), [top_k(3)]
    arguments = dict(processors=processors, seed=5, temperature=0.9)
    stop = generate(model, "adcb", 9, **arguments).tokens[0][4:6].tolist()
    expected = generate(model, "adcb", 9, stop=[stop], **arguments).tokens[0].tolist()
    assert 1 < len(expected) < 9, "the stop should end it"
    assert list(stream(model, "adcb", 9, every=every, stop=[stop], **arguments)) == expected
    tokens = stream(model, "adcb", 9, seed=6, every=every)
    assert next(tokens) == generate(model, "adcb", 9, seed=6).tokens[0][0]
    assert len(list(tokens)) == 8


def test_compiled_once_for_all_lengths():
    """Processors made anew, prompts of other lengths and another number of tokens: the same compiled loop."""
    model = laws.make(families()["gpt"], dtype="float32", max_sites=32)
    for prompt, number, k in ((5, 4, 3), (7, 9, 3), (2, 1, 3)):
        generate(model, np.zeros(prompt, int), number, [top_k(k), suppress([1])], seed=number, temperature=0.5)
    loops = [function for key, function in model._ar_zoo_compiled.items() if key != "read"]
    assert [function.experimental_get_tracing_count() for function in loops] == [1]


def test_nothing_that_is_suppressed_is_drawn():
    """Compiled sums are not monotone in their last digits: noise at each of their steps finds tokens without weight."""
    generator = np.random.default_rng(0)
    logits = np.where(generator.random(5000) < 0.9, -np.inf, generator.normal(size=5000) * 2).astype(np.float32)
    sums = tf.function(lambda x: tf.cumsum(x), jit_compile=True)(tf.exp(logits - logits.max())).numpy()
    steps = np.unique(sums) / sums[-1]
    noise = np.concatenate([np.nextafter(steps, np.float32(0)), steps, np.nextafter(steps, np.float32(2))])
    noise = tf.constant(noise[(noise > 0) & (noise < 1)])
    rows = tf.repeat(logits[None], len(noise), axis=0)
    careless = tf.function(draw_index, jit_compile=True)(rows, noise).numpy()
    assert np.isinf(logits[careless]).any(), "these rows do not show what they should"
    drawn = tf.function(draw_token, jit_compile=True)(rows, noise, tf.constant(1.0)).numpy()
    assert np.isfinite(logits[drawn]).all()
    clear = np.isfinite(logits[careless])
    np.testing.assert_array_equal(drawn[clear], careless[clear])


def test_everything_suppressed():
    with pytest.raises(ValueError, match="`processors` left nothing to draw: new token 2 of row 0 has no finite logit"):
        generate(text(), [[0, 2], [2]], NEW, [force({0: 1, 1: 1}), suppress_after_two_alike])


def suppress_after_two_alike(logits, tokens, index):
    """A processor of one's own; only of the first row."""
    alike = (tokens[:, index - 1] == 1) & (tokens[:, index - 2] == 1) & (tf.range(tokens.shape[0]) == 0)
    return tf.where(alike[:, None], -np.inf, logits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(prompts=[]), "`prompts` must be a text, an array of tokens, or a list of one or more"),
        (dict(prompts=3), "`prompts` must be a text, an array"),
        (dict(prompts=[[1, 5]]), r"`prompts` must lie in 0\.\.4; got 1\.\.5 in row 0"),
        (dict(prompts=[[1], [0.5]]), r"`prompts` must hold rows of integers; got \[0.5\], float64 \[1\], in row 1"),
        (dict(prompts=["a", "axe"]), "text has 1 character.*'x'"),
        (dict(prompts=[[1] * 30]), "`prompts` and `num_tokens` must fit into the 32 tokens.*got 30 in row 0 and 7"),
        (dict(num_tokens=0), "`num_tokens` must be an integer of at least 1; got 0"),
        (dict(temperature=-1), "`temperature` must be above 0"),
        (dict(seed=-1), "`seed` must be an integer"),
        (dict(stop=[[1, 9]]), r"`stop` must lie in 0\.\.4; got 1\.\.9"),
        (dict(stop=[[]]), "`stop` must hold tokens, or sequences of one or more"),
        (dict(stop=None), "`stop` must hold rows of integers; got None"),
        (dict(stop=[[1, [2]]]), "`stop` must hold rows of integers; got 1"),
        (dict(stop=[[[1], [2]]]), "`stop` must hold tokens, or sequences of one or more"),
        (dict(stop=""), "`stop` must hold tokens, or sequences of one or more tokens; '' is none"),
        (dict(prompts=np.array(1)), "`prompts` must hold rows of integers; got array"),
        (dict(prompts=[[1, [2]]]), "`prompts` must hold rows of one length"),
        (dict(processors=[1]), "`processors` must be functions such as"),
        (dict(processors=None), "`processors` must be functions such as .* got None"),
        (dict(guidance=2.0), "`guidance` must be None or a Guidance, such as .* got 2.0"),
        (dict(context=1), "`context` was given, but this GPT takes none"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(text(), **(dict(prompts=[[1]], num_tokens=NEW) | arguments))


def test_models_that_are_not_drawn_token_by_token():
    image = laws.make(families()["gated_pixel_cnn"])
    with pytest.raises(ValueError, match=r"`model` must be drawn token by token; GatedPixelCNN shares work"):
        generate(image, [[]], 3)
    with pytest.raises(ValueError, match=r"`model` must have a head with a logit for each token.*got Normal"):
        generate(laws.make(families()["ar_p"]), [[]], 3)
    with pytest.raises(ValueError, match="draws site by site; got MAF"):
        generate(laws.make(families()["maf"]), [[]], 3)
    with pytest.raises(ValueError, match=r"`prompts` must be tokens: .* reads no text. Got 'abc' in row 0"):
        generate(recurrent(), ["abc"], 3)
    with pytest.raises(ValueError, match="`prompt` must be one; got 2"):
        stream(text(), ["a", "b"], 3)
    with pytest.raises(ValueError, match=r"`stream` takes temperature.* of generate's arguments; got log_probs"):
        stream(text(), "a", 3, log_probs=True)
