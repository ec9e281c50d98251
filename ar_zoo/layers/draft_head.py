"""Heads that guess further ahead than the next symbol, from the same features.

Medusa (Cai et al. 2024, arXiv:2401.10774) and multi-token prediction (Gloeckle et al. 2024, arXiv:2404.19737) put several
heads side by side; Hydra (Ankner et al. 2024, arXiv:2402.05109) and DeepSeek-V3 (arXiv:2412.19437) chain them, so that each
knows the symbols guessed before it.
"""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.config import Configurable


@keras.saving.register_keras_serializable(package="ar_zoo")
class DraftHead(Configurable, keras.layers.Layer):
    """h + W_2 silu(W_1 h), which is h before it is trained, with twice as many channels in between; chained, h is first made of
    h and a symbol's vector.

    Deviations: the output layer is the model's own, where Medusa has one for each head; chained heads have no attention,
    which DeepSeek-V3's have.

    Args:
        chained: whether it takes the vector of the symbol before, too.

    Shapes:
        [..., units], and chained also [..., units] → [..., units].

    Example:
        >>> DraftHead()(np.zeros((1, 16, 32), "float32")).shape
        TensorShape([1, 16, 32])
    """

    def __init__(self, chained=False, **kwargs):
        super().__init__(**kwargs)
        self.chained = chained

    def build(self, x_shape, symbol_shape=None):
        units = x_shape[-1]

        def dense(name, channels, size, **more):
            layer = keras.layers.Dense(size, name=name, dtype=self.dtype_policy, **more)
            layer.build((None, channels))
            return layer

        self._mix = dense("mix", 2 * units, units) if self.chained else None
        self._expand = dense("expand", units, 2 * units)
        self._reduce = dense("reduce", 2 * units, units, kernel_initializer="zeros")

    def call(self, x, symbol=None):
        if self._mix is not None:
            # Vectors of symbols are much shorter than features before they are trained.
            parts = [ops.rms_normalization(part, axis=-1) for part in (x, symbol)]
            x = self._mix(ops.concatenate(parts, axis=-1))
        return x + self._reduce(ops.silu(self._expand(x)))
