import numpy as np
import pytest

from ar_zoo.data import alphabet_of, decode_text, encode_text


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


def test_alphabets_that_are_none_are_refused():
    with pytest.raises(ValueError, match="alphabet must hold at least one character"):
        encode_text("a", "")
    with pytest.raises(ValueError, match="'a' is in it twice"):
        decode_text([0], "aba")
