"""A watermark of green tokens, and its detector (Kirchenbauer et al. 2023, arXiv:2301.10226).

The tokens before a place decide, through a keyed hash, which tokens are green there; green ones get `bias` added to their
logits. Text drawn so has more green tokens than chance, which whoever knows the key can count.

Deviation: each token is green with probability `ratio` by a hash of its own, and the list has not exactly so many: integer
arithmetic alone, the same in a compiled graph and in NumPy, without a permutation of the vocabulary for each place.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ar_zoo.core import arguments

_STEPS = ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1))  # shift and multiply: a bijection of 32 bits that mixes well


@dataclasses.dataclass(frozen=True)
class Watermark:
    """A processor that marks what is drawn, and the count that finds the mark again.

    Args:
        key: an integer of at least 0, to be kept secret.
        ratio: how much of the vocabulary is green at a place, above 0 and below 1.
        bias: what green tokens' logits gain; more is easier to find and further from the model.
        width: how many tokens before a place decide; more are harder to guess and easier to break by editing.

    Example:
        >>> mark = Watermark(key=2024)
        >>> text = generate(model, ["In the beginning"], 200, [mark]).tokens[0]
        >>> mark.z_score(text) > 4
        True
    """

    key: int
    ratio: float = 0.25
    bias: float = 2.0
    width: int = 1

    def __post_init__(self):
        arguments.whole(0, key=self.key)
        arguments.whole(width=self.width)
        arguments.rates(ratio=self.ratio)
        arguments.positive(bias=self.bias)
        if self.ratio in (0, 1):
            raise ValueError(f"`ratio` must lie between 0 and 1, both excluded; got {self.ratio}.")

    def __call__(self, logits, tokens, index):
        """Marks the logits, from a row's `width`-th token on."""
        from keras import ops

        rows, slots = tokens.shape
        last = ops.slice(tokens, (0, ops.maximum(index - self.width, 0)), (rows, min(self.width, slots)))
        known = ops.logical_and(ops.all(last >= 0, axis=-1), index >= self.width)
        words = [ops.cast(ops.maximum(place, 0), "uint32") for place in ops.split(last, last.shape[1], axis=1)]
        words.append(ops.cast(ops.arange(logits.shape[-1])[None], "uint32"))
        green = self._green(words, ops.right_shift)
        return logits + self.bias * ops.cast(ops.logical_and(green, ops.expand_dims(known, -1)), logits.dtype)

    def z_score(self, tokens) -> float:
        """How many standard deviations the green tokens are above chance; text without the mark is seldom above 4.

        Runs of `width` + 1 tokens that occur several times count once: what repeats itself proves nothing.

        Args:
            tokens: int [n], more than `width` of them.

        Raises:
            ValueError: too few tokens, or no tokens.
        """
        tokens = arguments.array(tokens, "tokens")
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or len(tokens) <= self.width:
            raise ValueError(
                f"`tokens` must be one row of more than {self.width} integers (`width`); got {tokens.dtype} "
                f"{list(tokens.shape)}."
            )
        runs = np.unique(np.lib.stride_tricks.sliding_window_view(tokens, self.width + 1), axis=0)
        green = self._green(list(runs.T.astype(np.uint32)), np.right_shift)
        count = len(runs)
        return float((green.sum() - self.ratio * count) / math.sqrt(count * self.ratio * (1 - self.ratio)))

    def _green(self, words, shift):
        """Whether the last of some tokens, uint32, is green after the others; the same of tensors and of NumPy's arrays."""
        state = np.uint32(self.key % 2**32)
        for word in words:
            state = (state ^ word) + np.uint32(0x9E3779B9)  # else key 0 and token 0 would stay 0
            for distance, factor in _STEPS:
                state = (state ^ shift(state, np.uint32(distance))) * np.uint32(factor)
        return state < np.uint32(self.ratio * 2**32)
