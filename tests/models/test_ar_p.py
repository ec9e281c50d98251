"""ARp: its exact likelihood against the joint Gaussian, and least squares, forecasts and fits against statsmodels."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
from scipy import stats
from scipy.linalg import toeplitz

import ar_zoo
from ar_zoo.data import read
from ar_zoo.heads import ContinuousMixture
from ar_zoo.models.ar_p import ARp
from ar_zoo.testing import laws


@functools.cache
def sunspots():
    """309 years of them."""
    return np.concatenate([read("shipped:sunspots", split).raw for split in ("train", "valid")])


@functools.cache
def auto_reg(lags):
    from statsmodels.tsa.ar_model import AutoReg

    return AutoReg(sunspots(), lags=lags).fit()


def simulated(coefficients, intercept, scale, length, seed, burn_in=300):
    """A series from the equation itself."""
    noise = np.random.default_rng(seed).normal(size=length + burn_in) * scale
    x, p = np.zeros(len(noise)), len(coefficients)
    for t in range(len(x)):
        x[t] = intercept + noise[t] + sum(coefficients[j] * x[t - 1 - j] for j in range(min(p, t)))
    return x[burn_in:]


def make(lags=3, dtype="float64", **arguments):
    return laws.make(ARp, dtype=dtype, lags=lags, **arguments)


def autocovariances(model, count):
    """Of the stationary process, from its representation as a moving average."""
    coefficients, weights = model.coefficients, np.zeros(4000)
    weights[0] = 1.0
    for t in range(1, len(weights)):
        weights[t] = sum(phi * weights[t - 1 - j] for j, phi in enumerate(coefficients) if t - 1 - j >= 0)
    return model.scale**2 * np.array([weights[: len(weights) - k] @ weights[k:] for k in range(count)])


@pytest.mark.parametrize("lags", [1, 2, 5])
def test_the_exact_likelihood_is_that_of_the_joint_gaussian(lags):
    """Events shorter than p, as long, and longer."""
    model = make(lags)
    mean = model.intercept / (1 - model.coefficients.sum())
    for count in (1, lags, lags + 6):
        x = laws.events(model, 3, sites=count)
        joint = stats.multivariate_normal(np.full(count, mean), toeplitz(autocovariances(model, count)))
        np.testing.assert_allclose(np.asarray(model.log_prob(x)), np.atleast_1d(joint.logpdf(x)), rtol=1e-9)


def test_any_weights_are_stationary():
    for seed in range(20):
        model = laws.make(ARp, seed=seed, scale=3.0, lags=6)
        assert np.abs(np.roots(np.r_[1.0, -model.coefficients])).max() < 1


def test_the_conditional_form_is_the_equation():
    model, x = make(initial="conditional"), np.random.default_rng(0).normal(size=(2, 9)).astype("float32")
    first = np.asarray(model._first_means), np.exp(np.asarray(model._first_log_scales))
    found = np.asarray(model.log_prob(x, reduce="site"))
    np.testing.assert_allclose(found[:, :3], stats.norm(*first).logpdf(x[:, :3]), rtol=1e-9)
    weights = np.asarray(model._coefficients)
    mean = float(model._intercept) + sum(weights[j] * x[:, 2 - j : 8 - j].astype("float64") for j in range(3))
    np.testing.assert_allclose(
        found[:, 3:], stats.norm(mean, np.exp(float(model._log_scale))).logpdf(x[:, 3:]), rtol=1e-9
    )
    np.testing.assert_array_equal(model.coefficients, weights)
    assert model.intercept == float(model._intercept)


@pytest.mark.parametrize("initial", ["exact", "conditional"])
@pytest.mark.parametrize("lags", [1, 2, 9])
def test_least_squares_and_forecasts_are_those_of_statsmodels(lags, initial):
    """On sunspots, to 1e-6 and far better."""
    model, theirs = make(lags, initial=initial), auto_reg(lags)
    found = model.fit_least_squares(sunspots())
    np.testing.assert_allclose([found.intercept, *found.coefficients], theirs.params, rtol=1e-9)
    np.testing.assert_allclose(found.standard_errors, theirs.bse, rtol=1e-9)
    np.testing.assert_allclose(found.scale**2, theirs.sigma2, rtol=1e-9)
    np.testing.assert_allclose([model.intercept, *model.coefficients], theirs.params, rtol=1e-9)
    np.testing.assert_allclose(model.scale, found.scale, rtol=1e-9)
    last = len(sunspots())
    for level in (0.95, 0.5):
        forecast, wanted = model.forecast(sunspots(), 25, level), theirs.get_prediction(last, last + 24)
        np.testing.assert_allclose(forecast.mean, wanted.predicted_mean, atol=1e-6, rtol=0)
        bounds = np.asarray(wanted.conf_int(alpha=1 - level)).T
        np.testing.assert_allclose([forecast.lower, forecast.upper], bounds, atol=1e-6, rtol=0)
    density = np.asarray(model.log_prob(sunspots()[None], reduce="site"))[0, lags:]
    np.testing.assert_allclose(density.sum(), theirs.llf, rtol=1e-8)


def test_a_model_in_float32_forecasts_to_its_digits():
    model = make(9, "float32")
    model.fit_least_squares(sunspots())
    wanted = auto_reg(9).forecast(25)
    np.testing.assert_allclose(model.forecast(sunspots(), 25).mean, wanted, rtol=1e-6)


def test_coefficients_of_200_series_lie_within_their_standard_errors():
    """z-scores of all coefficients: their mean square about 1, 68 % and 95 % of them within 1 and 1.96."""
    truth, model = np.array([0.6, -0.4, 0.3]), make(3)
    scores = []
    for seed in range(200):
        found = model.fit_least_squares(simulated(truth, 2.0, 1.5, 1000, seed))
        scores.append((np.array([found.intercept, *found.coefficients]) - [2.0, *truth]) / found.standard_errors)
    scores = np.array(scores)
    assert abs(np.mean(scores**2) - 1) < 0.15
    assert np.all(np.abs(scores.mean(0)) < 4 / np.sqrt(200))
    for within, share in ((1.0, 0.6827), (1.96, 0.95)):
        assert abs(np.mean(np.abs(scores) < within) - share) < 3 * np.sqrt(share * (1 - share) / 200)


def test_several_series_are_one_fit():
    x = np.stack([simulated([0.5, 0.2], 1.0, 1.0, 80, seed) for seed in range(3)])
    found = make(2).fit_least_squares(x)
    windows = np.concatenate([np.stack([np.ones(78), row[1:-1], row[:-2], row[2:]], 1) for row in x])
    wanted = np.linalg.lstsq(windows[:, :3], windows[:, 3])[0]
    np.testing.assert_allclose([found.intercept, *found.coefficients], wanted, rtol=1e-10)


def test_fit_finds_the_exact_maximum_of_the_likelihood():
    """That of statsmodels' state-space form."""
    from statsmodels.tsa.arima.model import ARIMA

    x = simulated([0.5, 0.3], 1.0, 0.7, 60, seed=1)
    x = (x - x.mean()) / x.std()
    wanted = ARIMA(x, order=(2, 0, 0)).fit()
    model = ar_zoo.create("ar_p.tiny", lags=2, dtype="float64")
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 600)), jit_compile=False)
    model.fit(np.tile(x, (600, 1)).astype("float32"), batch_size=1, epochs=1, verbose=0, shuffle=False)
    log_prob = float(model.log_prob(x[None])[0])
    np.testing.assert_allclose(log_prob, wanted.llf, atol=1e-4)
    np.testing.assert_allclose(model.coefficients, wanted.params[1:3], atol=2e-3)
    np.testing.assert_allclose(model.scale**2, wanted.params[3], rtol=5e-3)


