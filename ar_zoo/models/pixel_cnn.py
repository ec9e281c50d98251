"""PixelCNN (van den Oord et al. 2016, arXiv:1601.06759, section 3.3): a stack of masked convolutions.

    h ← h + W_3 relu(W_2 ∗ relu(W_1 relu(h))),   W_1: 2h → h, W_2: masked 3x3 of type B, W_3: h → 2h

after a masked 7x7 convolution of type A, and before two masked 1x1 layers with relu: a `RasterNetwork`. Masked square kernels
leave a blind spot to the upper right of a pixel, which `receptive_field` declares; `GatedPixelCNN` has none.
"""

from __future__ import annotations

from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.registry import register
from ar_zoo.heads import Categorical, DiscretizedLogisticMixture
from ar_zoo.raster import RasterConv, RasterNetwork


@register("pixel_cnn")
class PixelCNN(RasterNetwork):
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
        arguments.whole(0, num_blocks=num_blocks)
        arguments.kernels(kernel_size=kernel_size)
        super().__init__(image_shape, head, units, output_units, input_kernel_size, **kwargs)
        self.num_blocks, self.kernel_size = num_blocks, kernel_size
        self._reduce = [self._conv(units, 1, "B", f"reduce_{i}") for i in range(num_blocks)]
        self._convs = [self._conv(units, kernel_size, "B", f"conv_{i}") for i in range(num_blocks)]
        self._expand = [self._conv(2 * units, 1, "B", f"expand_{i}") for i in range(num_blocks)]
        self._spatial = [RasterConv(conv) for conv in self._convs]
        self.build()

    def block(self, i, h, point, spatial):
        y = ops.relu(point(self._reduce[i], ops.relu(h)))
        return h + point(self._expand[i], ops.relu(spatial(y)))

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
