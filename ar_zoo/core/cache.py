"""What a model remembers between steps: the kinds of state, and the one place that knows how each is read and written.

A model declares its cache as a nested dict of the kinds below (`cache_spec`); the cache itself is a nested dict of the
same shape that holds tensors, batch first. Each kind has one form in a compiled loop and, where that is faster, another
in an exported graph, whose host keeps the memory:

| kind | meaning | in a loop | exported |
|---|---|---|---|
| `KeyValue` | append at `index`, read all | the tensor | in: `{"held": [B, …]}`, out: `{"new": [B, …]}`, to append |
| | the same, of which a `window` is read | `{"ring": [B, …]}` | as without a window |
| `State` | replaced whole | the tensor | the tensor |
| `DelayLine` | push one, read some of the oldest | `{"ring": [B, depth, …]}` | in: `{"taps": [B, n, …]}`, out: `{"push": [B, …]}` |
| | the same for a chunk | | in: `{"history": [B, depth, …]}`, out: `{"pushes": [B, K, …]}` |
| `Link` | written by `begin_block` for a block's sites, each read once | `{"block": [B, n, …]}` | `{"site": [B, …]}` |
"""

from __future__ import annotations

import dataclasses
import functools

from keras import ops


@dataclasses.dataclass(frozen=True)
class KeyValue:
    """A tensor that grows by one entry a site along `axis` (counted without the batch).

    `shape` names all entries. Where only the last `window` and the first `sinks` of them are ever read, and these are
    fewer, a loop keeps no others: an entry lies where its row's own position p says, in slot p of the sinks or in slot
    sinks + (p - sinks) mod window. What is in there counts; it is written once it is sure.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    axis: int = 0
    fill: int = 0
    window: int | None = None
    sinks: int = 0

    def init(self, batch_size: int):
        shape = list(self.shape)
        if self.in_ring:
            shape[self.axis] = self.sinks + self.window
        value = ops.full((batch_size, *shape), self.fill, dtype=self.dtype)
        return {"ring": value} if self.in_ring else value

    @property
    def in_ring(self) -> bool:
        """Whether a loop keeps a part of the entries alone."""
        return self.window is not None and self.sinks + self.window < self.shape[self.axis]

    def read(self, value):
        """All entries that it keeps; those from the next `index` on hold nothing yet."""
        return self.read(next(iter(value.values()))) if isinstance(value, dict) else value

    def exported(self, value) -> bool:
        """Whether it is in an exported graph, whose engine may want products another way round than XLA."""
        return isinstance(value, dict) and "held" in value

    def write(self, value, new, index, positions=None):
        """Puts `new` (several entries along the axis) at `index …`. The caller has checked that it fits.

        Where each row begins at a slot of its own (`index` is [B]), what lies past the end is dropped. A ring goes by the
        entries' `positions`, [K] or [B, K], of which -1 is not written; `None` for `index …`.
        """
        if isinstance(value, dict):
            ring = value.get("ring")
            return {"new": new} if ring is None else {"ring": self._write_ring(ring, new, index, positions)}
        if not is_scalar(index):
            length = new.shape[self.axis + 1]
            for k, entry in enumerate(ops.split(new, length, axis=self.axis + 1) if length > 1 else [new]):
                value = self._write_one(value, entry, index + k)
            return value
        start = [0] * len(value.shape)
        start[self.axis + 1] = index
        return ops.slice_update(value, start, ops.cast(new, value.dtype))

    def _write_one(self, value, entry, index):
        size, after = value.shape[self.axis + 1], len(value.shape) - self.axis - 2
        here = ops.equal(ops.arange(size), ops.expand_dims(index, 1))
        here = ops.reshape(here, [-1] + [1] * self.axis + [size] + [1] * after)
        return ops.where(here, ops.cast(entry, value.dtype), value)

    def _write_ring(self, ring, new, index, positions):
        axis, length, new = self.axis + 1, new.shape[self.axis + 1], ops.cast(new, ring.dtype)
        at = numbers(index, length) if positions is None else positions
        slots = ops.where(at < self.sinks, at, self.sinks + ops.mod(at - self.sinks, self.window))
        if positions is None and is_scalar(index) and length == 1:
            start = [0] * len(ring.shape)
            start[axis] = slots[0]
            return ops.slice_update(ring, start, new)
        # In each slot the last of the entries that come to lie there.
        size = ring.shape[axis]
        lies = ops.equal(ops.expand_dims(slots, -1), ops.arange(size))
        last = ops.max(ops.where(lies, ops.expand_dims(ops.arange(length), -1), -1), axis=-2)
        last = ops.reshape(last, [-1] + [1] * self.axis + [size] + [1] * (len(ring.shape) - axis - 1))
        latest = new if length == 1 else ops.take_along_axis(new, ops.maximum(last, 0), axis=axis)
        return ops.where(last >= 0, latest, ring)

    def commit(self, value, new, index, accepted):
        """The value after the first `accepted` [B] of several entries `new`, of which the first is number `index`.

        But for a ring the others are written too: they lie in slots from the next `index` on, which do not count until
        they are written again.
        """
        at, entry = numbers(index, new.shape[self.axis + 1]), ops.arange(new.shape[self.axis + 1])
        return self.write(value, new, index, ops.where(ops.less(entry, ops.expand_dims(accepted, 1)), at, -1))


@dataclasses.dataclass(frozen=True)
class State:
    """A tensor that a step replaces whole."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    fill: int = 0

    def init(self, batch_size: int):
        return ops.full((batch_size, *self.shape), self.fill, dtype=self.dtype)


