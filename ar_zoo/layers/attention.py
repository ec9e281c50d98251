"""Causal self-attention with a cache (Vaswani et al. 2017; grouped queries, arXiv:2305.13245)."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.cache import KeyValue, is_scalar
from ar_zoo.core.config import Configurable
from ar_zoo.layers.positions import get_positions

# Queries of longer sequences are cut into parts of about so many.
PART = 128


@keras.saving.register_keras_serializable(package="ar_zoo")
class CausalSelfAttention(Configurable, keras.layers.Layer):
    """Multi-head attention in which an entry sees itself and the entries before it.

    Args:
        num_heads: heads of queries; divides the channels.
        num_kv_heads: heads of keys and values, shared by groups of queries; divides `num_heads`. 1 is multi-query
            attention, `None` one for each query head.
        positions: `"none"`, `"learned"`, `"sinusoidal"`, `"rotary"`, or a layer; applied to queries and keys. `"alibi"`:
            scores fall with the distance, in each head at its own rate (arXiv:2108.12409).
        max_positions: size of the table of learned positions.
        window: how many entries, itself included, an entry sees; `None` for all.
        num_sinks: how many of the first entries are seen from everywhere, in spite of a window (arXiv:2309.17453).
        key_units, value_units: channels of all heads' queries (and, with as many heads, keys) and values; divisible by
            `num_heads`. `None` for as many as the input has.
        mix_heads: whether a last dense map leads from the heads' values back to the input's channels; without it they
            come out side by side.
        use_bias: whether queries, keys and values have biases.
        out_bias: whether the last map has one; `None` for as `use_bias`.
        logit_cap: scores are bent to lie within ± this, as cap · tanh(score / cap); `None` for as they are.
        dropout: rate on the attention weights.

    Shapes:
        [B, T, units] → [B, T, units], or [B, T, value_units] without `mix_heads`. Keys and values may be made from
        something else than queries, `source` [B, T, channels]: entry i then sees the sources of the entries up to i.
        Rows may hold several texts: `texts` int [B, T], which one an entry belongs to, and `at` int [B, T], its position
        there; an entry then sees its own text alone.

    Example:
        >>> CausalSelfAttention(4, positions="rotary")(np.zeros((1, 16, 32), "float32")).shape
        TensorShape([1, 16, 32])
    """

    def __init__(
        self,
        num_heads,
        num_kv_heads=None,
        positions="none",
        max_positions=None,
        window=None,
        num_sinks=0,
        key_units=None,
        value_units=None,
        mix_heads=True,
        use_bias=True,
        out_bias=None,
        logit_cap=None,
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_heads < 1 or (num_kv_heads is not None and (num_kv_heads < 1 or num_heads % num_kv_heads)):
            raise ValueError(f"`num_kv_heads` must divide `num_heads`; got {num_kv_heads} and {num_heads}.")
        if window is not None and window < 1:
            raise ValueError(f"`window` must be at least 1, or None for all; got {window}.")
        if num_sinks < 0 or (num_sinks and window is None):
            raise ValueError(f"`num_sinks` must be at least 0, and 0 without a `window`; got {num_sinks}.")
        if logit_cap is not None and not logit_cap > 0:
            raise ValueError(f"`logit_cap` must be more than 0, or None; got {logit_cap}.")
        for name, units in (("key_units", key_units), ("value_units", value_units)):
            if units is not None and (units < 1 or units % num_heads):
                raise ValueError(f"`{name}` must be a multiple of `num_heads` ({num_heads}), or None; got {units}.")
        self.num_heads, self.num_kv_heads, self.positions = num_heads, num_kv_heads, positions
        self.key_units, self.value_units, self.mix_heads = key_units, value_units, mix_heads
        self.max_positions, self.window, self.num_sinks = max_positions, window, num_sinks
        self.use_bias, self.out_bias, self.logit_cap, self.dropout = use_bias, out_bias, logit_cap, dropout
        self._kv_heads = num_kv_heads or num_heads
        self._alibi = positions == "alibi"
        scheme = "none" if self._alibi else positions
        self._scheme = get_positions(scheme, max_positions, name="positions", dtype=self.dtype_policy)
        self._dropout = keras.layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, x_shape, source_shape=None):
        units, source_units = x_shape[-1], (source_shape or x_shape)[-1]
        if units % self.num_heads and None in (self.key_units, self.value_units):
            raise ValueError(f"`num_heads` = {self.num_heads} must divide the input's {units} channels.")
        self._size = (self.key_units or units) // self.num_heads
        self._value_size = (self.value_units or units) // self.num_heads

        def dense(name, channels, size, use_bias=self.use_bias):
            layer = keras.layers.Dense(size, use_bias=use_bias, name=name, dtype=self.dtype_policy)
            layer.build((None, None, channels))
            return layer

        self._query = dense("query", units, self.num_heads * self._size)
        self._key = dense("key", source_units, self._kv_heads * self._size)
        self._value = dense("value", source_units, self._kv_heads * self._value_size)
        out_bias = self.use_bias if self.out_bias is None else self.out_bias
        self._out = dense("out", self.num_heads * self._value_size, units, out_bias) if self.mix_heads else None
        if not self._scheme.built:
            self._scheme.build((None, None, self._size))

    def _project(self, x, source, positions, training=False):
        length, apart = ops.shape(x)[1], source is not None or not training
        source = x if source is None else source
        heads = lambda y, n: ops.reshape(y, (-1, length, n, y.shape[-1] // n))  # noqa: E731
        query, key, value = (
            (self._query(x), self._key(source), self._value(source)) if apart else self._in_one_product(x)
        )
        query = self._scheme(heads(query, self.num_heads), positions)
        key = self._scheme(heads(key, self._kv_heads), positions)
        query, key, value = (ops.transpose(y, (0, 2, 1, 3)) for y in (query, key, heads(value, self._kv_heads)))
        # The queries of the heads that share a key stand one below the other, so that each attends in one product.
        return (
            ops.reshape(query, (-1, self._kv_heads, self.num_heads // self._kv_heads * length, self._size)),
            key,
            value,
        )

    def _in_one_product(self, x):
        """Queries, keys and values. Training takes them so, which saves a twentieth of a small GPT's step; graphs that are
        exported have a product for each layer, since each may be stored in bits of its own."""
        layers = (self._query, self._key, self._value)
        y = ops.matmul(x, ops.concatenate([layer.kernel for layer in layers], axis=1))
        if self.use_bias:
            y = y + ops.concatenate([layer.bias for layer in layers], axis=0)
        sizes = np.cumsum([layer.units for layer in layers])[:-1]
        return ops.split(y, sizes.tolist(), axis=-1)

    def _attend(self, query, stretches, training=False, keys_first=False):
        return self._finish(self._mix(query, stretches, training, keys_first))

    def _finish(self, mixed):
        return mixed if self._out is None else self._out(mixed)

    def _mix(self, query, stretches, training=False, keys_first=False):
        """query [B, KV, G·T, D]; for each stretch of entries: key, value [B, KV, S, D], bias [B or 1, KV or 1, G·T, S]."""
        joined = lambda parts: parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)  # noqa: E731
        products = joined([self._products(query, key, keys_first) for key, _, _ in stretches])
        scores = self._scores(products, joined([bias for _, _, bias in stretches]))
        # Keras warns of a softmax over a single entry, which the first of a sequence is.
        weights = ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
        weights = ops.cast(weights, self.compute_dtype)
        weights = self._dropout(weights, training=training)
        mixed, start = 0.0, 0
        for _, value, _ in stretches:
            stop = None if value is stretches[-1][1] else start + value.shape[2]
            mixed = mixed + ops.matmul(weights[..., start:stop], value)
            start = stop
        length = ops.shape(query)[2] // (self.num_heads // self._kv_heads)
        mixed = ops.transpose(ops.reshape(mixed, (-1, self.num_heads, length, self._value_size)), (0, 2, 1, 3))
        return ops.reshape(mixed, (-1, length, self.num_heads * self._value_size))

    def _products(self, query, key, keys_first):
        if keys_first:
            return ops.transpose(ops.einsum("bksd,bkqd->bksq", key, query), (0, 1, 3, 2))
        return ops.einsum("bkqd,bksd->bkqs", query, key)

    def _scores(self, products, bias):
        scores = ops.cast(products, "float64" if self.compute_dtype == "float64" else "float32")
        scale, bias = self._size**-0.5, ops.cast(bias, scores.dtype)
        if self.logit_cap is not None:
            return self.logit_cap * ops.tanh(scores * (scale / self.logit_cap)) + bias
        # Scaled last. Scaled queries: converters would multiply it into their weights, which then leave the grid of their
        # quantisation. Scaled before the bias: TensorFlow without XLA would fuse all three into a kernel that crawls.
        return (scores + bias) * scale

    def _bias(self, query_at, key_at, query_text=None, key_text=None):
        """What is added to scores, from positions [..., T] and [..., S] (-1 is an empty slot): [B or 1, KV or 1, G·T, S].

        What is not allowed gets so little that its weight is 0 exactly. Added and not selected: LiteRT's fast kernels know
        no selection.
        """
        query_at, key_at = ops.expand_dims(query_at, -1), ops.expand_dims(key_at, -2)
        distance, allowed = query_at - key_at, ops.logical_and(key_at >= 0, key_at <= query_at)
        if self.window is not None:
            near = distance < self.window
            near = ops.logical_or(near, key_at < self.num_sinks) if self.num_sinks else near
            allowed = ops.logical_and(allowed, near)
        if query_text is not None:
            same = ops.equal(ops.expand_dims(query_text, -1), ops.expand_dims(key_text, -2))
            allowed = ops.logical_and(allowed, same)
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        bias = ops.where(allowed, ops.cast(0.0, dtype), ops.cast(-1e9, dtype))
        bias = bias if len(bias.shape) == 3 else bias[None]
        groups = self.num_heads // self._kv_heads
        if not self._alibi:
            return ops.tile(bias, (1, groups, 1))[:, None]
        slopes = alibi_slopes(self.num_heads)
        if self.logit_cap is None:
            slopes = slopes * self._size**0.5  # the scale that follows takes it away
        distance = ops.expand_dims(distance, 1) if len(distance.shape) == 3 else distance[None, None]
        bias = ops.expand_dims(bias, 1) - ops.convert_to_tensor(slopes[:, None, None], dtype) * ops.cast(
            distance, dtype
        )
        return ops.reshape(bias, (-1, self._kv_heads, groups * ops.shape(bias)[2], ops.shape(bias)[3]))

    def call(self, x, source=None, at=None, texts=None, training=False):
        at = ops.arange(ops.shape(x)[1]) if at is None else at
        query, key, value = self._project(x, source, at, training)
        length, parts = x.shape[1], 1 if x.shape[1] is None else max(1, x.shape[1] // PART)
        if parts == 1:
            return self._attend(query, [(key, value, self._bias(at, at, texts, texts))], training=training)
        # Nothing is computed for most of what no entry sees: a part of the queries meets the keys up to its own end.
        groups, mixed = self.num_heads // self._kv_heads, []
        query = ops.reshape(query, (-1, self._kv_heads, groups, length, self._size))
        for part in range(parts):
            first, last = part * length // parts, (part + 1) * length // parts
            start = 0 if self.window is None or self.num_sinks else max(0, first + 1 - self.window)
            rows = ops.reshape(query[:, :, :, first:last], (-1, self._kv_heads, groups * (last - first), self._size))
            cut = lambda each, a, b: None if each is None else each[..., a:b]  # noqa: E731
            bias = self._bias(
                at[..., first:last], at[..., start:last], cut(texts, first, last), cut(texts, start, last)
            )
            stretch = (key[:, :, start:last], value[:, :, start:last], bias)
            mixed.append(self._mix(rows, [stretch], training))
        return self._finish(ops.concatenate(mixed, axis=1))

    def cache_spec(self, max_entries: int) -> dict:
        """One tensor for the keys and one for the values, [B, heads, entries, size]; in a loop of those entries alone that
        a window and its sinks leave."""
        sizes, seen = {"key": self._size, "value": self._value_size}, (self.window, self.num_sinks)
        return {
            name: KeyValue((self._kv_heads, max_entries, size), self.compute_dtype, 1, 0, *seen)
            for name, size in sizes.items()
        }

    def positions_spec(self, max_entries: int) -> KeyValue:
        """What holds the positions of these entries, [B, entries]: `key_at`, as `step` takes it."""
        return KeyValue((max_entries,), "int32", 0, -1, self.window, self.num_sinks)

    def step(self, x, cache, index, query_at, key_at, source=None):
        """The outputs of the next K entries.

        Args:
            x: [B, K, units].
            cache: as `cache_spec` describes it.
            index: scalar, the slot of the first of them; or [B], one for each row.
            query_at: [K] or [B, K], their positions.
            key_at: [entries] or [B, entries], the positions that the slots hold, those of a ring (`positions_spec`)
                before this step; -1 is empty. Slots from `index` on do not count.
            source: [B, K, channels], as in `call`.

        Returns:
            ([B, K, units], the new cache).
        """
        query, key, value = self._project(x, source, ops.maximum(query_at, 0))
        kinds = self.cache_spec(key_at.shape[-1])
        first_new = index if is_scalar(index) else ops.expand_dims(index, 1)
        held_at = ops.where(ops.arange(key_at.shape[-1]) < first_new, key_at, -1)
        if len(held_at.shape) > len(query_at.shape):
            query_at = ops.broadcast_to(query_at, (held_at.shape[0], x.shape[1]))
        held, new = (self._bias(query_at, at) for at in (held_at, query_at))
        # For one entry XLA reads the keys as they lie if they come first in the product, LiteRT if they come second.
        keys_first = x.shape[1] == 1 and not kinds["key"].exported(cache["key"])
        stretches = [
            (kinds["key"].read(cache["key"]), kinds["value"].read(cache["value"]), held),
            (key, value, new),
        ]
        cache = {
            "key": kinds["key"].write(cache["key"], key, index, query_at),
            "value": kinds["value"].write(cache["value"], value, index, query_at),
        }
        return self._attend(query, stretches, keys_first=keys_first), cache


def alibi_slopes(num_heads: int) -> np.ndarray:
    """How fast each head's scores fall: 2^(-8/n), 2^(-16/n), …; of other numbers than powers of two as in the paper's code."""
    whole = 2 ** int(np.log2(num_heads))
    slopes = 2.0 ** (-8.0 / whole * np.arange(1, whole + 1))
    between = 2.0 ** (-4.0 / whole * np.arange(1, 2 * (num_heads - whole), 2))
    return np.concatenate([slopes, between])
