"""Two symbols: binarised pixels."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.heads.base import Head, greedy_or, positive, softplus


@keras.saving.register_keras_serializable(package="ar_zoo")
class Bernoulli(Head):
    """A coin whose logit the network emits. Symbols are 0 and 1."""

    num_symbols = 2
    params_size = 1

    def __init__(self):
        pass

    def distribution(self, params, temperature=1.0):
        from tensorflow_probability import distributions as tfd

        return tfd.Bernoulli(logits=params[..., 0] / temperature)

    def coordinate_log_probs(self, params, known=None, coordinate=0):
        return -softplus(ops.concatenate([params, -params], axis=-1))

    def sample(self, params, noise, temperature=1.0):
        logit = ops.cast(params, "float32")[..., 0]
        drawn = noise[..., 0] < ops.sigmoid(logit / positive(temperature))
        return ops.cast(greedy_or(temperature, logit > 0, drawn), "int32")
