"""Networks that draw images pixel by pixel in raster order: what PixelCNN and PixelRNN have in common.

    h ← A(features(x));   h ← block_i(h), for each i;   params = O(relu(B₂ relu(B₁ relu(h))))

A is a masked convolution of type A; B₁, B₂ and O are masked 1x1 convolutions of type B.
"""

from __future__ import annotations

from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import site_by_site
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.layers import MaskedConv2D, PixelFeatures
from ar_zoo.layers.masked_conv import compose_reach
from ar_zoo.layers.neighbours import Predictions


class RasterNetwork(AutoregressiveModel):
    """Images of one stream of 2 · `units` channels, which blocks add to.

    A family makes its layers, the ones that see several pixels in a list `self._spatial`, one for each block, and writes
    `block`. These layers have `cache_spec`, `step_row`, `step` and `reach`, as `RowLSTM` describes them; a
    `MaskedConv2D` gets them from `RasterConv`.

    Args:
        image_shape, head, units, output_units, input_kernel_size: those of the families.
    """

    def __init__(self, image_shape, head, units, output_units, input_kernel_size, **kwargs):
        arguments.image(image_shape, head, neighbours=True)
        arguments.whole(units=units, output_units=output_units)
        arguments.kernels(input_kernel_size=input_kernel_size)
        super().__init__(head, image_shape, **kwargs)
        self.image_shape, self.units, self.output_units = tuple(image_shape), units, output_units
        self.input_kernel_size = input_kernel_size
        self._groups = groups = 1 if head.site_shape else self.image_shape[-1]
        arguments.multiples(groups, "the channels drawn one by one", units=units, output_units=output_units)
        self._features = PixelFeatures(head.num_symbols, groups, name="features", dtype=self.dtype_policy)
        self._input = self._conv(2 * units, input_kernel_size, "A", "input")
        self._hidden = [self._conv(output_units, 1, "B", f"hidden_{i}") for i in range(2)]
        self._output = self._conv(head.params_size * groups, 1, "B", "output")
        self._predictions = Predictions(head, self.dtype_policy)

    def _conv(self, filters, size, mask_type, name):
        return MaskedConv2D(filters, size, mask_type, self._groups, name=name, dtype=self.dtype_policy)

    def block(self, i, h, point, spatial):
        """Block i: h → h, with 1x1 layers applied by `point(layer, y)`, and its layer of `self._spatial` by `spatial(y)`."""
        raise TypeError(f"{type(self).__name__} must define `block`.")

    @property
    def block_sizes(self):
        height, width, _ = self.image_shape
        return (width * self._groups,) * height

    def _network(self, h, point, spatial):
        """The blocks, their layers applied by `point(layer, y)` and `spatial(layer, y)`."""
        for i, layer in enumerate(self._spatial):
            h = self.block(i, h, point, lambda y, layer=layer: spatial(layer, y))
        return h

    def _to_params(self, h, point):
        for layer in self._hidden:
            h = point(layer, ops.relu(h))
        y = point(self._output, ops.relu(h))
        return y if self.head.site_shape else self._features.split_groups(y)

    def call(self, x, context=None, training=False):
        apply = lambda layer, y: layer(y)  # noqa: E731
        params = self._to_params(self._network(self._input(self._features(x)), apply, apply), apply)
        return self._predictions(params, x)

    def receptive_field(self, num_sites=None):
        height, width, _ = self.image_shape
        reach = self._input.reach(height, width)
        for layer in self._spatial:
            reach = reach | compose_reach(layer.reach(height, width), reach)
        return self._predictions.reach(height, width, reach)

    # Cached: when a row is complete, the network runs over it once more at full width, for what it adds to the next row.

    def cache_spec(self, max_sites):
        _, width, channels = self.image_shape
        return {
            "window": self._features.window_spec(self.input_kernel_size // 2, channels),
            "predictions": self._predictions.cache_spec(width, channels),
            "input": {"rows": self._input.rows_spec(width), "link": self._input.link_spec(width)},
            **{layer.name: layer.cache_spec(width) for layer in self._spatial},
        }

    def begin_block(self, prev, cache, index, context=None):
        width, channels = self.image_shape[1:]
        row = self._features(ops.reshape(prev, (prev.shape[0], width, channels)))
        # Above the first row there is padding: pixels that are none have features of zeros, but layers have biases.
        exists = ops.cast(index > 0, self.compute_dtype)
        old = cache["input"]
        link, rows = self._input.step_row(row, old["rows"])
        new = {
            "window": ops.full_like(cache["window"], -1),
            "predictions": self._predictions.begin_row(prev, cache["predictions"]),
            "input": {"rows": rows, "link": self._input.link_spec(width).write(link)},
        }

        def spatial(layer, y):
            y, new[layer.name] = layer.step_row(y, cache[layer.name], exists)
            return y

        def point(layer, y):
            return ops.reshape(layer.step_window(ops.reshape(y, (-1, 1, y.shape[-1]))), (-1, width, layer.filters))

        self._network(self._input.along_row(row, old["link"]["block"]), point, spatial)
        return new

    @site_by_site
    def step(self, prev, cache, index, context=None):
        width = self.image_shape[1]
        features, window, fresh, column = self._features.step(prev, cache["window"], index, width)
        new = dict(cache) | {"window": window}

        def spatial(layer, y):
            y, new[layer.name] = layer.step(y, cache[layer.name], column, fresh, width)
            return y

        point = lambda layer, y: layer.step_window(ops.expand_dims(y, 1))  # noqa: E731
        link = self._input.link_spec(width).read(cache["input"]["link"], column)
        h = self._network(self._input.step_window(features, link), point, spatial)
        params = ops.reshape(self._to_params(h, point), (-1, self._groups, self.head.params_size))
        params = self._features.chosen(params, index)
        params, new["predictions"] = self._predictions.step(params, prev, cache["predictions"], index)
        return params, new


class RasterConv:
    """A `MaskedConv2D` of type B with the methods by which `RasterNetwork` steps; the model holds the layer itself."""

    def __init__(self, conv):
        self._conv, self.name, self.reach = conv, conv.name, conv.reach

    def __call__(self, x):
        return self._conv(x)

    def cache_spec(self, width):
        conv = self._conv
        return {"rows": conv.rows_spec(width), "link": conv.link_spec(width), "left": conv.left_spec()}

    def step_row(self, row, cache, exists):
        link, rows = self._conv.step_row(row * exists, cache["rows"])
        link = self._conv.link_spec(row.shape[1]).write(link)
        new = {"rows": rows, "link": link, "left": ops.zeros_like(cache["left"])}
        return self._conv.along_row(row, cache["link"]["block"]), new

    def step(self, x, cache, column, fresh, width):
        above = self._conv.link_spec(width).read(cache["link"], column)
        out, left = self._conv.step(x, cache["left"], above, fresh)
        return out, cache | {"left": left}