@dataclasses.dataclass(frozen=True)
class DelayLine:
    """A queue of the last `depth` entries, of which those `taps` steps back are read (the largest is `depth`).

    Entries before the first are zeros, which is also how a causal convolution pads.
    """

    shape: tuple[int, ...]
    taps: tuple[int, ...]
    dtype: str = "float32"

    @property
    def depth(self) -> int:
        return max(self.taps)

    def init(self, batch_size: int):
        return {"ring": ops.zeros((batch_size, self.depth, *self.shape), dtype=self.dtype)}

    def read(self, value, index):
        """The taps of the entry that is about to be pushed as number `index` (scalar, or [B] for ragged rows)."""
        if "taps" in value:
            # Split and not indexed: LiteRT's fast kernels know no index that drops an axis, and no split into one part.
            taps = ops.split(value["taps"], len(self.taps), axis=1) if len(self.taps) > 1 else [value["taps"]]
            return [ops.squeeze(tap, 1) for tap in taps]
        ring = value["ring"]
        return [_read_at(ring, ops.mod(index - tap + self.depth, self.depth)) for tap in self.taps]

    def read_stacked(self, value, index):
        """The same in one tensor, [B, taps, …]."""
        return value["taps"] if "taps" in value else ops.stack(self.read(value, index), axis=1)

    def push(self, value, new, index):
        if "taps" in value:
            return {"push": new}
        ring = value["ring"]
        new = ops.cast(new, ring.dtype)
        slot = ops.mod(index, self.depth)
        if len(ops.shape(slot)) == 0:
            start = [0, slot] + [0] * len(self.shape)
            return {"ring": ops.slice_update(ring, start, ops.expand_dims(new, 1))}
        here = ops.equal(ops.arange(self.depth), ops.expand_dims(slot, 1))
        here = ops.reshape(here, tuple(here.shape) + (1,) * len(self.shape))
        return {"ring": ops.where(here, ops.expand_dims(new, 1), ring)}

    def history(self, value, index):
        """The whole queue before entry `index` (scalar, or [B]), oldest first: `[B, depth, …]`."""
        if "history" in value:
            return value["history"]
        return _take(value["ring"], ops.mod(numbers(index, self.depth), self.depth))

    def extend(self, value, new, index):
        """The queue after several entries `new` [B, K, …], of which the first is number `index`."""
        if "history" in value:
            return {"pushes": new}
        latest = ops.concatenate([self.history(value, index), ops.cast(new, self.dtype)], axis=1)[:, -self.depth :]
        order = ops.mod(numbers(-(index + new.shape[1]), self.depth), self.depth)
        return {"ring": _take(latest, order)}

    def commit(self, value, pushes, index, accepted):
        """The queue after the first `accepted` [B] of the entries `pushes` [B, K, …], of which the first is number `index`."""
        for k in range(pushes.shape[1]):
            old = _read_at(value["ring"], ops.mod(index + k, self.depth))
            keep = ops.reshape(ops.greater(accepted, k), [-1] + [1] * len(self.shape))
            value = self.push(value, ops.where(keep, ops.cast(pushes[:, k], self.dtype), old), index + k)
        return value


