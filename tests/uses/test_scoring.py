"""Perplexity by a moving window, and continuations, against loops that do one thing at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.core.text import prompt_symbols
from ar_zoo.heads import Categorical, Tokens
from ar_zoo.uses import continuations, perplexity, token_log_probs
from tests.uses.models import randomised

TEXT = "the cat sat on the mat, and the other cat sat on the hat; é! " * 2


@pytest.fixture(scope="module")
def model():
    """A window of all 16 sites, so that how much context a token has shows."""
    return randomised("gpt.tiny", head=Tokens.train(TEXT, 275), num_layers=1, max_sites=16, scale=0.2)


@pytest.fixture(scope="module")
def once(model):
    """Log-probabilities of the sites of a piece; each piece is scored once in all the tests."""
    found, compiled = {}, tf.function(lambda x: model.log_prob(x, reduce="site"))

    def log_probs(symbols):
        key = tuple(symbols)
        if key not in found:
            # Padded behind, as pieces of many lengths would each be traced; what comes later has no say.
            padded = tf.constant(np.pad(symbols, (0, 16 - len(symbols)))[None])
            found[key] = np.asarray(compiled(padded), np.float64)[0, : len(symbols)]
        return found[key]

    return log_probs


def naive(once, symbols, window, stride):
    """Token by token: the first window that reaches it."""
    found = []
    for place in range(len(symbols)):
        end = window
        while end <= place:
            end += stride
        end = min(end, len(symbols))
        start = max(0, end - window)
        found.append(once(symbols[start:end])[place - start])
    return np.array(found)


@pytest.mark.parametrize(("window", "stride"), [(16, 8), (16, 1), (16, 16), (7, 3)])
@pytest.mark.parametrize("count", [1, 16, 17, 41])
def test_each_token_once_with_its_context(model, once, window, stride, count):
    symbols = model.head.encode(TEXT)[:count]
    assert len(symbols) == count
    expected = naive(once, symbols, window, stride)
    np.testing.assert_allclose(token_log_probs(model, symbols, window, stride, 3), expected, rtol=1e-4, atol=1e-5)


def test_more_context_changes_what_is_found(model, once):
    """Otherwise the test above could not fail."""
    symbols = model.head.encode(TEXT)
    found = [naive(once, symbols, 16, stride) for stride in (1, 8, 16)]
    assert np.abs(found[0] - found[1]).max() > 0.01
    assert np.abs(found[1] - found[2]).max() > 0.01


def test_all_figures_of_a_text(model, once):
    symbols = model.head.encode(TEXT)
    nats = -naive(once, symbols, 16, 8).sum()
    found = perplexity(model, TEXT, batch_size=4)
    sizes = {"tokens": len(symbols), "characters": len(TEXT), "bytes": len(TEXT) + 2, "window": 16, "stride": 8}
    expected = sizes | {
        "nats": nats,
        "nats_per_token": nats / len(symbols),
        "bits_per_token": nats / len(symbols) / math.log(2),
        "perplexity": math.exp(nats / len(symbols)),
        "bits_per_character": nats / math.log(2) / len(TEXT),
        "bits_per_byte": nats / math.log(2) / (len(TEXT) + 2),
    }
    assert found.keys() == expected.keys()
    assert {name: found[name] for name in sizes} == sizes
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)
    assert perplexity(model, symbols, batch_size=4) == found


def test_models_of_symbols_and_of_any_length():
    model = randomised("neural_lm.tiny")
    symbols = np.random.default_rng(0).integers(0, 5, 50)
    found = perplexity(model, symbols)
    assert (found["window"], found["stride"], found["tokens"]) == (1024, 512, 50)
    assert "bits_per_byte" not in found
    np.testing.assert_allclose(found["nats"], -float(model.log_prob(symbols[None])[0]), rtol=1e-5)


@pytest.mark.parametrize("choices", [[" mat", " cat sat on", "!"], [" the"], ["é", "hat; é", " ", "x", "the the"]])
def test_continuations_one_by_one(model, once, choices):
    prompt = "the cat sat on the"
    known, found = model.head.encode(prompt), continuations(model, prompt, choices, batch_size=2)
    assert [each["choice"] for each in found] == choices
    for each in found:
        row = model.head.encode(prompt + each["choice"])
        np.testing.assert_array_equal(row[: len(known)], known)
        total = once(row)[len(known) :].sum()
        np.testing.assert_allclose(each["log_prob"], total, rtol=1e-4)
        np.testing.assert_allclose(each["per_token"], total / (len(row) - len(known)), rtol=1e-4)
        np.testing.assert_allclose(each["per_byte"], total / len(each["choice"].encode()), rtol=1e-4)
        assert each["tokens"] == len(row) - len(known)


def test_a_choice_that_changes_how_the_prompt_is_cut(model, once):
    """All the choices are then scored from where they part."""
    encode = model.head.encode
    shared = len(encode("the"))
    assert encode("the cat")[shared] != encode("the c")[shared], "` cat` is a token, and ` c` is not its beginning"
    for each in continuations(model, "the c", ["at", "!"]):
        row = encode("the c" + each["choice"])
        assert each["tokens"] == len(row) - shared
        np.testing.assert_allclose(each["log_prob"], once(row)[shared:].sum(), rtol=1e-4)


def test_continuations_of_symbols_and_of_nothing(model, once):
    head = model.head
    texts = continuations(model, "the", [" cat", " mat"])
    symbols = continuations(model, head.encode("the"), [head.encode(" cat"), head.encode(" mat")])
    for text, each in zip(texts, symbols, strict=True):
        assert {**each, "choice": None} == {**text, "choice": None}
    (alone,) = continuations(model, "", ["the cat"])
    np.testing.assert_allclose(alone["log_prob"], once(head.encode("the cat")).sum(), rtol=1e-4)


def test_a_start_that_is_written_out_is_not_fed_twice():
    head = Tokens.train(TEXT, 270, special=["<s>"])
    model = ar_zoo.create("gpt.tiny", head=head, num_layers=1, start_symbol=0)
    np.testing.assert_array_equal(prompt_symbols(model, "<s>the"), head.encode("the"))
    np.testing.assert_array_equal(prompt_symbols(model, "the"), head.encode("the"))
    assert len(prompt_symbols(model, "")) == 0
    assert continuations(model, "<s>the", [" cat"]) == continuations(model, "the", [" cat"])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda model: perplexity(model, ""), "`text` must be a text or symbols .* of at least one token"),
        (lambda model: perplexity(model, [[1]]), r"`text` must be a text or symbols .* got shape \[1, 1\]"),
        (lambda model: perplexity(model, [275]), r"`text` must lie in 0\.\.274; got 275\.\.275"),
        (lambda model: perplexity(model, TEXT, window=17), "`window` must be at most 16, the model's longest; got 17"),
        (lambda model: perplexity(model, TEXT, window=0), "`window` must be an integer of at least 1, or None; got 0"),
        (lambda model: perplexity(model, TEXT, 8, 9), "`stride` must be at most `window`, 8, .* got 9"),
        (lambda model: perplexity(model, TEXT, batch_size=0), "`batch_size`"),
        (lambda model: perplexity(ar_zoo.create("made.tiny"), [1]), "`model` must be of symbols in events"),
        (lambda model: perplexity(ar_zoo.create("neural_lm.tiny"), "a"), "`text` must be symbols, as the model's head"),
        (lambda model: continuations(model, "a", []), "`choices` must be a sequence of at least one"),
        (lambda model: continuations(model, "a", "b"), "`choices` must be a sequence of at least one"),
        (lambda model: continuations(model, "a", ["b", ""]), "`choices`: one of them is empty"),
        (lambda model: continuations(model, "a", None), "`choices` must be a sequence of at least one.* got None"),
        (lambda model: continuations(model, [1], [3]), r"`choices` must be a text or symbols \[T\].* got shape \[\]"),
        (lambda model: perplexity("gpt.kjv", "a"), "`model` must be an AutoregressiveModel .* got str"),
        (lambda model: perplexity(model, [1, [2]]), "`text` must hold rows of one length"),
        (lambda model: continuations(model, "a", [[1]]), "must all be strings, or all be symbols"),
        (
            lambda model: continuations(model, "!" * 16, ["!", "!!"]),
            "have 18 tokens; the model takes at most 16. Shorten",
        ),
    ],
)
def test_what_is_refused(model, call, says):
    with pytest.raises(ValueError, match=says):
        call(model)


def test_characters_are_tokens_too():
    model = randomised("neural_lm.tiny", head=Categorical.from_text(TEXT))
    found = perplexity(model, TEXT, window=32)
    assert found["tokens"] == found["characters"] == len(TEXT)
    (each,) = continuations(model, "the ", ["cat"])
    x = model.head.encode("the cat")[None]
    np.testing.assert_allclose(each["log_prob"], float(np.sum(model.log_prob(x, reduce="site")[0, 4:])), rtol=1e-5)
