"""Conditioning: what an event is generated from, added to a layer's channels before its non-linearity."""

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
