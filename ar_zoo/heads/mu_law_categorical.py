"""Sound in logarithmic levels (ITU-T G.711's idea; WaveNet, van den Oord et al. 2016, equation in section 2.2)."""

from __future__ import annotations

import keras
import numpy as np

from ar_zoo.core import arguments
from ar_zoo.heads.categorical import Categorical


@keras.saving.register_keras_serializable(package="ar_zoo")
class MuLawCategorical(Categorical):
    """Softmax over μ-law levels of a waveform in [-1, 1].

    `f(v) = sign(v) ln(1 + μ|v|) / ln(1 + μ)` with μ = levels - 1 maps the waveform to [-1, 1], which is cut into
    `levels` evenly spaced values, the ends included.

    Args:
        levels: any number of at least 2; 256 is WaveNet's.

    Example:
        >>> MuLawCategorical(256).encode([-1.0, 0.0, 1.0])
        array([  0, 128, 255], dtype=int32)
    """

    def __init__(self, levels: int = 256):
        arguments.whole(2, levels=levels)
        super().__init__(levels)
        self.levels = levels

    def encode(self, values):
        values = np.asarray(values)
        if values.dtype.kind != "f":
            raise ValueError(f"`values` must be a waveform of floats in [-1, 1]; got dtype {values.dtype}.")
        if values.size and not np.abs(values).max() <= 1:
            raise ValueError(
                f"`values` must lie in [-1, 1]; got {values.min():.4g}..{values.max():.4g}. Scale the waveform first."
            )
        mu = self.levels - 1
        compressed = np.sign(values) * np.log1p(mu * np.abs(values, dtype=np.float64)) / np.log1p(mu)
        return np.floor((compressed + 1) / 2 * mu + 0.5).astype(np.int32)

    def decode(self, symbols):
        mu = self.levels - 1
        compressed = 2.0 * self._integers(symbols, "symbols") / mu - 1
        return (np.sign(compressed) * np.expm1(np.abs(compressed) * np.log1p(mu)) / mu).astype(np.float32)
