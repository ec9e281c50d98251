"""`encode` and `decode`: values against formulas, both ways, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture, MuLawCategorical


@pytest.mark.parametrize("levels", [2, 16, 255, 256, 1024])
def test_mu_law(levels):
    head, mu = MuLawCategorical(levels), levels - 1
    wave = np.concatenate([np.linspace(-1, 1, 4001), [0.0, -0.0, 1e-9, -1e-9]]).astype("float32")
    symbols = head.encode(wave)
    compressed = np.sign(wave) * np.log(1 + mu * np.abs(wave.astype("float64"))) / np.log(1 + mu)
    # The nearest of `levels` evenly spaced values in [-1, 1].
    grid = np.linspace(-1, 1, levels)
    distance = np.abs(grid[symbols] - compressed)
    assert symbols.dtype == np.int32
    assert distance.max() <= 1 / mu + 1e-9
    assert (symbols.min(), symbols.max()) == (0, levels - 1)
    np.testing.assert_array_equal(symbols[[0, 4000]], [0, levels - 1])
    decoded = head.decode(np.arange(levels))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, np.sign(grid) * ((1 + mu) ** np.abs(grid) - 1) / mu, atol=1e-6)
    np.testing.assert_array_equal(head.encode(decoded), np.arange(levels))


@pytest.mark.parametrize("levels", [16, 256])
def test_mu_law_error_is_small_where_sound_is_soft(levels):
    head = MuLawCategorical(levels)
    wave = np.linspace(-1, 1, 2001)
    error = np.abs(head.decode(head.encode(wave)) - wave)
    mu = levels - 1
    step = 2 / mu * np.log(1 + mu) * (1 / mu + np.abs(wave))  # width of a level: its slope times 2 / μ
    assert (error <= step).all()
    assert error[np.abs(wave) < 0.01].max() < error.max() / 4


def test_text():
    head = Categorical.from_text("banana")
    assert head == Categorical(3, alphabet="abn")
    np.testing.assert_array_equal(head.encode("nab"), [2, 0, 1])
    assert head.decode(head.encode("bananas"[:-1])) == "banana"
    with pytest.raises(ValueError, match=r"'s', is at position 6"):
        head.encode("bananas")
    with pytest.raises(ValueError, match="3"):
        head.decode(np.array([0, 3]))


def test_source_levels():
    head = Categorical(4, source_levels=16)
    np.testing.assert_array_equal(head.encode(np.arange(16)), np.repeat(np.arange(4), 4))
    np.testing.assert_array_equal(head.decode(np.arange(4)), [2, 6, 10, 14])
    assert Categorical(256, source_levels=1024).decode(np.array([255], np.uint8)) == 1022, "no overflow in uint8"
    np.testing.assert_array_equal(head.encode(head.decode(np.arange(4))), np.arange(4))
    with pytest.raises(ValueError, match=r"`values` must lie in 0..15; got 0..16"):
        head.encode(np.array([0, 16]))


@pytest.mark.parametrize("head", [Bernoulli(), Categorical(2), DiscretizedLogisticMixture(1, 2, 1)], ids=repr)
def test_integers(head):
    for values in (np.array([0, 1], np.uint8), np.array([False, True]), [0, 1]):
        symbols = head.encode(values)
        assert symbols.dtype == np.int32
        np.testing.assert_array_equal(symbols, [0, 1])
        np.testing.assert_array_equal(head.decode(symbols), [0, 1])
    assert head.encode(np.zeros((0, 3), np.uint8)).shape == (0, 3)
    for values in (np.array([0.0, 1.0]), "ab"):
        with pytest.raises(ValueError, match=r"`values` must hold integers from 0 to 1; got dtype"):
            head.encode(values)
    for values in ([0, 2], [-1, 0]):
        with pytest.raises(ValueError, match=r"`values` must lie in 0..1; got"):
            head.encode(np.array(values))


@pytest.mark.parametrize("values", [[0.0, 1.01], [-1.5], [np.nan], [np.inf]])
def test_waveforms_out_of_range(values):
    with pytest.raises(ValueError, match=r"`values` must lie in \[-1, 1\]; got"):
        MuLawCategorical(256).encode(values)


def test_waveforms_of_integers():
    with pytest.raises(ValueError, match=r"`values` must be a waveform of floats in \[-1, 1\]; got dtype int"):
        MuLawCategorical(256).encode(np.array([0, 1]))
    assert MuLawCategorical(256).encode(np.zeros(0, "float32")).shape == (0,)


@pytest.mark.parametrize("symbols", [[0, 256], [-1], [0.5]])
@pytest.mark.parametrize(
    "head", [Categorical(256), MuLawCategorical(256), Categorical(256, source_levels=512)], ids=repr
)
def test_symbols_out_of_range_are_not_decoded(head, symbols):
    with pytest.raises(ValueError, match="`symbols`"):
        head.decode(np.array(symbols))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Categorical(1), "num_symbols"),
        (lambda: MuLawCategorical(1), "levels"),
        (lambda: Categorical(3, alphabet="ab"), "alphabet"),
        (lambda: Categorical(3, alphabet="aba"), "alphabet"),
        (lambda: Categorical(3, source_levels=8), "source_levels"),
        (lambda: DiscretizedLogisticMixture(channels=2), "channels"),
        (lambda: DiscretizedLogisticMixture(0), "num_components"),
        (lambda: DiscretizedLogisticMixture(num_levels=1), "num_levels"),
    ],
)
def test_constructors_refuse(make, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make()
