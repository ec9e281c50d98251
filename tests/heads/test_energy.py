"""Heads of energies against a naive reference in float64: densities, CDFs, samples, temperatures, extremes, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ar_zoo.core.noise import uniform_noise
from ar_zoo.heads import CategoricalEnergy, Energy

EDGE = 4.0


def params_for(head, count, seed=0, scale=1.0):
    """Random ones; places and log-scales stay near 0."""
    params = np.random.default_rng(seed).normal(size=(count, head.params_size))
    params[:, 2:] *= scale
    return params


def energy(head, params, y):
    """E at y [n], feature by feature."""
    total = sum(abs(w) for w in params[2 : 2 + head.num_features])
    value, count = np.zeros_like(y), head.num_features
    steepest = 0.3 * (head.num_points - 1) / (2 * EDGE)
    for k in range(count):
        weight, slope, centre = params[2 + k], params[2 + count + k], params[2 + 2 * count + k]
        centre = centre + 1.5 * (2 * k + 1 - count) / count
        slope = steepest / 16 ** (0.5 - 0.5 * slope / (1 + abs(slope)))
        value -= weight / (1 + total / 8) * np.tanh(slope * (y - 2.5 * centre / (1 + abs(centre))))
    return value


class Reference:
    """One site's density on a fine grid that reaches past the head's points."""

    def __init__(self, head, params, temperature=1.0):
        self.head, self.params, self.temperature = head, params, temperature
        y = np.linspace(-5.5, 5.5, 200_001)
        self.t, spacing = np.sinh(y), y[1] - y[0]
        weights = np.exp(self.of_t(self.t)) * np.cosh(y) * spacing
        self.log_normaliser = np.log(weights.sum())
        self.probabilities = weights / weights.sum()

    def of_t(self, t):
        tilted = -energy(self.head, self.params, np.clip(np.arcsinh(t), -EDGE, EDGE))
        return (stats.logistic.logpdf(t) + tilted) / self.temperature

    def log_prob(self, x):
        return self.of_t((x - self.params[0]) / np.exp(self.params[1])) - self.params[1] - self.log_normaliser

    def cdf(self, x):
        below = np.cumsum(self.probabilities) - self.probabilities / 2
        return np.interp((x - self.params[0]) / np.exp(self.params[1]), self.t, below)

    def expected(self, function):
        return self.probabilities @ function(self.params[0] + np.exp(self.params[1]) * self.t)


@pytest.mark.parametrize(("num_points", "bound"), [(32, 3e-6), (128, 1e-7)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 1000.0])
def test_densities(num_points, bound, scale):
    """Normalised for any parameters, with as few points as are allowed too."""
    x, head = np.concatenate([np.linspace(-8, 8, 101), [-300.0, 1e4]]), Energy(4, num_points)
    for params in params_for(head, 10, scale=scale):
        found = np.asarray(head.distribution(tf.constant(params)[None]).log_prob(x))
        np.testing.assert_allclose(found, Reference(head, params).log_prob(x), rtol=1e-12, atol=bound)


@pytest.mark.parametrize(("temperature", "bound"), [(0.2, 1e-3), (0.5, 1e-6), (2.0, 1e-5), (3.0, 1e-3)])
def test_tempered_densities(temperature, bound):
    head, x = Energy(4, 128), np.linspace(-8, 8, 101)
    for params in params_for(head, 10, scale=3.0):
        found = np.asarray(head.distribution(params, temperature).log_prob(x))
        np.testing.assert_allclose(found, Reference(head, params, temperature).log_prob(x), atol=bound)


def test_cdfs_and_moments():
    head, x = Energy(4, 64), np.linspace(-30, 30, 301)
    params = params_for(head, 10, scale=3.0)
    distribution = head.distribution(params)
    references = [Reference(head, row) for row in params]
    found = np.asarray(distribution.cdf(x[:, None]))
    np.testing.assert_allclose(found, np.stack([r.cdf(x) for r in references], axis=1), atol=1e-7)
    means = np.array([r.expected(lambda v: v) for r in references])
    squares = np.array([r.expected(np.square) for r in references])
    np.testing.assert_allclose(distribution.mean(), means, atol=1e-7)
    np.testing.assert_allclose(distribution.stddev(), np.sqrt(squares - means**2), rtol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.4, 2.0])
@pytest.mark.parametrize("head", [Energy(3, 64), Energy(16)], ids=repr)
def test_samples_follow_the_density(head, temperature):
    draws, cells = 40_000, 50
    params = params_for(head, 1, seed=3, scale=2.0).astype("float32")
    noise = uniform_noise(5, [0], 0, draws, head.noise_shape)[0]
    drawn = np.asarray(head.sample(np.repeat(params, draws, 0), noise, temperature))
    assert (drawn.dtype, drawn.shape) == (np.float32, (draws,))
    uniform = Reference(head, params[0].astype("float64"), temperature).cdf(drawn)
    counts = np.bincount((uniform * cells).astype(int), minlength=cells)
    statistic = ((counts - draws / cells) ** 2).sum() / (draws / cells)
    assert statistic < stats.chi2.ppf(1 - 1e-4, cells - 1)


def test_samples_come_closer_with_more_points():
    """The largest distance of CDFs, of one energy at more and more points: it falls with their square."""
    count, apart = 2**15, []
    even = np.arange(count) + 0.5
    noise = np.stack([even / count, even * 0.6180339887 % 1], axis=1).astype("float32")
    for num_points, slope in ((32, 0.0), (63, -1.0), (125, -1e9)):  # half and a quarter of what the points resolve
        head = Energy(2, num_points)
        params = np.array([0.5, -0.3, 3.0, -2.0, slope, slope, 0.0, 0.0])
        drawn = np.sort(head.sample(np.repeat(params[None], count, 0), noise))
        apart.append(np.abs(Reference(head, params).cdf(drawn.astype("float64")) - even / count).max())
    assert apart[0] < 5e-3
    assert apart[1] < apart[0] / 3
    assert apart[2] < apart[0] / 9


def test_temperature_zero_takes_the_highest_point():
    head = Energy(4, 64)
    params = params_for(head, 50, seed=1, scale=3.0)
    points = np.sinh(np.linspace(-EDGE, EDGE, 64))
    best = np.array([points[np.argmax(Reference(head, row).of_t(points))] for row in params])
    for noise in uniform_noise(0, range(2), 0, 50, head.noise_shape):
        drawn = head.sample(params.astype("float32"), noise, 0.0)
        np.testing.assert_allclose(drawn, params[:, 0] + np.exp(params[:, 1]) * best, rtol=1e-4, atol=1e-5)


def test_tfp_samples_follow_the_mean():
    head = Energy(3, 32)
    distribution = head.distribution(params_for(head, 5, scale=2.0), 0.7)
    drawn = np.asarray(distribution.sample(20_000, seed=tf.constant([1, 2])))
    assert (drawn.shape, drawn.dtype) == ((20_000, 5), np.float64)
    error = np.asarray(distribution.stddev()) / np.sqrt(20_000)
    assert (np.abs(drawn.mean(0) - np.asarray(distribution.mean())) < 5 * error).all()


def test_gradients_are_those_of_the_reference():
    """Of the normaliser too, and at the place itself."""
    head, step = Energy(2, 64), 1e-5
    params = params_for(head, 1, seed=4, scale=2.0)[0]
    for x in (params[0], params[0] + 0.7, params[0] - 30.0):
        variable = tf.Variable(params)
        with tf.GradientTape() as tape:
            log_prob = head.distribution(variable).log_prob(x)
        found = np.asarray(tape.gradient(log_prob, variable))
        moved = [[Reference(head, params + sign * step * row).log_prob(x) for sign in (1, -1)] for row in np.eye(8)]
        np.testing.assert_allclose(found, np.diff(moved)[:, 0] / (-2 * step), rtol=1e-5, atol=1e-6)


def test_fresh_networks_begin_at_the_logistic_with_gradients_of_order_one():
    head = Energy(16)
    params = tf.Variable(np.zeros((200, head.params_size)))
    x = np.random.default_rng(0).normal(size=200)
    with tf.GradientTape() as tape:
        log_prob = head.distribution(params).log_prob(x)
    np.testing.assert_allclose(log_prob, stats.logistic.logpdf(x), atol=1e-7)
    weights = np.asarray(tape.gradient(log_prob, params))[:, 2:18]
    assert (weights.std(axis=0) > 0.2).all(), "each feature has a say"
    assert np.abs(weights).max() < 2


@pytest.mark.parametrize("head", [Energy(3, 32), Energy(16)], ids=repr)
@pytest.mark.parametrize("value", [0.0, 1e-30, 30.0, -30.0, 1e4, -1e4, 1e30, -1e30])
def test_extreme_parameters_have_finite_likelihoods_and_gradients(head, value):
    for part in range(5):
        params = np.zeros((3, head.params_size), "float32")
        lows = np.cumsum([0, 1, 1] + [head.num_features] * 3)
        params[:, lows[part] : lows[part + 1]] = np.clip(value, -1e15, 1e15) if part == 0 else value
        params = tf.Variable(params)
        with tf.GradientTape() as tape:
            log_prob = head.distribution(params).log_prob(tf.constant([0.0, 1.0, -100.0]))
        assert np.all(np.isfinite(np.asarray(log_prob)))
        assert np.all(np.isfinite(np.asarray(tape.gradient(log_prob, params))))
        drawn = head.sample(params, uniform_noise(0, range(3), 0, 1, head.noise_shape)[:, 0])
        assert np.all(np.isfinite(np.asarray(drawn)))


def test_a_categorical_energy_is_a_sum_of_steps():
    head = CategoricalEnergy(9, 4)
    params = np.random.default_rng(0).normal(size=(5, 12)) * 3
    for row, found in zip(params, np.asarray(head.logits(params)), strict=True):
        expected = np.zeros(9)
        for level in range(9):
            for k in range(4):
                centre = row[8 + k] + 1.5 * (2 * k - 3) / 4
                slope = 9 ** (0.5 + 0.5 * row[4 + k] / (1 + abs(row[4 + k])))
                expected[level] += row[k] * np.tanh(slope * (level / 4 - 1 - 1.25 * centre / (1 + abs(centre))))
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_categorical_energy_begins_with_equal_levels_and_can_tell_neighbours_apart():
    head = CategoricalEnergy(256, 2)
    np.testing.assert_allclose(np.exp(head.coordinate_log_probs(np.zeros(6))), 1 / 256)
    # One level alone: a step up half a level before it, and a step down half a level after.
    middle = np.array([99.5, 100.5]) * 2 / 255 - 1
    raw = middle / 1.25 / (1 - np.abs(middle / 1.25)) + [0.75, -0.75]
    params = np.array([20.0, -20.0, 1e9, 1e9, *raw])
    probabilities = np.exp(head.coordinate_log_probs(params))
    assert probabilities.argmax() == 100
    assert probabilities[100] > 0.99


def test_a_categorical_energy_has_the_levels_of_its_source():
    head = CategoricalEnergy(4, 3, source_levels=16)
    np.testing.assert_array_equal(head.encode(np.arange(16)), np.repeat(np.arange(4), 4))
    np.testing.assert_array_equal(head.decode(np.arange(4)), [2, 6, 10, 14])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Energy(0), "`num_features` must be an integer of at least 1; got 0"),
        (lambda: Energy(3, 31), "`num_points` must be an integer of at least 32; got 31"),
        (lambda: Energy(3, 64.0), "`num_points` must be an integer of at least 32; got 64.0"),
        (lambda: CategoricalEnergy(1), "`num_symbols` must be an integer of at least 2; got 1"),
        (lambda: CategoricalEnergy(8, 0), "`num_features` must be an integer of at least 1; got 0"),
        (lambda: CategoricalEnergy.from_text("abc"), "`CategoricalEnergy` has no alphabet"),
        (lambda: CategoricalEnergy(8, source_levels=12), "`source_levels` must be a multiple of `num_symbols`"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
