"""The laws of the zoo, each a function of a registered family's class that raises `AssertionError` where it is broken.

    import pytest
    from ar_zoo.testing import laws

    @pytest.mark.parametrize("law", laws.ALL, ids=lambda law: law.__name__)
    def test_my_family(law):
        law(MyModel)

Models are made from `PRESETS["tiny"]`, with all weights random, in float64 where values are compared.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ar_zoo.core import generate
from ar_zoo.core.cache import init_cache
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.noise import uniform_noise
from ar_zoo.testing import continuous
from ar_zoo.testing.tiny import (
    FREE_LENGTH,
    all_orders,
    as_version_1,
    begin_block,
    chains,
    changed_sites,
    contexts,
    events,
    every_event,
    make,
    params_of,
    random_chunks,
    same_symbols,
    sites_of,
    small_models,
    small_shape,
    stepped,
)


@functools.cache
def _influences(cls) -> list[tuple[dict, np.ndarray]]:
    """Each order, and boolean [S, S]: whether changing site j changes the parameters of site i, for all pairs of sites as
    they are drawn.

    Taken together over several models and events, since a unit that is off (relu) in one hides what it does in others.
    """
    found = []
    for seed in range(4):
        model = make(cls, seed)
        base, context = events(model, 1, seed), contexts(model, 1, seed)
        for number, order in enumerate(all_orders(model)):
            seen = _as_drawn(model, _influence(model, base, context, seed, **order), **order)
            if seed:
                found[number] = (order, found[number][1] | seen)
            else:
                found.append((order, seen))
    return found


def _influence(model, base, context, seed, **order):
    """`_influences` of one model and one event, of sites in data order."""
    sites = base.reshape(-1, *model.head.site_shape)
    count = len(sites)
    changed = np.broadcast_to(sites, (count, *sites.shape)).copy()
    for j in range(count):
        changed[j, j] = changed_sites(model, sites[j], (seed, j))
    batch = np.concatenate([sites[None], changed]).reshape(count + 1, *base.shape[1:])
    if context:
        context = {name: np.repeat(value, count + 1, axis=0) for name, value in context.items()}
    params = np.asarray(model._flat(model(batch, context=context, **order)))
    difference = np.abs(params[1:] - params[:1]).max(axis=-1).T
    return difference > 1e-11 * np.abs(params).max()


def _as_drawn(model, reach, order=None):
    """A reach [S, S] of sites in data order, in the order in which they are drawn."""
    return reach if order is None else reach[np.ix_(model.permutation(order), model.permutation(order))]


def causality(cls):
    """Law 1: no output depends on an input at or after its own site, for all pairs of sites, in every order."""
    model = make(cls)
    if model.orders is not None:
        raster = np.arange(model.num_sites)
        assert np.array_equal(np.sort(model.orders), np.tile(raster, (len(model.orders), 1))), "no permutations"
    for order, influence in _influences(cls):
        future = influence & ~np.tri(len(influence), k=-1, dtype=bool)
        assert not future.any(), (
            f"outputs depend on their own or later sites: (output, input) {np.argwhere(future)[:5].tolist()} {order}"
        )


def completeness(cls):
    """Law 2: every earlier site inside the declared receptive field does reach the output, and none outside it."""
    model = make(cls)
    for order, influence in _influences(cls):
        declared = _as_drawn(model, model.receptive_field(len(influence), **order), **order)
        missing, undeclared = declared & ~influence, influence & ~declared
        assert not missing.any(), (
            f"declared but without effect: (output, input) {np.argwhere(missing)[:5].tolist()} {order}"
        )
        assert not undeclared.any(), (
            f"of effect but not declared: (output, input) {np.argwhere(undeclared)[:5].tolist()} {order}"
        )


def step_equals_call(cls):
    """Law 3: the cached step equals `call` in values, site by site, under random chunking, and the default step too."""
    model = make(cls)
    x, generator = events(model, 3), np.random.default_rng(0)
    context = contexts(model, 3)
    for order in all_orders(model):
        expected = params_of(model, x, context, **order)
        count = expected.shape[1]
        bound = 1e-10 * np.abs(expected).max()
        for chunks in (
            [1] * count,
            random_chunks(model, count, generator, 5),
            random_chunks(model, count, generator, count),
        ):
            worst = np.abs(stepped(model, x, context, chunks, **order) - expected).max()
            assert worst < bound, f"step differs from call by {worst:.3g} with chunks {chunks} {order}"
        plain = lambda *arguments, **order: AutoregressiveModel.step(model, *arguments, **order)  # noqa: E731
        cache = init_cache(AutoregressiveModel.cache_spec(model, count), 3)
        found = stepped(model, x, context, [2] * (count // 2), plain, cache, **order)
        worst = np.abs(found - expected[:, : count // 2 * 2]).max()
        assert worst < bound, f"the default step differs from call by {worst:.3g} {order}"


def known_sites(cls):
    """Law 3, orderless: what `call` gives for known sites is what it gives in any order that begins with them."""
    model = make(cls)
    if not model.orderless:
        return
    x, context = events(model, 3), contexts(model, 3)
    for order in all_orders(model):
        expected, permutation = params_of(model, x, context, **order), model.permutation(**order)
        for number in range(model.num_sites):
            known = np.isin(np.arange(model.num_sites), permutation[:number])
            params = model(x, context=context, known=np.tile(known, (3, 1)))
            found = np.asarray(model._flat(params))[:, permutation[number]]
            worst = np.abs(found - expected[:, number]).max()
            assert worst < 1e-10 * np.abs(expected).max(), f"{number} known sites: apart by {worst:.3g} {order}"


def ragged_rows(cls):
    """Law 3, ragged: rows that wait while others go on end with the values of `call`."""
    model = make(cls)
    for order in all_orders(model):
        _ragged_rows(model, **order)


def _ragged_rows(model, **order):
    batch, generator = 3, np.random.default_rng(1)
    x, context = events(model, batch), contexts(model, batch)
    sites = sites_of(model, x, **order)
    expected = params_of(model, x, context, **order)
    full, worst, index, first = model.full_context(context, batch), 0.0, 0, 0
    waits = 3
    blocks = model.block_sizes or (sites.shape[1],)
    cache = model.init_cache(batch, None if model.num_sites else sites.shape[1] + waits)
    for block in blocks:
        cache = begin_block(model, cache, sites, first, full)
        slots = block + waits
        positions = np.full((batch, slots), -1, np.int32)
        for row in range(batch):
            positions[row, np.sort(generator.permutation(slots)[:block])] = first + np.arange(block)
        for start, stop in ((0, 1), (1, 4), (4, slots)):
            at = positions[:, start:stop]
            prev = np.take_along_axis(sites, np.maximum(at - 1, 0).reshape(*at.shape, *[1] * (sites.ndim - 2)), axis=1)
            prev[at <= 0] = model.head.nothing
            slot = tf.constant(index + start)
            params, cache = model.step(tf.constant(prev), cache, slot, full, positions=tf.constant(at), **order)
            for row, k in np.argwhere(at >= 0):
                worst = max(worst, np.abs(np.asarray(params)[row, k] - expected[row, at[row, k]]).max())
        first += block
        index = first if model.block_sizes else index + slots
    assert worst < 1e-10 * np.abs(expected).max(), f"ragged steps differ from call by {worst:.3g}"


def rows_apart(cls):
    """Law 3, rows apart: a chunk in which each row begins at its own site has the values of `call`."""
    model = make(cls)
    if model.block_sizes is not None:
        return
    batch, first = 3, np.array([0, 1, 2], np.int32)
    x, context = events(model, batch), contexts(model, batch)
    full = model.full_context(context, batch)
    slots = np.arange(min(3, sites_of(model, x).shape[1] - 2), dtype=np.int32)
    for order in all_orders(model):
        sites, expected = sites_of(model, x, **order), params_of(model, x, context, **order)
        cache = model.init_cache(batch, sites.shape[1])
        behind = np.where(np.arange(2) < first[:, None], np.arange(2, dtype=np.int32), -1)
        for index, at in ((0, behind), (first, first[:, None] + slots)):
            prev = np.take_along_axis(sites, np.maximum(at - 1, 0).reshape(*at.shape, *[1] * (sites.ndim - 2)), axis=1)
            prev[at <= 0] = model.head.nothing
            positions = {} if at is not behind else {"positions": tf.constant(behind)}
            params, cache = model.step(tf.constant(prev), cache, tf.constant(index), full, **positions, **order)
        wanted = np.take_along_axis(expected, at[..., None], axis=1)
        worst = np.abs(np.asarray(params) - wanted).max()
        assert worst < 1e-10 * np.abs(expected).max(), f"rows that begin apart differ from call by {worst:.3g} {order}"


def padding(cls):
    """Law 3, padding: sites marked as padding, anywhere in a row, change nothing and are not scored."""
    model = make(cls)
    if model.num_sites is not None:
        return
    x, padded = events(model, 2, sites=6), events(model, 2, seed=9, sites=9)
    mask = np.array([[0, 0, 1, 1, 1, 1, 1, 1, 0], [1, 0, 1, 1, 0, 1, 1, 0, 1]], bool)
    for row in range(2):
        padded[row, mask[row]] = x[row]
    context = contexts(model, 2)
    whole, part = model.log_prob(x, context, reduce="site"), model.log_prob(padded, context, mask, reduce="site")
    worst = max(np.abs(np.asarray(part)[row, mask[row]] - np.asarray(whole)[row]).max() for row in range(2))
    assert worst < 1e-10, f"padding changes log-probabilities by {worst:.3g}"
    assert np.all(np.asarray(part)[~mask] == 0), "padding is scored"


def normalisation(cls):
    """Law 4: the probabilities of all events add up to 1, densities integrate to it; coordinates add up to sites."""
    for model in small_models(cls):
        if model.head.num_symbols is None:
            continuous.integrates_to_one(model)
            continue
        every, context = every_event(model), contexts(model, 1)
        if context:
            context = {name: np.repeat(value, len(every), axis=0) for name, value in context.items()}
        orders = all_orders(model) + ([{"order": "ensemble"}] if model.orders is not None else [])
        for order in orders:
            total = np.exp(np.asarray(model.log_prob(every, context, **order))).sum()
            assert abs(total - 1) < 1e-9, f"the probabilities of all {len(every)} events add up to {total} {order}"
        each = np.asarray(model.log_prob(every[:50], _first(context, 50), reduce="coordinate"))
        whole = np.asarray(model.log_prob(every[:50], _first(context, 50)))
        assert np.allclose(each.reshape(len(each), -1).sum(1), whole, atol=1e-9), "coordinates do not add up to events"


def _first(context, count):
    return context and {name: value[:count] for name, value in context.items()}


def sampling(cls, draws=20_000, drawer=None):
    """Law 5: samples follow exp(log_prob): a chi-square test over all events of a small space, with a fixed seed.

    Of continuous data over cells of equal probability, by the conditional distributions' CDFs.

    `drawer` makes of a model, and of the length of an event where it is free, what `sample` is asked of, say an export.
    """
    for model in small_models(cls):
        float32 = type(model).from_config(model.get_config() | {"dtype": "float32"})
        for weight, value in zip(float32.weights, model.weights, strict=True):
            weight.assign(np.asarray(value) * (0.5 if keras.backend.is_float_dtype(weight.dtype) else 1))
        # An export draws in raster order alone.
        for order in all_orders(float32) if drawer is None else [{}]:
            _sampling(float32, draws, drawer, **order)


def _sampling(model, draws, drawer, **order):
    from scipy.stats import chi2

    context = contexts(model, 1)
    one = context and {name: value[0] for name, value in context.items()}
    length = None if model.num_sites else small_shape(model)[0]
    drawing = model if drawer is None else drawer(model, length)
    drawn = drawing.sample(draws, seed=1, context=one, num_sites=length, **order)
    if model.head.num_symbols is None:
        continuous.follow(model, drawn, context, **order)
        return
    every = every_event(model)
    repeated = context and {name: np.repeat(value, len(every), axis=0) for name, value in context.items()}
    probability = np.exp(np.asarray(model.log_prob(every, repeated, **order), np.float64))
    base = model.head.num_symbols ** np.arange(every[0].size)[::-1]
    counts = np.bincount(drawn.reshape(draws, -1) @ base, minlength=len(every))
    expected = probability * draws
    ascending = np.argsort(expected)
    rare = ascending[np.cumsum(expected[ascending]) < 10]  # cells too small for the test are one cell
    seen = np.append(np.delete(counts, rare), counts[rare].sum())
    wanted = np.append(np.delete(expected, rare), expected[rare].sum() + 1e-9)
    keep = wanted > 1e-6
    statistic = ((seen - wanted)[keep] ** 2 / wanted[keep]).sum()
    limit = chi2.ppf(1 - 1e-5, keep.sum() - 1)
    assert statistic < limit, f"samples do not follow log_prob: chi-square {statistic:.0f}, limit {limit:.0f} {order}"


def one_noise_one_sample(cls):
    """Law 6: the same seed gives the same sample eager and compiled, in any batch, and after the same prefix.

    Of continuous data to the last digits of float32, in which compilers differ.
    """
    model = make(cls, dtype="float32")
    for order in all_orders(model):
        _one_noise_one_sample(model, **order)


def _one_noise_one_sample(model, **order):
    length = order if model.num_sites else {"num_sites": FREE_LENGTH}
    context = contexts(model, 5)
    whole = model.sample(5, seed=3, context=context, **length)
    batched = model.sample(5, seed=3, context=context, batch_size=2, **length)
    assert same_symbols(whole, batched), "the sample depends on the batch"
    assert not same_symbols(whole, model.sample(5, seed=4, context=context, **length)), "the seed has no effect"
    sites = sites_of(model, whole, **order)
    count = sites.shape[1]
    again = model.sample(5, seed=3, context=context, prefix=sites[:, : count // 2], **length)
    assert same_symbols(whole, again), "continuing a sample from its own beginning changes it"
    noise = uniform_noise(3, range(5), 0, count, model.head.noise_shape)
    nothing = np.zeros(sites.shape[:2], bool)
    eager = generate.loop(
        model,
        tf.constant(noise),
        tf.zeros_like(sites),
        tf.constant(nothing),
        model.full_context(context, 5),
        tf.constant(1.0),
        model.init_cache(5, count),
        tf.constant(0),
        tf.constant(0),
        order,
    )
    assert same_symbols(sites, eager), "eager and compiled samples differ"


class NothingToTrain(AssertionError):
    """What law 7 raises of a model without trainable weights, which may declare that law absent."""


def gradients(cls):
    """Law 7: every trainable weight gets a gradient."""
    model = make(cls, dtype="float32")
    x, context = events(model, 8), contexts(model, 8)
    if context:  # half of the events without a context, whose null value has weights too
        null = model.full_context(None, 8)
        context = {name: np.where(np.arange(8) < 4, value, np.asarray(null[name])) for name, value in context.items()}
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(model.log_prob(x, context))
    if not model.trainable_weights:
        raise NothingToTrain(f"{cls.__name__} has no trainable weight")
    without = [
        weight.path
        for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True)
        if gradient is None or not np.abs(np.asarray(tf.convert_to_tensor(gradient))).max() > 0
    ]
    assert not without, f"no gradient reaches {without}"


def round_trip(cls):
    """Law 8: `.keras` files, configurations and preset folders, of this format and of older ones, restore `log_prob`."""
    from ar_zoo.core import pretrained

    model = make(cls, dtype="float32")
    x, context = events(model, 3), contexts(model, 3)
    expected = np.asarray(model.log_prob(x, context))

    def check(restored, how):
        assert np.array_equal(np.asarray(restored.log_prob(x, context)), expected), f"{how} does not restore log_prob"

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        check(keras.models.load_model(Path(folder) / "model.keras"), "a .keras file")
        copy = cls.from_config(model.get_config())
        copy.set_weights(model.get_weights())
        check(copy, "get_config")
        preset = pretrained.save(model, Path(folder) / "preset", name="test.preset")
        check(pretrained.load(preset), "a preset folder")
        as_version_1(preset)
        check(pretrained.load(preset), "a preset folder of format version 1")


def replicas(cls):
    """Law 9: 50 steps on two replicas end with one device's weights. Needs two logical CPUs."""
    devices = [device.name.replace("/device:", "") for device in tf.config.list_logical_devices("CPU")][:2]
    assert len(devices) == 2, "configure two logical CPUs first (tf.config.set_logical_device_configuration)"
    # TensorFlow's collectives are numbered alike in every strategy of a process, so that two dtypes get in each other's way.
    reduction = tf.distribute.ReductionToOneDevice()
    plans = (
        ("float64", lambda: keras.optimizers.SGD(0.05, momentum=0.9), lambda norm: 1e-10),
        ("float32", lambda: keras.optimizers.AdamW(1e-3, weight_decay=0.01), lambda norm: 1e-4 * norm),
    )
    for dtype, optimizer, bound in plans:
        ends = []
        for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(devices, reduction)):
            with strategy.scope():
                model = make(cls, dtype=dtype, scale=0.2, **_deterministic(cls))
                model.compile(optimizer(), jit_compile=False)
            data = {"x": events(model, 16)}
            context = contexts(model, 16)
            batches = tf.data.Dataset.from_tensor_slices(data | ({"context": context} if context else {}))
            batches = batches.batch(8, drop_remainder=True).repeat()
            model.fit(batches, steps_per_epoch=50, epochs=1, verbose=0, shuffle=False)
            ends.append([(weight.path, np.asarray(weight.value)) for weight in model.weights])
        for (path, one), (_, two) in zip(*ends, strict=True):
            if one.dtype.kind == "f":
                worst, allowed = np.abs(one - two).max(), bound(np.linalg.norm(one))
                assert worst <= allowed, f"{path} differs by {worst:.3g} on two replicas, allowed {allowed:.3g}"


