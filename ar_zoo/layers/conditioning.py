"""Conditioning: what an event is generated from, as it is added to a layer's channels before its non-linearity."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.config import Configurable


@keras.saving.register_keras_serializable(package="ar_zoo")
class Conditioning(Configurable, keras.layers.Layer):
    """A bias for each class (arXiv:1606.05328, equation 4: V h with h one-hot), "unknown" being a class of its own.

    Args:
        units: channels of the bias.
        num_classes: number of classes; class `num_classes` is "unknown".

    Shapes:
        int [B] → [B, units].
    """

    def __init__(self, units, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.units, self.num_classes = units, num_classes

    def build(self, input_shape):
        self.table = self.add_weight(
            name="table",
            shape=(self.num_classes + 1, self.units),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )

    def call(self, label):
        return ops.take(ops.cast(self.table, self.compute_dtype), ops.cast(label, "int32"), axis=0)


@keras.saving.register_keras_serializable(package="ar_zoo")
class ImageConditioning(Configurable, keras.layers.Layer):
    """Features of a whole image that is known, for each pixel of the one that is drawn (arXiv:1606.05328, equation 5).

    A small image is first made as large as the one that is drawn, each pixel a square; then one convolution looks
    around each place, ahead too.

    Args:
        image_shape: (height, width) of what is drawn, whole multiples of the known image's.
        units: features.
        kernel_size: how far they see, an odd number.

    Shapes:
        float [B, h, w, channels] → [B, height, width, units].
    """

    def __init__(self, image_shape, units, kernel_size=7, **kwargs):
        super().__init__(**kwargs)
        self.image_shape, self.units, self.kernel_size = tuple(image_shape), units, kernel_size

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(self.kernel_size, self.kernel_size, input_shape[-1], self.units)
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, image):
        return self._features(self._enlarged(image))

    def row(self, image, number):
        """The same for row `number` (a scalar) alone, [B, width, units]."""
        enlarged = self._enlarged(image)
        batch, _, width, channels = enlarged.shape
        rows = ops.slice(enlarged, (0, number, 0, 0), (batch, self.kernel_size, width, channels))
        return ops.squeeze(self._features(rows), 1)

    def _enlarged(self, image):
        """As large as what is drawn, with a margin of zeros that the kernel reaches."""
        image = ops.cast(image, self.compute_dtype)
        for axis, size in enumerate(self.image_shape, 1):
            image = ops.repeat(image, size // image.shape[axis], axis=axis)
        margin = self.kernel_size // 2
        return ops.pad(image, ((0, 0), (margin, margin), (margin, margin), (0, 0)))

    def _features(self, enlarged):
        kernel, bias = (ops.cast(weight, self.compute_dtype) for weight in (self.kernel, self.bias))
        return ops.relu(ops.conv(enlarged, kernel, padding="valid") + bias)


@keras.saving.register_keras_serializable(package="ar_zoo")
class NullDropout(Configurable, keras.layers.Layer):
    """In training, replaces labels by "unknown" at random, so that one model learns both densities.

    Args:
        rate: probability of hiding an event's label.
        null: the label that stands for "unknown".
    """

    def __init__(self, rate, null, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` must lie in [0, 1]; got {rate}.")
        self.rate, self.null = rate, null
        self._seed = keras.random.SeedGenerator()

    def call(self, label, training=False):
        if not training or self.rate == 0:
            return label
        hidden = keras.random.uniform(ops.shape(label), seed=self._seed) < self.rate
        return ops.where(hidden, ops.cast(self.null, label.dtype), label)
