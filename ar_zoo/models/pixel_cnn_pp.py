"""PixelCNN++ (Salimans et al. 2017, arXiv:1701.05517): two streams that go down to coarser images and up again.

The column stream sees the rows above a pixel, the row stream also the pixels to its left. Each is a chain of blocks

    x ← x + a · σ(b),   (a, b) = W_2 ∗ drop(e(W_1 ∗ e(x) + N e(aside) + M e(skip))) + V c,   e(x) = elu([x, -x])

where `aside` is the column stream's block at the same place (in the row stream), `skip` what the way down had at the
same resolution (on the way up) and c the class. Between two scales a convolution of stride 2 leads down, and a dense map
from each coarse pixel to the four fine ones up.

Deviations: weights are not normalised; the row stream's kernels are masked 3x3 and not 2x2 ones; the way up is not a
transposed convolution, whose kernels overlap.

Cached, the column stream runs once a row and the row stream once a pixel. When a row is complete, the row stream runs
over it once more at full width, for what it adds to the next row, as in `PixelCNN`. A coarser scale moves on every
second, every fourth … row and column: in between its state is held, and what it hands up was kept.
"""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import Link, State, site_by_site
from ar_zoo.core.context import label_spec
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Categorical, DiscretizedLogisticMixture, PredictiveLogisticMixture
from ar_zoo.layers import Conditioning, GatedActivation, MaskedConv2D, NullDropout, PixelFeatures
from ar_zoo.layers.masked_conv import compose_reach
from ar_zoo.layers.neighbours import Predictions


