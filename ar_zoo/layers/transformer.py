"""The block that transformer decoders are stacks of (Radford et al. 2019: normalised before each branch)."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.config import Configurable
from ar_zoo.layers.attention import CausalSelfAttention


@keras.saving.register_keras_serializable(package="ar_zoo")
class TransformerBlock(Configurable, keras.layers.Layer):
    """x += Attention(LayerNorm(x)), then x += W_2 gelu(W_1 LayerNorm(x)), with four times as many channels in between.

    Args:
        num_heads, num_kv_heads, positions, window: of the `CausalSelfAttention`.
        dropout: rate on attention weights and both branches.

    Shapes:
        [B, T, units] → [B, T, units].

    Example:
        >>> TransformerBlock(4)(np.zeros((1, 16, 32), "float32")).shape
        TensorShape([1, 16, 32])
    """

    def __init__(self, num_heads, num_kv_heads=None, positions="none", window=None, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.num_kv_heads, self.positions = num_heads, num_kv_heads, positions
        self.window, self.dropout = window, dropout
        policy = {"dtype": self.dtype_policy}
        self._norm_1 = keras.layers.LayerNormalization(epsilon=1e-5, name="norm_1", **policy)
        self.attention = CausalSelfAttention(
            num_heads, num_kv_heads, positions, window=window, dropout=dropout, name="attention", **policy
        )
        self._norm_2 = keras.layers.LayerNormalization(epsilon=1e-5, name="norm_2", **policy)
        self._drop = keras.layers.Dropout(dropout, name="dropout", **policy)

    def build(self, input_shape):
        units = input_shape[-1]
        policy = {"dtype": self.dtype_policy}
        self._expand = keras.layers.Dense(4 * units, name="expand", **policy)
        self._reduce = keras.layers.Dense(units, name="reduce", **policy)
        for layer in (self._norm_1, self.attention, self._norm_2, self._expand):
            layer.build((None, None, units))
        self._reduce.build((None, None, 4 * units))

    def _feed_forward(self, x):
        return self._reduce(ops.gelu(self._expand(self._norm_2(x)), approximate=True))

    def call(self, x, training=False):
        x = x + self._drop(self.attention(self._norm_1(x), training=training), training=training)
        return x + self._drop(self._feed_forward(x), training=training)

    def cache_spec(self, max_entries: int) -> dict:
        """What its attention keeps."""
        return self.attention.cache_spec(max_entries)

    def step(self, x, cache, index, query_at, key_at):
        """The outputs of the next K entries, and the new cache; arguments as in `CausalSelfAttention.step`."""
        mixed, cache = self.attention.step(self._norm_1(x), cache, index, query_at, key_at)
        x = x + mixed
        return x + self._feed_forward(x), cache