@pytest.mark.parametrize(("initial", "length"), [("exact", 1), ("conditional", 2), ("exact", 8)])
def test_forecasts_are_the_mean_and_the_spread_of_what_is_drawn(initial, length):
    """Also where fewer than p values are known."""
    model, draws, steps = make(3, "float32", initial=initial), 20_000, 5
    history = laws.events(model, 1, seed=2, sites=length)[0]
    drawn = model.sample(draws, seed=1, prefix=history, num_sites=length + steps)[:, length:]
    mean, lower, upper = model.forecast(history, steps, level=0.6)
    assert mean.shape == (steps,)
    assert np.all(np.abs(drawn.mean(0) - mean) < 5 * drawn.std(0) / np.sqrt(draws))
    inside = np.mean((drawn > lower) & (drawn < upper), axis=0)
    assert np.all(np.abs(inside - 0.6) < 5 * np.sqrt(0.6 * 0.4 / draws))
    several = model.forecast(np.stack([history, history * 0]), steps)
    assert several.upper.shape == (2, steps)
    np.testing.assert_allclose(several.mean[0], mean)


@pytest.mark.parametrize(
    "law", [laws.causality, laws.completeness, laws.step_equals_call, laws.ragged_rows, laws.padding]
)
def test_laws_of_the_conditional_form(law):
    law(type("ARp", (ARp,), {"PRESETS": {"tiny": ARp.PRESETS["tiny"] | dict(initial="conditional")}}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(head=ContinuousMixture(2)), r"`head` must be Normal\(\)"),
        (dict(lags=0), "`lags` must be an integer of at least 1; got 0"),
        (dict(initial="zero"), "`initial` must be 'exact' or 'conditional'; got 'zero'"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ar_zoo.create("ar_p.tiny", **arguments)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.arange(7.0), r"`x` must have more than 7 values for 3 lags; got \[1, 7\]"),
        (np.ones(50), "`x` must have noise"),
        (np.sin(np.arange(50)), "`x` must have noise"),
        ([np.nan] * 50, "`x` must hold finite values; got nan"),
        (["1"] * 50, r"`x` must be numbers \[T\] or \[N, T\]"),
        (np.zeros((2, 3, 4)), r"`x` must be numbers \[T\] or \[N, T\]"),
        (1.1 ** np.arange(50) + np.random.default_rng(0).normal(size=50), "not stationary.*initial='conditional'"),
    ],
)
def test_series_that_least_squares_refuses(x, message):
    with pytest.raises(ValueError, match=message):
        make(3).fit_least_squares(x)


def test_what_explodes_can_be_conditional():
    x = 1.1 ** np.arange(50) + np.random.default_rng(0).normal(size=50)
    model = make(1, initial="conditional")
    assert model.fit_least_squares(x).coefficients[0] > 1
    assert model.forecast(x, 3).mean[-1] > x[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(history=[]), r"`history` must be numbers \[T\] or \[N, T\], at least one"),
        (dict(history=[np.inf]), "`history` must hold finite values; got inf"),
        (dict(steps=0), "`steps` must be an integer of at least 1; got 0"),
        (dict(level=1.0), r"`level` must lie between 0 and 1; got 1\.0"),
        (dict(level=True), "`level` must lie between 0 and 1; got True"),
    ],
)
def test_forecasts_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make().forecast(**(dict(history=[1.0], steps=2) | arguments))
