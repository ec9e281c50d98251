"""A masked network of several layers (MADE, Germain et al. 2015, arXiv:1502.03509), of one fixed order."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.config import Configurable
from ar_zoo.layers.activation import get_activation
from ar_zoo.layers.conditioning import Conditioning
from ar_zoo.layers.masked_dense import MaskedDense, spread_degrees


@keras.saving.register_keras_serializable(package="ar_zoo")
class MaskedNetwork(Configurable, keras.layers.Layer):
    """Numbers for each site of a vector, from the sites before it in an order, and from all of them.

    Hidden units have degrees from 1 to S - 1, spread evenly. Each layer has at least S - 1 of them, so that through any
    number of layers each output sees all of its past. A class adds a bias to the first hidden layer and to the outputs:
    those of the first site see no hidden unit. At first all are small, the outputs most.

    Args:
        order: a permutation of the sites.
        outputs: numbers for each site.
        units: of the hidden layers.
        activation: of the hidden layers, a name that Keras knows.
        num_classes: adds biases for a class, of which class `num_classes` is "unknown"; None for none.

    Shapes:
        x [B, S], label int [B] → [B, S, outputs].

    Example:
        >>> MaskedNetwork([1, 0], 2, (4,))(np.ones((3, 2), "float32")).shape
        TensorShape([3, 2, 2])
    """

    def __init__(self, order, outputs, units=(64, 64), activation="tanh", num_classes=None, **kwargs):
        super().__init__(**kwargs)
        self.order, self.outputs, self.units = tuple(int(site) for site in order), outputs, tuple(units)
        self.activation, self.num_classes = activation, num_classes
        sites = len(self.order)
        if sorted(self.order) != list(range(sites)):
            raise ValueError(f"`order` must be a permutation of 0..{sites - 1}; got {list(self.order)}.")
        if min(self.units) < sites - 1:
            raise ValueError(
                f"`units` must be at least {sites - 1} in each layer, one less than the sites, so that each sees all "
                f"before it; got {list(self.units)}."
            )
        self._activate = get_activation(activation)
        policy = {"dtype": self.dtype_policy}
        self._hidden = [
            MaskedDense(size, initial_scale=0.6, name=f"hidden_{i}", **policy) for i, size in enumerate(self.units)
        ]
        self._output = MaskedDense(sites * outputs, strict=True, initial_scale=0.1, name="output", **policy)
        if num_classes:
            self._label = Conditioning(self.units[0], num_classes, name="label", **policy)
            self._label_output = Conditioning(sites * outputs, num_classes, name="label_output", **policy)

    def build(self, x_shape, label_shape=None):
        inputs = x_shape[-1]
        for layer in (*self._hidden, self._output):
            layer.build((None, inputs))
            inputs = layer.units
        if self.num_classes:
            self._label.build(label_shape)
            self._label_output.build(label_shape)

    def call(self, x, label=None):
        sites = len(self.order)
        degrees = np.argsort(self.order).astype(np.int32) + 1
        finally_seen = np.repeat(degrees, self.outputs)
        h = x
        for i, layer in enumerate(self._hidden):
            own = spread_degrees(layer.units, sites)
            h = layer(h, degrees, own)
            if i == 0 and self.num_classes:
                h = h + self._label(label)
            h, degrees = self._activate(h), own
        h = self._output(h, degrees, finally_seen)
        if self.num_classes:
            h = h + self._label_output(label)
        return ops.reshape(h, (-1, sites, self.outputs))
