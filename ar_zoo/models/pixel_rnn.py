"""PixelRNN (van den Oord et al. 2016, arXiv:1601.06759): recurrent layers that go over an image in two dimensions.

    h ← h + W LSTM(h),   LSTM: 2h → h, along rows (Row LSTM) or diagonals (Diagonal BiLSTM),   W: 1x1, h → 2h

after a masked 7x7 convolution of type A, and before two masked 1x1 layers with relu: a `RasterNetwork`. `RowLSTM` and
`DiagonalLSTM` have the equations of the layers. Training goes through an image in as many steps as it has rows or diagonals.

Row LSTM sees a triangle above each pixel, and what is to the left. Diagonal BiLSTM sees all earlier pixels but one: what
comes from the right comes from features of the row above, of which, by the first layer's mask, none knows that row's last
pixel (of channels drawn one by one, its last channel). That is seen only where the first layer reaches it.
`receptive_field` is exact about both.

Deviation: states outside of the image are zeros, and the gates that keep the memory start open.
"""

from __future__ import annotations

from ar_zoo.core import arguments
from ar_zoo.core.registry import register
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture
from ar_zoo.layers import DiagonalLSTM, RowLSTM
from ar_zoo.raster import RasterNetwork

KINDS = ("row", "diagonal")


@register("pixel_rnn")
class PixelRNN(RasterNetwork):
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
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(map(repr, KINDS))}; got {kind!r}.")
        arguments.whole(0, num_layers=num_layers)
        arguments.kernels(kernel_size=kernel_size)
        super().__init__(image_shape, head, units, output_units, input_kernel_size, **kwargs)
        self.kind, self.num_layers, self.kernel_size = kind, num_layers, kernel_size

        def lstm(name):
            if kind == "row":
                return RowLSTM(units, kernel_size, self._groups, name=name, dtype=self.dtype_policy)
            return DiagonalLSTM(units, self._groups, name=name, dtype=self.dtype_policy)

        self._spatial = [lstm(f"lstm_{i}") for i in range(num_layers)]
        self._expand = [self._conv(2 * units, 1, "B", f"expand_{i}") for i in range(num_layers)]
        self.build()

    def block(self, i, h, point, spatial):
        return h + point(self._expand[i], spatial(h))

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
