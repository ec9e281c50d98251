"""Contrastive search (Su et al. 2022, arXiv:2202.06417): likely tokens whose features repeat nothing that came before.

    x_t = argmax over the k likeliest v of   (1 - α) p(v | x_<t) - α max_{j<t} cos(h_v, h_{x_j})

with h the features of a token after it was read, those that the next token's logits are made of. It is deterministic.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core import cache as caches
from ar_zoo.core.generate import after, chunks, compiled
from ar_zoo.sampling.loop import Generated, refuse_stuck, stop_sequences, stopped
from ar_zoo.sampling.processors import chain, listed
from ar_zoo.sampling.prompts import drawable, lay_out, rows_of


def contrastive_search(
    model, prompts, num_tokens: int, penalty_alpha: float = 0.6, top_k: int = 4, stop=(), processors=()
) -> Generated:
    """Continues prompts of any lengths, without noise and mostly without the loops of greedy decoding.

    Args:
        model: a family that offers its features in steps, such as gpt, llama or mistral. It reads each token that it might
            say: the prompt and the new tokens may be one less than `max_sites`.
        prompts, num_tokens, stop: as in `generate`.
        penalty_alpha: how much repetition weighs, 0 … 1; 0 is greedy decoding.
        top_k: candidates; each costs a row. 1 is greedy decoding.
        processors: applied to the logits that candidates are chosen by.

    Raises:
        ValueError: an argument is not as above.

    Example:
        >>> contrastive_search(model, ["In the beginning"], 64).tokens[0].shape
        (64,)
    """
    drawable(model)
    if not hasattr(model, "step_features"):
        raise ValueError(
            f"`model` must offer its features in steps, as gpt, llama and mistral do; got {type(model).__name__}. `generate` "
            "draws from it."
        )
    arguments.whole(top_k=top_k, num_tokens=num_tokens)
    arguments.rates(penalty_alpha=penalty_alpha)
    process, top_k = chain(*listed(processors)), min(int(top_k), model.num_symbols)
    stops = tf.constant(stop_sequences(model, stop))
    slots = lay_out(model, rows_of(model, prompts), num_tokens + 1)
    positions = slots.positions
    features, cache = _read(model, slots, positions)
    search = compiled(
        model, ("contrastive", process, top_k), functools.partial(_search, process=process, num_candidates=top_k)
    )
    tokens, done, stuck = search(
        tf.constant(slots.tokens),
        features,
        cache,
        tf.constant(positions),
        stops,
        tf.constant(penalty_alpha, tf.float32),
        tf.constant(slots.first),
        tf.constant(slots.first + num_tokens, tf.int32),
    )
    new = [row[row >= 0] for row in tokens.numpy()[:, slots.first :]]
    refuse_stuck(stuck.numpy(), new)
    return Generated(new, done.numpy())


def _read(model, slots, positions):
    """The features [B, S, units] of the slots up to `first`, those of the prompts' last tokens, and the cache after them."""
    batch, size = slots.tokens.shape
    prev = np.pad(slots.tokens, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    cache, parts = model.init_cache(batch, size), []
    for index, count in chunks(slots.first + 1):
        chunk, at = (tf.constant(values[:, index : index + count]) for values in (prev, positions))
        part, cache = compiled(model, "read features", _features)(chunk, cache, tf.constant(index), at)
        parts.append(part)
    features = tf.concat(parts, axis=1)
    return tf.pad(features, [[0, 0], [0, size - features.shape[1]], [0, 0]]), cache


def _features(model, prev, cache, index, positions):
    features, cache = model.step_features(prev, cache, index, positions)
    return ops.cast(features, "float32"), cache


def _search(model, tokens, features, cache, positions, stops, alpha, first, stop, process, num_candidates):
    """Draws the slots from `first` to before `stop`, or until all rows are done: tokens [B, S], done and stuck [B]."""
    batch, size = tokens.shape
    spec = model.cache_spec(size)
    own = tf.range(batch)

    def body(state):
        index, tokens, features = state["index"], state["tokens"], state["features"]
        at_slot = tf.gather(features, index, axis=1)
        logits = process(ops.cast(model.head.logits(model.project(at_slot)), "float32"), tokens, index, first)
        probability, candidates = tf.math.top_k(ops.softmax(logits, axis=-1), num_candidates)
        next_at = tf.gather(positions, index + 1, axis=1)[:, None]
        lent = caches.repeat(caches.taken(spec, state["cache"], index + 1), num_candidates)
        each_at = tf.repeat(next_at, num_candidates, axis=0)
        read, new = _features(model, tf.reshape(candidates, [-1, 1]), lent, index + 1, each_at)
        read = tf.reshape(read, [batch, num_candidates, -1])
        # Feature i is of the token in slot i - 1; the one of a row's start is of none.
        of_tokens = (positions > 0) & (tf.range(size) <= index)
        score = (1 - alpha) * probability - alpha * _likeness(read, features, of_tokens)
        score = tf.where(probability > 0, score, -np.inf)  # what is suppressed is no candidate
        best = tf.math.top_k(score, 1)[1][:, 0]
        drawn = tf.gather(candidates, best, batch_dims=1)
        new = caches.gather(new, own * num_candidates + best)
        cache = caches.put_back(spec, state["cache"], new, after(drawn, index + 1), after(drawn, next_at))
        chosen = tf.gather(read, best, batch_dims=1)[:, None]
        stuck = ~(ops.max(logits, axis=-1) > -np.inf) & ~state["done"]
        drawn = tf.where(state["done"] | stuck, -1, drawn)
        tokens = ops.slice_update(tokens, [0, index], drawn[:, None])
        return [
            {
                "index": index + 1,
                "tokens": tokens,
                "features": ops.slice_update(features, [0, index + 1, 0], chosen),
                "cache": cache,
                "done": state["done"] | stuck | stopped(tokens, stops, index, first),
                "stuck": state["stuck"] | stuck,
            }
        ]

    nothing = tf.zeros(batch, tf.bool)
    state = {"index": first, "tokens": tokens, "features": features, "cache": cache, "done": nothing, "stuck": nothing}
    going = lambda state: (state["index"] < stop) & ~tf.reduce_all(state["done"])  # noqa: E731
    state = tf.while_loop(going, body, [state])[0]
    return state["tokens"], state["done"], state["stuck"]


def _likeness(read, features, counts):
    """The largest cosine between each candidate [B, k, units] and the features [B, S, units] that count: [B, k].

    0 where none counts, behind an empty prompt.
    """
    cosine = ops.matmul(_normal(read), ops.transpose(_normal(features), (0, 2, 1)))
    largest = ops.max(ops.where(counts[:, None], cosine, -2.0), axis=-1)
    return ops.where(largest < -1.5, 0.0, largest)


def _normal(features):
    return features / ops.maximum(ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True)), 1e-12)
