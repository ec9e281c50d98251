"""Beam search: the likeliest continuations, found by keeping the best few at each step.

A continuation's score is its log-probability over its length (in new tokens, the stop included) to the power of
`length_penalty`. At each step every beam is continued by every token; the best that do not stop live on, and those that stop
compete with all that stopped before. With as many beams as there are continuations it is exhaustive search.

Deviation from transformers: there a continuation that stops counts only if it is among the best `num_beams` of the step;
here its score decides.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import tensorflow as tf
from keras import ops

from ar_zoo.core import arguments, checks
from ar_zoo.core import cache as caches
from ar_zoo.core.generate import compiled, draw_site
from ar_zoo.sampling.loop import before, stop_sequences
from ar_zoo.sampling.processors import chain, listed
from ar_zoo.sampling.prompts import drawable, lay_out, read_prompts, rows_of, step_arguments


@dataclasses.dataclass(frozen=True)
class Beams:
    """What beam search found, row by row and best first.

    Attributes:
        tokens: for each row a list of int32 arrays of new tokens; a stop is their end.
        scores: float32 arrays, log-probability over length to the power of `length_penalty`.
        finished: bool arrays, whether a stop ended them.
    """

    tokens: list[list[np.ndarray]]
    scores: list[np.ndarray]
    finished: list[np.ndarray]


def beam_search(
    model,
    prompts,
    num_tokens: int,
    num_beams: int = 4,
    num_returned: int = 1,
    length_penalty: float = 1.0,
    stop=(),
    processors=(),
    context=None,
) -> Beams:
    """The likeliest continuations of prompts of any lengths.

    Args:
        model, prompts, num_tokens, context: as in `generate`.
        num_beams: how many continuations are kept at each step, at least 1; 1 is greedy decoding.
        num_returned: how many are returned for each row, at most `num_beams`. Fewer come back where there are no more.
        length_penalty: above 0 favours longer continuations, below 0 shorter ones; 0 compares log-probabilities.
        stop: tokens that end a continuation.
        processors: applied to log-probabilities, which then do not add up to 1 any more.

    Raises:
        ValueError: an argument is not as above.

    Example:
        >>> beam_search(model, ["In the beginning"], 20, num_beams=4, num_returned=2, stop=["."]).scores[0]
        array([-0.41, -0.43], dtype=float32)
    """
    drawable(model)
    arguments.whole(num_beams=num_beams, num_returned=num_returned)
    if num_returned > num_beams:
        raise ValueError(f"`num_returned` must be at most `num_beams`, {num_beams}; got {num_returned}.")
    arguments.number(length_penalty=length_penalty)
    num_beams = int(num_beams)
    stops = stop_sequences(model, stop)
    if (np.sum(stops >= 0, axis=1) > 1).any():
        raise ValueError(f"`stop` must hold single tokens for beam search; got {stop!r}.")
    stops, process = tuple(sorted({int(token) for token in stops[stops >= 0]})), chain(*listed(processors))
    rows = rows_of(model, prompts)
    slots = lay_out(model, rows, num_tokens)
    if abs(length_penalty) * math.log10(num_tokens) > 30:
        raise ValueError(
            f"`length_penalty` must leave scores that float32 holds: {num_tokens} tokens to the power of it must lie "
            f"between 1e-30 and 1e30; got {length_penalty!r}. Usual are 0 to 2."
        )
    context = checks.context_of_samples(model, context, len(rows))
    many = {name: np.repeat(value, num_beams, axis=0) for name, value in context.items()}
    tokens = np.repeat(slots.tokens, num_beams, axis=0)
    positions = tf.constant(np.repeat(slots.positions, num_beams, axis=0)) if slots.ragged else None
    key = ("beams", process, num_beams, stops)
    search = compiled(model, key, functools.partial(_search, process=process, num_beams=num_beams, stops=stops))
    best = search(
        tf.constant(tokens),
        caches.repeat(read_prompts(model, slots, context), num_beams),
        positions,
        {name: tf.constant(value) for name, value in many.items()},
        tf.constant(slots.first),
        tf.constant(slots.first + num_tokens, tf.int32),
        tf.constant(length_penalty, tf.float32),
    )
    return _found(*(value.numpy() for value in best), slots.first, num_returned)


def _found(tokens, scores, lengths, stopped, first, num_returned):
    """`Beams` from the best of each row, best first: tokens [B, K, S], scores, lengths, stopped [B, K]."""
    kept = [np.flatnonzero(np.isfinite(row))[:num_returned] for row in scores]
    new = [[tokens[row, k, first : first + lengths[row, k]] for k in each] for row, each in enumerate(kept)]
    pick = lambda values: [values[row, each] for row, each in enumerate(kept)]  # noqa: E731
    return Beams(new, pick(scores), pick(stopped))


def _search(model, tokens, cache, positions, context, first, stop, penalty, process, num_beams, stops):
    """The best continuations [B, K, S], their scores, lengths, and whether they stopped [B, K], best first."""
    size = tokens.shape[1]
    spec, batch = model.cache_spec(size), tokens.shape[0] // num_beams
    grid = (batch, num_beams)
    flat_rows = lambda chosen: tf.reshape(chosen + tf.range(batch)[:, None] * num_beams, [-1])  # noqa: E731
    normal = lambda total, length: total / tf.cast(length, tf.float32) ** penalty  # noqa: E731

    def body(state):
        index, tokens, live = state["index"], state["tokens"], state["live"]
        more = step_arguments(model)
        if positions is not None:
            more["positions"] = tf.gather(positions, index, axis=1)[:, None]

        def draw(params):
            logits = model.head.logits(ops.cast(params, "float32"))
            bent = process(ops.log_softmax(logits, axis=-1), tokens, index, first)
            totals = tf.reshape(live, [-1, 1]) + bent
            going, ending = _split(totals, stops)
            live_now, taken = tf.math.top_k(tf.reshape(going, [batch, -1]), num_beams)
            return taken, live_now, ending

        prev = before(tokens, index)
        (taken, live, ending), cache = draw_site(model, spec, prev, state["cache"], index, context, draw, more)
        vocabulary, length = model.head.num_symbols, index - first + 1
        best = state["best"]
        if stops:
            best = _best_of(best, _ended(tokens, ending, index, normal(1.0, length), stops, grid), length, num_beams)
        rows = flat_rows(taken // vocabulary)
        tokens = ops.slice_update(tf.gather(tokens, rows), [0, index], tf.reshape(taken % vocabulary, [-1, 1]))
        # A dead beam, of which there are some while fewer than `num_beams` continuations exist, writes what it likes.
        return [{"index": index + 1, "tokens": tokens, "live": live, "cache": caches.gather(cache, rows), "best": best}]

    def going(state):
        if process.arguments:  # what is bent may rise
            return state["index"] < stop
        # The best that a live beam can still reach: log-probabilities only fall, and lengths lie between these two.
        live, length = state["live"][:, 0], state["index"] - first + 1
        reach = tf.maximum(normal(live, length), normal(live, stop - first))
        return (state["index"] < stop) & tf.reduce_any(state["best"]["scores"][:, -1] < reach)

    state = {
        "index": first,
        "tokens": tokens,
        "live": tf.repeat(tf.constant([[0.0] + [-np.inf] * (num_beams - 1)]), batch, axis=0),
        "cache": cache,
        "best": {
            "tokens": tf.reshape(tokens, (*grid, size)),
            "scores": tf.fill(grid, -np.inf),
            "lengths": tf.zeros(grid, tf.int32),
            "stopped": tf.zeros(grid, tf.bool),
        },
    }
    state = tf.while_loop(going, body, [state])[0]
    # What lives to the end competes too. If the loop ended before, nothing that lives can reach what is there.
    length = state["index"] - first
    alive = {"tokens": tf.reshape(state["tokens"], (*grid, size)), "scores": normal(state["live"], length)}
    at_end = tf.where(state["index"] < stop, -np.inf, alive["scores"])
    best = _best_of(state["best"], alive | {"scores": at_end}, length, num_beams, stopped=False)
    return best["tokens"], best["scores"], best["lengths"], best["stopped"]


def _split(totals, stops):
    """Totals [N, V] of continuations that go on, and [N, n] of those that stop, the rest -inf."""
    if not stops:
        return totals, None
    is_stop = np.isin(np.arange(totals.shape[1]), stops)
    return tf.where(is_stop, -np.inf, totals), tf.gather(totals, stops, axis=1)


def _ended(tokens, ending, index, weight, stops, grid):
    """Each beam with each stop behind it: tokens [B, K · n, S] and scores [B, K · n]."""
    count, size = len(stops), tokens.shape[1]
    with_stop = tf.repeat(tokens, count, axis=0)
    last = tf.tile(tf.constant(stops, tf.int32), [tokens.shape[0]])[:, None]
    with_stop = ops.slice_update(with_stop, [0, index], last)
    shape = (grid[0], grid[1] * count)
    return {"tokens": tf.reshape(with_stop, (*shape, size)), "scores": tf.reshape(ending, shape) * weight}


def _best_of(best, other, length, num_beams, stopped=True):
    """The best `num_beams` of both, best first."""
    shape = other["scores"].shape
    other = other | {"lengths": tf.fill(shape, length), "stopped": tf.fill(shape, stopped)}
    both = {name: tf.concat([best[name], other[name]], axis=1) for name in best}
    scores, order = tf.math.top_k(both["scores"], num_beams)
    return {name: tf.gather(value, order, axis=1, batch_dims=1) for name, value in both.items()} | {"scores": scores}
