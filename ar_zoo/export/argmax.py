"""`keras.ops.argmax` in a form that TFLite has built in."""

from __future__ import annotations

import contextlib

import tensorflow as tf
from keras.src.backend.tensorflow import numpy as keras_numpy  # `keras.ops.argmax` ends here; there is no public hook


@contextlib.contextmanager
def argmax_without_bit_tricks():
    """While this lasts, `keras.ops.argmax` is TensorFlow's own.

    Keras puts -0.0 below 0.0 by looking at the sign bit, with an operation that TFLite lacks. An export ranks the two
    zeros as equals, and takes the first.
    """
    original = keras_numpy.argmax

    def argmax(x, axis=None, keepdims=False):
        x = tf.convert_to_tensor(x)
        if axis is None or keepdims:
            return original(x, axis, keepdims)
        return tf.argmax(x, axis=axis, output_type="int32")

    keras_numpy.argmax = argmax
    try:
        yield
    finally:
        keras_numpy.argmax = original
