"""Row LSTM (van den Oord et al. 2016, arXiv:1601.06759, section 3.1): a recurrent layer that goes down an image.

    i, f, o = σ(K_s ∗ h_{r-1} + K_i ∗ x_r),   n = tanh(K_s ∗ h_{r-1} + K_i ∗ x_r)         rows, all pixels of one at once
    c_r = f ⊙ c_{r-1} + i ⊙ n,   h_r = o ⊙ tanh(c_r)

with convolutions along the row: K_s sees the row above to both sides, K_i is masked and sees pixels to the left and, of
the pixel itself, what is drawn. A pixel so sees a triangle above it.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.cache import Link
from ar_zoo.core.config import Configurable
from ar_zoo.layers.masked_conv import MaskedConv2D
from ar_zoo.layers.recurrent import check_of_images, lstm, lstm_bias, orthogonal


@keras.saving.register_keras_serializable(package="ar_zoo")
class RowLSTM(Configurable, keras.layers.Layer):
    """An LSTM over rows, for features of images that know what is drawn before each pixel.

    Args:
        units: channels out.
        kernel_size: pixels along the row that a kernel spans, odd.
        groups: of a sub-pixel order, as in `MaskedConv2D`; `units` is a multiple of it.

    Shapes:
        [B, H, W, channels] → [B, H, W, units].

    Example:
        >>> RowLSTM(8)(np.zeros((1, 5, 6, 3), "float32")).shape
        TensorShape([1, 5, 6, 8])
    """

    def __init__(self, units, kernel_size=3, groups=1, **kwargs):
        super().__init__(**kwargs)
        check_of_images(self, units, groups)
        self.units, self.kernel_size, self.groups = units, kernel_size, groups

    def build(self, input_shape):
        policy = {"dtype": self.dtype_policy}
        self._input = MaskedConv2D(
            4 * self.units, (1, self.kernel_size), "B", self.groups, name="input_to_state", **policy
        )
        self._input.build(input_shape)
        self._input.bias.assign(lstm_bias(self._input.bias.shape, self._input.bias.dtype))
        self._cell = _Cell(self.units, self.kernel_size, name="state_to_state", **policy)
        self._cell.build(None)
        self._loop = keras.layers.RNN(self._cell, return_sequences=True, name="loop", **policy)
        self._loop.build(input_shape)

    def call(self, x):
        nothing = ops.zeros((ops.shape(x)[0], x.shape[2], self.units), self.compute_dtype)
        return self._loop(self._input(x), initial_state=[nothing, nothing])

    # Cached: the states of a complete row say all that its pixels add to the next row.

    def cache_spec(self, width: int) -> dict:
        """For images of this width: what the row above gives to the gates and to the memory, and the pixels to the left."""
        memory = Link(width, (self.units,), self.compute_dtype)
        return {"above": self._input.link_spec(width), "memory": memory, "left": self._input.left_spec()}

    def step_row(self, row, cache, exists):
        """A whole row that is known.

        Args:
            row: [B, W, channels].
            cache: as it was when the row began.
            exists: 1, or 0 where `row` is none, but what comes before the first.

        Returns:
            (the layer's output [B, W, units], the cache for the next row).
        """
        gates = self._input.along_row(row, cache["above"]["block"])
        memory = cache["memory"]["block"]
        hidden, memory = lstm(gates, 0.0, None, memory)
        spec = self.cache_spec(row.shape[1])
        new = {
            "above": spec["above"].write(self._cell.from_state(hidden * exists)),
            "memory": spec["memory"].write(memory * exists),
            "left": ops.zeros_like(cache["left"]),
        }
        return hidden, new

    def step(self, x, cache, column, fresh, width: int):
        """One pixel.

        Args:
            x: [B, channels].
            cache: as `cache_spec` describes it.
            column: of the pixel, scalar or [B].
            fresh: with groups, whether this is the first visit to the pixel (a boolean scalar or [B]).
            width: pixels in a row.

        Returns:
            (output [B, units], the new cache).
        """
        spec = self.cache_spec(width)
        above, memory = (spec[name].read(cache[name], column) for name in ("above", "memory"))
        gates, left = self._input.step(x, cache["left"], above, fresh)
        return lstm(gates, 0.0, None, memory)[0], cache | {"left": left}

    def reach(self, height: int, width: int) -> np.ndarray:
        """Boolean [H·W·groups, H·W·groups]: whether input group-pixel j reaches output group-pixel i."""
        size = width * self.groups
        columns = np.arange(size) // self.groups
        above = np.abs(columns[:, None] - columns) <= self.kernel_size // 2
        rows = self._input.reach(height, width).reshape(height, size, -1)
        for row in range(1, height):
            rows[row] |= above @ rows[row - 1]
        return rows.reshape(height * size, -1)


class _Cell(keras.layers.Layer):
    """One row: what the gates get from its pixels [B, W, 4 · units], and the states → the output and the new states."""

    def __init__(self, units, kernel_size, **kwargs):
        super().__init__(**kwargs)
        self._reach, self._taps = kernel_size // 2, kernel_size
        self.state_size, self.output_size = [units, units], units

    def build(self, input_shape):
        shape = (self._taps * self.output_size, 4 * self.output_size)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=orthogonal)

    def from_state(self, hidden):
        """What the gates of the row below get from a row's output [B, W, units]."""
        width = hidden.shape[1]
        padded = ops.pad(hidden, ((0, 0), (self._reach, self._reach), (0, 0)))
        windows = ops.concatenate([padded[:, at : at + width] for at in range(self._taps)], axis=-1)
        return ops.matmul(windows, ops.cast(self.kernel, self.compute_dtype))

    def call(self, from_input, states):
        states = lstm(from_input, self.from_state(states[0]), *states)
        return states[0], list(states)
