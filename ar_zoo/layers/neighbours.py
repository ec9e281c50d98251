"""The pixels around each pixel that are drawn before it, for heads that start from their colours."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.cache import State
from ar_zoo.core.config import Configurable


class Predictions:
    """Lets a head that `predicts` start from a site's neighbours; leaves the parameters of all others as they are.

    A model of pixels in raster order owns one, and hands it what its network says.
    """

    def __init__(self, head, dtype):
        self._head = head
        self._neighbours = PixelNeighbours(head.num_levels, head.outside, dtype=dtype) if head.predicts else None

    def __call__(self, params, x):
        """Parameters [B, H, W, params_size] of the image x."""
        return params if self._neighbours is None else self._head.around(params, self._neighbours(x))

    def reach(self, height: int, width: int, of_network) -> np.ndarray:
        """What reaches a site's parameters, if this is what reaches the network."""
        return of_network if self._neighbours is None else of_network | self._neighbours.reach(height, width)

    def cache_spec(self, width: int, channels: int) -> dict:
        return {} if self._neighbours is None else self._neighbours.cache_spec(width, channels)

    def begin_row(self, prev, state):
        """The state before a row, from the whole row `prev` before it: its pixels need not have gone through `step`."""
        if self._neighbours is None:
            return state
        row = ops.reshape(prev, (-1, *state["row"].shape[1:]))
        return {"above": state["above"], "row": ops.where(row >= 0, row, self._neighbours.outside)}

    def step(self, params, prev, state, index):
        """Parameters [B, 1, params_size] of pixel `index`, after the pixel `prev`; and the state."""
        if self._neighbours is None:
            return params, state
        colours, state = self._neighbours.step(prev, state, index)
        return self._head.around(params, ops.expand_dims(colours, 1)), state


@keras.saving.register_keras_serializable(package="ar_zoo")
class PixelNeighbours(Configurable, keras.layers.Layer):
    """Colours of six earlier pixels: left, above left, above, above right, and the mirrored places of this and of above.

    A pixel in the right half has a mirrored one in the left half of its row. In the left half, where that is yet to be
    drawn, the pixels to the left and above left take its place.

    Args:
        num_levels: levels of a channel.
        outside: the level of all that lies outside the image.

    Shapes:
        int [B, H, W, channels] → [B, H, W, 6, channels] in [-1, 1]; float32 also in lower precision, which would not
        tell the levels apart.
    """

    COUNT = 6

    def __init__(self, num_levels, outside=0, **kwargs):
        super().__init__(**kwargs)
        self.num_levels, self.outside = num_levels, outside

    def call(self, x):
        width = x.shape[2]
        padded = ops.pad(x, ((0, 0), (1, 0), (1, 1), (0, 0)), constant_values=self.outside)
        left, up_left, up, up_right = padded[:, 1:, :-2], padded[:, :-1, :-2], padded[:, :-1, 1:-1], padded[:, :-1, 2:]
        mirrored = (2 * np.arange(width) >= width)[None, None, :, None]
        mirror = ops.where(mirrored, ops.flip(x, axis=2), left)
        up_mirror = ops.where(mirrored, ops.flip(up, axis=2), up_left)
        return self._colours(ops.stack([left, up_left, up, up_right, mirror, up_mirror], axis=-2))

    def _colours(self, levels):
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        return ops.cast(levels, dtype) * (2.0 / (self.num_levels - 1)) - 1.0

    def reach(self, height: int, width: int) -> np.ndarray:
        """Boolean [H·W, H·W]: whether pixel j is among the neighbours of pixel i."""
        numbers = np.arange(height * width, dtype="int32").reshape(1, height, width, 1)
        outside = height * width
        around = PixelNeighbours(3, outside, dtype="float64")(numbers)  # of 3 levels: a colour is the number less 1
        around = np.asarray(around).reshape(height * width, self.COUNT).astype(int) + 1
        return (around[..., None] == np.arange(height * width)).any(axis=1)

    def cache_spec(self, width: int, channels: int) -> dict:
        """The symbols of the row above and of the row so far."""
        return {name: State((width, channels), "int32", fill=self.outside) for name in ("above", "row")}

    def step(self, prev, state, index):
        """Takes in the pixel before pixel `index` (scalar or [B]); returns (colours [B, 6, channels], state)."""
        width, channels = state["row"].shape[1:]
        last = ops.reshape(prev, (-1, 1, channels))
        last = ops.where(last >= 0, last, self.outside)
        column = ops.reshape(index % width, (-1, 1))
        place = ops.equal(ops.arange(width)[None], (column + (width - 1)) % width)
        row = ops.where(ops.expand_dims(place, 2), last, state["row"])
        begins = ops.expand_dims(ops.equal(column, 0), 2)
        above, row = ops.where(begins, row, state["above"]), ops.where(begins, self.outside, row)
        # One product with ones at the places wanted; levels are small whole numbers, which it keeps as they are.
        off = 2 * width
        up = column
        up_left = ops.where(column > 0, column - 1, off)
        left = ops.where(column > 0, column + (width - 1), off)
        up_right = ops.where(column < width - 1, column + 1, off)
        mirrored = 2 * column >= width
        mirror = ops.where(mirrored, off - 1 - column, left)
        up_mirror = ops.where(mirrored, width - 1 - column, up_left)
        places = ops.stack([left, up_left, up, up_right, mirror, up_mirror], axis=1)
        wanted = ops.cast(ops.equal(places, ops.arange(off + 1)[None, None]), "float32")
        table = ops.concatenate([above, row, ops.full_like(row[:, :1], self.outside)], axis=1)
        levels = ops.matmul(wanted, ops.cast(table, "float32"))
        return self._colours(levels), {"above": above, "row": row}
