"""One Gaussian a site, for continuous data."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.heads.base import Head, greedy_or

# Below, a scale is lost in the rounding of values about 1 in float32; above, a value's square would overflow.
LOG_SCALES = (-15.0, 30.0)

# Wichura's PPND7 (algorithm AS 241, Applied Statistics 37, 1988): numerators and denominators, the highest power first,
# of a rational function of 0.180625 - q² in the middle, and of √(-log p) - 1.6 in the tails down to p = e⁻²⁵.
_MIDDLE = (59.109374720, 159.29113202, 50.434271938, 3.3871327179), (67.187563600, 78.757757664, 17.895169469, 1.0)
_TAIL = (0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777), (0.12021132975, 0.73700164250, 1.0)


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


def normal_quantile(uniform):
    """The inverse CDF of the standard normal: float32 in (0, 1) → float32, to 4e-7 of it.

    Of one uniform number, where Box-Muller takes two and a cosine; and rising with it, so that neighbouring numbers give
    neighbouring values. (TFLite has no inverse of the error function.)
    """
    q = uniform - 0.5
    r = 0.180625 - q * q
    middle = q * _rational(ops.maximum(r, 0.0), *_MIDDLE)
    r = ops.sqrt(-ops.log(ops.minimum(uniform, 1.0 - uniform))) - 1.6
    tail = _rational(r, *_TAIL)
    return ops.where(ops.abs(q) <= 0.425, middle, ops.where(q < 0.0, -tail, tail))


def _rational(x, numerator, denominator):
    return _polynomial(x, numerator) / _polynomial(x, denominator)


def _polynomial(x, coefficients):
    """By Horner's rule, the highest power first."""
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
