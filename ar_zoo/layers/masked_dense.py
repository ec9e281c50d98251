"""Masked dense layer over degrees (MADE, Germain et al. 2015, arXiv:1502.03509)."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.config import Configurable
from ar_zoo.core.lookup import entries


def spread_degrees(units: int, sites: int) -> np.ndarray:
    """int32 [units]: degrees of hidden units, from 1 to `sites` - 1, each as often as any other, or nearly.

    Example: `spread_degrees(5, 4)` is [1, 1, 2, 2, 3]
    """
    return (1 + np.arange(units) * max(sites - 1, 1) // units).astype(np.int32)


def units_of_degree(degrees: np.ndarray, sites: int) -> np.ndarray:
    """int32 [orders · S, n]: the units of degree 0, 1, … S - 1 among `degrees` [orders, units], order after order, filled
    up with the number of units."""
    most = max(int(np.bincount(row).max()) for row in degrees)
    table = np.full((len(degrees), sites, most), degrees.shape[1], np.int32)
    for row, own in zip(table, degrees, strict=True):
        for degree in range(min(sites, own.max() + 1)):
            units = np.flatnonzero(own == degree)
            row[degree, : len(units)] = units
    return np.concatenate(table)


def reached(number, least, dtype):
    """1 where a whole number is at least another, else 0.

    Example:
        >>> reached(np.array([1, 2, 3]), 2, "float32")
        <tf.Tensor: shape=(3,), dtype=float32, numpy=array([0., 1., 1.], dtype=float32)>
    """
    # In floats, which LiteRT computes faster than it compares. The number 1 joins the constant one of both, if one is.
    ahead = (ops.cast(number, "float32") + 1.0) - ops.cast(least, "float32")
    return ops.cast(ops.minimum(ops.relu(ahead), 1.0), dtype)


@keras.saving.register_keras_serializable(package="ar_zoo")
class MaskedDense(Configurable, keras.layers.Layer):
    """Dense layer whose outputs see those inputs alone that have a low enough degree.

    An input that holds the site at place t has degree t + 1, and so has each of that site's outputs. A hidden unit of
    degree m sees inputs up to place m - 1; a layer of outputs is `strict`, whether it reads hidden units or, directly,
    inputs. What every output may see, such as a context, has degree 0. Degrees come with the call, so that one layer
    serves several orders, and the kernel is masked where it is used.

    Args:
        units: outputs.
        strict: whether an output sees lower degrees alone, and not its own.
        use_bias: whether a bias is added.
        initial_scale: of the outputs at first, against that of the inputs; small where they change what goes by.
        by_output: stores the kernel as [units, inputs], not [inputs, units]: `rows` are then those of outputs.

    Shapes:
        x [..., inputs], degrees_in int [inputs], degrees_out int [units] → [..., units]. Without degrees nothing is
        masked.

    Example:
        >>> MaskedDense(2, strict=True)(np.ones((1, 2), "float32"), np.array([1, 2]), np.array([1, 2]))[0, 0]
        <tf.Tensor: shape=(), dtype=float32, numpy=0.0>
    """

    def __init__(self, units, strict=False, use_bias=True, by_output=False, initial_scale=1.0, **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` must be at least 1; got {units}.")
        self.units, self.strict, self.use_bias, self.by_output = units, strict, use_bias, by_output
        self.initial_scale = initial_scale

    def build(self, input_shape, *degrees):
        shape = (input_shape[-1], self.units)
        self.kernel = self.add_weight(
            name="kernel",
            shape=shape[::-1] if self.by_output else shape,
            # Glorot's, where the scale is 1.
            initializer=keras.initializers.VarianceScaling(self.initial_scale**2, "fan_avg", "uniform"),
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, x, degrees_in=None, degrees_out=None):
        kernel = ops.cast(self.kernel, self.compute_dtype)
        if self.by_output:
            kernel = ops.transpose(kernel)
        if degrees_in is not None:
            degrees_in, degrees_out = ops.expand_dims(degrees_in, 1), ops.expand_dims(degrees_out, 0)
            sees = degrees_in < degrees_out if self.strict else degrees_in <= degrees_out
            kernel = kernel * ops.cast(sees, kernel.dtype)
        x = ops.matmul(x, kernel)
        return x + ops.cast(self.bias, x.dtype) if self.use_bias else x

    # Cached: what a step reads of the kernel. The rows are those of all events, [n, columns], or of each, [B, n, columns].

    def rows(self, number, size: int | None = None):
        """Rows of the kernel, without a mask: those of numbers [..., n], or, of number [...], `size` from number · size on."""
        kernel = self.kernel if size is None else ops.reshape(self.kernel, (-1, size, self.kernel.shape[1]))
        return ops.cast(entries(kernel, number), self.compute_dtype)

    def added(self, x, rows):
        """What some inputs `x` [B, n] add to every output, by their rows: [B, units]."""
        if len(rows.shape) == 2:
            return ops.matmul(x, rows)
        return ops.sum(ops.expand_dims(x, -1) * rows, axis=1)

    def outputs(self, x, number, size: int):
        """Group `number`, one or [B], of `size` outputs, of a layer that is stored by output: [B, size]."""
        rows = self.rows(number, size)
        out = (
            ops.matmul(x, ops.transpose(rows))
            if len(rows.shape) == 2
            else ops.sum(ops.expand_dims(x, 1) * rows, axis=-1)
        )
        if not self.use_bias:
            return out
        return out + entries(ops.reshape(ops.cast(self.bias, out.dtype), (-1, size)), number)
