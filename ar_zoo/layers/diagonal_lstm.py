"""Diagonal BiLSTM (van den Oord et al. 2016, arXiv:1601.06759, section 3.2): two recurrent layers that go from the upper
corners of an image to the lower ones.

    i, f, o = σ(S h_{r,c-1} + A h_{r-1,c} + K x_{r,c}),   n = tanh(S h_{r,c-1} + A h_{r-1,c} + K x_{r,c})
    c_{r,c} = f ⊙ c_{r,c-1} + i ⊙ n,   h_{r,c} = o ⊙ tanh(c_{r,c})

and the same, with weights of its own, from right to left. States outside of the image are zeros. Pixels on a diagonal do
not depend on each other: with each row moved one pixel to the right of the row above, a diagonal is a column, and one loop
over columns computes all, for both directions at once.

What comes from the right would show a pixel what is drawn after it, so it is taken from the row above:
y_{r,c} = h_{r,c} + h'_{r-1,c}, which sees all of the rows above, and of its own row what is to the left.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.cache import Link, State
from ar_zoo.core.config import Configurable
from ar_zoo.layers.masked_conv import MaskedConv2D
from ar_zoo.layers.recurrent import check_of_images, lstm, lstm_bias, orthogonal


@keras.saving.register_keras_serializable(package="ar_zoo")
class DiagonalLSTM(Configurable, keras.layers.Layer):
    """Two LSTMs over diagonals, for features of images that know what is drawn before each pixel.

    Args:
        units: channels out.
        groups: of a sub-pixel order, as in `MaskedConv2D`; `units` is a multiple of it.

    Shapes:
        [B, H, W, channels] → [B, H, W, units].

    Example:
        >>> DiagonalLSTM(8)(np.zeros((1, 5, 6, 3), "float32")).shape
        TensorShape([1, 5, 6, 8])
    """

    def __init__(self, units, groups=1, **kwargs):
        super().__init__(**kwargs)
        check_of_images(self, units, groups)
        self.units, self.groups = units, groups

    def build(self, input_shape):
        policy = {"dtype": self.dtype_policy}
        self._inputs = [
            MaskedConv2D(4 * self.units, 1, "B", self.groups, name=f"input_to_state_{side}", **policy)
            for side in ("left", "right")
        ]
        for conv in self._inputs:
            conv.build(input_shape)
            conv.bias.assign(lstm_bias(conv.bias.shape, conv.bias.dtype))
        self._cell = _Cell(self.units, name="state_to_state", **policy)
        self._cell.build(None)
        self._loop = keras.layers.RNN(self._cell, return_sequences=True, name="loop", **policy)
        self._loop.build(input_shape)

    def call(self, x):
        from_left, from_right = (conv(x) for conv in self._inputs)
        left, right = self._scan(from_left, from_right)
        return left + ops.pad(right, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]

    def _scan(self, from_left, from_right):
        """Both directions' outputs [B, H, W, units], from what their gates get from the pixels."""
        width = from_left.shape[2]
        both = [_skewed(from_left), _skewed(ops.flip(from_right, axis=2))]
        both = ops.transpose(ops.stack(both), (0, 3, 1, 2, 4))  # [2, diagonals, B, H, 4 · units]
        nothing = ops.zeros((2, ops.shape(both)[2], both.shape[3], self.units), self.compute_dtype)
        both = ops.transpose(self._loop(both, initial_state=[nothing, nothing]), (0, 2, 3, 1, 4))
        left, right = (ops.squeeze(side, 0) for side in ops.split(both, 2))
        return _straight(left, width), ops.flip(_straight(right, width), axis=2)

    # Cached: from left to right pixel by pixel; from right to left only rows that are complete.

    def cache_spec(self, width: int) -> dict:
        """For images of this width: what the row above gives to the gates and to the output, and the states to the left;
        with groups also the states of the pixel itself, whose channels are still being drawn."""
        left = State((1 + int(self.groups > 1), self.units), self.compute_dtype)
        return {
            "above": Link(width, (4 * self.units,), self.compute_dtype),
            "right": Link(width, (self.units,), self.compute_dtype),
            "hidden": left,
            "memory": left,
        }

    def step_row(self, row, cache, exists):
        """A whole row that is known.

        Args:
            row: [B, W, channels].
            cache: as it was when the row began.
            exists: 1, or 0 where `row` is none, but what comes before the first.

        Returns:
            (the layer's output [B, W, units], the cache for the next row).
        """
        flat = lambda conv: conv.step_window(ops.reshape(row, (-1, 1, row.shape[-1])))  # noqa: E731
        from_left, from_right = (ops.reshape(flat(conv), (-1, row.shape[1], 4 * self.units)) for conv in self._inputs)
        above = cache["right"]["block"]
        sides = (from_left + cache["above"]["block"], from_right + self._cell.from_above(above, 1))
        left, right = (ops.squeeze(side, 1) for side in self._scan(*(ops.expand_dims(side, 1) for side in sides)))
        spec = self.cache_spec(row.shape[1])
        new = {
            "above": spec["above"].write(self._cell.from_above(left * exists, 0)),
            "right": spec["right"].write(right * exists),
            "hidden": ops.zeros_like(cache["hidden"]),
            "memory": ops.zeros_like(cache["memory"]),
        }
        return left + above, new

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
        above, right = (spec[name].read(cache[name], column) for name in ("above", "right"))
        left = [self._left_of(cache[name], fresh) for name in ("hidden", "memory")]
        gates = self._inputs[0].step_window(ops.expand_dims(x, 1), above)
        states = lstm(gates, self._cell.from_left(left[0]), *left)
        new = dict(cache)
        for name, before, now in zip(("hidden", "memory"), left, states, strict=True):
            new[name] = ops.stack([before, now], axis=1) if self.groups > 1 else ops.expand_dims(now, 1)
        return states[0] + right, new

    def _left_of(self, states, fresh):
        """The state to the left: on the first visit to a pixel what was the pixel itself until now."""
        if self.groups == 1:
            return ops.squeeze(states, 1)
        left, itself = (ops.squeeze(state, 1) for state in ops.split(states, 2, axis=1))
        return ops.where(ops.reshape(ops.cast(fresh, "bool"), (-1, 1)), itself, left)

    def reach(self, height: int, width: int) -> np.ndarray:
        """Boolean [H·W·groups, H·W·groups]: whether input group-pixel j reaches output group-pixel i."""
        groups = self.groups
        row, column, group = np.unravel_index(np.arange(height * width * groups), (height, width, groups))
        same_row, before = row[:, None] == row, column < column[:, None]
        itself = (column[:, None] == column) & (group <= group[:, None])
        return (row < row[:, None]) | (same_row & (before | itself))


