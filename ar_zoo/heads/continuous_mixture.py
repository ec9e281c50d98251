"""A mixture of Gaussians or of logistics a site, for continuous data (Bishop 1994, "Mixture Density Networks")."""

from __future__ import annotations

import functools

import keras
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.quantile import normal_quantile
from ar_zoo.heads.base import Head, draw_index, greedy_or, most_likely, positive
from ar_zoo.heads.normal import LOG_SCALES

COMPONENTS = ("normal", "logistic")


@keras.saving.register_keras_serializable(package="ar_zoo")
class ContinuousMixture(Head):
    """A mixture whose logits, means and log-scales the network emits.

    A temperature divides the logits and multiplies the scales; 0 takes the mean of the heaviest component, which need not
    be the mode of the mixture.

    Args:
        num_components: of the mixture.
        component: what each is, `"normal"` or `"logistic"`, whose tails are heavier.

    Example:
        >>> ContinuousMixture(5, "logistic").params_size
        15
    """

    num_symbols = None
    noise_shape = (2,)  # which component, and where in it

    def __init__(self, num_components: int = 10, component: str = "normal"):
        arguments.whole(num_components=num_components)
        if component not in COMPONENTS:
            raise ValueError(f"`component` must be 'normal' or 'logistic'; got {component!r}.")
        self.num_components, self.component = num_components, component
        self.params_size = 3 * num_components

    def split(self, params):
        """Mixture logits, means and log-scales, [..., num_components] each."""
        logits, means, log_scales = ops.split(params, 3, axis=-1)
        return logits, means, ops.clip(log_scales, *LOG_SCALES)

    def distribution(self, params, temperature=1.0):
        from tensorflow_probability import distributions as tfd

        logits, means, log_scales = self.split(params)
        component = tfd.Normal if self.component == "normal" else _logistic_class()
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=logits / temperature), component(means, ops.exp(log_scales) * temperature)
        )

    def sample(self, params, noise, temperature=1.0):
        logits, means, log_scales = self.split(ops.cast(params, "float32"))
        divisor = positive(temperature)
        chosen, uniform = draw_index(logits / divisor, noise[..., 0]), noise[..., 1]
        chosen = greedy_or(temperature, most_likely(logits), chosen)
        chosen = ops.one_hot(chosen, self.num_components, dtype="float32")
        mean, log_scale = (ops.sum(chosen * values, axis=-1) for values in (means, log_scales))
        logistic = self.component == "logistic"
        quantile = ops.log(uniform) - ops.log(1.0 - uniform) if logistic else normal_quantile(uniform)
        return greedy_or(temperature, mean, mean + ops.exp(log_scale) * divisor * quantile)


@functools.cache
def _logistic_class():
    import tensorflow as tf
    from tensorflow_probability import distributions as tfd

    class Logistic(tfd.Logistic):
        """TFP's own takes a softplus, which overflows in TFLite far out in the tails."""

        def _log_prob(self, x):
            distance = tf.abs((x - self.loc) / self.scale)
            return -distance - 2.0 * tf.math.log1p(tf.exp(-distance)) - tf.math.log(self.scale)

    return Logistic