def _deterministic(cls):
    fixed = {"dropout": 0.0, "label_dropout": 0.0, "num_orders": 1, "num_masks": 1, "orderless": False}
    return {name: value for name, value in fixed.items() if name in cls.argument_names()}


def precision(cls):
    """Law 10: bfloat16 and float16 stay within 1 % of float32's bits per dimension on a trained tiny model."""
    model = make(cls, dtype="float32", scale=0.2)
    x = chains(model, 64)
    context = contexts(model, 64)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    data = {"x": x} | ({"context": context} if context else {})
    model.fit(tf.data.Dataset.from_tensors(data).repeat(100), verbose=0, shuffle=False)
    expected = -np.asarray(model.log_prob(x, context)).mean()
    symbols = model.num_symbols
    # Independent dimensions: all symbols alike; of continuous data, standard normals.
    independent = x[0].size * np.log(symbols or np.sqrt(2 * np.pi * np.e))
    assert expected < 0.75 * independent, (
        f"the tiny model did not learn its past: {expected:.1f} of {independent:.1f} nats"
    )
    # A density's nats may be none, of which 1 % says nothing.
    allowed = 0.01 * (expected if symbols else independent)
    for dtype in ("bfloat16", "float16", "mixed_bfloat16", "mixed_float16"):
        other = cls.from_config(model.get_config() | {"dtype": dtype})
        other.set_weights(model.get_weights())
        value = -np.asarray(other.log_prob(x, context)).mean()
        assert abs(value - expected) < allowed, f"{dtype}: {value:.5f} nats, float32 {expected:.5f}"


LAWS = {
    1: (causality,),
    2: (completeness,),
    3: (step_equals_call, known_sites, ragged_rows, rows_apart, padding),
    4: (normalisation,),
    5: (sampling,),
    6: (one_noise_one_sample,),
    7: (gradients,),
    8: (round_trip,),
    9: (replicas,),
    10: (precision,),
}
ALL = tuple(law for laws in LAWS.values() for law in laws)
