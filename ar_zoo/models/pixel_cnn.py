"""PixelCNN (van den Oord et al. 2016, arXiv:1601.06759, section 3.3): a stack of masked convolutions.

    h ← h + W_3 relu(W_2 ∗ relu(W_1 relu(h))),   W_1: 2h → h, W_2: masked 3x3 of type B, W_3: h → 2h

after a masked 7x7 convolution of type A. Masked square kernels leave a blind spot to the upper right of a pixel, which
`receptive_field` declares; `GatedPixelCNN` has none.
"""

from __future__ import annotations

from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import site_by_site
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Categorical, DiscretizedLogisticMixture
from ar_zoo.layers import MaskedConv2D, PixelFeatures
from ar_zoo.layers.masked_conv import compose_reach
from ar_zoo.layers.neighbours import Predictions


@register("pixel_cnn")
class PixelCNN(AutoregressiveModel):
    """Images, pixel by pixel in raster order.

    Args:
        image_shape: (height, width, channels).
        head: `Categorical` or `Bernoulli` draw channel after channel (R, then G given R, then B given both), a
            `DiscretizedLogisticMixture` the whole pixel.
        num_blocks: residual blocks.
        units: channels h inside a block; the stream has 2h.
        output_units: channels of the two layers before the output.
        input_kernel_size, kernel_size: of the first layer and of the blocks.
    """

    def __init__(
        self,
        image_shape,
        head,
        num_blocks=7,
        units=64,
        output_units=128,
        input_kernel_size=7,
        kernel_size=3,
        **kwargs,
    ):
        arguments.image(image_shape, head, neighbours=True)
        arguments.whole(0, num_blocks=num_blocks)
        arguments.whole(units=units, output_units=output_units)
        arguments.kernels(input_kernel_size=input_kernel_size, kernel_size=kernel_size)
        super().__init__(head, image_shape, **kwargs)
        self.image_shape, self.num_blocks, self.units = tuple(image_shape), num_blocks, units
        self.output_units, self.input_kernel_size, self.kernel_size = output_units, input_kernel_size, kernel_size
        self._groups = groups = 1 if head.site_shape else self.image_shape[-1]
        arguments.multiples(groups, "the channels drawn one by one", units=units, output_units=output_units)
        policy = {"dtype": self.dtype_policy}

        def conv(filters, size, mask_type, name):
            return MaskedConv2D(filters, size, mask_type, groups, name=name, **policy)

        self._features = PixelFeatures(head.num_symbols, groups, name="features", **policy)
        self._input = conv(2 * units, input_kernel_size, "A", "input")
        self._reduce = [conv(units, 1, "B", f"reduce_{i}") for i in range(num_blocks)]
        self._convs = [conv(units, kernel_size, "B", f"conv_{i}") for i in range(num_blocks)]
        self._expand = [conv(2 * units, 1, "B", f"expand_{i}") for i in range(num_blocks)]
        self._hidden = [conv(output_units, 1, "B", f"hidden_{i}") for i in range(2)]
        self._output = conv(head.params_size * groups, 1, "B", "output")
        self._predictions = Predictions(head, self.dtype_policy)
        self.build()

    @property
    def block_sizes(self):
        height, width, _ = self.image_shape
        return (width * self._groups,) * height

    def _network(self, first, point, masked):
        """The network, with its 1x1 layers applied by `point` and its 3x3 layers by `masked(i, conv, x)`."""
        h = first
        for i, (reduce, conv, expand) in enumerate(zip(self._reduce, self._convs, self._expand, strict=True)):
            y = ops.relu(point(reduce, ops.relu(h)))
            h = h + point(expand, ops.relu(masked(i, conv, y)))
        return h

    def _to_params(self, h, point):
        for layer in self._hidden:
            h = point(layer, ops.relu(h))
        y = point(self._output, ops.relu(h))
        return y if self.head.site_shape else self._features.split_groups(y)

    def call(self, x, context=None, training=False):
        apply = lambda layer, y: layer(y)  # noqa: E731
        first = self._input(self._features(x))
        params = self._to_params(self._network(first, apply, lambda i, conv, y: conv(y)), apply)
        return self._predictions(params, x)

    def receptive_field(self, num_sites=None):
        height, width, _ = self.image_shape
        reach = self._input.reach(height, width)
        for conv in self._convs:
            reach = reach | compose_reach(conv.reach(height, width), reach)
        return self._predictions.reach(height, width, reach)

    # Cached: when a row is complete, its features are computed at full width, for what they add to the next row.

    def cache_spec(self, max_sites):
        _, width, channels = self.image_shape
        spec = {"window": self._features.window_spec(self.input_kernel_size // 2, channels)}
        spec["predictions"] = self._predictions.cache_spec(width, channels)
        for conv in (self._input, *self._convs):
            spec[conv.name] = {"rows": conv.rows_spec(width), "link": conv.link_spec(width)}
            if conv is not self._input:
                spec[conv.name]["left"] = conv.left_spec()
        return spec

    def begin_block(self, prev, cache, index, context=None):
        width, channels = self.image_shape[1:]
        row = self._features(ops.reshape(prev, (prev.shape[0], width, channels)))
        exists = ops.cast(index > 0, self.compute_dtype)  # above the first row there is padding, not a row of features
        new = {
            "window": ops.full_like(cache["window"], -1),
            "predictions": self._predictions.begin_row(prev, cache["predictions"]),
        }

        def masked(conv, y):
            old = cache[conv.name]
            out = conv.along_row(y, old["link"]["block"])
            link, rows = conv.step_row(y * exists, old["rows"])
            new[conv.name] = {"rows": rows, "link": conv.link_spec(width).write(link)}
            if "left" in old:
                new[conv.name]["left"] = ops.zeros_like(old["left"])
            return out

        point = lambda layer, y: layer.step_window(ops.reshape(y, (-1, 1, y.shape[-1])))  # noqa: E731
        flat = lambda layer, y: ops.reshape(point(layer, y), (-1, width, layer.filters))  # noqa: E731
        self._network(masked(self._input, row), flat, lambda i, conv, y: masked(conv, y))
        return new

    @site_by_site
    def step(self, prev, cache, index, context=None):
        width = self.image_shape[1]
        features, window, fresh, column = self._features.step(prev, cache["window"], index, width)
        new = {"window": window}

        def link(conv):
            new[conv.name] = dict(cache[conv.name])
            return conv.link_spec(width).read(cache[conv.name]["link"], column)

        def masked(i, conv, y):
            above = link(conv)
            out, new[conv.name]["left"] = conv.step(y, cache[conv.name]["left"], above, fresh)
            return out

        point = lambda layer, y: layer.step_window(ops.expand_dims(y, 1))  # noqa: E731
        h = self._network(self._input.step_window(features, link(self._input)), point, masked)
        params = ops.reshape(self._to_params(h, point), (-1, self._groups, self.head.params_size))
        params = self._features.chosen(params, index)
        params, new["predictions"] = self._predictions.step(params, prev, cache["predictions"], index)
        return params, new

    SMALL = (
        dict(image_shape=(2, 2, 2), head=Categorical(3)),
        dict(image_shape=(2, 3, 1), head=DiscretizedLogisticMixture(2, 4, 1)),
    )

    PRESETS = {
        "tiny": dict(
            image_shape=(4, 5, 2), head=Categorical(4), num_blocks=2, units=8, output_units=8, input_kernel_size=5
        ),
        "mnist": dict(image_shape=(28, 28, 1), head=Categorical(256), num_blocks=7, units=32, output_units=64),
        # The paper's sizes (section 5.1 and table 1 of the paper's appendix): h = 128 for CIFAR-10, 15 layers.
        "cifar10": dict(image_shape=(32, 32, 3), head=Categorical(256), num_blocks=15, units=129, output_units=1026),
    }