class _Cell(keras.layers.Layer):
    """One diagonal: what the gates get from its pixels [2, B, H, 4 · units], and the states → the output and the new states.

    The kernel holds, for either direction, the matrix of the state beside a pixel and that of the state above it.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.output_size = [units, units], units

    def build(self, input_shape):
        shape = (2, 2 * self.output_size, 4 * self.output_size)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=orthogonal)

    def from_left(self, hidden):
        """What the gates of a pixel get from the state to its left [B, units]."""
        return ops.matmul(hidden, ops.cast(self.kernel, self.compute_dtype)[0, : self.output_size])

    def from_above(self, hidden, side):
        """What the gates of a row get from the row above [B, W, units]; side 0 is from the left, 1 from the right."""
        return ops.matmul(hidden, ops.cast(self.kernel, self.compute_dtype)[side, self.output_size :])

    def call(self, from_input, states):
        hidden, kernel = states[0], ops.cast(self.kernel, self.compute_dtype)
        height = hidden.shape[2]
        if height == 1:  # one row has none above
            kernel = kernel[:, : self.output_size]
        else:
            above = ops.pad(hidden, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
            hidden = ops.concatenate([hidden, above], axis=-1)
        from_state = ops.matmul(ops.reshape(hidden, (2, -1, kernel.shape[1])), kernel)
        states = lstm(from_input, ops.reshape(from_state, (2, -1, height, kernel.shape[2])), *states)
        return states[0], list(states)


def _skewed(x):
    """Each row one pixel to the right of the row above: [B, H, W, channels] → [B, H, W + H - 1, channels].

    Elsewhere gates get zeros, without a bias: states of zeros outside of the image stay zeros.
    """
    height, width, channels = x.shape[1:]
    longer = ops.pad(x, ((0, 0), (0, 0), (0, height), (0, 0)))
    flat = ops.reshape(longer, (-1, height * (width + height), channels))[:, :-height]
    return ops.reshape(flat, (-1, height, width + height - 1, channels))


def _straight(x, width):
    """Undoes `_skewed`."""
    height, length, channels = x.shape[1:]
    flat = ops.pad(ops.reshape(x, (-1, height * length, channels)), ((0, 0), (0, height), (0, 0)))
    return ops.reshape(flat, (-1, height, length + 1, channels))[:, :, :width]
