"""Tiny models with random weights, events for them, and walks through their cached steps: what the laws are made of."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ar_zoo.core.files import sha256_of

FREE_LENGTH = 9  # sites, where the length is free
_SMALL_LENGTH = 4


def make(cls, seed=0, dtype="float64", scale=0.5, **overrides):
    """The tiny model with random weights: none of them zero, so that nothing hides behind an initial value."""
    keras.utils.set_random_seed(seed)
    model = cls(**(cls.PRESETS["tiny"] | {"dtype": dtype} | overrides))
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.dtype.startswith(("float", "bfloat")):
            weight.assign(generator.normal(size=weight.shape) * scale)
    return model


def events(model, count, seed=0, sites=None) -> np.ndarray:
    """Random events [count, *event_shape]."""
    shape, generator = [size or sites or FREE_LENGTH for size in model.event_shape], np.random.default_rng(seed)
    if model.num_symbols is None:
        return generator.normal(size=(count, *shape)).astype(np.float32)
    return generator.integers(0, model.num_symbols, (count, *shape)).astype(np.int32)


def changed_sites(model, sites, seed) -> np.ndarray:
    """Sites [S, …] with other values."""
    generator = np.random.default_rng(seed)
    if model.head.num_symbols is None:
        return sites + generator.uniform(0.5, 1.5, sites.shape).astype(np.float32)
    return (sites + generator.integers(1, model.head.num_symbols, sites.shape)) % model.head.num_symbols


def contexts(model, count, seed=0):
    """Random contexts for `count` events, or None."""
    generator = np.random.default_rng(seed)
    drawn = {}
    for name, spec in model.context_spec.items():
        if spec.num_classes:
            drawn[name] = generator.integers(0, spec.num_classes, (count, *spec.shape)).astype(spec.dtype)
        else:
            drawn[name] = generator.normal(size=(count, *spec.shape)).astype(spec.dtype)
    return drawn or None


def same_symbols(a, b) -> bool:
    """Whether symbols are equal; values of continuous data to the last digits of float32."""
    a, b = np.asarray(a), np.asarray(b)
    return np.array_equal(a, b) if a.dtype.kind in "iu" else np.allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max())


def all_orders(model) -> list[dict]:
    """What `call`, `step` and `log_prob` take besides, for each order in turn; once nothing, of families that have one."""
    if model.orders is None:
        return [{}]
    numbers = [{"order": number} for number in range(len(model.orders))]
    if model.orderless:
        numbers.append({"order": np.random.default_rng(0).permutation(model.num_sites).astype(np.int32)})
    return numbers


def sites_of(model, x, order=0):
    """The sites [B, S, …] as they are drawn."""
    sites = np.asarray(x).reshape(len(x), -1, *model.head.site_shape)
    return sites if model.orders is None else sites[:, model.permutation(order)]


def params_of(model, x, context, order=None):
    """Parameters [B, S, size] of the sites: in data order, or as they are drawn in an `order`."""
    if order is None:
        return np.asarray(model._flat(model(x, context=context)))
    return np.asarray(model._flat(model(x, context=context, order=order)))[:, model.permutation(order)]


def small_models(cls):
    """Models whose events can all be listed, or integrated over."""
    for overrides in cls.SMALL:
        yield make(cls, **overrides)


def small_shape(model) -> tuple[int, ...]:
    """The shape of their events."""
    length = _SMALL_LENGTH - (model.head.num_symbols is None)
    return tuple(size or length for size in model.event_shape)


def every_event(model) -> np.ndarray:
    """All events of a small model of symbols."""
    shape = small_shape(model)
    count = model.head.num_symbols ** int(np.prod(shape))
    assert count <= 20_000, f"{type(model).__name__}.SMALL has {count} events; choose fewer"
    every = np.array(list(itertools.product(range(model.head.num_symbols), repeat=int(np.prod(shape)))), np.int32)
    return every.reshape(-1, *shape)


def chains(model, count) -> np.ndarray:
    """Events whose coordinates mostly repeat the one before: what comes next can only be told from the past."""
    generator = np.random.default_rng(0)
    x = events(model, count)
    flat = x.reshape(count, -1)
    for i in range(1, flat.shape[1]):
        if model.num_symbols is None:
            flat[:, i] = 0.95 * flat[:, i - 1] + np.sqrt(1 - 0.95**2) * flat[:, i]
        else:
            flat[:, i] = np.where(generator.random(count) < 0.85, flat[:, i - 1], flat[:, i])
    return flat.reshape(x.shape)


def random_chunks(model, sites, generator, longest):
    """Random chunk lengths that add up to `sites` and do not cross the edges of blocks."""
    lengths = []
    for block in model.block_sizes or (sites,):
        while block:
            lengths.append(int(generator.integers(1, min(longest, block) + 1)))
            block -= lengths[-1]
    return lengths


def begin_block(model, cache, sites, index, context):
    """Begins the block at `index`, if one starts there."""
    if model.block_sizes is None:
        return cache
    starts = np.cumsum((0, *model.block_sizes))
    if index not in starts[:-1]:
        return cache
    number = int(np.searchsorted(starts, index))
    size = model.block_sizes[max(number - 1, 0)]
    before = sites[:, index - size : index] if number else np.full_like(sites[:, :size], model.head.nothing)
    return model.begin_block(tf.constant(before), cache, tf.constant(index), context)


def stepped(model, x, context, chunks, step=None, cache=None, **order) -> np.ndarray:
    """Parameters [B, S, size] of the sites as they are drawn, from cached steps over chunks of the given lengths."""
    sites = sites_of(model, x, **order)
    before = np.concatenate([np.full_like(sites[:, :1], model.head.nothing), sites[:, :-1]], axis=1)
    cache = model.init_cache(len(x), sites.shape[1]) if cache is None else cache
    context, outputs, index = model.full_context(context, len(x)), [], 0
    for length in chunks:
        if step is None:
            cache = begin_block(model, cache, sites, index, context)
        prev = tf.constant(before[:, index : index + length])
        params, cache = (step or model.step)(prev, cache, tf.constant(index), context, **order)
        outputs.append(np.asarray(params))
        index += length
    return np.concatenate(outputs, axis=1)


def as_version_1(folder) -> None:
    """Rewrites a preset folder in format version 1, whose config.json held the bare constructor arguments."""
    folder = Path(folder)
    config, manifest = folder / "config.json", json.loads((folder / "manifest.json").read_text())
    config.write_text(json.dumps(json.loads(config.read_text())["config"]))
    manifest["files"]["config.json"] = {"sha256": sha256_of(config), "size": config.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format_version": 1}))
