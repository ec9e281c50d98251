"""The quantile that Gaussian noise is made with, against SciPy."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ar_zoo.core.quantile import normal_quantile


def test_the_quantile_is_that_of_the_normal_to_float32s_digits():
    """On every number that noise can be (multiples of 2⁻²³, and a half), and rising."""
    uniform = (np.arange(2**23) + 0.5) * 2.0**-23
    found = np.asarray(normal_quantile(uniform.astype("float32")))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, stats.norm.ppf(uniform), rtol=4.2e-7)
    assert np.diff(found).min() >= 0
