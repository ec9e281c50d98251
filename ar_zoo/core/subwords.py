"""Subword tokenizers, as the text of a `tokenizer.json`: what symbols there are, and both ways between text and symbols.

What only counts symbols reads the JSON. Text goes through the package `tokenizers`, which is imported where it is needed.
"""

from __future__ import annotations

import functools
import hashlib
import json

import numpy as np

from ar_zoo.core.text import check_symbols, checked_text

_MOST = 2**24  # symbols: the largest vocabularies have a sixteenth of it


def size_of(tokenizer: str) -> int:
    """One more than the highest symbol. Example: `size_of(Path("tokenizer.json").read_text())` is 49152 of SmolLM2's"""
    return max(_vocabulary(tokenizer)[0].values()) + 1


def symbol_of(tokenizer: str, token: str) -> int | None:
    """The symbol of a token, special ones included; `None` if there is none. Example: `symbol_of(tokenizer, "<s>")`"""
    return _vocabulary(tokenizer)[0].get(token)


def byte_symbols(tokenizer: str) -> frozenset[int]:
    """The symbols of single bytes, where they stand in for characters that have none: a run of them is one piece of text.

    In byte-level vocabularies every symbol is bytes, and there is no such run.
    """
    return _vocabulary(tokenizer)[1]


def encode_subwords(text: str, tokenizer: str) -> np.ndarray:
    """The symbols of a text. Special tokens that are written out in it are found, and none is added.

    Returns:
        int32 [length].

    Raises:
        ValueError: what is given is no text, or a half of a surrogate pair, which no encoding of text has.
        ImportError: `tokenizers` is not installed.

    Example: `decode_subwords(encode_subwords("Naïve 😀", tokenizer), tokenizer)` is "Naïve 😀"
    """
    size_in_bytes(text)
    (found,) = _loaded(tokenizer).encode_batch_fast([text], add_special_tokens=False)
    return np.array(found.ids, np.int32)


def size_in_bytes(text: str) -> int:
    """How many bytes a text has in UTF-8; errors as of `encode_subwords`."""
    try:
        return len(checked_text(text).encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text has half of a surrogate pair, {text[error.start]!r}, at position {error.start}."
        ) from None


def decode_subwords(symbols, tokenizer: str) -> str:
    """The text of symbols, special tokens written out. Bytes that make no character become "\\ufffd".

    Args:
        symbols: integers [length].

    Raises:
        ValueError: they are not one-dimensional integers, or one has no token.
    """
    symbols, known = check_symbols(symbols), _known(tokenizer)
    unknown = np.flatnonzero((symbols < 0) | (symbols >= len(known)) | ~known[np.clip(symbols, 0, len(known) - 1)])
    if len(unknown):
        first = int(unknown[0])
        raise ValueError(
            f"symbols must be of the tokenizer's vocabulary of {int(known.sum()):,}, up to {len(known) - 1}; got "
            f"{int(symbols[first])} at position {first}. A model with more symbols than tokens may draw such: suppress them."
        )
    return _loaded(tokenizer).decode(symbols.tolist(), skip_special_tokens=False)


def fingerprint(tokenizer: str) -> str:
    """What tells tokenizers apart in a line: the beginning of their SHA-256."""
    return hashlib.sha256(tokenizer.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def import_tokenizers():
    """The package, or an error that says how to get it."""
    try:
        import tokenizers
    except ImportError:
        raise ImportError("Subword tokenizers need the package tokenizers: `pip install 'ar_zoo[text]'`.") from None
    return tokenizers


# A vocabulary takes tens of milliseconds to read, and is asked for at every turn.
@functools.lru_cache(maxsize=4)
def _loaded(tokenizer: str):
    found = import_tokenizers()
    try:
        made = found.Tokenizer.from_str(tokenizer)
    except Exception as error:  # the package raises nothing finer
        raise ValueError(f"`tokenizer` cannot be read by the package tokenizers: {error}.") from None
    made.no_truncation()
    made.no_padding()
    return made


@functools.lru_cache(maxsize=4)
def _vocabulary(tokenizer: str) -> tuple[dict[str, int], frozenset[int]]:
    """Token → symbol, and the symbols of single bytes."""
    try:
        described = json.loads(tokenizer)
        model = described["model"]
        listed = model["vocab"]
        if isinstance(listed, list):  # of unigrams: [token, score]
            listed = {token: symbol for symbol, (token, _) in enumerate(listed)}
        symbols = {str(token): int(symbol) for token, symbol in listed.items()}
        symbols |= {str(token["content"]): int(token["id"]) for token in described.get("added_tokens") or ()}
        if not symbols or not 0 <= min(symbols.values()) <= max(symbols.values()) < _MOST:
            raise ValueError(f"it has no tokens, or symbols that do not lie in 0..{_MOST - 1:,}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`tokenizer` must be the text of a tokenizer.json, with a 'model' and its 'vocab'; got what is none "
            f"({type(error).__name__}: {error}). From a file: `Tokens.from_file(path)`."
        ) from None
    fallback = {f"<0x{byte:02X}>" for byte in range(256)} if model.get("byte_fallback") else ()
    return symbols, frozenset(symbols[token] for token in fallback if token in symbols)


@functools.lru_cache(maxsize=4)
def _known(tokenizer: str) -> np.ndarray:
    """bool: which symbols have a token."""
    symbols = np.fromiter(_vocabulary(tokenizer)[0].values(), np.int64)
    known = np.zeros(symbols.max() + 1, bool)
    known[symbols] = True
    return known
