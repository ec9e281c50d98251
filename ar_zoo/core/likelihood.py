"""Bits per dimension and perplexity. Both are fed with mean negative log-likelihoods in nats per dimension."""

from __future__ import annotations

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="ar_zoo")
class BitsPerDimension(keras.metrics.Mean):
    """Mean negative log-likelihood per dimension, in bits (a pixel's channel, an audio sample, a token)."""

    def __init__(self, name="bits_per_dim", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def result(self):
        return super().result() / math.log(2.0)


@keras.saving.register_keras_serializable(package="ar_zoo")
class Perplexity(keras.metrics.Mean):
    """The exponential of the mean negative log-likelihood per symbol."""

    def __init__(self, name="perplexity", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def result(self):
        return ops.exp(super().result())


def likelihood_dtype(model) -> str:
    """In which likelihoods are computed: at least float32."""
    return "float64" if model.compute_dtype == "float64" else "float32"
