"""Heads of continuous data: densities against SciPy's, samples against CDFs, the quantile in float32, extreme scales."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ar_zoo.core.noise import uniform_noise
from ar_zoo.heads import ContinuousMixture, Energy, Normal

HEADS = [Normal(), ContinuousMixture(3), ContinuousMixture(2, "logistic")]
EVERY = [*HEADS, Energy(3, 32)]  # of which test_energy.py has the rest


def params_for(head, count, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=(count, head.params_size)).astype(dtype)


def components(head, params):
    """(weight, SciPy distribution) of each component, from one set of parameters."""
    if isinstance(head, Normal):
        return [(1.0, stats.norm(params[0], np.exp(params[1])))]
    logits, means, log_scales = params.reshape(3, -1)
    family = {"normal": stats.norm, "logistic": stats.logistic}[head.component]
    weights = np.exp(logits) / np.exp(logits).sum()
    return [(w, family(m, np.exp(s))) for w, m, s in zip(weights, means, log_scales, strict=True)]


def total(head, params, what, x):
    return sum(weight * getattr(part, what)(x) for weight, part in components(head, params))


def tempered(head, params, temperature):
    """Parameters whose distribution is that of a temperature: scales · T, logits / T."""
    params = params.copy().astype("float64")
    if isinstance(head, Normal):
        params[..., 1] += np.log(temperature)
        return params
    k = head.num_components
    params[..., :k] /= temperature
    params[..., 2 * k :] += np.log(temperature)
    return params


@pytest.mark.parametrize("temperature", [1.0, 0.4, 3.0])
@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_densities(head, temperature):
    x = np.concatenate([np.linspace(-8, 8, 101), [-300.0, 1e4]])
    for params in params_for(head, 4):
        distribution = head.distribution(tf.constant(params)[None], temperature)
        params = tempered(head, params, temperature)
        near = np.abs(x) < 10
        np.testing.assert_allclose(
            np.asarray(distribution.log_prob(x))[near], np.log(total(head, params, "pdf", x[near])), atol=1e-10
        )
        np.testing.assert_allclose(np.asarray(distribution.cdf(x)), total(head, params, "cdf", x), atol=1e-12)
        assert np.all(np.isfinite(np.asarray(distribution.log_prob(x)))), "far out too"


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_samples_follow_the_density(head, temperature):
    draws, cells = 40_000, 50
    params = params_for(head, 1, seed=3, dtype="float32")
    noise = uniform_noise(5, [0], 0, draws, head.noise_shape)[0]
    drawn = np.asarray(head.sample(np.repeat(params, draws, 0), noise, temperature))
    assert (drawn.dtype, drawn.shape) == (np.float32, (draws,))
    uniform = total(head, tempered(head, params[0], temperature), "cdf", drawn.astype("float64"))
    counts = np.bincount((uniform * cells).astype(int), minlength=cells)
    statistic = ((counts - draws / cells) ** 2).sum() / (draws / cells)
    assert statistic < stats.chi2.ppf(1 - 1e-4, cells - 1)


def test_samples_are_the_quantiles_of_their_noise():
    noise = uniform_noise(0, [0], 0, 500, (1,))[0]
    params = np.tile(np.float32([3.0, -1.0]), (500, 1))
    expected = stats.norm(3, np.exp(-1)).ppf(noise[:, 0].astype("float64"))
    np.testing.assert_allclose(np.asarray(Normal().sample(params, noise)), expected, rtol=2e-6)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_temperature_zero_takes_the_mean_of_the_heaviest_component(head):
    params = params_for(head, 200, seed=1, dtype="float32")
    noise = uniform_noise(0, range(2), 0, 200, head.noise_shape)
    expected = [max(components(head, row), key=lambda pair: pair[0])[1].mean() for row in params]
    for part in noise:
        np.testing.assert_allclose(np.asarray(head.sample(params, part, 0.0)), expected, rtol=1e-6)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_extreme_parameters_have_finite_likelihoods_and_gradients(head):
    for log_scale in (-1e4, -15.0, 30.0, 1e4):
        params = np.zeros((3, head.params_size), "float32")
        params[:, -(head.params_size // 3 or 1) :] = log_scale
        with tf.GradientTape() as tape:
            params = tf.constant(params)
            tape.watch(params)
            log_prob = head.distribution(params).log_prob(tf.constant([0.0, 1.0, -100.0]))
        assert np.all(np.isfinite(np.asarray(log_prob)))
        assert np.all(np.isfinite(np.asarray(tape.gradient(log_prob, params))))
        drawn = head.sample(params, uniform_noise(0, range(3), 0, 1, head.noise_shape)[:, 0])
        assert np.all(np.isfinite(np.asarray(drawn)))


@pytest.mark.parametrize("head", EVERY, ids=repr)
def test_values_go_in_and_out_as_they_are(head):
    for values in (np.array([0.5, -3e30]), np.array([0.5, -3e30], "float32"), np.array([2, -7], "int16"), [1.5]):
        symbols = head.encode(values)
        assert symbols.dtype == np.float32
        np.testing.assert_allclose(symbols, values, rtol=1e-7)
        np.testing.assert_array_equal(head.decode(symbols), symbols)
    for values, message in (
        ([np.nan], "`values` must hold finite values; got nan"),
        ([1.0, -np.inf], "`values` must hold finite values; got -inf"),
        ([1e39], "`values` must hold finite values; got inf"),
        (["1"], "`values` must hold numbers; got dtype"),
    ):
        with pytest.raises(ValueError, match=message):
            head.encode(values)
    with pytest.raises(ValueError, match="`symbols` must hold finite values"):
        head.decode(np.array([np.nan]))
    assert (head.symbol_dtype, head.nothing, head.site_shape) == ("float32", 0, ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_components=0), "`num_components` must be an integer of at least 1; got 0"),
        (dict(num_components=2.0), "`num_components` must be an integer"),
        (dict(component="laplace"), "`component` must be 'normal' or 'logistic'; got 'laplace'"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ContinuousMixture(**arguments)
