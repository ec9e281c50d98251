"""Characters as symbols: the alphabet of a text, and both ways between the text and int32 symbols; text that streams."""

from __future__ import annotations

import math

import numpy as np

from ar_zoo.core.arguments import array


def alphabet_of(text: str) -> str:
    """The distinct characters of a text, sorted by code point; a character's place is its symbol.

    Raises:
        ValueError: if the text is empty.

    Example: `alphabet_of("banana")` is "abn"
    """
    if not checked_text(text):
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
    letters, codes = _codes(_checked(alphabet)), _codes(checked_text(text))
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
    letters, symbols = _codes(_checked(alphabet)), check_symbols(symbols)
    outside = np.flatnonzero((symbols < 0) | (symbols >= len(letters)))
    if len(outside):
        first = int(outside[0])
        raise ValueError(
            f"symbols must lie in 0 … {len(letters) - 1}, the places in the alphabet; got {int(symbols[first])} at "
            f"position {first}. Decode with the alphabet that the model was trained with."
        )
    return letters[symbols].tobytes().decode("utf-32-le", "surrogatepass")


def checked_text(text: str) -> str:
    """A text as it is; an error if it is none."""
    if not isinstance(text, str):
        raise ValueError(f"`text` must be a string; got {type(text).__name__}.")
    return text


def check_symbols(symbols) -> np.ndarray:
    """Symbols of one text as an array; an error if they are not one-dimensional integers."""
    symbols = array(symbols, "symbols")
    if symbols.ndim != 1:
        raise ValueError(f"symbols must be one-dimensional; got shape {list(symbols.shape)}. Decode row by row.")
    if symbols.size == 0:
        return symbols.astype(np.int32)
    if symbols.dtype.kind not in "iu":
        raise ValueError(f"symbols must be integers; got {symbols.dtype}.")
    return symbols


def prompt_symbols(model, prompt: str) -> np.ndarray:
    """The symbols of a prompt for a model that is fed a start symbol: where the prompt spells it out, as the chat templates of
    some models do, it is not fed twice.

    Returns:
        int32 [length].

    Example: `model.sample(1, prefix=prompt_symbols(model, apply_chat(model.head, messages)), num_sites=200)`
    """
    if not model.head.reads_text:
        raise ValueError(f"`model` must have a head that reads text, such as Tokens; got {model.head!r}.")
    symbols, start = model.head.encode(prompt), getattr(model, "start_symbol", None)
    return symbols[1:] if start is not None and start in symbols[:1] else symbols


def per_text(nats: float, text: str) -> dict:
    """The size of a text, and what its code length is by it: figures that do not depend on how a model cuts text up.

    Args:
        nats: −log p of the text.

    Returns:
        `characters`, `bytes` (of UTF-8), `bits_per_character` and `bits_per_byte`.
    """
    characters, size = len(text), len(text.encode("utf-8", "surrogatepass"))
    bits = nats / math.log(2)
    return {
        "characters": characters,
        "bytes": size,
        "bits_per_character": bits / characters,
        "bits_per_byte": bits / size,
    }


class TextStream:
    """Text as its symbols come. Each piece is certain: what comes later changes none of it, and all the pieces are `decode`
    of all the symbols.

    A symbol can end within a character; its bytes are held back until the character is whole. So is a run of symbols that
    are single bytes: one that is damaged is decoded differently from its beginning.

    Args:
        head: what has `decode`: a head that reads text, or a `Runtime`.

    Example:
        >>> stream = TextStream(head)
        >>> for symbol in symbols:
        ...     print(stream.push(symbol), end="", flush=True)
        >>> print(stream.flush())
    """

    # A character has at most four bytes, and a symbol at least one: what begins this far back is not waiting any more.
    _BACK = 4

    def __init__(self, head):
        if not callable(getattr(head, "decode", None)) or not getattr(head, "reads_text", True):
            raise ValueError(
                f"`head` must be one that reads text, such as `model.head`, or a Runtime; got {head!r:.100}."
            )
        self._head, self._bytes = head, getattr(head, "byte_symbols", frozenset())
        self._window, self._sent = np.zeros(0, np.int32), 0

    def push(self, symbols) -> str:
        """The text that becomes certain with one symbol more, or several."""
        more = check_symbols(np.atleast_1d(array(symbols, "symbols")))
        window = np.concatenate([self._window, more]).astype(np.int32)
        text = self._head.decode(window)
        certain, run = self._certain(window, text)
        piece = text[self._sent : certain]
        if not run and len(window) > self._BACK:
            # Only the end is decoded anew at the next symbol. Its first symbol may be part of a character: text is counted
            # from its end.
            window = window[-self._BACK :]
            certain = len(self._head.decode(window)) - (len(text) - certain)
        self._window, self._sent = window, certain
        return piece

    def flush(self) -> str:
        """What was held back; the next symbol begins a new text."""
        piece = self._head.decode(self._window)[self._sent :] if len(self._window) else ""
        self._window, self._sent = np.zeros(0, np.int32), 0
        return piece

    def _certain(self, window, text) -> tuple[int, int]:
        """How many characters of `text` are certain, and how many symbols at the end are a run of bytes."""
        run = 0
        while run < len(window) and int(window[-1 - run]) in self._bytes:
            run += 1
        if run:
            before = window[: len(window) - run]
            return len(self._head.decode(before)) if len(before) else 0, run
        return len(text) - text.endswith("\ufffd"), 0


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
