"""The noise is a pure function of seed, row and site; it is uniform, and strictly inside (0, 1)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, pearsonr

from ar_zoo.core.noise import uniform_noise


@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (5,), (2, 3), ()])
def test_independent_of_batch_chunk_and_length(shape):
    whole = uniform_noise(7, range(6), 0, 20, shape)
    assert whole.shape == (6, 20, *shape)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(uniform_noise(7, [4, 1], 0, 20, shape), whole[[4, 1]])
    np.testing.assert_array_equal(uniform_noise(7, range(6), 3, 11, shape), whole[:, 3:11])
    np.testing.assert_array_equal(uniform_noise(7, range(6), 0, 50, shape)[:, :20], whole)
    pieces = [uniform_noise(7, range(6), site, site + 1, shape) for site in range(20)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)


def test_seed_row_and_site_all_matter():
    noise = uniform_noise(1, range(50), 0, 50, (2,))
    assert len(np.unique(noise)) > 4990
    assert not np.isin(uniform_noise(2, range(50), 0, 50, (2,)), noise).mean() > 0.01


def test_uniform():
    for numbers in (
        uniform_noise(0, [0], 0, 20_000, (1,)),
        uniform_noise(0, range(20_000), 0, 1, (1,)),
        uniform_noise(3, [2], 0, 5_000, (4,)),
    ):
        assert kstest(numbers.ravel().astype("float64"), "uniform").pvalue > 1e-3
    rows = uniform_noise(0, range(2), 0, 20_000, (1,))[..., 0]
    assert abs(pearsonr(*rows).statistic) < 4 / np.sqrt(20_000)
    assert abs(pearsonr(rows[0, 1:], rows[0, :-1]).statistic) < 4 / np.sqrt(20_000)


def test_strictly_inside(monkeypatch):
    """Even for the most extreme 64-bit numbers: the logistic's quantiles stay finite."""

    class Extreme:
        def __init__(self, key, counter):
            pass

        def random_raw(self, size):
            return np.resize(np.array([0, 2**64 - 1], np.uint64), size)

    monkeypatch.setattr(np.random, "Philox", Extreme)
    noise = uniform_noise(0, [0], 0, 2, (2,))
    np.testing.assert_array_equal(noise[0, 0], np.float32([2.0**-24, 1 - 2.0**-24]))
    assert np.isfinite(np.log(noise) - np.log1p(-noise)).all()
    assert noise.max() < 1


def test_known_values():
    """Samples are promised to stay the same: these numbers must never change."""
    expected = [[0.72673672, 0.03252882], [0.77768928, 0.51342469]]
    np.testing.assert_allclose(uniform_noise(123, [0, 5], 2, 3, (2,))[:, 0], expected, atol=1e-7)


@pytest.mark.parametrize("seed", [-1, 1.0, True, None, "0"])
def test_seeds(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer of at least 0"):
        uniform_noise(seed, [0], 0, 1, (1,))


def test_large_seeds():
    for seed in (np.int64(3), 2**63, 2**64 - 1):
        assert uniform_noise(seed, [0], 0, 1, (1,)).shape == (1, 1, 1)
