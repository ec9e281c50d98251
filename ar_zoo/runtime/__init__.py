"""Runs exported models with NumPy and LiteRT alone: no TensorFlow, no Keras.

Four digits, say:

    import ar_zoo.runtime
    digits = ar_zoo.runtime.load("digits_export").sample(4, seed=0)
"""

from ar_zoo.runtime.runtime import Runtime, load

__all__ = ["Runtime", "load"]
