"""Characters as symbols: the alphabet of a text, and both ways between the text and int32 symbols."""

from __future__ import annotations

import numpy as np


def alphabet_of(text: str) -> str:
    """The distinct characters of a text, sorted by code point; a character's place is its symbol.

    Raises:
        ValueError: if the text is empty.

    Example: `alphabet_of("banana")` is "abn"
    """
    if not text:
        raise ValueError("text must hold at least one character; got none. Pass the training text.")
    return "".join(sorted(set(text)))


def encode_text(text: str, alphabet: str) -> np.ndarray:
    """The symbol of each character.

    Args:
        text: any length, 0 too.
        alphabet: distinct characters, as `alphabet_of` gives them.

    Returns:
        int32 [len(text)], in 0 … len(alphabet) - 1.

    Raises:
        ValueError: if the text has characters that are not in the alphabet; names them and the place of the first.

    Example: `encode_text("nab", "abn")` is [2, 0, 1]
    """
    letters, codes = _codes(_checked(alphabet)), _codes(text)
    size = int(max(letters.max(), codes.max(initial=0))) + 1
    table = np.full(size, -1, np.int32)
    table[letters] = np.arange(len(letters), dtype=np.int32)
    symbols = table[codes]
    unknown = np.flatnonzero(symbols < 0)
    if len(unknown):
        first = int(unknown[0])
        names = sorted({text[place] for place in unknown.tolist()})
        shown = ", ".join(map(repr, names[:10])) + (", …" if len(names) > 10 else "")
        line = text.count("\n", 0, first) + 1
        raise ValueError(
            f"text has {len(names)} character(s) that the alphabet of {len(alphabet)} does not: {shown}. The first, "
            f"{text[first]!r}, is at position {first} (line {line}). Remove or replace them, or train with an alphabet "
            "that has them."
        )
    return symbols


def decode_text(symbols: np.ndarray, alphabet: str) -> str:
    """The characters of symbols.

    Args:
        symbols: integers [length], in 0 … len(alphabet) - 1.
        alphabet: as for `encode_text`.

    Raises:
        ValueError: if the symbols are not one-dimensional integers, or one is out of range.

    Example: `decode_text([2, 0, 1], "abn")` is "nab"
    """
    letters = _codes(_checked(alphabet))
    symbols = np.asarray(symbols)
    if symbols.ndim != 1:
        raise ValueError(f"symbols must be one-dimensional; got shape {list(symbols.shape)}. Decode row by row.")
    if symbols.size == 0:
        return ""
    if symbols.dtype.kind not in "iu":
        raise ValueError(f"symbols must be integers; got {symbols.dtype}.")
    outside = np.flatnonzero((symbols < 0) | (symbols >= len(letters)))
    if len(outside):
        first = int(outside[0])
        raise ValueError(
            f"symbols must lie in 0 … {len(letters) - 1}, the places in the alphabet; got {int(symbols[first])} at "
            f"position {first}. Decode with the alphabet that the model was trained with."
        )
    return letters[symbols].tobytes().decode("utf-32-le", "surrogatepass")


def _codes(text: str) -> np.ndarray:
    """uint32 code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _checked(alphabet: str) -> str:
    if not alphabet:
        raise ValueError("alphabet must hold at least one character; got none. Make it with alphabet_of(text).")
    if len(set(alphabet)) < len(alphabet):
        twice = next(letter for place, letter in enumerate(alphabet) if letter in alphabet[:place])
        raise ValueError(f"alphabet must hold each character once; {twice!r} is in it twice. Use alphabet_of(text).")
    return alphabet
