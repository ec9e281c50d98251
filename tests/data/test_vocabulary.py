import types

import numpy as np
import pytest

from ar_zoo.core.text import TextStream, prompt_symbols
from ar_zoo.data import alphabet_of, decode_text, encode_text
from ar_zoo.heads import Categorical


def test_alphabet_is_sorted_and_distinct():
    assert alphabet_of("banana\n") == "\nabn"


def test_alphabet_of_nothing_is_refused():
    with pytest.raises(ValueError, match="text must hold at least one character"):
        alphabet_of("")


@pytest.mark.parametrize("alphabet", ["abn", "nba", "ba\U0001d11enµ"])
def test_encode_gives_places_in_the_alphabet(alphabet):
    text = "banana"
    symbols = encode_text(text, alphabet)
    assert symbols.dtype == np.int32
    assert symbols.tolist() == [alphabet.index(letter) for letter in text]
    assert decode_text(symbols, alphabet) == text


def test_round_trip_beyond_the_basic_plane():
    text = "μ-law 𝄞 é\n\ud800"
    assert decode_text(encode_text(text, alphabet_of(text)), alphabet_of(text)) == text


def test_empty_text_has_no_symbols():
    assert encode_text("", "ab").shape == (0,)
    assert decode_text([], "ab") == ""


def test_unknown_characters_are_named_with_the_place_of_the_first():
    with pytest.raises(ValueError, match=r"2 character\(s\).*: '!', 'é'\. The first, 'é', is at position 4 \(line 2\)"):
        encode_text("ab\naé!é", "ab\n")


def test_many_unknown_characters_are_not_all_named():
    with pytest.raises(ValueError, match=r"26 character\(s\).*'j', …\. The first, 'z'"):
        encode_text("zyxwvutsrqponmlkjihgfedcba", "0")


@pytest.mark.parametrize("symbol", [-1, 3])
def test_symbols_out_of_range_are_refused(symbol):
    with pytest.raises(ValueError, match=rf"0 … 2, .* got {symbol} at position 1"):
        decode_text(np.array([0, symbol]), "abn")


def test_symbols_of_another_rank_or_dtype_are_refused():
    with pytest.raises(ValueError, match=r"one-dimensional; got shape \[1, 2\]"):
        decode_text([[0, 1]], "ab")
    with pytest.raises(ValueError, match="integers; got float64"):
        decode_text([0.0, 1.0], "ab")


@pytest.mark.parametrize("call", [alphabet_of, lambda text: encode_text(text, "ab")])
@pytest.mark.parametrize("text", [None, 3, b"ab", ["ab"]])
def test_what_is_no_text_is_refused(call, text):
    with pytest.raises(ValueError, match="`text` must be a string; got "):
        call(text)


@pytest.mark.parametrize(
    ("head", "symbols", "says"),
    [
        ("gpt.kjv", 0, "`head` must be one that reads text, .* got 'gpt.kjv'"),
        (Categorical(5), 0, "`head` must be one that reads text, .* got Categorical"),
        (Categorical(2, "ab"), [0.5], "symbols must be integers; got float64"),
        (Categorical(2, "ab"), None, "symbols must be integers; got object"),
        (Categorical(2, "ab"), [[0]], "symbols must be one-dimensional"),
    ],
)
def test_what_cannot_be_streamed(head, symbols, says):
    with pytest.raises(ValueError, match=says):
        TextStream(head).push(symbols)


def test_a_prompt_for_a_model_without_text():
    with pytest.raises(ValueError, match="`model` must have a head that reads text, such as Tokens; got Categorical"):
        prompt_symbols(types.SimpleNamespace(head=Categorical(5)), "a")


def test_alphabets_that_are_none_are_refused():
    with pytest.raises(ValueError, match="alphabet must hold at least one character"):
        encode_text("a", "")
    with pytest.raises(ValueError, match="'a' is in it twice"):
        decode_text([0], "aba")
