"""Where the components start: against a loop over them, and what that means for flat colours and for edges."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp
from scipy.stats import logistic

from ar_zoo.heads import DiscretizedLogisticMixture, PredictiveLogisticMixture

_NAMES = ("left", "up_left", "up", "up_right", "mirror", "up_mirror")
_EXACT = ["left", "up", "up_left", "up_right", "plane", "mirror", "mirror_plane"]
_LINES = [("left", "up"), ("left", "up_right"), ("left", "outside"), ("up", "outside"), ("mirror", "left")]
_SAME = (2 / 127.5) ** 2


def colours(levels):
    """Neighbours' colours, [6, channels]."""
    return np.asarray(levels) * 2 / 255 - 1


def level_log_probs(mean, scale):
    """Of all levels, under a logistic that ends at the outermost ones' edges."""
    edges = ((np.arange(257) - 0.5) * 2 / 255 - 1 - np.clip(mean, -1, 1)) / scale
    lower, upper = edges[:-1], edges[1:]
    # In the upper tail survival functions are subtracted.
    high = np.where(lower > 0, logistic.logsf(lower), logistic.logcdf(upper))
    low = np.where(lower > 0, logistic.logsf(upper), logistic.logcdf(lower))
    masses = high + np.log(-np.expm1(low - high))
    return masses - logsumexp(masses)


def log_prob(head, params, around, pixel):
    """Of one pixel (levels), by the formulas of the module, component after component."""
    count, channels = head.num_components, head.channels
    named = dict(zip(_NAMES, around, strict=True))
    named["plane"] = np.clip(named["left"] + named["up"] - named["up_left"], -1, 1)
    named["mirror_plane"] = np.clip(named["mirror"] + named["up"] - named["up_mirror"], -1, 1)
    named["outside"] = np.full(channels, head.outside * 2 / 255 - 1)
    components = [(n, n, -6, -6) for n in _EXACT if head.mirror or "mirror" not in n]
    components += [(a, b, -2, -4) for a, b in _LINES if head.mirror or "mirror" not in a]
    components += [(("left", "up")[i % 2],) * 2 + (-2, -2) for i in range(head.num_free)]
    value, each = colours(pixel), []
    for (start, end, red_scale, other_scale), own in zip(components, params[count:].reshape(count, -1), strict=True):
        p, way = named[start], named[end] - named[start]
        total = 0.0
        for c in range(channels):
            log_scale = np.clip(own[channels + c] + (other_scale if c else red_scale), -8, 3)
            mean = p[c] + np.exp(log_scale) * own[c] + (way[0] / 2 if c == 0 else 0)
            free = other_scale == -2
            if c == 1:
                slope = way[0] * way[1] / (way[0] ** 2 + _SAME) + free
                mean += (0.1 * own[6] + slope) * (value[0] - p[0])
            if c == 2:
                slopes = way[:2] * way[2] / (way[0] ** 2 + way[1] ** 2 + _SAME) + [0, free]
                mean += (0.1 * own[7:9] + slopes) @ (value[:2] - p[:2])
            total += level_log_probs(mean, np.exp(log_scale))[pixel[c]]
        each.append(total)
    logits = params[:count]
    return logsumexp(logits - logsumexp(logits) + each)


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_against_a_loop(channels, mirror):
    head = PredictiveLogisticMixture(256, channels, outside=200, mirror=mirror, num_free=3)
    random = np.random.default_rng(0)
    for _ in range(5):
        params = random.normal(size=head.params_size)
        around, pixel = colours(random.integers(0, 256, (6, channels))), random.integers(0, 256, channels)
        moved = head.around(tf.constant(params), tf.constant(around))
        found = float(head.distribution(moved).log_prob(pixel.astype("int32")))
        assert found == pytest.approx(log_prob(head, params, around, pixel), rel=1e-9)


def untrained(head, around, pixel):
    """Bits of a pixel under the mean over components, which is what an untrained network says."""
    moved = head.around(tf.zeros([head.params_size]), tf.constant(colours(around), tf.float32))
    return -float(head.distribution(moved).log_prob(np.array(pixel, "int32"))) / np.log(2)


def test_a_known_colour_costs_little():
    """Untrained already: a neighbour's colour, or its mirror's, costs the choice of the component."""
    around = [[10, 200, 90], [10, 200, 90], [250, 30, 60], [250, 30, 60], [0, 0, 255], [10, 200, 90]]
    head = PredictiveLogisticMixture()
    assert untrained(head, around, around[0]) < 5
    assert untrained(head, around, around[2]) < 5
    assert untrained(head, around, around[4]) < 6
    assert untrained(PredictiveLogisticMixture(mirror=False), around, around[4]) > 15
    assert untrained(head, around, [120, 130, 140]) > 15


def test_a_colour_between_two_costs_one_channel():
    """Half way between left and above: red is to be told, green and blue follow from it."""
    around = np.array([[10, 200, 90], [10, 200, 90], [250, 30, 60], [250, 30, 60], [10, 200, 90], [10, 200, 90]])
    between = np.round(around[0] + 0.6 * (around[2] - around[0])).astype(int)
    off = between + np.array([0, 60, -60])
    head = PredictiveLogisticMixture()
    assert untrained(head, around, between) < 17 < 20 < untrained(head, around, off)


def test_wide_components_leave_the_background_alone():
    """A third of white would be the share of a wide logistic around a light grey, had white its tail."""
    head = PredictiveLogisticMixture(256, 1, mirror=False)
    moved = np.zeros(head.params_size, "float32")
    moved[: head.num_components] = -30.0
    moved[head.num_components - 1] = 0.0
    moved[-2:] = 0.7, -1.5
    probabilities = np.exp(np.asarray(head.coordinate_log_probs(tf.constant(moved))))
    assert abs(probabilities.sum() - 1) < 1e-5
    assert (
        probabilities[255]
        < 0.01
        < 0.2
        < np.exp(
            np.asarray(
                DiscretizedLogisticMixture(head.num_components, 256, 1).coordinate_log_probs(tf.constant(moved))
            )[255]
        )
    )


@pytest.mark.parametrize(
    "arguments",
    [{"outside": 256}, {"outside": -1}, {"outside": 1.5}, {"num_free": -1}, {"num_free": "2"}, {"num_levels": 1}],
)
def test_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}`"):
        PredictiveLogisticMixture(**arguments)
