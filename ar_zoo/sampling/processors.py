"""What bends a model's logits before a token is drawn: small functions that compose.

A processor takes `(logits, tokens, index)` and returns logits:

- `logits` float32 [B, V], of the tokens about to be drawn; what must not be drawn gets -inf;
- `tokens` int32 [B, S], all that came before, the prompts included: rows end together, -1 fills them up on the left, and
  the slots from `index` on hold -1, which is nothing yet;
- `index`, a scalar: the slot about to be drawn.

Any such function will do. Those made here compare equal when they are made alike, so what is compiled with one serves the
other, and some of them (`min_new_tokens`, …) also need `first`, the slot behind the prompts.

    chain(repetition_penalty(1.2), temperature(0.7), top_k(50), top_p(0.9))
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Hashable, Iterable

import numpy as np
import tensorflow as tf
from keras import ops

from ar_zoo.core import arguments


@dataclasses.dataclass(frozen=True)
class Processor:
    """`apply(logits, tokens, index, *arguments)`, in which the arguments are all that makes a difference.

    Attributes:
        apply: the function.
        arguments: hashable.
        counts_new: whether the function also takes `first=`, to tell new tokens from the prompts'.
    """

    apply: Callable
    arguments: tuple = ()
    counts_new: bool = False

    def __call__(self, logits, tokens, index, first=None):
        if not self.counts_new:
            return self.apply(logits, tokens, index, *self.arguments)
        if first is None:
            raise ValueError(
                "`first` must be given, the slot behind the prompts: this processor counts new tokens. Got None. Call "
                "it as `processor(logits, tokens, index, first)`, as `ar_zoo.sampling.generate` does."
            )
        return self.apply(logits, tokens, index, *self.arguments, first=first)


def chain(*processors) -> Processor:
    """One processor after the other.

    Example:
        >>> generate(model, ["In the beginning"], 64, processors=[chain(temperature(0.7), top_k(50))])
    """
    for processor in processors:
        if not callable(processor) or not _takes_logits(processor):
            raise ValueError(
                f"`processors` must be functions such as `top_k(50)`, of (logits, tokens, index); got {processor!r}."
            )
        if not isinstance(processor, Hashable):
            raise ValueError(
                f"`processors` must be hashable, as what is compiled is kept by them; got {processor!r}. If it is of a "
                "dataclass, make that `frozen=True`."
            )
    return Processor(_chain, processors, counts_new=any(_counts_new(processor) for processor in processors))


def listed(processors) -> list:
    """One processor, or some, as a list."""
    several = not callable(processors) and isinstance(processors, Iterable)
    return list(processors) if several else [processors]


def _takes_logits(processor) -> bool:
    """`top_k` itself, say, does not: it makes a processor."""
    try:
        inspect.signature(processor).bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not say what it takes
        return True
    return True


def _counts_new(processor):
    return getattr(processor, "counts_new", False)


def _chain(logits, tokens, index, *processors, first=None):
    for processor in processors:
        more = (first,) if _counts_new(processor) else ()
        shape, logits = tuple(logits.shape), processor(logits, tokens, index, *more)
        if tuple(getattr(logits, "shape", ())) != shape:
            raise ValueError(
                f"`processors` must return logits of the shape that they are given, {list(shape)}; {processor!r} gave "
                f"{logits!r:.100}."
            )
    return logits


# Of how peaked the distribution is.


def temperature(t: float) -> Processor:
    """Divides the logits: below 1 likely tokens become likelier. Greedy decoding is `generate(…, temperature=0)`."""
    arguments.positive(t=t)
    return Processor(_temperature, (float(t),))


def _temperature(logits, tokens, index, t):
    return logits / t


def top_k(k: int) -> Processor:
    """Keeps the k most likely tokens, and what is as likely as the last of them (Fan et al. 2018); all, if k is above V."""
    arguments.whole(k=k)
    return Processor(_top_k, (int(k),))


def _top_k(logits, tokens, index, k):
    rank, least = _needed(logits, ops.ones_like(logits), k)
    return _suppressed(logits, rank < least)


def top_p(p: float) -> Processor:
    """Keeps the fewest most likely tokens whose probabilities reach p (Holtzman et al. 2020); one at least."""
    arguments.rates(p=p)
    return Processor(_top_p, (float(p),))


def _top_p(logits, tokens, index, p):
    probabilities = ops.softmax(logits, axis=-1)
    if p == 1:
        return _suppressed(logits, probabilities == 0)
    rank, least = _needed(logits, probabilities, p)
    # Of what is as likely as the least that stays, the first stay, so that p = 0 is greedy decoding.
    level = ops.equal(rank, least)
    above = ops.sum(ops.where(rank > least, probabilities, 0.0), axis=-1, keepdims=True)
    each = ops.max(ops.where(level, probabilities, 0.0), axis=-1, keepdims=True)
    stay = ops.maximum(ops.ceil((p - above) / each), 1)
    spare = ops.logical_and(level, ops.cumsum(ops.cast(level, logits.dtype), axis=-1) > stay)
    return _suppressed(logits, ops.logical_or(rank < least, spare))


def _needed(values, weights, p):
    """Which of the greatest `values` [B, V] are needed for their weights to reach p, one at least: ranks [B, V], integers
    in the order of the values, and the least rank [B, 1] among those.

    It is found bit by bit: to sort a vocabulary of 50,000 takes XLA on a CPU as long as a small model's step.
    """
    bits = tf.bitcast(tf.where(values == 0, 0.0, values), tf.int32)  # of -0 as of 0
    rank = tf.where(bits < 0, bits ^ 0x7FFFFFFF, bits)

    def halve(low, high):  # what lies above `high` weighs less than p; above what is below `low` no longer
        middle = (low & high) + tf.bitwise.right_shift(low ^ high, 1)
        enough = tf.reduce_sum(tf.where(rank > middle, weights, 0.0), axis=-1, keepdims=True) >= p
        enough &= middle < high
        return tf.where(enough, middle + 1, low), tf.where(enough, high, middle)

    low, high = (find(rank, axis=-1, keepdims=True) for find in (tf.reduce_min, tf.reduce_max))
    low, _ = tf.while_loop(lambda low, high: tf.reduce_any(low < high), halve, (low, high))
    return rank, low


def min_p(p: float) -> Processor:
    """Keeps tokens that have at least p times the probability of the most likely (Nguyen et al. 2024, arXiv:2407.01082)."""
    arguments.rates(p=p)
    return Processor(_min_p, (float(p),))


def _min_p(logits, tokens, index, p):
    probabilities = ops.softmax(logits, axis=-1)
    return _suppressed(logits, probabilities < p * ops.max(probabilities, axis=-1, keepdims=True))


def typical(p: float) -> Processor:
    """Keeps tokens whose surprise is nearest to the entropy, until they have probability p (Meister et al. 2022,
    arXiv:2202.00666). The most likely token may go. What is as near as the last stays too."""
    arguments.rates(p=p)
    if p in (0, 1):
        raise ValueError(
            f"`p` must lie between 0 and 1, both excluded; got {p}. Leave `typical` out to keep all tokens."
        )
    return Processor(_typical, (float(p),))


def _typical(logits, tokens, index, p):
    log_p = ops.log_softmax(logits, axis=-1)
    probability = ops.exp(log_p)
    entropy = -ops.sum(ops.where(probability > 0, probability * log_p, 0.0), axis=-1, keepdims=True)
    distance = ops.abs(-log_p - entropy)
    rank, least = _needed(-distance, probability, p)
    return _suppressed(logits, rank < least)


# Of what was said before.


def repetition_penalty(r: float) -> Processor:
    """Divides positive logits of tokens that occurred by r, and multiplies negative ones (Keskar et al. 2019,
    arXiv:1909.05858). The prompts count."""
    arguments.positive(r=r)
    return Processor(_repetition_penalty, (float(r),))


def _repetition_penalty(logits, tokens, index, r):
    penalised = ops.where(logits < 0, logits * r, logits / r)
    return ops.where(_counts(tokens, logits.shape[-1]) > 0, penalised, logits)


def presence_penalty(a: float, new_only: bool = False) -> Processor:
    """Takes a off the logits of tokens that occurred, in the prompts too unless `new_only`."""
    return _penalty(_presence_penalty, a, new_only)


def frequency_penalty(a: float, new_only: bool = False) -> Processor:
    """Takes a off the logit of a token for each time it occurred, in the prompts too unless `new_only`."""
    return _penalty(_frequency_penalty, a, new_only)


def _penalty(apply, a, new_only):
    arguments.number(", below 0 to favour what occurred", a=a)
    return Processor(apply, (float(a),), counts_new=bool(new_only))


def _presence_penalty(logits, tokens, index, a, first=0):
    return logits - a * ops.cast(_counts(tokens, logits.shape[-1], first) > 0, logits.dtype)


def _frequency_penalty(logits, tokens, index, a, first=0):
    return logits - a * _counts(tokens, logits.shape[-1], first)


def no_repeat_ngram(n: int) -> Processor:
    """Suppresses what would complete n tokens in a row that occurred before (Paulus et al. 2017); the prompts count."""
    arguments.whole(n=n)
    return Processor(_no_repeat_ngram, (int(n),))


def _no_repeat_ngram(logits, tokens, index, n):
    size, vocabulary = tokens.shape[1], logits.shape[-1]
    if size < n:
        return logits
    starts = size - n + 1
    latest = ops.slice(tokens, (0, ops.maximum(index - n + 1, 0)), (tokens.shape[0], n - 1))
    # A run that begins here ends before `index`. A row shorter than a run finds none: only its beginning follows on -1.
    alike = ops.broadcast_to(ops.arange(starts) + n - 1 < index, (tokens.shape[0], starts))
    for place in range(n - 1):
        alike = ops.logical_and(alike, tokens[:, place : place + starts] == latest[:, place : place + 1])
    return _suppressed(logits, _counts(ops.where(alike, tokens[:, n - 1 :], -1), vocabulary) > 0)


# Of single tokens.


def suppress(tokens) -> Processor:
    """Never draws these tokens."""
    return Processor(_suppress, (_tokens(tokens=tokens),))


def _suppress(logits, tokens, index, suppressed):
    return _suppressed(logits, _is_one_of(suppressed, logits.shape[-1]))


def min_new_tokens(n: int, tokens) -> Processor:
    """Keeps n new tokens from being cut short: until then `tokens`, those that stop, are suppressed."""
    arguments.whole(n=n)
    return Processor(_min_new_tokens, (int(n), _tokens(tokens=tokens)), counts_new=True)


def _min_new_tokens(logits, tokens, index, n, stops, first):
    return _suppressed(logits, ops.logical_and(_is_one_of(stops, logits.shape[-1]), index - first < n))


def force(tokens_by_step) -> Processor:
    """Draws given tokens at given steps, counted from 0 behind the prompts.

    Args:
        tokens_by_step: a dict, step → token; or a sequence, the first tokens.
    """
    if not isinstance(tokens_by_step, dict):
        tokens_by_step = dict(enumerate(_tokens(tokens_by_step=tokens_by_step)))
    if not tokens_by_step:
        raise ValueError("`tokens_by_step` must hold a step and its token, or more; got none.")
    arguments.whole(0, **{f"tokens_by_step[{step!r}]": token for step, token in tokens_by_step.items()})
    for step in tokens_by_step:
        arguments.whole(0, **{"tokens_by_step's steps": step})
    return Processor(_force, (tuple(sorted(tokens_by_step.items())),), counts_new=True)


def _force(logits, tokens, index, forced, first):
    _within([token for _, token in forced], logits.shape[-1])
    token = ops.sum([ops.where(index - first == step, token + 1, 0) for step, token in forced], axis=0) - 1
    only = ops.where(ops.arange(logits.shape[-1]) == token, 0.0, -math.inf)
    return ops.where(token < 0, logits, only)


def _tokens(**named):
    ((name, tokens),) = named.items()
    array = np.atleast_1d(arguments.array(tokens, name))
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu" or array.min() < 0:
        raise ValueError(f"`{name}` must be tokens, integers of at least 0, one or more; got {tokens!r}.")
    return tuple(array.tolist())


def _within(tokens, vocabulary):
    if max(tokens) >= vocabulary:
        raise ValueError(f"`tokens` must lie in 0..{vocabulary - 1}, the model's vocabulary; got {max(tokens)}.")


def _is_one_of(tokens, vocabulary):
    _within(tokens, vocabulary)
    found = np.isin(np.arange(vocabulary), tokens)
    if found.all():
        raise ValueError(f"`tokens` suppresses all of the vocabulary's {vocabulary} tokens. Leave one at least.")
    return found


def _suppressed(logits, where):
    return ops.where(where, -math.inf, logits)


def _counts(tokens, vocabulary, first=0):
    """How often each token occurs in the slots from `first` on: float32 [B, V]."""
    batch, slots = tokens.shape
    counted = ops.logical_and(tokens >= 0, ops.arange(slots) >= first)
    rows = ops.broadcast_to(ops.expand_dims(ops.arange(batch), 1), (batch, slots))
    at = ops.stack(
        [rows, ops.where(counted, tokens, vocabulary)], axis=-1
    )  # what does not count goes to a column of its own
    ones = ops.ones((batch * slots,), "float32")
    return ops.scatter(ops.reshape(at, (-1, 2)), ones, (batch, vocabulary + 1))[:, :vocabulary]
