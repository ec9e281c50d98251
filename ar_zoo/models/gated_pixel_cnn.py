"""Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328).

A vertical stack sees all rows above at full width, a horizontal stack the pixels to the left and, through 1x1 links,
the vertical stack: together every earlier pixel, without the blind spot of masked 3x3 kernels.

    v_l = W_v ∗ gate(v_{l-1})                        rows above (a whole row at a time)
    h_l = h_{l-1} + R · gate(W_h ∗ h_{l-1} + L v_l + V c)      c: a class, a vector, or what a known image has there

Deviations: the shift by one row between the stacks is in the first vertical kernel (type "above"); the output sums
skips of all layers instead of reading the last; dropout after the gates; if wanted, dilated kernels and a learned bias
a row and a column, so that a network that does not reach the image's edges still knows where it is.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import site_by_site
from ar_zoo.core.context import image_spec, label_spec, vector_spec
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture, PredictiveLogisticMixture
from ar_zoo.layers import (
    Conditioning,
    GatedActivation,
    ImageConditioning,
    MaskedConv2D,
    NullDropout,
    PixelFeatures,
    PixelPositions,
    ResidualSkip,
)
from ar_zoo.layers.masked_conv import compose_reach
from ar_zoo.layers.neighbours import Predictions

_IMAGENET = dict(head=Categorical(256), num_layers=20, units=384, kernel_size=5)


@register("gated_pixel_cnn")
class GatedPixelCNN(AutoregressiveModel):
    """Images, pixel by pixel in raster order, with class conditioning if wanted.

    Args:
        image_shape: (height, width, channels).
        head: `Categorical` or `Bernoulli` draw channel after channel (R, then G given R, then B given both), a
            `DiscretizedLogisticMixture` or `PredictiveLogisticMixture` the whole pixel.
        num_layers: gated layers after the first.
        units: channels of each stack; a multiple of the number of channels drawn one by one.
        input_kernel_size, kernel_size: of the first layer and of the others.
        dilations: of the layers after the first, taken in turn.
        positions: whether the network knows each pixel's row and column.
        num_classes: classes of the context "label"; `None` for an unconditional model.
        label_dropout: how often training hides the label, so that the model also knows the unconditional density.
        vector_size: numbers in the context "vector"; `None` for none.
        known_shape: (height, width, channels) of the context "image"; `None` for none. Fewer rows and columns than the
            image's make the model draw what a smaller picture shows (super-resolution), fewer channels colour it.
        dropout: rate after the gates.
    """

    HEAVY = True

    def __init__(
        self,
        image_shape,
        head,
        num_layers=8,
        units=64,
        input_kernel_size=7,
        kernel_size=3,
        dilations=(1,),
        positions=False,
        num_classes=None,
        label_dropout=0.1,
        vector_size=None,
        known_shape=None,
        dropout=0.0,
        **kwargs,
    ):
        arguments.image(image_shape, head, neighbours=True)
        arguments.whole(0, num_layers=num_layers)
        arguments.whole(units=units)
        arguments.kernels(input_kernel_size=input_kernel_size, kernel_size=kernel_size)
        arguments.dilations(dilations)
        arguments.whole_or_none(num_classes=num_classes, vector_size=vector_size)
        arguments.known_image(known_shape, image_shape)
        arguments.rates(label_dropout=label_dropout, dropout=dropout)
        super().__init__(head, image_shape, **kwargs)
        self.image_shape, self.num_layers, self.units = tuple(image_shape), num_layers, units
        self.input_kernel_size, self.kernel_size = input_kernel_size, kernel_size
        self.dilations, self.positions = tuple(dilations), positions
        self.num_classes, self.label_dropout, self.dropout = num_classes, label_dropout, dropout
        self.vector_size, self.known_shape = vector_size, known_shape and tuple(known_shape)
        channels = self.image_shape[-1]
        self._groups = 1 if head.site_shape else channels
        arguments.multiples(self._groups, "the channels drawn one by one", units=units)
        policy = {"dtype": self.dtype_policy}

        self._features = PixelFeatures(head.num_symbols, self._groups, name="features", **policy)
        self._gate = GatedActivation(name="gate", **policy)
        self._drop = keras.layers.Dropout(dropout, name="dropout", **policy)
        self._layers_of_stacks = [
            _GatedLayer(
                units,
                input_kernel_size if i == 0 else kernel_size,
                1 if i == 0 else dilations[(i - 1) % len(dilations)],
                i == 0,
                self._groups,
                num_classes,
                [name for name in ("vector", "image") if name in self.context_spec],
                positions and i == 0,
                name=f"layer_{i}",
                **policy,
            )
            for i in range(num_layers + 1)
        ]
        if num_classes:
            self._hide_label = NullDropout(label_dropout, num_classes, name="label_dropout", **policy)
        if known_shape:
            self._look = ImageConditioning(self.image_shape[:2], units, name="look", **policy)
        self._hidden = MaskedConv2D(units, 1, "B", self._groups, name="hidden", **policy)
        outputs = head.params_size * self._groups
        self._output = MaskedConv2D(outputs, 1, "B", self._groups, name="output", **policy)
        self._predictions = Predictions(head, self.dtype_policy)
        self.build()

    @property
    def context_spec(self):
        return label_spec(self.num_classes) | vector_spec(self.vector_size) | image_spec(self.known_shape)

    @property
    def block_sizes(self):
        height, width, _ = self.image_shape
        return (width * self._groups,) * height

    def call(self, x, context=None, training=False):
        given = self._given(context)
        if self.num_classes:
            given["label"] = self._hide_label(given["label"], training=training)
        v = h = self._features(x)
        skips = 0.0
        for layer in self._layers_of_stacks:
            v, link = layer.vertical(v, given, self._gate)
            v = self._drop(v, training=training)
            activation = self._drop(self._gate(layer.row_conv(h) + link), training=training)
            h, skip = layer.wiring(activation, h)
            skips = skips + skip
        params = self._output(ops.relu(self._hidden(ops.relu(skips))))
        return self._predictions(self._to_params(params), x)

    def _given(self, context, row=None):
        """What the layers are conditioned on, for all rows or one."""
        given = {name: context[name] for name in self.context_spec}
        if self.known_shape:
            given["image"] = self._look(given["image"]) if row is None else self._look.row(given["image"], row)
        return given

    def _to_params(self, y):
        return y if self.head.site_shape else self._features.split_groups(y)

    def receptive_field(self, num_sites=None):
        height, width, _ = self.image_shape
        first, *others = self._layers_of_stacks
        all_groups = np.ones((self._groups, self._groups), bool)
        vertical = first.column_conv.reach(height, width)
        horizontal = first.row_conv.reach(height, width) | np.kron(vertical, all_groups)
        for layer in others:
            vertical = compose_reach(layer.column_conv.reach(height, width), vertical)
            along = compose_reach(layer.row_conv.reach(height, width), horizontal)
            horizontal = along | horizontal | np.kron(vertical, all_groups)
        return self._predictions.reach(height, width, horizontal)

    # Cached: the vertical stack once a row, the horizontal stack once a site.

    def cache_spec(self, max_sites):
        _, width, channels = self.image_shape
        spec = {"window": self._features.window_spec(self._layers_of_stacks[0].left, channels)}
        spec["predictions"] = self._predictions.cache_spec(width, channels)
        for layer in self._layers_of_stacks:
            spec[layer.name] = {"rows": layer.column_conv.rows_spec(width), "link": layer.row_conv.link_spec(width)}
            if not layer.first:
                spec[layer.name]["left"] = layer.row_conv.left_spec()
        return spec

    def begin_block(self, prev, cache, index, context=None):
        width, channels = self.image_shape[1:]
        batch, number = prev.shape[0], index // (width * self._groups)
        given = self._given(context, number)
        row = self._features(ops.reshape(prev, (batch, width, channels)))
        new = {
            "window": ops.full_like(cache["window"], -1),
            "predictions": self._predictions.begin_row(prev, cache["predictions"]),
        }
        for layer in self._layers_of_stacks:
            v, rows = layer.column_conv.step_row(row, cache[layer.name]["rows"])
            v = v if layer.positions is None else layer.positions.row(v, number)
            row, link = layer.link(v, given, self._gate)
            new[layer.name] = {"rows": rows, "link": layer.row_conv.link_spec(width).write(link)}
            if not layer.first:
                new[layer.name]["left"] = ops.zeros_like(cache[layer.name]["left"])
        return new

    @site_by_site
    def step(self, prev, cache, index, context=None):
        width = self.image_shape[1]
        features, window, fresh, column = self._features.step(prev, cache["window"], index, width)
        new, both = {"window": window}, None  # residual and skip
        for layer in self._layers_of_stacks:
            old = cache[layer.name]
            link = layer.row_conv.link_spec(width).read(old["link"], column)
            new[layer.name] = dict(old)
            if layer.first:
                pre = layer.row_conv.step_window(features, link)
            else:
                pre, new[layer.name]["left"] = layer.row_conv.step(both[:, : self.units], old["left"], link, fresh)
            both = layer.wiring.onto(self._gate(pre), both)
        hidden = ops.relu(self._hidden.step_window(ops.expand_dims(ops.relu(both[:, self.units :]), 1)))
        params = self._to_params(self._output.step_window(ops.expand_dims(hidden, 1)))
        params = self._features.chosen(ops.reshape(params, (-1, self._groups, self.head.params_size)), index)
        params, new["predictions"] = self._predictions.step(params, prev, cache["predictions"], index)
        return params, new

    SMALL = (
        dict(image_shape=(2, 2, 2), head=Categorical(3)),
        dict(image_shape=(2, 3, 1), head=Bernoulli()),
        dict(image_shape=(1, 2, 3), head=DiscretizedLogisticMixture(2, 3, 3)),
        dict(image_shape=(2, 2, 3), head=PredictiveLogisticMixture(2)),
    )

    PRESETS = {
        "tiny": dict(
            image_shape=(4, 5, 2),
            head=Categorical(4),
            num_layers=2,
            units=8,
            input_kernel_size=5,
            dilations=(2, 1),
            positions=True,
            num_classes=3,
        ),
        "mnist": dict(
            image_shape=(28, 28, 1),
            head=Categorical(256),
            num_layers=8,
            units=48,
            dilations=(1, 1, 1, 4),
            positions=True,
            num_classes=10,
            label_dropout=0.25,
            dropout=0.1,
        ),
        "emoji": dict(
            image_shape=(32, 32, 3),
            head=PredictiveLogisticMixture(),
            num_layers=5,
            units=40,
            input_kernel_size=5,
            dilations=(1, 1, 2, 4),
            positions=True,
        ),
        "benchmark": dict(image_shape=(28, 28, 1), head=Categorical(256), num_layers=8, units=64),
        # The paper's models of ImageNet (section 3): 20 layers of 384 channels, 5x5 kernels; and one told the class.
        "imagenet32": dict(_IMAGENET, image_shape=(32, 32, 3)),
        "imagenet64": dict(_IMAGENET, image_shape=(64, 64, 3)),
        "imagenet64_classes": dict(_IMAGENET, image_shape=(64, 64, 3), num_classes=1000),
    }


class _GatedLayer(keras.layers.Layer):
    """One layer of both stacks. The first has no residual: its input is symbols, not features."""

    def __init__(self, units, kernel_size, dilation, first, groups, num_classes, numbers, positions, **kwargs):
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}
        self.first, self.left = first, kernel_size // 2
        self.column_conv = MaskedConv2D(
            2 * units,
            kernel_size,
            "above" if first else "above_and_row",
            dilation=dilation,
            name="column_conv",
            **policy,
        )
        self.row_conv = MaskedConv2D(
            2 * units, (1, kernel_size), "A" if first else "B", groups, dilation, name="row_conv", **policy
        )
        self.positions = PixelPositions(name="positions", **policy) if positions else None
        self.to_row = keras.layers.Dense(2 * units, name="link", **policy)
        self.wiring = ResidualSkip(units, units, not first, groups, name="wiring", **policy)
        self.conditions = {
            name: keras.layers.Dense(4 * units, use_bias=False, name=f"condition_{name}", **policy) for name in numbers
        }
        if num_classes:
            self.conditions["label"] = Conditioning(4 * units, num_classes, name="condition", **policy)

    def vertical(self, v, given, gate):
        v = self.column_conv(v)
        return self.link(v if self.positions is None else self.positions(v), given, gate)

    def link(self, v, given, gate):
        """From the vertical pre-activation: the vertical stack's next input, and the link to the horizontal stack."""
        link = self.to_row(v)
        for name, condition in self.conditions.items():
            bias = condition(given[name])
            if name != "image":  # which has a place for each pixel
                bias = ops.reshape(bias, (-1,) + (1,) * (len(v.shape) - 2) + (bias.shape[-1],))
            for_column, for_row = ops.split(bias, 2, axis=-1)
            v, link = v + for_column, link + for_row
        return gate(v), link