@register("pixel_cnn_pp")
class PixelCNNPlusPlus(AutoregressiveModel):
    """Images, pixel by pixel in raster order, seen at several scales.

    Args:
        image_shape: (height, width, channels); height and width multiples of 2^(num_scales - 1).
        head: one that draws a whole pixel, as `DiscretizedLogisticMixture` does; for images of one channel any.
        num_scales: resolutions, each half of the one before.
        num_blocks: blocks of each stream at each scale on the way down; one more on the way up.
        units: channels of each stream.
        num_classes: classes of the context "label"; `None` for an unconditional model.
        label_dropout: how often training hides the label, so that the model also knows the unconditional density.
        dropout: rate inside the blocks.
    """

    HEAVY = True

    def __init__(
        self,
        image_shape,
        head,
        num_scales=3,
        num_blocks=5,
        units=160,
        num_classes=None,
        label_dropout=0.1,
        dropout=0.5,
        **kwargs,
    ):
        arguments.image(image_shape, head, neighbours=True)
        if not head.site_shape and image_shape[-1] != 1:
            raise ValueError(
                f"`head` must draw a whole pixel of {image_shape[-1]} channels, as DiscretizedLogisticMixture does; "
                f"got {head!r}."
            )
        arguments.whole(num_scales=num_scales, num_blocks=num_blocks, units=units)
        arguments.whole_or_none(num_classes=num_classes)
        arguments.rates(label_dropout=label_dropout, dropout=dropout)
        if any(size % 2 ** (num_scales - 1) for size in image_shape[:2]):
            raise ValueError(
                f"`image_shape` must have a height and a width that can be halved {num_scales - 1} times (`num_scales` - 1); "
                f"got {tuple(image_shape)}."
            )
        super().__init__(head, image_shape, **kwargs)
        self.image_shape, self.num_scales, self.num_blocks = tuple(image_shape), num_scales, num_blocks
        self.units, self.num_classes, self.label_dropout, self.dropout = units, num_classes, label_dropout, dropout
        policy = {"dtype": self.dtype_policy}
        self._features = PixelFeatures(head.num_symbols, name="features", **policy)
        self._above = MaskedConv2D(units, (5, 3), "above", name="above", **policy)
        self._input = MaskedConv2D(units, 3, "A", name="input", **policy)
        stream = lambda name, mask_type: _Stream(  # noqa: E731
            num_scales, num_blocks, units, mask_type, num_classes, dropout, name=name, **policy
        )
        self._columns, self._rows = stream("columns", "above_and_row"), stream("rows", "B")
        if num_classes:
            self._hide_label = NullDropout(label_dropout, num_classes, name="label_dropout", **policy)
        self._output = keras.layers.Dense(head.params_size, name="output", **policy)
        self._predictions = Predictions(head, self.dtype_policy)
        self.build()

    @property
    def context_spec(self):
        return label_spec(self.num_classes)

    @property
    def block_sizes(self):
        height, width, _ = self.image_shape
        return (width,) * height

    def call(self, x, context=None, training=False):
        label = self._hide_label(context["label"], training=training) if self.num_classes else None
        features, asides = self._features(x), {}

        def block(scale, layer, x, skip):
            def convolve(conv, y):
                y = conv(y)
                if conv is layer.conv_1:
                    return y if layer.from_aside is None else y + layer.from_aside(_concat_elu(asides[layer.name]))
                return y if label is None else y + layer.condition(label)[:, None, None]

            return layer.through(x, skip, convolve, training)

        def aside(scale, layer, x, skip):
            asides[layer.name] = block(scale, layer, x, skip)
            return asides[layer.name]

        shrink, grow = (lambda scale, conv, x: conv(x)), (lambda scale, layer, x: _from_coarse(layer(x)))
        self._columns.through(self._above(features), aside, shrink, grow)
        y = self._rows.through(self._input(features), block, shrink, grow)
        params = self._output(ops.elu(y))
        return self._predictions(params, x) if self.head.site_shape else ops.expand_dims(params, -2)

    def receptive_field(self, num_sites=None):
        height, width, _ = self.image_shape
        sizes = [(height >> scale, width >> scale) for scale in range(self.num_scales)]
        asides = {}

        def block(scale, layer, reach, skip):
            first = compose_reach(layer.conv_1.reach(*sizes[scale]), reach)
            for other in (skip, asides.get(layer.name)):
                first = first if other is None else first | other
            return reach | compose_reach(layer.conv_2.reach(*sizes[scale]), first)

        def aside(scale, layer, reach, skip):
            asides[layer.name] = block(scale, layer, reach, skip)
            return asides[layer.name]

        def shrink(scale, conv, reach):
            return compose_reach(conv.reach(*sizes[scale - 1]), reach)

        def grow(scale, layer, reach):
            coarse = reach.reshape(*sizes[scale], -1)
            return coarse.repeat(2, axis=0).repeat(2, axis=1).reshape(-1, coarse.shape[-1])

        self._columns.through(self._above.reach(height, width), aside, shrink, grow)
        reach = self._rows.through(self._input.reach(height, width), block, shrink, grow)
        return self._predictions.reach(height, width, reach)

    # Cached.

    def cache_spec(self, max_sites):
        _, width, channels = self.image_shape
        spec = {
            "window": self._features.window_spec(1, channels),
            "above": self._above.rows_spec(width),
            "input": self._input.link_spec(width),
            "predictions": self._predictions.cache_spec(width, channels),
        }
        for scale, conv in self._columns.convolutions():
            spec[f"columns_{conv.name}"] = conv.rows_spec(width >> scale)
        for scale, conv in self._rows.convolutions():
            spec[f"rows_{conv.name}"] = {"link": conv.link_spec(width >> scale), "left": conv.left_spec()}
        for scale in range(1, self.num_scales):
            fine = width >> (scale - 1)
            spec[f"columns_grown_{scale}"] = State((fine, self.units), self.compute_dtype)
            spec[f"rows_grown_{scale}"] = {
                "below": Link(fine, (self.units,), self.compute_dtype),
                "right": State((self.units,), self.compute_dtype),
            }
        return spec

    def begin_block(self, prev, cache, index, context=None):
        width, channels = self.image_shape[1:]
        number = index // width
        new = {
            "window": ops.full_like(cache["window"], -1),
            "predictions": self._predictions.begin_row(prev, cache["predictions"]),
        }
        row = self._features(ops.reshape(prev, (prev.shape[0], width, channels)))
        self._complete_row(row, cache, number - 1, new)
        self._begin_row(row, cache, number, context["label"] if self.num_classes else None, new)
        return new

    def _complete_row(self, row, cache, number, new):
        """The row stream over row `number`, which is known now: what it adds to the rows below."""
        moves = [self._moves(number, scale) for scale in range(self.num_scales)]

        def masked(scale, conv, y):
            old = cache[f"rows_{conv.name}"]
            held, out = old["link"]["block"], conv.along_row(y, old["link"]["block"])
            below = _chosen(moves[scale], conv.step_row(y, ops.expand_dims(y, 1))[0], held)
            new[f"rows_{conv.name}"] = {"link": {"block": below}, "left": ops.zeros_like(old["left"])}
            return out

        def grow(scale, layer, y):
            old = cache[f"rows_grown_{scale}"]
            here, below = _rows_from_coarse(layer(y))
            held = old["below"]["block"]
            new[f"rows_grown_{scale}"] = {
                "below": {"block": _chosen(moves[scale], below, held)},
                "right": ops.zeros_like(old["right"]),
            }
            return _chosen(moves[scale], here, held)

        block = lambda scale, layer, y, skip: layer.through(y, skip, lambda conv, z: masked(scale, conv, z))  # noqa: E731
        shrink = lambda scale, conv, y: masked(scale - 1, conv, y)  # noqa: E731
        first = self._input.along_row(row, cache["input"]["block"])
        self._rows.through(first, block, shrink, grow)
        # Above the first row there is padding, not a row of features.
        exists = ops.cast(number >= 0, self.compute_dtype)
        new["input"] = {"block": self._input.step_row(row * exists, ops.expand_dims(row, 1))[0]}

    def _begin_row(self, row, cache, number, label, new):
        """The column stream for row `number`, and what it adds to the row stream."""
        moves = [self._moves(number, scale) for scale in range(self.num_scales)]

        def masked(scale, conv, y):
            name = f"columns_{conv.name}"
            out, rows = conv.step_row(y, cache[name])
            new[name] = _chosen(moves[scale], rows, cache[name])
            return out

        def block(scale, layer, x, skip):
            def convolve(conv, y):
                y = masked(scale, conv, y)
                return y if conv is layer.conv_1 or label is None else y + layer.condition(label)[:, None]

            x, mate = layer.through(x, skip, convolve), self._rows.blocks[layer.name]
            self._add_to_link(new, mate.conv_1, moves[scale] * mate.from_aside(_concat_elu(x)))
            if label is not None:
                self._add_to_link(new, mate.conv_2, moves[scale] * mate.condition(label)[:, None])
            return x

        def grow(scale, layer, y):
            name = f"columns_grown_{scale}"
            here, below = _rows_from_coarse(layer(y))
            new[name] = _chosen(moves[scale], below, cache[name])
            return _chosen(moves[scale], here, cache[name])

        first, new["above"] = self._above.step_row(row, cache["above"])
        self._columns.through(first, block, lambda scale, conv, y: masked(scale - 1, conv, y), grow)

    @staticmethod
    def _add_to_link(new, conv, more):
        state = new[f"rows_{conv.name}"]
        state["link"] = {"block": state["link"]["block"] + more}

    @site_by_site
    def step(self, prev, cache, index, context=None):
        width = self.image_shape[1]
        features, window, _, column = self._features.step(prev, cache["window"], index, width)
        new, number = dict(cache) | {"window": window}, index // width
        in_row = [self._moves(number, scale) for scale in range(self.num_scales)]
        moves = [along * self._moves(column, scale) for scale, along in enumerate(in_row)]

        def masked(scale, conv, y, coarser=0):
            old = cache[f"rows_{conv.name}"]
            spec = conv.link_spec(width >> scale)
            out, left = conv.step(y, old["left"], spec.read(old["link"], column // 2 ** (scale + coarser)))
            if scale:
                left = _chosen(ops.expand_dims(moves[scale], -1), left, old["left"])
            new[f"rows_{conv.name}"] = dict(old) | {"left": left}
            return out

        def grow(scale, layer, y):
            old, fine = cache[f"rows_grown_{scale}"], width >> (scale - 1)
            below = Link(fine, (self.units,), self.compute_dtype).read(old["below"], column // 2 ** (scale - 1))
            here, right, *_ = ops.split(layer(y), 4, axis=-1)
            new[f"rows_grown_{scale}"] = dict(old) | {"right": _chosen(moves[scale], right, old["right"])}
            return _chosen(in_row[scale], _chosen(self._moves(column, scale), here, old["right"]), below)

        block = lambda scale, layer, y, skip: layer.through(y, skip, lambda conv, z: masked(scale, conv, z))  # noqa: E731
        shrink = lambda scale, conv, y: masked(scale - 1, conv, y, coarser=1)  # noqa: E731
        place = self._input.link_spec(width).read(cache["input"], column)
        x = self._rows.through(self._input.step_window(features, place), block, shrink, grow)
        params = ops.expand_dims(self._output(ops.elu(x)), 1)
        params, new["predictions"] = self._predictions.step(params, prev, cache["predictions"], index)
        return params, new

    def _moves(self, number, scale):
        """1 where a row or column is one that the scale has, else 0: [1 or B, 1] (a row's number is a scalar)."""
        moves = ops.logical_and(number >= 0, ops.equal(number % 2**scale, 0))
        return ops.reshape(ops.cast(moves, self.compute_dtype), (-1, 1))

    SMALL = (
        dict(image_shape=(2, 4, 1), head=Categorical(3), num_scales=2),
        dict(image_shape=(2, 2, 3), head=DiscretizedLogisticMixture(2, 2, 3), num_scales=2),
    )

    PRESETS = {
        "tiny": dict(
            image_shape=(4, 4, 3),
            head=PredictiveLogisticMixture(4, num_free=1),
            num_scales=2,
            num_blocks=1,
            units=6,
            num_classes=3,
            dropout=0.1,
        ),
        "mnist": dict(
            image_shape=(28, 28, 1), head=DiscretizedLogisticMixture(10, 256, 1), num_blocks=2, units=48, dropout=0.1
        ),
        "benchmark": dict(image_shape=(32, 32, 3), head=DiscretizedLogisticMixture(10), num_blocks=2, units=48),
        # The paper's model of CIFAR-10 (section 3): five blocks, 160 channels, dropout of a half.
        "cifar10": dict(image_shape=(32, 32, 3), head=DiscretizedLogisticMixture(10)),
    }


class _Stream(keras.layers.Layer):
    """The layers of one stream, and the way through them, whatever goes that way: images, rows, pixels or reaches."""

    def __init__(self, num_scales, num_blocks, units, mask_type, num_classes, dropout, **kwargs):
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}

        def blocks(way, scale, count):
            arguments = (units, mask_type, way == "up", num_classes, dropout)
            return [_Block(*arguments, name=f"{way}_{scale}_{i}", **policy) for i in range(count)]

        last = num_scales - 1
        self.down = [blocks("down", scale, num_blocks) for scale in range(num_scales)]
        self.up = [blocks("up", scale, num_blocks + int(scale < last)) for scale in range(num_scales)]
        self.shrink = [
            MaskedConv2D(units, 3, mask_type, stride=2, name=f"shrink_{scale}", **policy)
            for scale in range(1, num_scales)
        ]
        self.grow = [keras.layers.Dense(4 * units, name=f"grow_{scale}", **policy) for scale in range(1, num_scales)]

    @property
    def blocks(self) -> dict:
        return {layer.name: layer for group in (*self.down, *self.up) for layer in group}

    def convolutions(self):
        """(scale of the input, masked convolution), of all."""
        for scale in range(len(self.down)):
            for layer in (*self.down[scale], *self.up[scale]):
                yield scale, layer.conv_1
                yield scale, layer.conv_2
        yield from enumerate(self.shrink)

    def through(self, x, block, shrink, grow):
        """`block(scale, layer, x, skip)`, `shrink(scale, layer, x)` and `grow(scale, layer, x)` compute; `scale` is the
        coarser one."""
        seen = [x]
        for scale, layers in enumerate(self.down):
            if scale:
                seen.append(shrink(scale, self.shrink[scale - 1], seen[-1]))
            for layer in layers:
                seen.append(block(scale, layer, seen[-1], None))
        x = seen.pop()
        for scale, layers in reversed(list(enumerate(self.up))):
            for layer in layers:
                x = block(scale, layer, x, seen.pop())
            if scale:
                x = grow(scale, self.grow[scale - 1], x)
        return x


class _Block(keras.layers.Layer):
    """A gated residual block. Its convolutions are computed by the caller: over an image, a row or a pixel."""

    def __init__(self, units, mask_type, up, num_classes, dropout, **kwargs):
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}
        self.conv_1 = MaskedConv2D(units, 3, mask_type, name=f"{self.name}_conv_1", **policy)
        self.conv_2 = MaskedConv2D(2 * units, 3, mask_type, initial_scale=0.3, name=f"{self.name}_conv_2", **policy)
        dense = lambda name: keras.layers.Dense(units, use_bias=False, name=name, **policy)  # noqa: E731
        self.from_aside = dense("from_aside") if mask_type == "B" else None
        self.from_skip = dense("from_skip") if up else None
        self.condition = Conditioning(2 * units, num_classes, name="condition", **policy) if num_classes else None
        self.drop = keras.layers.Dropout(dropout, name="dropout", **policy)
        self.gate = GatedActivation("linear", name="gate", **policy)

    def through(self, x, skip, convolve, training=False):
        y = convolve(self.conv_1, _concat_elu(x))
        if skip is not None:
            y = y + self.from_skip(_concat_elu(skip))
        y = convolve(self.conv_2, self.drop(_concat_elu(y), training=training))
        return x + self.gate(y)


def _concat_elu(x):
    return ops.elu(ops.concatenate([x, -x], axis=-1))


def _rows_from_coarse(y):
    """What each pixel of a coarse row [B, W, 4 · units] gives to the two fine rows [B, 2 W, units]."""
    width, units = y.shape[1], y.shape[2] // 4
    return [ops.reshape(half, (-1, 2 * width, units)) for half in ops.split(y, 2, axis=-1)]


def _from_coarse(y):
    """The same for an image: [B, H, W, 4 · units] → [B, 2 H, 2 W, units]."""
    height, width, units = y.shape[1], y.shape[2], y.shape[3] // 4
    y = ops.transpose(ops.reshape(y, (-1, height, width, 2, 2 * units)), (0, 1, 3, 2, 4))
    return ops.reshape(y, (-1, 2 * height, 2 * width, units))


def _chosen(mask, yes, no):
    """`yes` where the mask is 1 and `no` where it is 0, without a selection, which LiteRT's fast kernels do not know."""
    return yes * mask + no * (1.0 - mask)
