"""Prompts of different lengths in the slots of one batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from ar_zoo.core import arguments, checks
from ar_zoo.core import cache as caches
from ar_zoo.core.generate import chunks, compiled, read
from ar_zoo.core.text import prompt_symbols

_FEWEST_SLOTS = 16


@dataclasses.dataclass(frozen=True)
class Slots:
    """Rows that end together: what comes next goes to slot `first` in all of them.

    Attributes:
        tokens: int32 [B, S]; -1 where a row has not begun, and from `first` on.
        lengths: int [B], of the prompts.
        first: the slot behind the prompts.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    first: int

    @property
    def positions(self) -> np.ndarray:
        """int32 [B, S], each slot's number in its own row; -1 before the row begins."""
        number = np.arange(self.tokens.shape[1]) - (self.first - self.lengths)[:, None]
        return np.maximum(number, -1).astype(np.int32)

    @property
    def ragged(self) -> bool:
        """Whether some rows begin later than others."""
        return bool(np.any(self.lengths < self.first))


def rows_of(model, prompts, name: str = "prompts") -> list[np.ndarray]:
    """The symbols of each row, int32 [n].

    Args:
        model: whose symbols these are.
        prompts: a text or a list of them, if the head reads text; or int arrays [n], or a list of them; a row each.
        name: what errors call them.
    """
    return [_symbols(model, prompt, f"`{name}`", number) for number, prompt in enumerate(_listed(prompts, name))]


def lay_out(model, rows, num_tokens: int) -> Slots:
    """Rows of symbols with room for `num_tokens` more.

    There are more slots than that: their number is rounded up, so that what is compiled serves prompts of other lengths.
    """
    arguments.whole(num_tokens=num_tokens)
    lengths = np.array([len(row) for row in rows])
    first, most = int(lengths.max()), model.max_sites if model.num_sites is None else model.num_sites
    if most is not None and first + num_tokens > most:
        raise ValueError(
            f"`prompts` and `num_tokens` must fit into the {most} tokens that this {type(model).__name__} takes at most; got "
            f"{first} in row {int(lengths.argmax())} and {num_tokens}. Shorten one of them."
        )
    size = model.num_sites or min(_rounded(first + num_tokens), most or np.inf)
    tokens = np.full((len(rows), size), -1, np.int32)
    for row, symbols in zip(tokens, rows, strict=True):
        row[first - len(symbols) : first] = symbols
    return Slots(tokens, lengths, first)


def drawable(model):
    """Refuses models without logits that are drawn token by token."""
    checks.steps(model)
    if not hasattr(model.head, "logits") or model.head.site_shape:
        raise ValueError(
            f"`model` must have a head with a logit for each token, such as Categorical; got {model.head!r}. `model.sample` "
            "draws from it."
        )
    if model.block_sizes is not None:
        raise ValueError(
            f"`model` must be drawn token by token; {type(model).__name__} shares work between the sites of a block. Draw "
            "with `model.sample`."
        )


def read_prompts(model, slots: Slots, context) -> dict:
    """The cache that has seen all but the prompts' last tokens: that is `prev` of the first token drawn."""
    batch, size = slots.tokens.shape
    cache, positions = model.init_cache(batch, size), slots.positions
    before = np.pad(slots.tokens, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    if slots.ragged and caches.rows_apart(model):
        stop = tf.constant(slots.first)
        return compiled(model, "read rows", _read_rows)(
            tf.constant(before), cache, tf.constant(positions), context, stop
        )
    for index, count in chunks(slots.first):
        taken, more = slice(index, index + count), step_arguments(model)
        if slots.ragged:
            more["positions"] = tf.constant(positions[:, taken])
        chunk = tf.constant(before[:, taken])
        cache = compiled(model, "read", read)(chunk, cache, tf.constant(index), context, more)
    return cache


def _read_rows(model, before, cache, positions, context, stop):
    def site(index, cache):
        prev, at = (tf.gather(values, index, axis=1)[:, None] for values in (before, positions))
        return index + 1, read(model, prev, cache, index, context, step_arguments(model) | {"positions": at})

    return tf.while_loop(lambda index, _: index < stop, site, (tf.constant(0), cache))[1]


def step_arguments(model) -> dict:
    """What `step` takes besides, of families with several orders: the first of them."""
    return checks.order(model, 0)


def _rounded(sites):
    return max(_FEWEST_SLOTS, 1 << (int(sites) - 1).bit_length())


def _listed(prompts, name):
    if isinstance(prompts, str) or (isinstance(prompts, np.ndarray) and prompts.ndim < 2):
        return [prompts]
    if not isinstance(prompts, (list, tuple, np.ndarray)) or not len(prompts):
        raise ValueError(
            f"`{name}` must be a text, an array of tokens, or a list of one or more of them; got {prompts!r}."
        )
    return [prompts] if all(isinstance(item, (int, np.integer)) for item in prompts) else prompts


def _symbols(model, prompt, name, row):
    if isinstance(prompt, str):
        if not model.head.reads_text:
            raise ValueError(f"{name} must be tokens: {model.head!r} reads no text. Got {prompt[:40]!r} in row {row}.")
        return prompt_symbols(model, prompt)
    symbols = arguments.array(prompt, name.strip("`"))
    if symbols.ndim != 1 or (symbols.size and symbols.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must hold rows of integers; got {prompt!r:.60}, {symbols.dtype} {list(symbols.shape)}, in row {row}."
        )
    top = model.num_symbols - 1
    if symbols.size and (symbols.min() < 0 or symbols.max() > top):
        raise ValueError(f"{name} must lie in 0..{top}; got {symbols.min()}..{symbols.max()} in row {row}.")
    return symbols.astype(np.int32)
