"""A bounded energy of a value, normalised by importance sampling (Nash & Durkan 2019, "Autoregressive Energy Machines").

    p(v) = q(t) · exp(-E(y)) / (s Z),    t = (v - m) / s,    y = arcsinh t
    E(y) = -Σ_k w_k tanh(a_k (y - c_k)),    Z = ∫ q(t) exp(-E(y)) dt ≈ Σ_j q(t_j) / r(t_j) · exp(-E(y_j))

(arXiv:1904.05626, equations 4 to 6.) The network emits the place m and the scale s of a logistic density q, and the
weights, slopes and centres of an energy that tilts it. The proposal r spreads y evenly, so that the points are close
together in the middle and go far out. Its points are stratified, and the noise in each stratum is fixed: then the
likelihood has no noise, `call`, `step` and every engine agree, and the error falls like that of the trapezoidal rule,
exponentially for functions as smooth as these.

Deviations: the paper's energy is a residual network that all sites share and that reads a context vector and the value;
its proposal is a mixture of Gaussians that is trained beside it, and its points are random, so that its likelihood is
an estimate. Here |E| is bounded, and slopes by what the points resolve, so that Z is right for any parameters.
"""

from __future__ import annotations

import functools
import math

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.heads.base import Head, draw_weighted, greedy_or, most_likely, positive
from ar_zoo.heads.normal import LOG_SCALES

LARGEST_ENERGY = 8.0  # nats
EDGE = 4.0  # of y: the points reach to 27 scales, beyond which the density falls as the logistic does
_STEEPEST = 0.3  # slope times the distance of two points
_SLOPES = 16.0  # the steepest slope over the flattest
_REACH = 2.5  # of centres


@keras.saving.register_keras_serializable(package="ar_zoo")
class Energy(Head):
    """A logistic density that an energy of `num_features` steps tilts, for continuous data of any shape.

    Whatever the parameters, the density integrates to 1 within about 1e-6 with 32 points, and 1e-7 with 64 or more:
    `num_points` sets not the error but how fine the energy may be, since a feature is at most as steep as the points
    resolve, `num_points` / 27 over a scale at the middle. Samples follow the weights at the points, and between two of
    them the line that joins theirs. With 128 points less than 0.1 % of the probability so lies elsewhere than in the
    density, 0.4 % for wild parameters; with 64 points about three times as much.

    A temperature takes the density to the power of one over it, as energies are tempered; the points resolve that
    from about 0.2 to 2. 0 takes the point where the density is highest.

    Args:
        num_features: of the energy.
        num_points: at which it is evaluated for each site, at least 32.

    Example:
        >>> Energy(16).params_size
        50
    """

    num_symbols = None
    noise_shape = (2,)  # between which points, and where between them

    def __init__(self, num_features: int = 16, num_points: int = 128):
        arguments.whole(num_features=num_features)
        arguments.whole(32, num_points=num_points)
        self.num_features, self.num_points = num_features, num_points
        self.params_size = 2 + 3 * num_features
        self._points = np.linspace(-EDGE, EDGE, num_points)
        self._steepest = _STEEPEST / (self._points[1] - self._points[0])

    def split(self, params):
        """Place and log-scale [..., 1], and the energy's weights, slopes and centres [..., num_features].

        At parameters of 0 the weights are, and the density is the logistic's.
        """
        k = self.num_features
        place, log_scale, weights, slopes, centres = ops.split(params, [1, 2, 2 + k, 2 + 2 * k], axis=-1)
        total = ops.sum(ops.abs(weights), axis=-1, keepdims=True)
        weights = weights / (1.0 + total / LARGEST_ENERGY)
        slopes = between(slopes, self._steepest / _SLOPES, self._steepest)
        return place, ops.clip(log_scale, *LOG_SCALES), weights, slopes, centred(centres, _REACH)

    def distribution(self, params, temperature=1.0):
        return _distribution_class()(self, params, temperature)

    def log_densities(self, features, temperature=1.0):
        """At the points, of t and not normalised: [..., num_points]."""
        points = ops.cast(self._points, features[0].dtype)
        return log_density(points, sinh(points), tilts(points, features), temperature)

    def sample(self, params, noise, temperature=1.0):
        place, log_scale, *features = self.split(ops.cast(params, "float32"))
        greedy = ops.one_hot(most_likely(self.log_densities(features)), self.num_points, dtype="float32")
        points = self._points.astype("float32")
        y = self._between_points(features, noise, positive(temperature))
        y = greedy_or(temperature, ops.sum(greedy * points, axis=-1), y)
        return ops.squeeze(place, -1) + ops.exp(ops.squeeze(log_scale, -1)) * sinh(y)

    def _between_points(self, features, noise, temperature):
        """y, from a density that is linear between two points."""
        log_weights = self.log_densities(features, temperature) + np.log(np.cosh(self._points)).astype("float32")
        weights = ops.exp(log_weights - ops.max(log_weights, axis=-1, keepdims=True))
        chosen = draw_weighted(weights[..., :-1] + weights[..., 1:], noise[..., 0])
        chosen = ops.one_hot(chosen, self.num_points - 1, dtype="float32")
        left, right = (ops.sum(chosen * part, axis=-1) for part in (log_weights[..., :-1], log_weights[..., 1:]))
        largest, uniform = ops.maximum(left, right), noise[..., 1]
        left, right = ops.exp(left - largest), ops.exp(right - largest)
        # The inverse of u = (l x + (r - l) x² / 2) / ((l + r) / 2), in a form that holds where l = r.
        root = ops.sqrt((1.0 - uniform) * left * left + uniform * right * right)
        part = uniform * (left + right) / (left + root)
        start = ops.sum(chosen * self._points[:-1].astype("float32"), axis=-1)
        return start + part * float(self._points[1] - self._points[0])


