"""From symbols of an image to features, at once or as they are drawn."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.cache import State
from ar_zoo.core.config import Configurable


@keras.saving.register_keras_serializable(package="ar_zoo")
class PixelFeatures(Configurable, keras.layers.Layer):
    """Each channel becomes its value in [-1, 1] and a 1 that tells it from padding; -1, not drawn yet, becomes 0, 0.

    Feature `c` and feature `channels + c` belong to channel c, which is the order `MaskedConv2D`'s groups expect.

    Args:
        num_symbols: levels of a channel.
        groups: how many sites a pixel is (its channels, in sub-pixel order), or 1.

    Shapes:
        int [..., channels] → [..., 2 · channels].
    """

    def __init__(self, num_symbols, groups=1, **kwargs):
        super().__init__(**kwargs)
        self.num_symbols, self.groups = num_symbols, groups

    def call(self, x):
        drawn = ops.cast(x >= 0, self.compute_dtype)
        value = ops.cast(x, self.compute_dtype) * (2.0 / (self.num_symbols - 1)) - 1.0
        return ops.concatenate([value * drawn, drawn], axis=-1)

    def window_spec(self, left: int, channels: int) -> State:
        """The symbols of the `left` pixels to the left and of the pixel itself."""
        return State((left + 1, channels), "int32", fill=-1)

    def step(self, prev, window, index, width):
        """Takes in the site before site `index`.

        Args:
            prev: int [B, 1, …], the last site.
            window: state of `window_spec`, all -1 at the start of a row.
            index: scalar or [B].
            width: pixels in a row.

        Returns:
            (features [B, left + 1, 2 · channels], window, fresh, column): `fresh` says whether site `index` is the
            first of its pixel, `column` where the pixel lies in its row.
        """
        channels = window.shape[2]
        if self.groups == 1:
            column, nothing = index % width, ops.full_like(window[:, :1], -1)
            first = ops.reshape(ops.equal(column, 0), (-1, 1))
            last = ops.where(first, -1, ops.reshape(prev, (-1, channels)))
            window = ops.concatenate([window[:, 1:-1], ops.expand_dims(last, 1), nothing], axis=1)
            return self(window), window, True, column
        channel, pixel = index % self.groups, index // self.groups
        column, fresh = pixel % width, ops.equal(channel, 0)
        arrived = ops.reshape(ops.logical_not(ops.logical_and(fresh, ops.equal(column, 0))), (-1, 1))
        which = ops.reshape((channel - 1) % self.groups, (-1, 1))
        arrived = ops.logical_and(arrived, ops.equal(ops.arange(channels)[None], which))
        arrived = ops.expand_dims(arrived, 1)
        last = ops.where(arrived, ops.reshape(prev, (prev.shape[0], 1, -1)), window[:, -1:])
        window = ops.concatenate([window[:, :-1], last], axis=1)
        moved = ops.concatenate([window[:, 1:], ops.full_like(window[:, :1], -1)], axis=1)
        window = ops.where(ops.reshape(fresh, (-1, 1, 1)), moved, window)
        return self(window), window, fresh, column

    def split_groups(self, y):
        """Outputs [..., size · groups], whose channels take the groups in turn → [..., groups, size]."""
        y = ops.reshape(y, (-1, *y.shape[1:-1], y.shape[-1] // self.groups, self.groups))
        return ops.swapaxes(y, -1, -2)

    def chosen(self, params, index):
        """Of a pixel's parameters [B, groups, size], those of site `index` (scalar or [B]): [B, 1, size]."""
        if self.groups == 1:
            return params
        group = ops.reshape(index % self.groups, (-1, 1, 1))
        here = ops.cast(ops.equal(ops.arange(self.groups)[None, :, None], group), params.dtype)
        return ops.sum(params * here, axis=1, keepdims=True)


@keras.saving.register_keras_serializable(package="ar_zoo")
class PixelPositions(Configurable, keras.layers.Layer):
    """Adds a learned vector for each row and one for each column: convolutions see neighbours, and not where they are.

    Shapes:
        [B, H, W, channels] → the same.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def build(self, input_shape):
        height, width, channels = input_shape[1:]
        initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.rows = self.add_weight(name="rows", shape=(height, channels), initializer=initializer)
        self.columns = self.add_weight(name="columns", shape=(width, channels), initializer=initializer)

    def call(self, x):
        return x + (ops.cast(self.rows, x.dtype)[:, None] + ops.cast(self.columns, x.dtype))

    def row(self, x, number):
        """The same for row `number` (a scalar) alone, [B, W, channels]."""
        return x + (ops.take(ops.cast(self.rows, x.dtype), number, axis=0) + ops.cast(self.columns, x.dtype))
