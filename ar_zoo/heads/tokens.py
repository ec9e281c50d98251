"""Text by a subword tokenizer: one symbol is a piece of a word, as language models take it."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np

from ar_zoo.core import arguments
from ar_zoo.core.subwords import (
    byte_symbols,
    decode_subwords,
    encode_subwords,
    fingerprint,
    import_tokenizers,
    size_in_bytes,
    size_of,
)
from ar_zoo.heads.categorical import Categorical


@keras.saving.register_keras_serializable(package="ar_zoo")
class Tokens(Categorical):
    """Softmax over the tokens of a tokenizer, which travels in the configuration.

    `encode` takes text and adds no special tokens; `decode` gives text, in which special tokens are written out. Both need
    the package `tokenizers` (`pip install 'ar_zoo[text]'`); the rest does not.

    Args:
        tokenizer: the text of a `tokenizer.json`.
        num_symbols: the model's symbols, where it has more than the tokenizer has tokens (embeddings are padded to round
            sizes).
        chat_template: a Jinja template that makes a prompt of messages (`ar_zoo.core.chat.apply_chat`).
        stop_symbols: what ends a text.
        special_tokens: what a template calls its tokens: `{"bos_token": "<s>", "eos_token": "</s>"}`.

    Example:
        >>> head = Tokens.train("the cat and the hat", 260)
        >>> head.decode(head.encode("that cat"))
        'that cat'
    """

    reads_text = True

    def __init__(
        self,
        tokenizer: str,
        num_symbols: int | None = None,
        chat_template: str | None = None,
        stop_symbols=(),
        special_tokens: dict | None = None,
    ):
        if not isinstance(tokenizer, str):
            raise ValueError(
                f"`tokenizer` must be the text of a tokenizer.json; got {type(tokenizer).__name__}. From a file: "
                "`Tokens.from_file(path)`."
            )
        size = size_of(tokenizer)
        arguments.whole_or_none(num_symbols=num_symbols)
        if num_symbols is not None and num_symbols < size:
            raise ValueError(
                f"`num_symbols` must be at least {size:,}, the tokenizer's vocabulary; got {num_symbols:,}. The tokenizer "
                "does not belong to this model."
            )
        super().__init__(num_symbols or size)
        if not isinstance(special_tokens, (dict, type(None))):
            raise ValueError(
                f"`special_tokens` must be a dict such as {{'bos_token': '<s>'}}, or None; got {special_tokens!r}."
            )
        for name, value in (("chat_template", chat_template), *(special_tokens or {}).items()):
            if value is not None and not isinstance(value, str):
                raise ValueError(f"`{name}` must be a string or None; got {value!r}.")
        self.tokenizer, self.chat_template = tokenizer, chat_template
        stops = np.atleast_1d(arguments.array(stop_symbols, "stop_symbols"))
        self.stop_symbols = tuple(self._integers(stops, "stop_symbols").tolist()) if stops.size else ()
        self.special_tokens = dict(special_tokens) if special_tokens else None

    @classmethod
    def from_file(cls, path, num_symbols: int | None = None, **more) -> Tokens:
        """The head of a `tokenizer.json`. Example: `Tokens.from_file("SmolLM2/tokenizer.json")`"""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"`path` must be that of a tokenizer.json; {path} cannot be read: {error}.") from None
        try:
            return cls(text, num_symbols, **more)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def train(cls, text: str, num_symbols: int, special=()) -> Tokens:
        """Byte-level byte-pair encoding, learnt from a text: every text has symbols, and comes back as it was.

        Args:
            text: what is typical of all that is to be written.
            num_symbols: 256 bytes, the special tokens, and pieces of words.
            special: tokens of their own, which text has only where they are written out; the first symbols.

        Raises:
            ValueError: too few symbols, or more than the text has pieces that occur twice.

        Example: `Tokens.train(Path("kjv.txt").read_text(), 2048, special=["<|end|>"])`
        """
        size = size_in_bytes(text)
        special = tuple(special) if isinstance(special, (list, tuple)) else (special,)
        if not all(isinstance(token, str) and token for token in special) or len(set(special)) < len(special):
            raise ValueError(f"`special` must be texts of one character or more, each once; got {special!r}.")
        arguments.whole(256 + len(special), num_symbols=num_symbols)
        found = import_tokenizers()
        made = found.Tokenizer(found.models.BPE())
        made.pre_tokenizer = found.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = found.decoders.ByteLevel()
        trainer = found.trainers.BpeTrainer(
            # Memory is taken for so many before any is found: no more than there can be.
            vocab_size=min(num_symbols, 256 + len(special) + size),
            min_frequency=2,
            special_tokens=list(special),
            initial_alphabet=list(byte_characters()),
            show_progress=False,
        )
        made.train_from_iterator([text], trainer)
        if made.get_vocab_size() != num_symbols:
            raise ValueError(
                f"`num_symbols` must be at most {made.get_vocab_size()} for this text, which has no more pieces that occur "
                f"twice; got {num_symbols}. Give more text."
            )
        return cls(made.to_str())

    @classmethod
    def from_text(cls, text: str, num_tokens: int) -> Tokens:
        """As `train`, under the name that all heads for text have it by."""
        return cls.train(text, num_tokens)

    @classmethod
    def bytes(cls) -> Tokens:
        """The 256 bytes of UTF-8 as symbols: any text, and nothing to learn. Example: `Tokens.bytes().encode("é")`"""
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
        model = {"type": "BPE", "vocab": vocabulary, "merges": []}
        return cls(json.dumps({"version": "1.0", "pre_tokenizer": level, "decoder": level, "model": model}))

    @property
    def byte_symbols(self) -> frozenset[int]:
        """Symbols of single bytes that stand in for characters without one: see `ar_zoo.core.text.TextStream`."""
        return byte_symbols(self.tokenizer)

    def encode(self, values):
        return encode_subwords(values, self.tokenizer)

    def decode(self, symbols):
        return decode_subwords(symbols, self.tokenizer)

    def __repr__(self):
        """Short: a tokenizer has megabytes."""
        given = {"chat_template": self.chat_template and "…", "stop_symbols": self.stop_symbols or None}
        more = "".join(f", {name}={value}" for name, value in given.items() if value)
        return f"Tokens(<tokenizer {fingerprint(self.tokenizer)}>, num_symbols={self.num_symbols}{more})"


def byte_characters() -> str:
    """The character that stands for each byte in byte-level vocabularies (GPT-2's): printable ones for themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in printable)
    stands_for = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return "".join(stands_for[byte] for byte in range(256))