def squash(x):
    """Into (-1, 1), never so flat that nothing is learned any more."""
    return x / (1.0 + ops.abs(x))


def between(x, low: float, high: float):
    """A number from `low` to `high`; of 0 their geometric mean."""
    return math.sqrt(low * high) * ops.exp(0.5 * math.log(high / low) * squash(x))


def centred(x, reach: float):
    """Numbers in ± `reach`, the last axis of zeros spread over its middle."""
    count = x.shape[-1]
    return reach * squash(x + ops.cast(1.5 * (2.0 * np.arange(count) + 1.0 - count) / count, x.dtype))


def tilt(values, weights, slopes, centres):
    """Minus the energy, of values [..., 1] and features [..., K]: [...]."""
    return ops.sum(weights * ops.tanh(slopes * (values - centres)), axis=-1)


def tilts(values, features):
    """Minus the energy at each of the same values [n], of features [..., K]: [..., n]."""
    weights, slopes, centres = features
    # In a row: engines know broadcasts over a few axes alone.
    rows = [ops.reshape(part, (-1, 1, part.shape[-1])) for part in (weights, slopes, centres)]
    return ops.reshape(tilt(ops.expand_dims(values, -1), *rows), (*ops.shape(weights)[:-1], values.shape[0]))


def log_density(y, t, tilted, temperature):
    """Of t = sinh y, not normalised."""
    distance = ops.abs(t)
    return (tilted - distance - 2.0 * ops.log1p(ops.exp(-distance))) / temperature


def sinh(y):
    return 0.5 * (ops.exp(y) - ops.exp(-y))


def arcsinh(t):
    sign = ops.where(t < 0.0, -ops.ones_like(t), ops.ones_like(t))  # and not `sign`, whose 0 would hide a gradient
    return sign * ops.log(sign * t + ops.sqrt(t * t + 1.0))


@functools.cache
def _distribution_class():
    import tensorflow as tf
    from tensorflow_probability import distributions as tfd

    class EnergyDistribution(tfd.Distribution):
        def __init__(self, head, params, temperature):
            self._head, self._params = head, tf.convert_to_tensor(params)
            self._temperature = tf.cast(temperature, self._params.dtype)
            place, log_scale, *self._features = head.split(self._params)
            self._place, self._log_scale = tf.squeeze(place, -1), tf.squeeze(log_scale, -1)
            self._points = tf.constant(head._points, self._params.dtype)
            log_weights = head.log_densities(self._features, self._temperature) + tf.math.log(tf.cosh(self._points))
            self._probabilities = tf.nn.softmax(log_weights)
            self._log_normaliser = ops.logsumexp(log_weights, axis=-1) + math.log(head._points[1] - head._points[0])
            super().__init__(
                dtype=self._params.dtype,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=False,
                allow_nan_stats=False,
                name="Energy",
            )

        def _event_shape(self):
            return tf.TensorShape([])

        def _event_shape_tensor(self):
            return tf.constant([], tf.int32)

        def _batch_shape(self):
            return self._params.shape[:-1]

        def _batch_shape_tensor(self):
            return tf.shape(self._params)[:-1]

        def _standard(self, x):
            """t, and y up to the edge, beyond which the energy changes no more."""
            t = (x - self._place) / tf.exp(self._log_scale)
            return t, arcsinh(tf.clip_by_value(t, -math.sinh(EDGE), math.sinh(EDGE)))

        def _log_prob(self, x):
            t, y = self._standard(x)
            tilted = tilt(y[..., None], *self._features)
            return log_density(y, t, tilted, self._temperature) - self._log_scale - self._log_normaliser

        def _cdf(self, x):
            """By Gauss-Legendre's rule: unlike the points', its error is as small where the function does not end at 0."""
            at, shares = np.polynomial.legendre.leggauss(2 * self._head.num_points)
            half = 0.5 * (self._standard(x)[1] + EDGE)[..., None]
            y = half * tf.constant(1.0 + at, half.dtype) - EDGE
            tilted = tilt(y[..., None], *(part[..., None, :] for part in self._features))
            density = log_density(y, tf.sinh(y), tilted, self._temperature) - self._log_normaliser[..., None]
            below = tf.reduce_sum(half * tf.constant(shares, half.dtype) * tf.exp(density) * tf.cosh(y), axis=-1)
            return tf.clip_by_value(below, 0.0, 1.0)

        def _mean(self):
            return self._place + tf.exp(self._log_scale) * self._expected(tf.sinh(self._points))

        def _variance(self):
            mean = self._expected(tf.sinh(self._points))
            squares = (tf.sinh(self._points) - mean[..., None]) ** 2
            return tf.exp(2.0 * self._log_scale) * self._expected(squares)

        def _expected(self, values):
            return tf.reduce_sum(self._probabilities * values, axis=-1)

        def _sample_n(self, n, seed=None):
            shape = tf.concat([[n], self._batch_shape_tensor(), [2]], axis=0)
            noise = tfd.Uniform(1e-7, 1.0).sample(shape, seed=seed)
            params = tf.broadcast_to(self._params, tf.concat([shape[:-1], [self._head.params_size]], axis=0))
            drawn = self._head.sample(params, noise, tf.cast(self._temperature, tf.float32))
            return tf.cast(drawn, self.dtype)

    return EnergyDistribution
