"""CausalSelfAttention against NumPy: heads, grouped keys and values, windows and all position schemes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from ar_zoo.core.cache import KeyValue, init_cache, map_spec
from ar_zoo.layers import CausalSelfAttention, attention
from ar_zoo.layers.attention import alibi_slopes
from tests.layers.cases import randomised
from tests.layers.test_positions import reference

_LENGTH, _UNITS = 11, 16
CASES = [
    dict(num_heads=4),
    dict(num_heads=1, use_bias=False),
    dict(num_heads=4, num_kv_heads=2, window=3),
    dict(num_heads=4, num_kv_heads=1, window=1),
    dict(num_heads=2, window=5, positions="learned", max_positions=_LENGTH + 4),
    dict(num_heads=4, num_kv_heads=2, positions="sinusoidal"),
    dict(num_heads=4, num_kv_heads=2, positions="rotary", window=4),
    dict(num_heads=2, key_units=6, value_units=10, mix_heads=False),
    dict(num_heads=4, num_kv_heads=2, key_units=8, value_units=4),
    dict(num_heads=4, num_kv_heads=2, window=3, num_sinks=2, use_bias=False, out_bias=True),
    dict(num_heads=4, num_kv_heads=2, positions="alibi", out_bias=False),
    dict(num_heads=2, positions="alibi", logit_cap=0.7, window=4),
]
SLOPES = {2: [2**-4, 2**-8], 4: [2**-2, 2**-4, 2**-6, 2**-8]}


def make(arguments, source=None):
    layer = CausalSelfAttention(**arguments, dtype="float64")
    x = np.random.default_rng(3).normal(size=(3, _LENGTH, _UNITS))
    layer(x, source)
    return randomised(layer), x


def naive(layer, x, source=None):
    """One row, one query, one head at a time."""
    source = x if source is None else source

    def dense(layer, x):
        y = x @ np.asarray(layer.kernel.value)
        return y + np.asarray(layer.bias.value) if layer.use_bias else y

    def project(layer, heads, x):
        return dense(layer, x).reshape(*x.shape[:2], heads, -1)

    heads, kv_heads = layer.num_heads, layer.num_kv_heads or layer.num_heads
    query, key = project(layer._query, heads, x), project(layer._key, kv_heads, source)
    value = project(layer._value, kv_heads, source)
    at = np.arange(x.shape[1])
    table = np.asarray(layer._scheme.table.value) if layer.positions == "learned" else None
    alibi = layer.positions == "alibi"
    scheme = "none" if alibi else layer.positions
    query, key = (reference(scheme, y, at[:, None], table, 10_000) for y in (query, key))
    mixed = np.zeros((*x.shape[:2], heads, value.shape[-1]))
    for b, t, h in np.ndindex(*mixed.shape[:3]):
        shared = h // (heads // kv_heads)
        seen = np.array([s for s in at[: t + 1] if layer.window is None or t - s < layer.window or s < layer.num_sinks])
        scores = key[b, seen, shared] @ query[b, t, h] / np.sqrt(query.shape[-1])
        if layer.logit_cap is not None:
            scores = layer.logit_cap * np.tanh(scores / layer.logit_cap)
        if alibi:
            scores = scores - SLOPES[heads][h] * (t - seen)
        weights = np.exp(scores - scores.max())
        mixed[b, t, h] = weights @ value[b, seen, shared] / weights.sum()
    if not layer.mix_heads:
        return mixed.reshape(*x.shape[:2], -1)
    assert layer._out.use_bias == (layer.use_bias if layer.out_bias is None else layer.out_bias)
    return dense(layer._out, mixed.reshape(*x.shape[:2], -1))


@pytest.mark.parametrize("part", [attention.PART, 3])
@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_values(arguments, part, monkeypatch):
    """At once, and in parts of 3, 4 and 4 queries; in training, which takes queries, keys and values in one product."""
    monkeypatch.setattr(attention, "PART", part)
    layer, x = make(arguments)
    for training in (False, True):
        np.testing.assert_allclose(np.asarray(layer(x, training=training)), naive(layer, x), atol=1e-11)


class Stepped:
    """A layer, its cache, and the positions in there. `whole` keeps all entries in spite of a window, as hosts do."""

    def __init__(self, layer, slots, whole=False):
        spec = layer.cache_spec(slots) | {"at": layer.positions_spec(slots)}
        if whole:
            spec = map_spec(lambda kind: KeyValue(kind.shape, kind.dtype, kind.axis, kind.fill), spec)
        self.layer, self.kind, self.cache = layer, spec["at"], init_cache(spec, 3)
        self.size = self.kind.read(self.cache["at"]).shape[1]

    def __call__(self, x, index, at, source=None):
        at, before = ops.convert_to_tensor(np.array(at, np.int32)), self.cache["at"]
        filled = ops.broadcast_to(at, (3, x.shape[1]))
        after = self.kind.write(before, filled, index, at)
        # Of all entries, those from `index` on do not count: they may hold anything.
        key_at = self.kind.read(before if self.kind.in_ring else after)
        y, self.cache = self.layer.step(ops.convert_to_tensor(x), self.cache, index, at, key_at, source)
        self.cache["at"] = after
        return np.asarray(y)


@pytest.mark.parametrize("chunks", [[1] * _LENGTH, [4, 1, 1, 5], [_LENGTH]], ids=len)
@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_step(arguments, chunks):
    layer, x = make(arguments)
    expected = naive(layer, x)
    for whole in (False, True) if layer.window else (False,):
        step, index, outputs = Stepped(layer, _LENGTH + 2, whole), 0, []
        assert step.size == (_LENGTH + 2 if whole or not layer.window else layer.window + layer.num_sinks)
        for length in chunks:
            outputs.append(step(x[:, index : index + length], index, np.arange(index, index + length)))
            index += length
        np.testing.assert_allclose(np.concatenate(outputs, axis=1), expected, atol=1e-11)


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_ragged_rows(arguments):
    """Rows that wait leave empty slots behind, which nobody attends to, and write over nothing in a ring."""
    layer, x = make(arguments)
    expected, slots = naive(layer, x), _LENGTH + 4
    generator = np.random.default_rng(0)
    places = np.full((3, slots), -1)
    for row in range(3):
        places[row, np.sort(generator.permutation(slots)[:_LENGTH])] = np.arange(_LENGTH)
    for whole in (False, True) if layer.window else (False,):
        step = Stepped(layer, slots, whole)
        for start, stop in ((0, 1), (1, 6), (6, 7), (7, slots)):
            at = places[:, start:stop]
            y = step(x[np.arange(3)[:, None], np.maximum(at, 0)], start, at)
            for row, k in np.argwhere(at >= 0):
                np.testing.assert_allclose(y[row, k], expected[row, at[row, k]], atol=1e-11)


@pytest.mark.parametrize("arguments", [CASES[2], CASES[-1], CASES[-2]], ids=str)
def test_keys_and_values_of_another_source(arguments):
    """At once, one by one, and in rows whose slots are their own."""
    source = np.random.default_rng(4).normal(size=(3, _LENGTH, 5))
    layer, x = make(arguments, source)
    expected = naive(layer, x, source)
    np.testing.assert_allclose(np.asarray(layer(x, source)), expected, atol=1e-11)
    for starts in ([0, 0, 0], [0, -2, -1]):
        step, places = Stepped(layer, _LENGTH), np.array(starts, "int32")
        while places.min() < _LENGTH:
            rows = np.flatnonzero((places >= 0) & (places < _LENGTH))
            index = int(places[0]) if len(set(starts)) == 1 else ops.convert_to_tensor(places)
            here = np.clip(places, 0, _LENGTH - 1)
            given = (y[np.arange(3), here][:, None] for y in (x, source))
            query, key = (ops.convert_to_tensor(y) for y in given)
            y = step(query, index, places[:, None], key)
            np.testing.assert_allclose(y[rows, 0], expected[rows, places[rows]], atol=1e-11)
            places = places + 1


def test_slopes_of_heads():
    """Of powers of two a geometric series from 2^(-8/n) to 2^-8; of others, those and every other one of twice as many."""
    np.testing.assert_allclose(alibi_slopes(8), 2.0 ** -np.arange(1, 9))
    twelve = [*2.0 ** -np.arange(1, 9), *2.0 ** -(np.arange(1, 9, 2) / 2)]
    np.testing.assert_allclose(alibi_slopes(12), twelve)
    np.testing.assert_allclose(alibi_slopes(1), [2**-8])


def test_dropout_acts_in_training_only():
    layer, x = make(dict(num_heads=4, dropout=0.5))
    np.testing.assert_allclose(np.asarray(layer(x, training=False)), naive(layer, x), atol=1e-11)
    assert np.abs(np.asarray(layer(x, training=True)) - naive(layer, x)).max() > 0.1


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(num_heads=0), "num_heads"),
        (dict(num_heads=4, num_kv_heads=3), "num_kv_heads"),
        (dict(num_heads=4, num_kv_heads=0), "num_kv_heads"),
        (dict(num_heads=4, window=0), "window"),
        (dict(num_heads=4, key_units=6), "key_units"),
        (dict(num_heads=4, value_units=0), "value_units"),
        (dict(num_heads=4, positions="relative"), "positions"),
        (dict(num_heads=4, positions="learned"), "max_positions"),
    ],
)
def test_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        CausalSelfAttention(**arguments)


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="`num_heads` = 3 must divide the input's 16 channels"):
        CausalSelfAttention(3)(np.zeros((1, 2, 16), "float32"))


def test_a_single_entry():
    """Without the warning that Keras has for it."""
    layer, x = make(dict(num_heads=4, num_kv_heads=2))
    np.testing.assert_allclose(np.asarray(layer(x[:, :1])), naive(layer, x)[:, :1], atol=1e-11)
    y, _ = layer.step(x[:, :1], init_cache(layer.cache_spec(1), 3), 0, np.zeros(1, int), np.zeros(1, int))
    np.testing.assert_allclose(np.asarray(y), naive(layer, x)[:, :1], atol=1e-11)


def test_scores_are_not_fused_into_a_slow_kernel():
    """On CPUs TensorFlow fuses a batched product, a factor of it and what is added to it: 500 times slower than apart."""
    layer = CausalSelfAttention(4)
    layer(np.zeros((1, 8, _UNITS), "float32"))
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((2, 8, _UNITS))).graph
    products = [op for op in graph.get_operations() if op.type == "BatchMatMulV2"]
    assert len(products) == 2
    for product in products:
        after = product.outputs[0].consumers()
        assert "Mul" not in [op.type for op in after] + [given.op.type for given in product.inputs]