@dataclasses.dataclass(frozen=True)
class Link:
    """What `begin_block` hands to each of the block's `size` places; a step reads only its own."""

    size: int
    shape: tuple[int, ...]
    dtype: str = "float32"

    def init(self, batch_size: int):
        return {"block": ops.zeros((batch_size, self.size, *self.shape), dtype=self.dtype)}

    def read(self, value, place):
        """The entry of one place (scalar, or [B] for ragged rows)."""
        return value["site"] if "site" in value else _read_at(value["block"], place)

    def write(self, block):
        return {"block": ops.cast(block, self.dtype)}


def is_scalar(index) -> bool:
    """Whether an index is one for all rows; else it is [B], a row's own."""
    return len(getattr(index, "shape", ())) == 0


def numbers(index, length: int):
    """`index …`, several of them: [length], or [B, length] where each row begins at its own."""
    return index + ops.arange(length) if is_scalar(index) else ops.expand_dims(index, 1) + ops.arange(length)


KINDS = (KeyValue, State, DelayLine, Link)


def _take(value, slots):
    """Entries of `value` [B, n, …], of the same slots [K] in all rows or of a row's own [B, K]."""
    if len(slots.shape) == 1:
        return ops.take(value, slots, axis=1)
    return ops.take_along_axis(value, ops.reshape(slots, (*slots.shape, *[1] * (len(value.shape) - 2))), axis=1)


def _read_at(value, slot):
    """`value[:, slot]` for a scalar slot, `value[b, slot[b]]` for a slot a row."""
    if len(ops.shape(slot)) == 0:
        shape = value.shape
        start = [0, slot] + [0] * (len(shape) - 2)
        return ops.squeeze(ops.slice(value, start, (shape[0], 1, *shape[2:])), 1)
    slot = ops.reshape(slot, (-1,) + (1,) * (len(value.shape) - 1))
    return ops.squeeze(ops.take_along_axis(value, slot, axis=1), 1)


def map_spec(function, spec, *values):
    """Applies `function(kind, *values)` to every entry of a cache spec and of caches of the same shape."""
    if isinstance(spec, KINDS):
        return function(spec, *values)
    return {name: map_spec(function, spec[name], *(value[name] for value in values)) for name in spec}


def init_cache(spec, batch_size: int) -> dict:
    """An empty cache: nothing seen yet."""
    return map_spec(lambda kind: kind.init(batch_size), spec)


def taken(spec, cache, index):
    """The cache for the step of site `index` alone, in a form in which the step only reads: what it would write, it returns.

    `put_back` then writes after all reads. XLA can only then update in place; else it copies the tensors whole.
    """

    def take(kind, value):
        if isinstance(kind, DelayLine):
            return {"taps": ops.stack(kind.read(value, index), axis=1)}
        return {"lent": value} if isinstance(kind, KeyValue) else value

    return map_spec(take, spec, cache)


