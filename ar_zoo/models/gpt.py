"""GPT: a pre-norm transformer decoder (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners").

    x += Attention(LayerNorm(x)),   x += W_2 gelu(W_1 LayerNorm(x)),   logits = LayerNorm(x) · embeddingᵀ

Deviations: without `start_symbol` the start has an embedding of its own (one row more than the alphabet).
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import KeyValue
from ar_zoo.core.likelihood import BitsPerDimension, Perplexity
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Categorical
from ar_zoo.layers import SymbolEmbedding, TransformerBlock, get_positions


@register("gpt")
class GPT(AutoregressiveModel):
    """Tokens or characters.

    Args:
        head: a `Categorical` over the vocabulary; with an `alphabet` it reads and writes text.
        max_sites: the longest event.
        num_layers, units, num_heads: of the decoder.
        num_kv_heads: heads of keys and values; `None` for `num_heads`.
        positions: `"learned"`, `"sinusoidal"`, `"rotary"` or `"none"`.
        window: how many entries an entry sees, itself included; `None` for all.
        start_symbol: the symbol fed before the first; `None` for an embedding of its own.
        dropout: rate on embeddings, attention weights and both branches.
    """

    metric_classes = (BitsPerDimension, Perplexity)

    def __init__(
        self,
        head,
        max_sites=1024,
        num_layers=12,
        units=768,
        num_heads=12,
        num_kv_heads=None,
        positions="learned",
        window=None,
        start_symbol=None,
        dropout=0.0,
        **kwargs,
    ):
        _check(head, num_heads, num_kv_heads, positions, units)
        arguments.whole(max_sites=max_sites, num_layers=num_layers)
        arguments.whole_or_none(window=window)
        arguments.rates(dropout=dropout)
        super().__init__(head, (None,), **kwargs)
        self._max_sites = max_sites
        self.num_layers, self.units, self.num_heads, self.num_kv_heads = num_layers, units, num_heads, num_kv_heads
        self.positions, self.window, self.start_symbol, self.dropout = positions, window, start_symbol, dropout
        policy = {"dtype": self.dtype_policy}
        self._embed = SymbolEmbedding(head.num_symbols, units, start_symbol, name="embedding", **policy)
        rotary = positions == "rotary"
        self._positions = get_positions("none" if rotary else positions, max_sites, name="positions", **policy)
        self._drop = keras.layers.Dropout(dropout, name="dropout", **policy)
        self._blocks = [
            TransformerBlock(
                num_heads, num_kv_heads, "rotary" if rotary else "none", window, dropout, name=f"block_{i}", **policy
            )
            for i in range(num_layers)
        ]
        self._norm = keras.layers.LayerNormalization(epsilon=1e-5, name="norm", **policy)
        self.build()

    @property
    def max_sites(self):
        return self._max_sites

    def _inputs(self, prev, at):
        return self._positions(self._embed(prev), at)

    def call(self, x, context=None, training=False):
        prev = ops.pad(x, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
        x = self._drop(self._inputs(prev, ops.arange(ops.shape(x)[1])), training=training)
        for block in self._blocks:
            x = block(x, training=training)
        return self._embed.logits(self._norm(x))

    def receptive_field(self, num_sites=None):
        # An entry holds the site before it: one layer with a window of w reaches w sites back, each further one w - 1.
        field = super().receptive_field(num_sites)
        if self.window is None:
            return field
        distance = np.arange(num_sites)[:, None] - np.arange(num_sites)[None]
        return field & (distance <= 1 + self.num_layers * (self.window - 1))

    def cache_spec(self, max_sites):
        spec = {block.name: block.cache_spec(max_sites) for block in self._blocks}
        return spec | {"positions": KeyValue((max_sites,), "int32", fill=-1)}

    def step(self, prev, cache, index, context=None, positions=None):
        at = index + ops.arange(prev.shape[1]) if positions is None else positions
        filled = ops.broadcast_to(at, (prev.shape[0], prev.shape[1]))
        kind = KeyValue(())
        x, new = self._inputs(prev, ops.maximum(at, 0)), {"positions": kind.write(cache["positions"], filled, index)}
        key_at = kind.read(cache["positions"])
        for block in self._blocks:
            x, new[block.name] = block.step(x, cache[block.name], index, filled, key_at)
        return self._embed.logits(self._norm(x)), new

    PRESETS = {
        "tiny": dict(
            head=Categorical(5), max_sites=12, num_layers=2, units=16, num_heads=4, num_kv_heads=2, positions="learned"
        ),
        "kjv": dict(head=Categorical(62), max_sites=256, num_layers=6, units=192, num_heads=6, positions="rotary"),
        "benchmark": dict(head=Categorical(256), max_sites=512, num_layers=6, units=256, num_heads=8),
        # GPT-2, in its four published sizes.
        "gpt2_small": dict(head=Categorical(50257), start_symbol=50256),
        "gpt2_medium": dict(head=Categorical(50257), start_symbol=50256, num_layers=24, units=1024, num_heads=16),
        "gpt2_large": dict(head=Categorical(50257), start_symbol=50256, num_layers=36, units=1280, num_heads=20),
        "gpt2_xl": dict(head=Categorical(50257), start_symbol=50256, num_layers=48, units=1600, num_heads=25),
    }


def _check(head, num_heads, num_kv_heads, positions, units):
    arguments.one_symbol(head)
    if head.params_size != head.num_symbols:
        raise ValueError(f"`head` must take a logit for each symbol, as Categorical does; got {head!r}.")
    arguments.whole(num_heads=num_heads, units=units)
    arguments.whole_or_none(num_kv_heads=num_kv_heads)
    if units % num_heads or num_heads % (num_kv_heads or num_heads):
        raise ValueError(
            f"`num_heads` must divide `units`, and `num_kv_heads` must divide `num_heads`; got units {units}, "
            f"num_heads {num_heads}, num_kv_heads {num_kv_heads}."
        )
    pairs = {"rotary": 2 * num_heads, "sinusoidal": 2}.get(positions, 1)
    arguments.multiples(pairs, f"since {positions} positions turn pairs of channels", units=units)
