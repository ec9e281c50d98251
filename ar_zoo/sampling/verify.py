"""One step for several guesses: what it needs of a model, and how a cache takes back the guesses that were wrong."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from ar_zoo.core import cache as caches
from ar_zoo.core import checks, generate


@dataclasses.dataclass(frozen=True)
class Round:
    """What is known when a round begins, of which K guesses are wanted: for the sites `index … index + K - 1` of each row.

    The site after them is drawn, too.

    Attributes:
        index: int32 [B].
        slot: where caches are written: `index`, as a scalar if there is one row.
        written: [B, sites + K, …], the symbols so far; those from `index` on mean nothing.
        prev: [B, 1, …], the last of them.
        noise: [B, K + 1, …], of the sites `index …`.
        known, values: [B, K + 1] and [B, K + 1, …], which of these sites are given, and their symbols.
        context: as in `step`.
        temperature: scalar.
        chunk: [B, K + 1, …], `prev` and the guesses; `None` before they are made.
        features: [B, K + 1, units], what a model that has `features` makes of the chunk; `None` before it has.
    """

    index: tf.Tensor
    slot: tf.Tensor
    written: tf.Tensor
    prev: tf.Tensor
    noise: tf.Tensor
    known: tf.Tensor
    values: tf.Tensor
    context: dict
    temperature: tf.Tensor
    chunk: tf.Tensor | None = None
    features: tf.Tensor | None = None

    @property
    def lookahead(self) -> int:
        return self.known.shape[1] - 1

    @property
    def num_sites(self) -> int:
        return self.written.shape[1] - self.lookahead


def check_raster(model, name):
    """Refuses what cannot step through several sites at once."""
    checks.steps(model)
    if model.block_sizes is not None or model.orders is not None:
        raise ValueError(
            f"`{name}` must draw its sites in one order and without blocks, as gpt, wavenet and image_gpt do; "
            f"{type(model).__name__} does not. Use `model.sample`."
        )
    if model.num_symbols is None:
        raise ValueError(f"`{name}` must be of symbols: a guess is never equal to a number. Use `model.sample`.")


def rewinds(model, num_sites) -> bool:
    """Whether its cache takes back what was wrong; else a chunk is stepped again for what was right."""
    return getattr(type(model).step, "in_chunks", True) and caches.can_rewind(model.cache_spec(num_sites))


def overwrites(model, num_sites, lookahead) -> bool:
    """Whether what a cache holds from a site on does not count until it is written again: of keys and values alone, where
    all of them are kept."""
    kinds = []
    caches.map_spec(kinds.append, spec_of(model, num_sites, lookahead))
    kept = all(isinstance(kind, caches.KeyValue) and not kind.in_ring for kind in kinds)
    return rewinds(model, num_sites) and kept


def spec_of(model, num_sites, lookahead):
    """Guesses for sites past the last have slots of their own, where they are written at all."""
    return model.cache_spec(num_sites + lookahead if rewinds(model, num_sites) else num_sites)


def seen(model, values, stop, lookahead, context):
    """A cache that has seen the sites before `stop`."""
    cache = caches.init_cache(spec_of(model, values.shape[1], lookahead), values.shape[0])
    return generate.read_known(model, cache, values, stop, context, {})


def verify(model, cache, now, context):
    """One step through a round's chunk.

    Returns:
        (params [B, K + 1, params_size], features or `None`, `commit`). `commit(drawn, accepted)` gives the cache that has
        seen the first `accepted` [B] entries of the chunk; it writes once the symbols `drawn` from the parameters are there.
    """
    if not rewinds(model, now.num_sites):
        params, features, _ = _step(model, cache, now, context)
        return params, features, lambda drawn, accepted: _again(model, cache, now, context, accepted)
    spec = spec_of(model, now.num_sites, now.lookahead)
    params, features, new = _step(model, caches.taken_chunk(spec, cache, now.slot), now, context)

    def commit(drawn, accepted):
        return caches.commit(spec, cache, new, generate.after(drawn, now.slot), accepted)

    return params, features, commit


def _step(model, cache, now, context):
    """(params, features or `None`, the new cache)."""
    if not hasattr(model, "step_features"):
        params, new = model.step(now.chunk, cache, now.slot, context)
        return params, None, new
    features, new = model.step_features(now.chunk, cache, now.slot)
    return model.project(features), features, new


def _again(model, cache, now, context, accepted):
    """The same chunk from the same cache; by the ragged rule a row waits while entries pass that it does not keep."""
    entries = tf.range(now.lookahead + 1)[None]
    positions = tf.where(entries < accepted[:, None], now.index[:, None] + entries, -1)
    return model.step(now.chunk, cache, now.slot, context, positions=positions)[1]


def window(value, first, length):
    """`value[b, first[b] … first[b] + length - 1]`; entries past the ends are those at the ends."""
    return gathered(value, first[:, None] + tf.range(length)[None])


def gathered(value, places):
    """`value[b, places[b, k]]`."""
    return tf.gather(value, tf.clip_by_value(places, 0, value.shape[1] - 1), batch_dims=1)


def same(a, b):
    """bool [B, n]: whether sites [B, n, …] are equal."""
    equal = tf.equal(a, b)
    return tf.reduce_all(equal, axis=list(range(2, len(equal.shape))))


def where(sites, a, b):
    """Sites [B, n, …] of `a` where `sites` [B, n] is true, and of `b` elsewhere."""
    return tf.where(tf.reshape(sites, (*sites.shape, *[1] * (len(b.shape) - 2))), a, b)
