"""Masked convolution over images (PixelRNN, van den Oord et al. 2016, arXiv:1601.06759; Gated PixelCNN,
arXiv:1606.05328)."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.cache import DelayLine, Link, State
from ar_zoo.core.config import Configurable

_TYPES = ("A", "B", "above", "above_and_row")


@keras.saving.register_keras_serializable(package="ar_zoo")
class MaskedConv2D(Configurable, keras.layers.Layer):
    """Convolution that sees only pixels drawn before, in raster order; zero padding, same size out but for the stride.

    The kernel is masked where it is used, so the layer is causal from its first call on. Taps that no mask type could
    use (the rows below, and of a one-row kernel the columns to the right) are not stored at all.

    Args:
        filters: channels out.
        kernel_size: odd integer, or (rows, columns) of odd integers.
        mask_type: `"A"` sees the rows above and the pixels to the left; `"B"` also the pixel itself;
            `"above"` the rows above only, at full width; `"above_and_row"` those and the whole row itself (the
            vertical stack of the gated PixelCNN, whose input is already made of rows above).
        groups: number of channel groups of a sub-pixel order. Channel `c` belongs to group `c % groups`; within the
            pixel itself, type A lets group g see groups before g, type B also g.
        dilation: distance between neighbouring taps.
        use_bias: whether a bias is added.
        initial_scale: of the outputs at first, against that of the inputs; small where a residual ends.
        stride: 1, or how many rows and columns lie between outputs; output (i, j) stands at pixel (stride·i, stride·j).

    Shapes:
        [B, H, W, channels] → [B, H / stride, W / stride, filters].

    Example:
        >>> MaskedConv2D(8, 3, "A")(np.zeros((1, 5, 5, 1), "float32")).shape
        TensorShape([1, 5, 5, 8])
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        mask_type="B",
        groups=1,
        dilation=1,
        use_bias=True,
        initial_scale=1.0,
        stride=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(size) != 2 or any(s < 1 or s % 2 == 0 for s in size):
            raise ValueError(f"`kernel_size` must be one or two odd numbers; got {kernel_size}.")
        if mask_type not in _TYPES:
            raise ValueError(f"`mask_type` must be one of {_TYPES}; got {mask_type!r}.")
        if mask_type == "above" and size[0] == 1:
            raise ValueError("`kernel_size` must have at least 3 rows with `mask_type='above'`: one row sees nothing.")
        if filters < 1 or groups < 1 or filters % groups:
            raise ValueError(f"`filters` must be a multiple of `groups`; got {filters} and {groups}.")
        if dilation < 1:
            raise ValueError(f"`dilation` must be at least 1; got {dilation}.")
        if stride < 1 or (stride > 1 and dilation > 1):
            raise ValueError(f"`stride` must be at least 1, and 1 with a dilation; got {stride} and {dilation}.")
        self.filters, self.kernel_size, self.mask_type = filters, size, mask_type
        self.groups, self.dilation, self.use_bias, self.initial_scale = groups, dilation, use_bias, initial_scale
        self.stride = stride
        self._above = size[0] // 2
        self._left = size[1] // 2
        self._rows = self._above if mask_type == "above" else self._above + 1
        one_row = size[0] == 1 and mask_type in ("A", "B")
        self._columns = self._left + 1 if one_row else size[1]

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels % self.groups:
            raise ValueError(f"The input has {channels} channels, which `groups` = {self.groups} does not divide.")
        shape = (self._rows, self._columns, channels, self.filters)
        self._mask = self._make_mask(shape)
        fan_in = self._mask.sum() / self.filters
        self.kernel = self.add_weight(
            name="kernel",
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=self.initial_scale * float(max(fan_in, 1.0) ** -0.5)),
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        self._channels = channels

    def _make_mask(self, shape):
        mask = np.ones(shape, "float32")
        if self.mask_type in ("A", "B"):
            mask[-1, self._left + 1 :] = 0
            group_in = np.arange(shape[2])[:, None] % self.groups
            group_out = np.arange(shape[3])[None, :] % self.groups
            mask[-1, self._left] = group_in < group_out if self.mask_type == "A" else group_in <= group_out
        return mask

    def _masked_kernel(self):
        return ops.cast(self.kernel, self.compute_dtype) * ops.cast(self._mask, self.compute_dtype)

    def _with_bias(self, x):
        return x + ops.cast(self.bias, x.dtype) if self.use_bias else x

    def _convolve(self, x, kernel):
        """Valid along rows, zero-padded along columns."""
        left = self._left * self.dilation
        right = (kernel.shape[1] - 1) * self.dilation - left
        x = ops.pad(x, ((0, 0), (0, 0), (left, right), (0, 0)))
        return ops.conv(x, kernel, self.stride, padding="valid", dilation_rate=self.dilation)

    def call(self, x):
        above = self._above * self.dilation
        below = self.dilation if self.mask_type == "above" else 0
        x = ops.pad(x, ((0, 0), (above, 0), (0, 0), (0, 0)))
        if below:
            x = x[:, :-below]
        return self._with_bias(self._convolve(x, self._masked_kernel()))

    # Cached: once a row, then once a pixel.

    def rows_spec(self, width: int) -> State:
        """The rows above the current one, oldest first."""
        return State((self._above * self.dilation, width, self._channels), self.compute_dtype)

    def link_spec(self, width: int) -> Link:
        """What the rows above contribute to each output of the current row, whose input has `width` pixels."""
        return Link(-(-width // self.stride), (self.filters,), self.compute_dtype)

    def left_spec(self) -> State:
        """The pixels to the left; with groups also the pixel itself, whose channels are still being drawn."""
        return State((self._left * self.dilation + int(self.groups > 1), self._channels), self.compute_dtype)

    def step_row(self, row, rows):
        """A whole row at once. For `"above"`, `row` is the row before the one that comes out.

        Args:
            row: [B, W, channels].
            rows: state of `rows_spec`.

        Returns:
            (the layer's output for one row [B, W, filters], the new state). Of types A and B the output is what the
            rows above contribute *to the next row*, without the bias: `step` adds the rest.
        """
        count, row = rows.shape[1], ops.expand_dims(ops.cast(row, rows.dtype), 1)
        held = ops.split(rows, count, axis=1) if count > 1 else [rows][:count]
        seen = [*held, row]
        new_rows = rows if count == 0 else row if count == 1 else ops.concatenate(seen[1:], axis=1)
        kernel = self._masked_kernel()
        if self.mask_type == "above_and_row":
            return self._with_bias(self._convolve_row(seen, kernel)), new_rows
        if self._above == 0:
            raise ValueError("A one-row kernel has no rows above: use `step` alone.")
        out = self._convolve_row(seen[1:], kernel[: self._above])
        return (self._with_bias(out) if self.mask_type == "above" else out), new_rows

    def _convolve_row(self, rows, kernel):
        """The one row [B, W, filters] that rows [B, 1, W, channels] give: their windows side by side, times the kernel as
        a matrix, which engines compute faster than a convolution."""
        left, width = self._left * self.dilation, rows[0].shape[2]
        last = (kernel.shape[1] - 1) * self.dilation
        above = ops.squeeze(ops.concatenate(rows[:: self.dilation], axis=-1), 1)
        padded = ops.pad(above, ((0, 0), (left, last - left), (0, 0)))
        windows = [padded[:, at : at + width : self.stride] for at in range(0, last + 1, self.dilation)]
        kernel = ops.reshape(ops.transpose(kernel, (1, 0, 2, 3)), (-1, self.filters))
        return ops.matmul(ops.concatenate(windows, axis=-1), kernel)

    def along_row(self, row, link=0.0):
        """Types A and B on a whole row [B, W, channels] that is known, given what the rows above contribute."""
        x = self._convolve(ops.expand_dims(row, 1), self._masked_kernel()[-1:])[:, 0]
        return self._with_bias(x + link)

    def step(self, x, left, link=0.0, shift=True):
        """One pixel of type B, or of type A without groups (with groups use `step_window`: when a site of a pixel is
        drawn, type A has not yet seen the channels that the next pixel needs).

        Args:
            x: [B, channels], the pixel itself.
            left: state of `left_spec`.
            link: [B, filters], this pixel's entry of what `step_row` gave for the row.
            shift: with groups, whether this is the first visit to a pixel (a boolean scalar or [B]).

        Returns:
            (output [B, filters], the new state).
        """
        x = ops.expand_dims(x, 1)
        if self.groups > 1:
            shift = ops.reshape(ops.cast(shift, "bool"), (-1, 1, 1))
            left = ops.where(shift, left[:, 1:], left[:, :-1])
            window = new_left = ops.concatenate([left, x], axis=1)
        else:
            window = ops.concatenate([left, x], axis=1) if left.shape[1] else x
            new_left = x if left.shape[1] == 1 else window[:, 1:]
        return self.step_window(window, link), new_left

    def step_window(self, window, link=0.0):
        """One pixel of types A and B, from the pixels to its left and itself [B, left + 1, channels]."""
        taps = window if self.dilation == 1 else window[:, :: self.dilation]
        kernel = ops.reshape(self._masked_kernel()[-1, : self._left + 1], (-1, self.filters))
        # The bias first: XLA fuses it into the product, which else becomes a loop of scalars on a CPU (seven times slower).
        return self._with_bias(ops.matmul(ops.reshape(taps, (-1, kernel.shape[0])), kernel)) + link

    # Cached, without blocks: the pixels in raster order are a sequence, in which the taps lie a fixed number of pixels
    # back. This serves networks whose features of a whole row cannot be had at once, as with attention among them.

    def taps(self, width: int) -> list[tuple[int, int]]:
        """(pixels back, columns to the right) of each tap in the kernel's order, for images of this width.

        Of type A the pixels are counted from the one before, the last that is known.
        """
        if self.groups > 1 or self.mask_type not in ("A", "B"):
            raise ValueError(
                f"Raster steps need `mask_type` 'A' or 'B' and `groups` = 1; got {self.mask_type!r}, {self.groups}."
            )
        found = []
        for row, column in np.ndindex(self._above + 1, self.kernel_size[1]):
            down, right = (row - self._above) * self.dilation, (column - self._left) * self.dilation
            if down < 0 or right < 0 or (right == 0 and self.mask_type == "B"):
                back = -down * width - right - int(self.mask_type == "A")
                found.append(
                    (max(back, 0), right)
                )  # less than none back is in no image: the tap is outside of each row
        return found

    def inside(self, column, width: int):
        """Which taps lie in the image's columns: 0 or 1, [..., taps, 1], for pixels in these columns [...]."""
        columns = np.arange(width)[:, None] + np.array([right for _, right in self.taps(width)])
        table = ((columns >= 0) & (columns < width)).astype("float32")[..., None]
        return ops.take(ops.cast(table, self.compute_dtype), column, axis=0)

    def line_spec(self, width: int) -> DelayLine | None:
        """The queue of the pixels that the taps reach; a kernel of one pixel needs none."""
        back = tuple(sorted({back for back, _ in self.taps(width) if back}, reverse=True))
        return DelayLine((self._channels,), back, self.compute_dtype) if back else None

    def step_raster(self, x, line, index, inside, width: int):
        """The next K pixels in raster order.

        Args:
            x: [B, K, channels], the pixels; of type A those before each.
            line: state of `line_spec(width)`.
            index: number of the first pixel; a scalar, or [B].
            inside: what `inside` gives for the pixels' columns, [K, taps, 1] or [B, K, taps, 1].
            width: pixels in a row.

        Returns:
            (output [B, K, filters], the new state).
        """
        spec, taps = self.line_spec(width), self.taps(width)
        length = x.shape[1]
        if spec is None:
            windows = ops.expand_dims(x, 2)
        elif length > 1:
            seen = ops.concatenate([spec.history(line, index), x], axis=1)
            windows = ops.stack([seen[:, spec.depth - back :][:, :length] for back, _ in taps], axis=2)
            line = spec.extend(line, x, index)
        else:
            windows = ops.concatenate([spec.read_stacked(line, index), x], axis=1)
            entries = [*spec.taps, 0]
            chosen = [entries.index(back) for back, _ in taps]
            if chosen != list(range(len(entries))):  # in narrow images one pixel is met by several taps
                windows = ops.take(windows, chosen, axis=1)
            line = spec.push(line, ops.squeeze(x, 1), index)
            inside = ops.reshape(inside, (-1, len(taps), 1))
        kernel = ops.reshape(self._masked_kernel(), (-1, self._channels, self.filters))
        kernel = ops.reshape(kernel[: len(taps)], (-1, self.filters))
        windows = ops.reshape(windows * inside, (-1, length, kernel.shape[0]))
        return self._with_bias(ops.matmul(windows, kernel)), line

    def reach(self, height: int, width: int) -> np.ndarray:
        """Boolean [outputs, H·W·groups]: entry [i, j] says that input group-pixel j reaches output group-pixel i."""
        g = self.groups
        result = np.zeros((height, width, g, height, width, g), bool)
        bottom = self._above - 1 if self.mask_type == "above" else self._above
        for row in range(self._rows):
            for column in range(self._columns):
                dr = (row - bottom) * self.dilation - (self.dilation if self.mask_type == "above" else 0)
                dc = (column - self._left) * self.dilation
                group_sees = np.ones((g, g), bool)
                if self.mask_type in ("A", "B") and row == self._rows - 1:
                    if dc > 0:
                        continue
                    if dc == 0:
                        group_sees = np.tri(g, g, -1 if self.mask_type == "A" else 0, dtype=bool)
                for r in range(max(0, -dr), min(height, height - dr)):
                    for c in range(max(0, -dc), min(width, width - dc)):
                        result[r, c, :, r + dr, c + dc, :] |= group_sees
        return result[:: self.stride, :: self.stride].reshape(-1, height * width * g)


def compose_reach(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Reach of one layer after another, both boolean [out, in]."""
    return outer.astype(np.float32) @ inner.astype(np.float32) > 0