def put_back(spec, cache, new, index, positions=None):
    """`cache` after the step that was given `taken(spec, cache, index)` and returned `new`; `positions` as it got them."""

    def put(kind, old, value):
        if isinstance(kind, DelayLine):
            return kind.push(old, value["push"], index)
        return kind.write(old, value["new"], index, positions) if isinstance(kind, KeyValue) else value

    return map_spec(put, spec, cache, new)


def can_rewind(spec) -> bool:
    """Whether `commit` can take back what a chunk wrote. A `State` cannot: of a chunk it keeps only the end."""
    kinds = []
    map_spec(kinds.append, spec)
    return all(isinstance(kind, (KeyValue, DelayLine)) for kind in kinds)


def taken_chunk(spec, cache, index):
    """`taken` for a chunk of sites `index …`, of a cache that `can_rewind`; `commit` then writes."""

    def take(kind, value):
        return {"lent": value} if isinstance(kind, KeyValue) else {"history": kind.history(value, index)}

    return map_spec(take, spec, cache)


def commit(spec, cache, new, index, accepted):
    """`cache` after a step that was given `taken_chunk(spec, cache, index)` and returned `new`, of whose sites each row
    keeps the first `accepted` [B]."""

    def put(kind, old, value):
        return kind.commit(old, value["new" if isinstance(kind, KeyValue) else "pushes"], index, accepted)

    return map_spec(put, spec, cache, new)


def hold(keep, new, old):
    """Row by row, `new` where `keep` [B] is true and `old` elsewhere, over nested dicts of tensors."""
    if isinstance(new, dict):
        return {name: hold(keep, new[name], old[name]) for name in new}
    return ops.where(ops.reshape(keep, (-1,) + (1,) * (len(new.shape) - 1)), new, old)


def site_by_site(step=None, *, chunks: bool = False):
    """Decorates a `step` that knows single sites, so that it serves chunks and ragged rows.

    The wrapped `step(self, prev, cache, index, context)` gets `prev` [B, 1, …] and an `index` that is a scalar or,
    for ragged rows, the row's own site [B]; rows whose position is -1 keep their state. Of events of a fixed length it is
    always one of their sites: where a row waits, or a long chunk goes on past the last one, some other, and nobody reads
    what comes out. `order` is handed through to the families that take it.

    Args:
        chunks: whether the step takes chunks in step (`prev` [B, K, …], a scalar `index`) by itself.
    """
    if step is None:
        return functools.partial(site_by_site, chunks=chunks)

    @functools.wraps(step)
    def chunked(self, prev, cache, index, context=None, positions=None, **order):
        # One site is not sliced out of itself: LiteRT takes longer for that than for a small product.
        if positions is None and (chunks or prev.shape[1] == 1):
            return step(self, prev, cache, index, context, **order)
        outputs = []
        for k in range(prev.shape[1]):
            at = index + k if positions is None else positions[:, k]
            site = at if self.num_sites is None else ops.clip(ops.convert_to_tensor(at), 0, self.num_sites - 1)
            params, new = step(self, prev[:, k : k + 1], cache, site, context, **order)
            cache = new if positions is None else hold(ops.greater_equal(at, 0), new, cache)
            outputs.append(params)
        return (outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, axis=1)), cache

    chunked.rows_apart, chunked.in_chunks = True, chunks
    return chunked


def rows_apart(model) -> bool:
    """Whether `step` takes ragged rows site by site, and each row writes at slots of its own."""
    return getattr(type(model).step, "rows_apart", False)


def gather(cache, rows):
    """The cache of some rows [n], in their order: what each of them remembers."""
    if isinstance(cache, dict):
        return {name: gather(value, rows) for name, value in cache.items()}
    return ops.take(cache, rows, axis=0)


def repeat(cache, times: int):
    """The cache with each row `times` times, one after the other."""
    if isinstance(cache, dict):
        return {name: repeat(value, times) for name, value in cache.items()}
    return ops.repeat(cache, times, axis=0)
