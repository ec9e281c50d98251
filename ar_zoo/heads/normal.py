"""One Gaussian a site, for continuous data."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.quantile import normal_quantile
from ar_zoo.heads.base import Head, greedy_or

# Below, a scale is lost in the rounding of values about 1 in float32; above, a value's square would overflow.
LOG_SCALES = (-15.0, 30.0)


@keras.saving.register_keras_serializable(package="ar_zoo")
class Normal(Head):
    """A Gaussian whose mean and log-scale the network emits.

    A temperature multiplies the scale; 0 takes the mean.

    Example:
        >>> Normal().distribution(np.array([[2.0, 0.0]])).mean()
        <tf.Tensor: shape=(1,), dtype=float64, numpy=array([2.])>
    """

    num_symbols = None
    params_size = 2

    def __init__(self):
        pass

    def distribution(self, params, temperature=1.0):
        from tensorflow_probability import distributions as tfd

        mean, log_scale = params[..., 0], params[..., 1]
        return tfd.Normal(mean, ops.exp(ops.clip(log_scale, *LOG_SCALES)) * temperature)

    def sample(self, params, noise, temperature=1.0):
        params = ops.cast(params, "float32")
        mean, log_scale = params[..., 0], params[..., 1]
        scale = ops.exp(ops.clip(log_scale, *LOG_SCALES)) * ops.cast(temperature, "float32")
        return greedy_or(temperature, mean, mean + scale * normal_quantile(noise[..., 0]))
