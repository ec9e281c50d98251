"""An energy of the level, on a finite alphabet (Nash & Durkan 2019, "Autoregressive Energy Machines", arXiv:1904.05626).

    p(i) = exp(-E(v_i)) / Σ_j exp(-E(v_j)),    E(v) = -Σ_k w_k tanh(a_k (v - c_k)),    v_i = 2i / (num_symbols - 1) - 1

The sum over the alphabet is exact. The paper has continuous data alone.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.heads.categorical import Categorical
from ar_zoo.heads.energy import between, centred, tilts

_REACH = 1.25  # of centres: past the first and the last level, which so may have a step of their own


@keras.saving.register_keras_serializable(package="ar_zoo")
class CategoricalEnergy(Categorical):
    """Softmax over levels of something (pixels, sound), whose logits are steps over the levels and not free numbers.

    Neighbouring levels so have much in common, and a site takes 3 · `num_features` parameters, whatever the alphabet.
    At parameters of 0 all levels are equally likely. A step is at least about one level wide, at most the whole range.
    Each site costs `num_symbols` · `num_features` hyperbolic tangents, which with 256 levels is most of a small
    network's time in training.

    Args:
        num_symbols: levels, of which each is more than the one before.
        num_features: steps of the energy.
        source_levels: as in `Categorical`.

    Example:
        >>> CategoricalEnergy(256, 16).params_size
        48
    """

    def __init__(self, num_symbols: int, num_features: int = 16, source_levels: int | None = None):
        super().__init__(num_symbols, source_levels=source_levels)
        arguments.whole(num_features=num_features)
        self.num_features, self.params_size = num_features, 3 * num_features

    def logits(self, params):
        weights, slopes, centres = ops.split(params, 3, axis=-1)
        features = weights, between(slopes, 1.0, float(self.num_symbols)), centred(centres, _REACH)
        return tilts(ops.cast(np.linspace(-1.0, 1.0, self.num_symbols), params.dtype), features)
