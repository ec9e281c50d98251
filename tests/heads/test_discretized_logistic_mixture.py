"""The discretised logistic against SciPy's CDF, at scales where a difference of two CDFs would lose everything."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp
from scipy.stats import logistic

from ar_zoo.heads import DiscretizedLogisticMixture
from ar_zoo.heads.discretized_logistic_mixture import level_log_prob

SCALES = np.logspace(-3, 2, 21)


def reference(mean, scale, levels):
    """log P(level) for all levels: CDF(upper edge) - CDF(lower edge), in the tail where it does not cancel."""
    half = 1 / (levels - 1)
    centres = np.arange(levels) * 2 * half - 1
    upper, lower = (centres + half - mean) / scale, (centres - half - mean) / scale
    upper[-1], lower[0] = np.inf, -np.inf
    # In the upper tail survival functions are subtracted. The difference of logarithms is exact for narrow levels:
    # log(e^a - e^b) = a + log(-expm1(b - a)).
    mirrored = lower > 0
    high = np.where(mirrored, logistic.logsf(lower), logistic.logcdf(upper))
    low = np.where(mirrored, logistic.logsf(upper), logistic.logcdf(lower))
    return high + np.log(-np.expm1(low - high))


@pytest.mark.parametrize("levels", [2, 5, 256])
@pytest.mark.parametrize("mean", [-1.7, -1.0, 0.0, 0.13, 1.0])
def test_levels(mean, levels):
    centres = np.arange(levels) * 2 / (levels - 1) - 1
    for scale in SCALES:
        got = np.asarray(level_log_prob(tf.constant(centres), mean, tf.constant(np.log(scale)), levels))
        expected = reference(mean, scale, levels)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-12)
        assert abs(np.exp(got).sum() - 1) < 1e-9


@pytest.mark.parametrize("levels", [2, 256])
def test_float32_is_finite_with_finite_gradients(levels):
    log_scales = tf.constant(np.linspace(-10, 3, 27), tf.float32)[:, None]
    centres = tf.constant(np.linspace(-1, 1, levels), tf.float32)
    for mean in (-3.0, 0.01, 1.0):
        mean = tf.fill(log_scales.shape, mean)
        with tf.GradientTape() as tape:
            tape.watch([log_scales, mean])
            value = level_log_prob(centres, mean, log_scales, levels)
        for gradient in tape.gradient(value, [mean, log_scales]):
            assert np.isfinite(np.asarray(gradient)).all()
        assert np.isfinite(np.asarray(value)).all()


def test_gradients_of_the_head_are_finite_at_every_log_scale():
    """Below -7 and above 30 log-scales are held there; everything else stays trainable."""
    head = DiscretizedLogisticMixture(2, 256, 3)
    for log_scale in (*np.linspace(-10, 3, 14), 29.0, 1e4):
        params = np.random.default_rng(0).normal(size=(8, 2, head.params_size // 2)).astype("float32")
        params[:, :, 4:7] = log_scale
        params = tf.constant(np.concatenate([params[:, :, 0], params[:, :, 1:].reshape(8, -1)], axis=1))
        x = np.random.default_rng(1).integers(0, 256, (8, 3)).astype("int32")
        with tf.GradientTape() as tape:
            tape.watch(params)
            value = head.distribution(params).log_prob(x)
        gradient = np.asarray(tape.gradient(value, params))
        assert np.isfinite(np.asarray(value)).all()
        assert np.isfinite(gradient).all()
        if log_scale <= 3:
            assert (np.abs(gradient).max(axis=0) > 0).sum() >= head.params_size - 6 * (log_scale < -7)


def split(params, components, channels):
    """The layout of parameters, written down a second time."""
    logits, rest = params[:, :components], params[:, components:].reshape(len(params), components, -1)
    means, log_scales, couplings = np.split(rest, [channels, 2 * channels], axis=-1)
    return logits, means, np.maximum(log_scales, -7), np.tanh(couplings)


def test_three_channels_are_coupled():
    """m_G = μ_G + α R, m_B = μ_B + β R + γ G (PixelCNN++, equation 3), one component for the whole pixel."""
    components, levels, count = 3, 6, 40
    head = DiscretizedLogisticMixture(components, levels, 3)
    assert head.params_size == components * 10
    generator = np.random.default_rng(0)
    params = generator.normal(size=(count, head.params_size))
    x = generator.integers(0, levels, (count, 3))
    logits, means, log_scales, couplings = split(params, components, 3)
    expected = np.zeros(count)
    for row in range(count):
        red, green, _ = x[row] * 2 / (levels - 1) - 1
        parts = []
        for k in range(components):
            alpha, beta, gamma = couplings[row, k]
            moved = means[row, k] + [0, alpha * red, beta * red + gamma * green]
            parts.append(logits[row, k] - logsumexp(logits[row]))
            for c in range(3):
                parts[-1] += reference(moved[c], np.exp(log_scales[row, k, c]), levels)[x[row, c]]
        expected[row] = logsumexp(parts)
    np.testing.assert_allclose(np.asarray(head.distribution(params).log_prob(x)), expected, rtol=1e-9)


def test_mixture_of_one_channel():
    components, levels = 4, 256
    head = DiscretizedLogisticMixture(components, levels, 1)
    assert head.params_size == components * 3
    params = np.random.default_rng(0).normal(size=(5, head.params_size))
    logits, means, log_scales, _ = split(params, components, 1)
    got = np.asarray(head.coordinate_log_probs(params))
    for row in range(5):
        each = [reference(means[row, k, 0], np.exp(log_scales[row, k, 0]), levels) for k in range(components)]
        expected = logsumexp(np.array(each) + (logits[row] - logsumexp(logits[row]))[:, None], axis=0)
        np.testing.assert_allclose(got[row], expected, rtol=1e-9)
