"""Entries of a table by their numbers, as exported steps look them up."""

from __future__ import annotations

import keras
from keras import ops


def entries(table, numbers):
    """`table[numbers]`, [n, …] and int [...] → [..., …]; the numbers lie within the table.

    `ops.take` would count negative ones from the end: with TensorFlow three operations more in each exported step, every
    one of which costs LiteRT as much as a few hundred multiplications.

    Example:
        >>> entries(np.array([5, 6, 7]), np.array([2, 0]))
        <tf.Tensor: shape=(2,), dtype=int64, numpy=array([7, 5])>
    """
    if keras.backend.backend() != "tensorflow":
        return ops.take(table, numbers, axis=0)
    import tensorflow as tf

    return tf.gather(table, numbers)
