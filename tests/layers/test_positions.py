"""Position schemes against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.layers import (
    LearnedPositions,
    NoPositions,
    RotaryPositions,
    SinusoidalPositions,
    get_positions,
)
from ar_zoo.layers.rotary import rotary_frequencies
from tests.layers.cases import randomised

SCHEMES = ("none", "learned", "sinusoidal", "rotary")


def reference(scheme, x, at, table=None, max_wavelength=10_000):
    """A scheme on `x` [..., D], whose entries are at the positions `at` [...] (to be broadcast), in float64.

    Vaswani et al. 2017, section 3.5: angle_i = position / wavelength^(2i/D); RoFormer: a turn by that angle.
    """
    half = x.shape[-1] // 2
    result = np.array(x, np.float64)
    if scheme == "learned":
        return result + table[at]
    for i in range(half if scheme != "none" else 0):
        angle = np.broadcast_to(at * float(max_wavelength) ** (-2 * i / x.shape[-1]), x.shape[:-1])
        if scheme == "sinusoidal":
            result[..., i] += np.sin(angle)
            result[..., half + i] += np.cos(angle)
        else:
            turned = (x[..., i] + 1j * x[..., half + i]) * np.exp(1j * angle)
            result[..., i], result[..., half + i] = turned.real, turned.imag
    return result


def make(scheme, **arguments):
    return get_positions(scheme, 40 if scheme == "learned" else None, dtype="float64", **arguments)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("heads", [(), (3,)])
def test_formula(scheme, heads):
    layer = make(scheme)
    x = np.random.default_rng(0).normal(size=(2, 5, *heads, 8))
    shared, ragged = np.arange(30, 35), np.array([[0, 1, 2, 3, 4], [7, 9, 11, 30, 39]])
    layer(x, shared)
    randomised(layer)
    table = np.asarray(layer.table.value) if scheme == "learned" else None
    for at in (shared, ragged):
        expected = reference(scheme, x, at.reshape(*at.shape, *([1] * len(heads))), table)
        np.testing.assert_allclose(np.asarray(layer(x, at)), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({"rope_type": "linear", "factor": 4.0}, lambda f, base: f / 4),
        ({"type": "ntk", "factor": 4.0}, lambda f, base: (base * 4 ** (8 / 6)) ** (-np.arange(4) / 4)),
        ({"rope_type": "factors", "factors": [1, 2, 4, 8]}, lambda f, base: f / [1, 2, 4, 8]),
        ({"rope_type": "default"}, lambda f, base: f),
    ],
    ids=["linear", "ntk", "factors", "default"],
)
def test_stretched_frequencies(scaling, expected):
    """YaRN's and Llama 3's are compared with transformers' in tests/interop."""
    plain, one = rotary_frequencies(8, 10_000)
    found, magnitude = rotary_frequencies(8, 10_000, scaling)
    np.testing.assert_allclose(found, expected(plain, 10_000), rtol=1e-12)
    assert one == magnitude == 1.0


def test_yarn_keeps_the_fast_and_stretches_the_slow():
    scaling = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 512}
    plain, _ = rotary_frequencies(64, 10_000)
    found, magnitude = rotary_frequencies(64, 10_000, scaling)
    ratio = found / plain
    turns = 512 * plain / (2 * np.pi)
    np.testing.assert_allclose(ratio[turns > 40], 1.0)
    np.testing.assert_allclose(ratio[turns < 0.7], 1 / 8)
    assert (np.diff(ratio) <= 0).all()
    assert magnitude == pytest.approx(0.1 * np.log(8) + 1)
    assert rotary_frequencies(64, 10_000, scaling | {"attention_factor": 1.5})[1] == 1.5


@pytest.mark.parametrize(
    ("scaling", "says"),
    [
        ("linear", "`rope_scaling` must be a dict"),
        (
            {"rope_type": "dynamic"},
            "'rope_type' of 'default', 'linear', 'factors', 'ntk', 'yarn', 'llama3'; got 'dynamic'",
        ),
        ({"rope_type": "yarn", "factor": 2.0}, "needs a number 'original_max_position_embeddings' above 0; got None"),
        ({"rope_type": "linear", "factor": True}, "needs a number 'factor' above 0; got True"),
    ],
    ids=str,
)
def test_refused_scaling(scaling, says):
    with pytest.raises(ValueError, match=says):
        RotaryPositions(scaling=scaling)


def test_rotary_scores_depend_on_distance_alone():
    layer = RotaryPositions(dtype="float64")
    query, key = np.random.default_rng(0).normal(size=(2, 1, 1, 8))
    turned = lambda x, at: np.asarray(layer(x, np.array([at])))  # noqa: E731
    scores = [np.sum(turned(query, a + 3) * turned(key, a)) for a in (0, 1, 17, 200)]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-10)


def test_angles_are_exact_far_out_in_bfloat16():
    """In bfloat16, position 1001 would be 1000: whole turns off."""
    x = np.zeros((1, 2, 4))
    x[..., 0] = 1
    y = np.asarray(RotaryPositions(dtype="bfloat16")(x, np.array([1000, 1001]))).astype("float64")
    np.testing.assert_allclose(y[0, :, 0], np.cos([1000, 1001]), atol=5e-3)


def test_wavelength():
    x = np.zeros((1, 3, 4))
    y = np.asarray(SinusoidalPositions(max_wavelength=100, dtype="float64")(x, np.arange(3)))
    np.testing.assert_allclose(y[0, 2], [np.sin(2), np.sin(0.2), np.cos(2), np.cos(0.2)], atol=1e-12)


def test_by_name():
    classes = (NoPositions, LearnedPositions, SinusoidalPositions, RotaryPositions)
    assert [type(make(scheme)) for scheme in SCHEMES] == list(classes)
    layer = RotaryPositions()
    assert get_positions(layer) is layer


def test_refused():
    with pytest.raises(ValueError, match=r"`positions` must be one of 'none'.*got 'alibi'"):
        get_positions("alibi")
    with pytest.raises(ValueError, match="`max_positions`"):
        get_positions("learned")
    for scheme in ("sinusoidal", "rotary"):
        with pytest.raises(ValueError, match="even number of channels; the input has 5"):
            make(scheme)(np.zeros((1, 2, 5)), np.arange(2))
