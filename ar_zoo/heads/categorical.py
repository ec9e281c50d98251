"""One symbol of an alphabet: tokens, characters, or pixels in a number of levels."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.text import alphabet_of, decode_text, encode_text
from ar_zoo.heads.base import Head, draw_index, greedy_or, most_likely, positive


@keras.saving.register_keras_serializable(package="ar_zoo")
class Categorical(Head):
    """Softmax over `num_symbols` symbols.

    Args:
        num_symbols: size of the alphabet.
        alphabet: a string whose i-th character is symbol i; then `encode` takes text and `decode` gives it.
        source_levels: raw data are integers below this number, and are quantised evenly to `num_symbols` levels
            (256-level pixels to 16, say); `decode` gives the middle of each level.

    Example:
        >>> Categorical(3, alphabet="abc").encode("cab")
        array([2, 0, 1], dtype=int32)
    """

    def __init__(self, num_symbols: int, alphabet: str | None = None, source_levels: int | None = None):
        arguments.whole(2, num_symbols=num_symbols)
        if alphabet is not None and (len(alphabet) != num_symbols or len(set(alphabet)) != num_symbols):
            raise ValueError(
                f"`alphabet` must hold {num_symbols} distinct characters, as many as `num_symbols`; "
                f"got {len(alphabet)} characters, {len(set(alphabet))} of them distinct."
            )
        if source_levels is not None and source_levels % num_symbols:
            raise ValueError(
                f"`source_levels` must be a multiple of `num_symbols` ({num_symbols}); got {source_levels}."
            )
        self.num_symbols = self.params_size = num_symbols
        self.alphabet = alphabet
        self.source_levels = source_levels

    @classmethod
    def from_text(cls, text: str, num_tokens: int | None = None) -> Categorical:
        """The head for the characters that occur in a text; or for so many tokens, pieces of words that are learnt from it."""
        if num_tokens is not None:
            from ar_zoo.heads.tokens import Tokens

            return Tokens.train(text, num_tokens)
        if "alphabet" not in cls.argument_names():
            raise ValueError(f"`{cls.__name__}` has no alphabet, as text needs: take `Categorical.from_text`.")
        alphabet = alphabet_of(text)
        return cls(len(alphabet), alphabet=alphabet)

    @property
    def reads_text(self):
        return self.alphabet is not None

    def logits(self, params):
        return params

    def distribution(self, params, temperature=1.0):
        from tensorflow_probability import distributions as tfd

        return tfd.Categorical(logits=self.logits(params) / temperature)

    def coordinate_log_probs(self, params, known=None, coordinate=0):
        return ops.log_softmax(self.logits(params), axis=-1)

    def sample(self, params, noise, temperature=1.0):
        logits = self.logits(ops.cast(params, "float32"))
        drawn = draw_index(logits / positive(temperature), ops.squeeze(noise, -1))
        return greedy_or(temperature, most_likely(logits), drawn)

    def encode(self, values):
        if self.alphabet is not None:
            return encode_text(values, self.alphabet)
        if self.source_levels is None:
            return super().encode(values)
        source = self._integers(values, "values", self.source_levels)
        return source // (self.source_levels // self.num_symbols)

    def decode(self, symbols):
        if self.alphabet is not None:
            return decode_text(symbols, self.alphabet)
        symbols = super().decode(symbols)
        if self.source_levels is None:
            return symbols
        width = self.source_levels // self.num_symbols
        return symbols * width + width // 2
