"""Two symbols: binarised pixels."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.heads.base import Head, softplus


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
        # noise < sigmoid(logit / temperature), solved for the logit: at 0 that takes the likelier symbol by itself.
        least = ops.cast(temperature, "float32") * (ops.log(noise) - ops.log(1.0 - noise))
        return ops.squeeze(ops.cast(ops.cast(params, "float32") > least, "int32"), -1)
