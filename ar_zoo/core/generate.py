"""The loop that draws events: one compiled loop over `begin_block` and `step`."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import tensorflow as tf
from keras import ops

from ar_zoo.core import arguments, checks, orders
from ar_zoo.core import cache as caches
from ar_zoo.core.known import first_unknown, known_sites
from ar_zoo.core.noise import uniform_noise

_CHUNKS = (256, 64, 16, 4, 1)  # sizes in which a known beginning is read; each is compiled once
_MOST_COMPILED = 32  # functions a model keeps, the latest


def generate(
    model, num_samples, seed, context, prefix, given, mask, temperature, num_sites, batch_size, progress, order
) -> np.ndarray:
    """See `AutoregressiveModel.sample`."""
    arguments.whole(num_samples=num_samples)
    temperature = arguments.temperature(temperature)
    sites = checks.num_sites(model, num_sites)
    head = model.head
    values, known = known_sites(
        num_samples, sites, model.event_shape, head.site_shape, head.num_symbols, prefix, given, mask
    )
    order = checks.order(model, order)
    if order:
        drawn_at = np.broadcast_to(model.permutation(**order), known.shape)
        if given is not None:  # in data order, and a prefix as it is drawn
            if model.orderless:
                drawn_at = orders.known_first(drawn_at, known)
            values, known = _permuted(values, drawn_at), _permuted(known, drawn_at)
    a_row = model.orderless and given is not None  # each has an order of its own
    context = checks.context_of_samples(model, context, num_samples)
    start = first_unknown(known)
    drawn = []
    for first, rows in batches(num_samples, batch_size, progress):
        noise = uniform_noise(seed, rows, 0, sites, model.head.noise_shape)
        batch = run(
            model,
            noise,
            values[rows],
            known[rows],
            {name: value[rows] for name, value in context.items()},
            temperature,
            start,
            {"order": tf.constant(drawn_at[rows] if a_row else order["order"])} if order else {},
        )
        drawn.append(batch[: num_samples - first])
    grid = model.grid_shape if model.num_sites is not None else (sites,)
    x = np.concatenate(drawn)
    x = _permuted(x, orders.places(drawn_at)) if order else x
    return x.reshape(num_samples, *grid, *model.head.site_shape)


def batches(num_samples, batch_size, progress):
    """Yields the first row of each batch and all its rows. The last batch is filled up with copies of the last row, to
    be thrown away: one shape, one compilation."""
    arguments.whole_or_none(batch_size=batch_size)
    size = min(batch_size or num_samples, num_samples)
    first_rows = range(0, num_samples, size)
    if progress:
        from tqdm import tqdm

        first_rows = tqdm(first_rows, desc="sampling", unit="batch")
    for first in first_rows:
        yield first, np.minimum(np.arange(first, first + size), num_samples - 1)


def _permuted(values, drawn_at):
    """Sites `values` [B, S, …], in an order for each row."""
    return np.take_along_axis(values, drawn_at.reshape(*drawn_at.shape, *[1] * (values.ndim - 2)), axis=1)


def run(model, noise, values, known, context, temperature, start, order):
    """One batch, from its noise. `start` is the first site that some row does not know. Sites count as they are drawn."""
    batch, sites = known.shape
    values = tf.constant(values, model.head.symbol_dtype)
    index, cache = 0, None
    if model.block_sizes is None and start > 1:  # the last known site stays for the loop, which needs it as `prev`
        index = start - 1
        cache = read_known(model, model.init_cache(batch, sites), values, index, context, order)
    return compiled(model, "loop", loop)(
        tf.constant(noise),
        values,
        tf.constant(known),
        context,
        tf.constant(temperature, tf.float32),
        cache,
        tf.constant(min(index, sites - 1)),
        tf.constant(start),
        order,
    ).numpy()


def read_known(model, cache, values, stop, context, more):
    """The cache after the sites before `stop`, which are known, in chunks; `more` as in `read`."""
    before = tf.concat([nothing(model.head, (values.shape[0], 1)), values[:, :-1]], axis=1)
    for at, size in chunks(stop):
        cache = compiled(model, "read", read)(before[:, at : at + size], cache, tf.constant(at), context, more)
    return cache


def chunks(stop: int):
    """Yields the first site and the size of each chunk in which the sites before `stop` are read."""
    index = 0
    while index < stop:
        size = next(size for size in _CHUNKS if size <= stop - index)
        yield index, size
        index += size


def compiled(model, key, function):
    """`function(model, *arguments)` compiled by XLA: made once for a model and a key, however often it is asked for."""
    functions = model.__dict__.get("_ar_zoo_compiled")
    if functions is None:
        functions = {}
        object.__setattr__(model, "_ar_zoo_compiled", functions)
    if key not in functions:
        if len(functions) >= _MOST_COMPILED:
            functions.pop(next(iter(functions)))
        functions[key] = tf.function(functools.partial(function, model), jit_compile=True, autograph=False)
    return functions[key]


def read(model, before, cache, index, context, more):
    """The cache that has seen the sites `before` [B, K, …]; `more` is what `step` takes besides."""
    return model.step(before, cache, index, context, **more)[1]


def draw_site(model, spec, prev, cache, index, context, draw, more):
    """One site of all rows, from `draw(params)`: symbols, or a tuple that begins with them; and the new cache.

    Of ragged rows (`positions` in `more`) only once all of them have begun.
    """
    if "positions" in more and caches.rows_apart(model):
        params, cache = model.step(prev, cache, index, context, **more)
        return draw(params[:, 0]), cache
    params, new = model.step(prev, caches.taken(spec, cache, index), index, context, **more)
    drawn = draw(params[:, 0])
    symbols = drawn[0] if isinstance(drawn, tuple) else drawn
    positions = after(symbols, more["positions"]) if "positions" in more else None
    return drawn, caches.put_back(spec, cache, new, after(symbols, index), positions)


def loop(model, noise, values, known, context, temperature, cache, first, start, order=None):
    """Draws sites `start …`; earlier ones are known. Without blocks, `cache` has seen those before `first`; `None` is new.

    `order` is a dict of what `step` takes besides, where a family has several orders.
    """
    head, rank = model.head, len(model.head.site_shape)
    batch, sites = known.shape
    spec = model.cache_spec(sites)
    cache = model.init_cache(batch, sites) if cache is None else cache

    def site(index, prev, cache, x):
        uniforms = tf.gather(noise, index, axis=1)
        draw = lambda params: head.sample(params, uniforms, temperature)  # noqa: E731
        drawn, cache = draw_site(model, spec, prev, cache, index, context, draw, order or {})
        keep = tf.reshape(tf.gather(known, index, axis=1), (batch,) + (1,) * rank)
        drawn = tf.where(keep, tf.gather(values, index, axis=1), drawn)
        return index + 1, drawn[:, None], cache, ops.slice_update(x, [0, index] + [0] * rank, drawn[:, None])

    def run_sites(first, stop, prev, cache, x):
        return tf.while_loop(lambda index, *_: index < stop, site, (first, prev, cache, x))

    first_prev = nothing(head, (batch, 1))
    if model.block_sizes is None:
        prev = tf.where(first > 0, values[:, None, ...][:, :, tf.maximum(first - 1, 0)], first_prev)
        return run_sites(first, sites, prev, cache, values)[3]

    def block(size, begin, before, cache, x):
        """One block; blocks that are known as a whole only go through `begin_block`."""
        cache = model.begin_block(before, cache, begin, context)
        prev = tf.where(begin > 0, before[:, -1:], first_prev)
        stop = begin + size
        cache, x = run_sites(tf.where(start >= stop, stop, begin), stop, prev, cache, x)[2:]
        x = tf.ensure_shape(x, values.shape)
        return stop, tf.slice(x, [0, begin] + [0] * rank, [batch, size] + [-1] * rank), cache, x

    begin, x = tf.constant(0), values
    sizes = list(model.block_sizes)
    before = nothing(head, (batch, sizes[0]))
    for size, run_of_blocks in itertools.groupby(sizes):
        stop = begin + size * len(list(run_of_blocks))
        if before.shape[1] != size:  # the first block of a run of another size sees a block of the size before
            begin, before, cache, x = block(size, begin, before, cache, x)
        begin, before, cache, x = tf.while_loop(
            lambda begin, *_, stop=stop: begin < stop,
            lambda *state, size=size: block(size, *state),
            (begin, before, cache, x),
        )
    return x


def nothing(head, sites):
    """`prev` where nothing came before, [*sites, …]."""
    return tf.fill((*sites, *head.site_shape), tf.constant(head.nothing, head.symbol_dtype))


def after(drawn, index):
    """`index`, by way of the symbols: they depend on all that was read, so XLA need not copy what is then written there."""
    if drawn.dtype.is_floating:
        return index + tf.cast(tf.reduce_any(tf.math.is_nan(drawn)), tf.int32)
    return index + tf.minimum(tf.reduce_min(drawn), 0)
