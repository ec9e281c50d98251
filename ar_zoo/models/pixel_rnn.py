"""PixelRNN (van den Oord et al. 2016, arXiv:1601.06759): recurrent layers that go over an image in two dimensions.

    h ← h + W LSTM(h),   LSTM: 2h → h, along rows (Row LSTM) or diagonals (Diagonal BiLSTM),   W: 1x1, h → 2h

after a masked 7x7 convolution of type A, and before two masked 1x1 layers with relu. `RowLSTM` and `DiagonalLSTM` have the
equations of the layers. Training goes through an image in as many steps as it has rows or diagonals.

Row LSTM sees a triangle above each pixel, and what is to the left. Diagonal BiLSTM sees all earlier pixels but one: what
comes from the right comes from features of the row above, of which, by the first layer's mask, none knows that row's last
pixel (of channels drawn one by one, its last channel). That is seen only where the first layer reaches it.
`receptive_field` is exact about both.

Deviation: states outside of the image are zeros, and the gates that keep the memory start open.
"""

from __future__ import annotations

from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import site_by_site
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture
from ar_zoo.layers import DiagonalLSTM, MaskedConv2D, PixelFeatures, RowLSTM
from ar_zoo.layers.masked_conv import compose_reach
from ar_zoo.layers.neighbours import Predictions

KINDS = ("row", "diagonal")


@register("pixel_rnn")
class PixelRNN(AutoregressiveModel):
    """Images, pixel by pixel in raster order.

    Args:
        image_shape: (height, width, channels).
        head: `Categorical` or `Bernoulli` draw channel after channel (R, then G given R, then B given both), a
            `DiscretizedLogisticMixture` the whole pixel.
        kind: `"row"` for Row LSTM, `"diagonal"` for Diagonal BiLSTM.
        num_layers: recurrent layers.
        units: channels h of a recurrent layer; the stream has 2h.
        output_units: channels of the two layers before the output.
        input_kernel_size: of the first layer.
        kernel_size: of the convolutions along rows in Row LSTM; Diagonal BiLSTM has none.
    """

    HEAVY = True

    def __init__(
        self,
        image_shape,
        head,
        kind="diagonal",
        num_layers=7,
        units=16,
        output_units=32,
        input_kernel_size=7,
        kernel_size=3,
        **kwargs,
    ):
        arguments.image(image_shape, head, neighbours=True)
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(map(repr, KINDS))}; got {kind!r}.")
        arguments.whole(0, num_layers=num_layers)
        arguments.whole(units=units, output_units=output_units)
        arguments.kernels(input_kernel_size=input_kernel_size, kernel_size=kernel_size)
        super().__init__(head, image_shape, **kwargs)
        self.image_shape, self.kind, self.num_layers = tuple(image_shape), kind, num_layers
        self.units, self.output_units = units, output_units
        self.input_kernel_size, self.kernel_size = input_kernel_size, kernel_size
        self._groups = groups = 1 if head.site_shape else self.image_shape[-1]
        arguments.multiples(groups, "the channels drawn one by one", units=units, output_units=output_units)
        policy = {"dtype": self.dtype_policy}

        def conv(filters, size, mask_type, name):
            return MaskedConv2D(filters, size, mask_type, groups, name=name, **policy)

        def lstm(name):
            if kind == "row":
                return RowLSTM(units, kernel_size, groups, name=name, **policy)
            return DiagonalLSTM(units, groups, name=name, **policy)

        self._features = PixelFeatures(head.num_symbols, groups, name="features", **policy)
        self._input = conv(2 * units, input_kernel_size, "A", "input")
        self._lstms = [lstm(f"lstm_{i}") for i in range(num_layers)]
        self._expand = [conv(2 * units, 1, "B", f"expand_{i}") for i in range(num_layers)]
        self._hidden = [conv(output_units, 1, "B", f"hidden_{i}") for i in range(2)]
        self._output = conv(head.params_size * groups, 1, "B", "output")
        self._predictions = Predictions(head, self.dtype_policy)
        self.build()

    @property
    def block_sizes(self):
        height, width, _ = self.image_shape
        return (width * self._groups,) * height

    def _network(self, h, point, recur):
        """The network after its first layer, with 1x1 layers applied by `point` and recurrent ones by `recur`."""
        for lstm, expand in zip(self._lstms, self._expand, strict=True):
            h = h + point(expand, recur(lstm, h))
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
        for lstm in self._lstms:
            reach = reach | compose_reach(lstm.reach(height, width), reach)
        return self._predictions.reach(height, width, reach)

    # Cached: when a row is complete, the network runs over it once more at full width, for what it adds to the next row.

    def cache_spec(self, max_sites):
        _, width, channels = self.image_shape
        return {
            "window": self._features.window_spec(self.input_kernel_size // 2, channels),
            "predictions": self._predictions.cache_spec(width, channels),
            "input": {"rows": self._input.rows_spec(width), "link": self._input.link_spec(width)},
            **{lstm.name: lstm.cache_spec(width) for lstm in self._lstms},
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

        def recur(lstm, h):
            y, new[lstm.name] = lstm.step_row(h, cache[lstm.name], exists)
            return y

        def point(layer, y):
            return ops.reshape(layer.step_window(ops.reshape(y, (-1, 1, y.shape[-1]))), (-1, width, layer.filters))

        self._network(self._input.along_row(row, old["link"]["block"]), point, recur)
        return new

    @site_by_site
    def step(self, prev, cache, index, context=None):
        width = self.image_shape[1]
        features, window, fresh, column = self._features.step(prev, cache["window"], index, width)
        new = dict(cache) | {"window": window}

        def recur(lstm, h):
            y, new[lstm.name] = lstm.step(h, cache[lstm.name], column, fresh, width)
            return y

        point = lambda layer, y: layer.step_window(ops.expand_dims(y, 1))  # noqa: E731
        link = self._input.link_spec(width).read(cache["input"]["link"], column)
        h = self._network(self._input.step_window(features, link), point, recur)
        params = ops.reshape(self._to_params(h, point), (-1, self._groups, self.head.params_size))
        params = self._features.chosen(params, index)
        params, new["predictions"] = self._predictions.step(params, prev, cache["predictions"], index)
        return params, new

    SMALL = (
        dict(image_shape=(2, 2, 2), head=Categorical(3)),
        dict(image_shape=(2, 2, 2), head=Categorical(3), kind="row"),
        dict(image_shape=(2, 3, 1), head=DiscretizedLogisticMixture(2, 4, 1)),
    )

    PRESETS = {
        "tiny": dict(
            image_shape=(3, 4, 2), head=Categorical(4), num_layers=2, units=6, output_units=8, input_kernel_size=3
        ),
        "mnist": dict(image_shape=(28, 28, 1), head=Categorical(256), num_layers=2, units=24, output_units=64),
        # The paper's sizes (section 5.2): seven layers of 16 channels for binary MNIST, twelve of 128 for CIFAR-10; 129
        # here, a multiple of the three channels.
        "mnist_row": dict(image_shape=(28, 28, 1), head=Bernoulli(), kind="row"),
        "mnist_diagonal": dict(image_shape=(28, 28, 1), head=Bernoulli()),
        "cifar10_row": dict(
            image_shape=(32, 32, 3), head=Categorical(256), kind="row", num_layers=12, units=129, output_units=1026
        ),
        "cifar10_diagonal": dict(
            image_shape=(32, 32, 3), head=Categorical(256), num_layers=12, units=129, output_units=1026
        ),
    }
