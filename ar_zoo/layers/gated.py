"""The gated activation, and the residual and skip wiring around it."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.config import Configurable
from ar_zoo.layers.activation import get_activation


@keras.saving.register_keras_serializable(package="ar_zoo")
class GatedActivation(Configurable, keras.layers.Layer):
    """f(a) · σ(b), where a and b are the two halves of the channels (arXiv:1606.05328, equation 2).

    Args:
        activation: f, a Keras name: `"tanh"`; `"linear"` in PixelSNAIL and its kin.

    Example:
        >>> GatedActivation()(np.zeros((1, 6), "float32")).shape
        TensorShape([1, 3])
    """

    def __init__(self, activation="tanh", **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self._activate = get_activation(activation)

    def build(self, input_shape):
        if input_shape[-1] % 2:
            raise ValueError(f"A gated activation needs an even number of channels; the input has {input_shape[-1]}.")

    def call(self, x):
        a, b = ops.split(x, 2, axis=-1)
        return self._activate(a) * ops.sigmoid(b)


@keras.saving.register_keras_serializable(package="ar_zoo")
class ResidualSkip(Configurable, keras.layers.Layer):
    """From a block's activation: what is added to its input, and what goes straight to the output.

    Both are one dense map of the activation at each site. `residual` may be left out (the first layer of a stack,
    whose input is not yet a feature map).

    Args:
        skip_units: channels of the skip, 0 for none.
        residual: whether the residual branch exists.
        groups: channel groups of a sub-pixel order (see `MaskedConv2D`); group g then sees groups up to g.

    Call arguments:
        activation: [..., units].
        x: [..., residual units], the block's input.

    Returns:
        (x + residual, skip); without a residual branch (its dense map, skip); without skip (…, None).
    """

    def __init__(self, units, skip_units=0, residual=True, groups=1, **kwargs):
        super().__init__(**kwargs)
        if units % groups or skip_units % groups:
            raise ValueError(
                f"`units` and `skip_units` must be multiples of `groups`; got {units}, {skip_units}, {groups}."
            )
        self.units, self.skip_units, self.residual, self.groups = units, skip_units, residual, groups

    def build(self, input_shape):
        channels = input_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(channels, self.units + self.skip_units))
        self.bias = self.add_weight(name="bias", shape=(self.units + self.skip_units,), initializer="zeros")
        self._mask = None
        if self.groups > 1:
            # The channels of residual and skip both start with group 0: multiples of `groups` keep them in step.
            group_out = np.arange(self.units + self.skip_units) % self.groups
            group_in = np.arange(channels) % self.groups
            self._mask = (group_in[:, None] <= group_out[None, :]).astype("float32")

    def call(self, activation, x=None):
        out = self._mapped(activation)
        skip = out[..., self.units :] if self.skip_units else None
        out = out[..., : self.units]
        return (x + out if self.residual else out), skip

    def onto(self, activation, both=None):
        """The same with residual and skip side by side, [..., units + skip units]: added to what came before.

        A step is made of small operations, and this saves two a layer.
        """
        out = self._mapped(activation)
        return both + out if self.residual else out

    def _mapped(self, activation):
        kernel = self.kernel if self._mask is None else self.kernel * ops.cast(self._mask, self.kernel.dtype)
        return ops.matmul(activation, ops.cast(kernel, self.compute_dtype)) + ops.cast(self.bias, self.compute_dtype)
