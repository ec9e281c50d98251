"""Image GPT (Chen et al. 2020, "Generative Pretraining from Pixels"): a transformer decoder over colours in raster order.

    h^0 = colour embedding + position,   h^{l+1} = TransformerBlock(h^l),   logits = LayerNorm(h^L) · embeddingᵀ

An image is reduced to a palette that k-means finds (`PaletteCategorical`), one symbol a pixel. The features of a layer in
the middle, averaged over the pixels, tell classes apart by a linear probe: `features`.

Deviations: GPT-2's LayerNorm, its gelu, and its table that is both input and output, where the paper has a norm without
centring, a sigmoid's gelu and two tables.
"""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import KeyValue, numbers, site_by_site
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import PaletteCategorical
from ar_zoo.layers import LearnedPositions, SymbolEmbedding, TransformerBlock


@register("image_gpt")
class ImageGPT(AutoregressiveModel):
    """Images of one symbol a pixel, in raster order.

    Args:
        image_shape: (height, width).
        head: a `PaletteCategorical`, which reads and writes colours, or another `Categorical`.
        num_layers, units, num_heads: of the decoder.
        dropout: rate on embeddings, attention weights and both branches.
    """

    HEAVY = True

    def __init__(self, image_shape, head, num_layers=24, units=512, num_heads=8, dropout=0.0, **kwargs):
        arguments.one_symbol(head)
        _check(image_shape, head)
        arguments.whole(num_layers=num_layers, units=units, num_heads=num_heads)
        arguments.multiples(num_heads, "the number of heads", units=units)
        arguments.rates(dropout=dropout)
        super().__init__(head, image_shape, **kwargs)
        self.image_shape, self.num_layers, self.units = tuple(image_shape), num_layers, units
        self.num_heads, self.dropout = num_heads, dropout
        policy = {"dtype": self.dtype_policy}
        self._embed = SymbolEmbedding(head.num_symbols, units, name="embedding", **policy)
        self._positions = LearnedPositions(self.num_sites, name="positions", **policy)
        self._drop = keras.layers.Dropout(dropout, name="dropout", **policy)
        self._blocks = [
            TransformerBlock(num_heads, dropout=dropout, name=f"block_{i}", **policy) for i in range(num_layers)
        ]
        self._norm = keras.layers.LayerNormalization(epsilon=1e-5, name="norm", **policy)
        self.build()

    def features(self, x, layer=None, training=False):
        """What the blocks make of an image: feature i is of the pixels before i.

        Args:
            x: int symbols [B, H, W].
            layer: after how many blocks, 0 … `num_layers`; `None` for what the logits are made of.

        Returns:
            float [B, H, W, units].

        Example: `model.features(x, layer=model.num_layers // 2)`
        """
        if layer is not None:
            arguments.whole(0, layer=layer)
            if layer > self.num_layers:
                raise ValueError(f"`layer` must be at most `num_layers`, {self.num_layers}; got {layer}.")
        x = ops.reshape(x, (-1, self.num_sites))
        prev = ops.pad(x, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
        h = self._drop(self._positions(self._embed(prev), ops.arange(self.num_sites)), training=training)
        for block in self._blocks[:layer]:
            h = block(h, training=training)
        return ops.reshape(self._norm(h) if layer is None else h, (-1, *self.image_shape, self.units))

    def call(self, x, context=None, training=False):
        return self._embed.logits(self.features(x, training=training))

    def cache_spec(self, max_sites):
        return {block.name: block.cache_spec(max_sites) for block in self._blocks}

    @site_by_site(chunks=True)
    def step(self, prev, cache, index, context=None):
        at = numbers(index, prev.shape[1])
        slots = ops.arange(KeyValue(()).read(cache["block_0"]["key"]).shape[2])  # slot i holds site i
        h, new = self._positions(self._embed(prev), ops.maximum(at, 0)), {}
        for block in self._blocks:
            h, new[block.name] = block.step(h, cache[block.name], index, at, slots)
        return self._embed.logits(self._norm(h)), new

    SMALL = (dict(image_shape=(2, 3), head=PaletteCategorical.even(3, 1)),)

    PRESETS = {
        "tiny": dict(image_shape=(3, 4), head=PaletteCategorical.even(2, 2), num_layers=2, units=8, num_heads=2),
        # Recipes put the palette that k-means finds in the place of these even ones.
        "mnist": dict(image_shape=(28, 28), head=PaletteCategorical.even(16, 1), num_layers=6, units=128, num_heads=4),
        "emoji": dict(image_shape=(32, 32), head=PaletteCategorical.even(8), num_layers=6, units=192, num_heads=6),
        "benchmark": dict(image_shape=(32, 32), head=PaletteCategorical.even(8), num_layers=6, units=256),
        # The paper's three, of 76 million, 455 million and 1.4 billion weights.
        "small": dict(image_shape=(32, 32), head=PaletteCategorical.even(8)),
        "medium": dict(image_shape=(32, 32), head=PaletteCategorical.even(8), num_layers=36, units=1024),
        "large": dict(image_shape=(32, 32), head=PaletteCategorical.even(8), num_layers=48, units=1536, num_heads=16),
    }


def _check(image_shape, head):
    sizes = tuple(image_shape) if isinstance(image_shape, (list, tuple)) else ()
    if len(sizes) != 2:
        raise ValueError(f"`image_shape` must be (height, width), as a pixel is one symbol; got {image_shape!r}.")
    for size in sizes:
        arguments.whole(image_shape=size)
    if head.params_size != head.num_symbols:
        raise ValueError(f"`head` must take a logit for each symbol, as Categorical does; got {head!r}.")
