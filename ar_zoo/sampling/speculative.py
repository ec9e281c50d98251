"""Speculative decoding: several sites a step, and the very symbols that `model.sample` draws.

Each site's symbol is a function of its parameters and of the noise that belongs to its row and number. So guesses are
verified by comparison: one step gives the parameters of K + 1 sites under K guesses, each site is drawn with its own noise,
and a draw counts as long as all guesses before it are equal to the draws at their sites. The first draw that differs from
its guess is right itself, as it stands on right ones; what comes after it is thrown away. Whatever the guesses are, the
symbols are those of drawing site by site, greedy or not: nothing has to be accepted at random, as in Leviathan et al. 2023
(arXiv:2211.17192), where it is the distribution alone that stays as it is.

Parameters of a chunk and of single steps differ in the last bits. Where a draw lies that close to the edge between two
symbols, they may differ, as between any two engines.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from ar_zoo.core import arguments, checks, generate
from ar_zoo.core.cache import KeyValue
from ar_zoo.core.known import known_sites
from ar_zoo.core.noise import uniform_noise
from ar_zoo.sampling.drafts import ModelDraft, OwnHeads, PromptLookup
from ar_zoo.sampling.loop import draw_token
from ar_zoo.sampling.processors import chain, listed
from ar_zoo.sampling.prompts import drawable
from ar_zoo.sampling.verify import Round, check_raster, overwrites, same, seen, verify, where, window


@dataclasses.dataclass(frozen=True)
class Report:
    """What the guesses were worth.

    Attributes:
        rounds: calls of the model, after what was given was read.
        drawn: sites that were drawn, in all rows.
        calls: rounds in which a row still had sites to draw, over all rows.
        guessed, accepted: guesses for such sites, and how many of them were right, with all before them.
    """

    rounds: int = 0
    drawn: int = 0
    calls: int = 0
    guessed: int = 0
    accepted: int = 0

    @property
    def acceptance(self) -> float:
        """The share of guesses that were right."""
        return self.accepted / max(self.guessed, 1)

    @property
    def sites_per_call(self) -> float:
        """Sites that a call of the model draws in a row; site by site it is 1."""
        return self.drawn / max(self.calls, 1)


def speculate(
    model,
    num_samples: int = 1,
    seed: int = 0,
    draft=None,
    lookahead: int = 4,
    context=None,
    prefix=None,
    given=None,
    mask=None,
    temperature: float = 1.0,
    num_sites: int | None = None,
    batch_size: int | None = None,
    processors=(),
) -> tuple[np.ndarray, Report]:
    """What `model.sample` draws from the same arguments, in fewer steps.

    Rows go on at their own pace, and those that are done wait for the others.

    Args:
        model: draws its sites in one order and without blocks: gpt, llama, mistral, image_gpt, wavenet and their like. Those
            with a `State` (recurrent_lm, pixel_snail) step a second time through what was right: no faster than site by site.
        draft: where guesses come from: another model of the same alphabet, or one of `ar_zoo.sampling.drafts`; by default the
            model's own heads (`draft_heads`) if it has some, and else `PromptLookup()`.
        lookahead: guesses in each round, K above.
        prefix: as in `model.sample`, or a list of one for each sample, of different lengths.
        num_samples, seed, context, given, mask, temperature, num_sites, batch_size: as in `model.sample`.
        processors: as in `ar_zoo.sampling.generate`, which then draws the same; `first` is a number for each row, [B, 1].
            Guesses are made without them.

    Returns:
        (int32 [num_samples, *event_shape], `Report`).

    Example:
        >>> text, report = speculate(model, seed=1, draft=PromptLookup(3), prefix=model.encode("In the beginning"))
        >>> report.sites_per_call
        1.4
    """
    arguments.whole(num_samples=num_samples, lookahead=lookahead)
    num_samples, lookahead = int(num_samples), int(lookahead)
    temperature = arguments.temperature(temperature)
    check_raster(model, "model")
    process = None
    if processors := listed(processors):
        drawable(model)
        process = chain(*processors)
    sites, head = checks.num_sites(model, num_sites), model.head
    draft = _as_draft(draft, model)
    draft.check(model, sites, lookahead)
    if _is_ragged(prefix):
        prefix, given, mask = None, *_side_by_side(prefix, num_samples, sites, head, given)
    values, known = known_sites(
        num_samples, sites, model.event_shape, head.site_shape, head.num_symbols, prefix, given, mask
    )
    context = checks.context_of_samples(model, context, num_samples)
    drawn, counts = [], np.zeros((5,), np.int64)
    for first, rows in generate.batches(num_samples, batch_size, False):
        noise = uniform_noise(seed, rows, 0, sites + lookahead, head.noise_shape)
        here = {name: value[rows] for name, value in context.items()}
        x, *more, _, stuck = run(model, draft, lookahead, noise, values[rows], known[rows], here, temperature, process)
        _refuse_stuck(stuck.numpy(), first)
        count = num_samples - first  # the rest are copies
        drawn.append(x.numpy()[:count])
        counts += [np.sum(value.numpy()[:count] if value.shape.rank else value.numpy()) for value in more]
    grid = model.grid_shape if model.num_sites is not None else (sites,)
    return np.concatenate(drawn).reshape(num_samples, *grid, *head.site_shape), Report(*map(int, counts))


def run(model, draft, lookahead, noise, values, known, context, temperature, process=None):
    """One batch, from its noise, of `lookahead` sites more than there are.

    Returns:
        (x, the fields of its `Report`, those that are a row's own [B], the cache at the end, bool [B], whether `process`
        left a row nothing to draw).
    """
    batch, sites = known.shape
    # A row may be read further than it is known if what its caches hold from there on is written again.
    unknown = np.where(known.all(axis=1), sites, np.argmin(known, axis=1))
    ahead = overwrites(model, sites, lookahead) and draft.overwrites(sites, lookahead)
    stop = int(unknown.max() if ahead else unknown.min())
    values = tf.constant(values, model.head.symbol_dtype)
    compiled = generate.compiled(
        model,
        ("speculate", draft, lookahead, process),
        lambda model, *arguments: loop(model, draft, lookahead, process, *arguments),
    )
    return compiled(
        tf.constant(noise),
        values,
        tf.constant(known),
        context,
        tf.constant(temperature, tf.float32),
        tf.constant(unknown, tf.int32),
        tf.constant(unknown if ahead else np.full((batch,), stop), tf.int32),
        seen(model, values, stop, lookahead, context),
        draft.start(values, stop, lookahead, context),
    )


def loop(model, draft, lookahead, process, noise, values, known, context, temperature, first, index, cache, state):
    """Rounds until all sites are known. `cache` and `state` have seen the sites before `index` [B], at least; `first` [B] is
    the first that is not known."""
    head, (batch, sites) = model.head, known.shape
    past_the_end = [[0, 0], [0, lookahead]]
    known = tf.pad(known, past_the_end)
    written = values = tf.pad(values, past_the_end + [[0, 0]] * len(head.site_shape))
    symbols, first_prev = KeyValue(values.shape[1:], head.symbol_dtype), generate.nothing(head, (batch, 1))

    def round_(index, written, cache, state, counts, stuck):
        now = Round(
            index,
            index if batch > 1 else tf.reshape(index, ()),
            written,
            where(index[:, None] > 0, window(written, index - 1, 1), first_prev),
            *(window(value, index, lookahead + 1) for value in (noise, known, values)),
            context,
            temperature,
        )
        guesses, state = draft.guess(state, now)
        guesses = where(now.known[:, :-1], now.values[:, :-1], guesses)
        now = dataclasses.replace(now, chunk=tf.concat([now.prev, guesses], axis=1))
        params, features, commit = verify(model, cache, now, context)
        now = dataclasses.replace(now, features=features)
        drawn, empty = _drawn(head, params, now, symbols, process, first)
        drawn = where(now.known, now.values, drawn)
        right = tf.math.cumprod(tf.cast(same(guesses, drawn[:, :-1]), tf.int32), axis=1)
        accepted = tf.minimum(1 + tf.reduce_sum(right, axis=1), sites - index)
        cache, state = commit(drawn, accepted), draft.learn(state, now, drawn, accepted)
        return (
            index + accepted,
            symbols.write(written, drawn, now.slot),
            cache,
            state,
            _counted(counts, now, right, accepted),
            stuck | tf.reduce_any(empty & ~now.known & (tf.range(lookahead + 1) < accepted[:, None]), axis=1),
        )

    counts = (tf.constant(0), *[tf.zeros((batch,), tf.int32)] * 4)
    index, written, cache, state, counts, stuck = tf.while_loop(
        lambda index, *_: tf.reduce_any(index < sites),
        round_,
        (index, written, cache, state, counts, tf.zeros((batch,), bool)),
    )
    return written[:, :sites], *counts, cache, stuck


def _drawn(head, params, now, symbols, process, first):
    """Symbols [B, K + 1, …] from the parameters of a round's chunk; bool [B or 1, K + 1], where `process` left nothing to
    draw."""
    if process is None:
        return head.sample(params, now.noise, now.temperature), tf.zeros((1, now.lookahead + 1), bool)
    batch, count, size = *params.shape[:2], now.written.shape[1]
    # Each entry of the chunk is a row of its own, with all that stands before it, moved to the right.
    number = now.index[:, None] + tf.range(count)
    place = number[..., None] - size + tf.range(size + 1)
    text = symbols.write(now.written, now.chunk[:, 1:], now.slot)
    before = tf.gather(text, tf.clip_by_value(place, 0, size - 1), batch_dims=1)
    before = tf.where((place >= 0) & (tf.range(size + 1) < size), before, -1)
    flat = lambda value: tf.reshape(value, [batch * count, -1])  # noqa: E731
    logits = flat(head.logits(tf.cast(params, tf.float32)))
    bent = process(logits, flat(before), tf.constant(size), first=size - flat(number - first[:, None]))
    drawn = draw_token(bent, flat(now.noise)[:, 0], now.temperature)
    empty = ~(tf.reduce_max(bent, axis=-1) > -np.inf)
    return tf.reshape(drawn, [batch, count]), tf.reshape(empty, [batch, count])


def _refuse_stuck(stuck, first):
    for row in np.flatnonzero(stuck):
        raise ValueError(f"`processors` left nothing to draw in row {first + row}. Weaken or drop one of them.")


def _counted(counts, now, right, accepted):
    """The fields of `Report` after one more round; `right` [B, K] is 1 where a guess and all before it were right."""
    rounds, *rows = counts
    entry = tf.range(now.lookahead + 1)[None]
    free = ~now.known & (now.index[:, None] + entry < now.num_sites)
    drawn = free & (entry < accepted[:, None])
    more = (drawn, tf.reduce_any(free, axis=1, keepdims=True), free[:, :-1], free[:, :-1] & (right > 0))
    return rounds + 1, *(
        row + tf.reduce_sum(tf.cast(new, tf.int32), axis=1) for row, new in zip(rows, more, strict=True)
    )


def _as_draft(draft, model):
    if draft is None:
        draft = OwnHeads(model) if getattr(model, "draft_heads", 0) else PromptLookup()
    draft = ModelDraft(draft) if hasattr(draft, "step") else draft
    if isinstance(draft, type) or not hasattr(draft, "guess"):
        raise ValueError(f"`draft` must be another model, or one of ar_zoo.sampling.drafts; got {draft!r}.")
    return draft


def _is_ragged(prefix) -> bool:
    """Whether it is a list of prefixes of different lengths."""
    if not isinstance(prefix, (list, tuple)) or not all(isinstance(row, (list, tuple, np.ndarray)) for row in prefix):
        return False
    return len({len(row) for row in prefix}) > 1


def _side_by_side(prefixes, num_samples, sites, head, given):
    """Prefixes of different lengths as `given` and `mask`."""
    if given is not None:
        raise ValueError("`prefix` and `given` exclude each other: mark the prefix in `mask`.")
    longest = max(map(len, prefixes))
    if len(prefixes) != num_samples or longest > sites:
        raise ValueError(
            f"`prefix` must be a list of {num_samples} prefixes, one a sample, of at most {sites} sites; got "
            f"{len(prefixes)}, the longest of {longest} sites."
        )
    mask = np.arange(sites) < np.array([len(row) for row in prefixes])[:, None]
    values = np.zeros((*mask.shape, *head.site_shape), np.int64)
    values[mask] = np.concatenate([np.asarray(row).reshape(-1, *head.site_shape) for row in prefixes])
    return values, mask
