"""Symbols → vectors, with a vector of its own for the start."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.config import Configurable


def indicators(symbols, first, stop, dtype):
    """1 where a symbol is first, first + 1, … stop - 1, else 0: int [...] → [..., stop - first]. -1 is none of them.

    Example:
        >>> indicators(np.array([2, 0, -1]), 1, 3, "int32")
        array([[0, 1], [0, 0], [0, 0]])
    """
    # Compared from 1 on: LiteRT takes a comparison from 0 on, times a matrix, for a look-up, which has no row for -1.
    numbers = ops.expand_dims(symbols + (1 - first), -1)
    return ops.cast(ops.equal(numbers, ops.arange(1, stop - first + 1)), dtype)


@keras.saving.register_keras_serializable(package="ar_zoo")
class SymbolEmbedding(Configurable, keras.layers.Layer):
    """A learned vector for each symbol. -1, "nothing yet", has one too, unless a symbol of the alphabet starts events.

    Args:
        num_symbols: size of the alphabet.
        units: size of a vector.
        start_symbol: the symbol that stands for "nothing yet"; `None` for a vector of its own.

    Shapes:
        int [...] → [..., units].
    """

    def __init__(self, num_symbols, units, start_symbol=None, **kwargs):
        super().__init__(**kwargs)
        if start_symbol is not None and not 0 <= start_symbol < num_symbols:
            raise ValueError(f"`start_symbol` must be a symbol in 0..{num_symbols - 1}, or None; got {start_symbol}.")
        self.num_symbols, self.units, self.start_symbol = num_symbols, units, start_symbol
        # The vector of the start, if it has its own, is the last row.
        self._start = num_symbols if start_symbol is None else start_symbol

    def build(self, input_shape):
        rows = self.num_symbols + int(self.start_symbol is None)
        self.table = self.add_weight(
            name="table", shape=(rows, self.units), initializer=keras.initializers.RandomNormal(stddev=0.02)
        )

    def call(self, symbols):
        rows = ops.where(symbols < 0, self._start, symbols)
        return ops.take(ops.cast(self.table, self.compute_dtype), rows, axis=0)

    def logits(self, x):
        """x · tableᵀ: the table as the output layer too ("tied")."""
        logits = ops.matmul(x, ops.transpose(ops.cast(self.table, self.compute_dtype)))
        # What comes out is cut, not the table: LiteRT would cut a large one anew in each step.
        return logits if self.start_symbol is not None else logits[..., : self.num_symbols]
