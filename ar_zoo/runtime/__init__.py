"""Runs exported models with NumPy and LiteRT alone: no TensorFlow, no Keras.

Four digits, say:

    import ar_zoo.runtime
    digits = ar_zoo.runtime.load("digits_export").sample(4, seed=0)
"""

from ar_zoo.runtime.density import DensityRuntime
from ar_zoo.runtime.engines import load
from ar_zoo.runtime.runtime import Runtime

__all__ = ["DensityRuntime", "Runtime", "load"]
