"""Discretised logistic mixture (PixelCNN++, Salimans et al. 2017, arXiv:1701.05517, equations 1-3).

Each channel is a mixture of logistics on [-1, 1], integrated over the width of one level; the lowest and the highest
level take the tails. With three channels the component is drawn once a pixel, and the means of green and blue are
shifted linearly by the channels drawn before:

    m_G = μ_G + α·R,   m_B = μ_B + β·R + γ·G.

The probability of a level with edges a > b (in units of the scale) is σ(a) - σ(b) = σ(a) σ(-b) (1 - e^(b-a)), so its
logarithm is a sum of three terms without cancellation, at any scale. The paper's switch to a density for small
probabilities is not needed, and is left out.
"""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.heads.base import Head, draw_index, greedy_or, most_likely, positive, softplus


@keras.saving.register_keras_serializable(package="ar_zoo")
class DiscretizedLogisticMixture(Head):
    """A mixture of discretised logistics over pixels of one or three channels; the pixel is one site.

    A temperature divides the logits of the weights and multiplies the scales; 0 takes the middle of the heaviest
    component, channel after channel, which need not be the mode of the mixture.

    Args:
        num_components: logistics in the mixture.
        num_levels: levels of one channel.
        channels: 1 or 3 (3 couples the channels as PixelCNN++ does).
    """

    # Below, a level's neighbours are out of reach; above, all levels are alike, and the width of one is lost in float32.
    log_scale_range = (-7.0, 30.0)
    # Whether a logistic ends at the outermost levels, instead of giving them its tails.
    truncated = False

    def __init__(self, num_components: int = 10, num_levels: int = 256, channels: int = 3):
        if channels not in (1, 3):
            raise ValueError(f"`channels` must be 1 or 3; got {channels}.")
        arguments.whole(num_components=num_components)
        arguments.whole(2, num_levels=num_levels)
        self.num_components = num_components
        self.num_levels = self.num_symbols = num_levels
        self.channels = channels
        self.site_shape = (channels,)
        self.noise_shape = (1 + channels,)
        self.num_couplings = channels * (channels - 1) // 2
        self.params_size = num_components * (1 + 2 * channels + self.num_couplings)

    def split(self, params):
        """Mixture logits [..., K], and means, log-scales and couplings [..., K, channels or couplings]."""
        k, c = self.num_components, self.channels
        logits, rest = params[..., :k], params[..., k:]
        rest = ops.reshape(rest, (*ops.shape(params)[:-1], k, 2 * c + self.num_couplings))
        log_scales = ops.clip(rest[..., c : 2 * c], *self.log_scale_range)
        return logits, rest[..., :c], log_scales, self._coupled(rest[..., 2 * c :])

    @staticmethod
    def _coupled(raw):
        return ops.tanh(raw)

    def distribution(self, params, temperature=1.0):
        from tensorflow_probability import distributions as tfd

        logits, means, log_scales, couplings = self.split(params)
        log_scales = log_scales + ops.log(ops.cast(temperature, log_scales.dtype))
        component = _logistic_class()(means, log_scales, couplings, self.num_levels, self.truncated)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits / temperature), component)

    def coordinate_log_probs(self, params, known=None, coordinate=0):
        logits, means, log_scales, couplings = self.split(params)
        log_weights = ops.log_softmax(logits, axis=-1)
        shift = 0.0
        if coordinate > 0:
            known = ops.expand_dims(rescale(known, self.num_levels, means.dtype), -2)
            for c in range(coordinate):
                mean = means[..., c] + _coupling(couplings, known, c)
                each = level_log_prob(known[..., c], mean, log_scales[..., c], self.num_levels, self.truncated)
                log_weights = log_weights + each
            log_weights = ops.log_softmax(log_weights, axis=-1)
            shift = _coupling(couplings, known, coordinate)
        alphabet = rescale(ops.arange(self.num_levels), self.num_levels, means.dtype)
        mean, log_scale = means[..., coordinate] + shift, log_scales[..., coordinate]
        each = level_log_prob(alphabet, mean[..., None], log_scale[..., None], self.num_levels, self.truncated)
        return ops.logsumexp(log_weights[..., None] + each, axis=-2)

    def sample(self, params, noise, temperature=1.0):
        logits, means, log_scales, couplings = self.split(ops.cast(params, "float32"))
        divisor = positive(temperature)
        component = draw_index(logits / divisor, noise[..., 0])
        component = greedy_or(temperature, most_likely(logits), component)
        chosen = ops.expand_dims(ops.one_hot(component, self.num_components, dtype="float32"), -1)
        means, log_scales, couplings = (ops.sum(chosen * v, axis=-2) for v in (means, log_scales, couplings))
        scales, drawn = ops.exp(log_scales) * divisor, []
        for c in range(self.channels):
            # What later channels see is the rounded level, the same that is scored.
            mean, uniform = means[..., c] + _coupling(couplings, drawn, c), noise[..., 1 + c]
            if self.truncated:
                mean, uniform = inside(mean), between_edges(uniform, inside(mean), scales[..., c], self.num_levels)
            offset = (ops.log(uniform) - ops.log(1.0 - uniform)) * scales[..., c]
            value = mean + greedy_or(temperature, ops.zeros_like(offset), offset)
            level = ops.floor((value + 1.0) * (0.5 * (self.num_levels - 1)) + 0.5)
            level = ops.clip(level, 0.0, float(self.num_levels - 1))
            drawn.append(rescale(level, self.num_levels, "float32"))
        levels = ops.stack([(value + 1.0) * (0.5 * (self.num_levels - 1)) for value in drawn], axis=-1)
        return ops.cast(levels + 0.5, "int32")


def rescale(levels, num_levels: int, dtype):
    """Levels 0 … num_levels - 1 → [-1, 1]."""
    return ops.cast(levels, dtype) * (2.0 / (num_levels - 1)) - 1.0


def level_log_prob(value, mean, log_scale, num_levels: int, truncated: bool = False):
    """Log-probability (nats) of a level, given as its rescaled value, under a logistic that is cut into levels.

    The outermost levels take the tails, or, `truncated`, nothing lies beyond them; the mean then lies within them.
    """
    half = 1.0 / (num_levels - 1)
    inverse = ops.exp(-log_scale)
    if truncated:
        mean = inside(mean)
        whole = _log_mass((-1.0 - half - mean) * inverse, (1.0 + half - mean) * inverse, (2.0 + 2.0 * half) * inverse)
    upper = (value - mean + half) * inverse
    lower = (value - mean - half) * inverse
    between = _log_mass(lower, upper, 2.0 * half * inverse)
    if truncated:
        return between - whole
    return ops.where(value < half - 1.0, -softplus(-upper), ops.where(value > 1.0 - half, -softplus(lower), between))


def _log_mass(lower, upper, width):
    """ln(σ(upper) - σ(lower)), of edges that lie `width` apart."""
    # ln(1 - e^-w) with t = tanh(w/2): exact for narrow and for wide levels, finite gradients, no branch.
    tanh = ops.tanh(0.5 * width)
    return -softplus(-upper) - softplus(lower) + ops.log(2.0 * tanh / (1.0 + tanh))


def inside(mean):
    """A mean no further out than the outermost levels: of a logistic that ends there, nothing else would be left."""
    return ops.clip(mean, -1.0, 1.0)


def between_edges(uniform, mean, scale, num_levels: int):
    """A uniform number, moved to where the logistic lies between the outermost levels' edges."""
    half = 1.0 / (num_levels - 1)
    lowest, highest = (ops.sigmoid((edge - mean) / scale) for edge in (-1.0 - half, 1.0 + half))
    return ops.minimum(lowest + uniform * (highest - lowest), 1.0 - 2.0**-24)


def _coupling(couplings, earlier, channel: int):
    """How far the earlier channels (rescaled) move the mean of `channel`; couplings are α, β, γ."""
    value = earlier.__getitem__ if isinstance(earlier, list) else (lambda c: earlier[..., c])
    first = channel * (channel - 1) // 2
    return sum((couplings[..., first + c] * value(c) for c in range(channel)), 0.0)


@functools.cache
def _logistic_class():
    """Made on first use: importing heads does not import TFP."""
    from tensorflow_probability import distributions as tfd

    class DiscretizedLogistic(tfd.Distribution):
        """One component: the channels of a pixel, each discretised and coupled to those before it."""

        def __init__(self, means, log_scales, couplings, num_levels, truncated=False, name="DiscretizedLogistic"):
            parameters = dict(locals())
            self.means, self.log_scales, self.couplings, self.num_levels = means, log_scales, couplings, num_levels
            self.truncated = truncated
            super().__init__(
                dtype=np.int32,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=False,
                allow_nan_stats=False,
                parameters=parameters,
                name=name,
            )

        def _batch_shape(self):
            return self.means.shape[:-1]

        def _batch_shape_tensor(self):
            return ops.shape(self.means)[:-1]

        def _event_shape(self):
            return self.means.shape[-1:]

        def _event_shape_tensor(self):
            return ops.shape(self.means)[-1:]

        def _log_prob(self, x):
            values = rescale(x, self.num_levels, self.means.dtype)
            total = 0.0
            for c in range(self.means.shape[-1]):
                mean = self.means[..., c] + _coupling(self.couplings, values, c)
                total += level_log_prob(values[..., c], mean, self.log_scales[..., c], self.num_levels, self.truncated)
            return total

        def _sample_n(self, n, seed=None):
            import tensorflow as tf

            uniforms = tfd.Uniform(tf.zeros_like(self.means), 1.0).sample(n, seed=seed)
            scales, drawn = tf.exp(self.log_scales), []
            for c in range(self.means.shape[-1]):
                mean, uniform = self.means[..., c] + _coupling(self.couplings, drawn, c), uniforms[..., c]
                if self.truncated:
                    mean, uniform = inside(mean), between_edges(uniform, inside(mean), scales[..., c], self.num_levels)
                value = mean + (tf.math.log(uniform) - tf.math.log1p(-uniform)) * scales[..., c]
                level = tf.round((value + 1.0) * (0.5 * (self.num_levels - 1)))
                drawn.append(rescale(tf.clip_by_value(level, 0.0, self.num_levels - 1.0), self.num_levels, value.dtype))
            return tf.cast(tf.round((tf.stack(drawn, -1) + 1.0) * (0.5 * (self.num_levels - 1))), tf.int32)

    return DiscretizedLogistic
