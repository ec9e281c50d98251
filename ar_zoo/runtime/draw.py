"""Drawing on the host, where the graph's own sampler is not what is wanted."""

from __future__ import annotations

import numpy as np


def filtered_draw(logits, uniform, temperature: float, top_k: int | None = None, top_p: float | None = None):
    """Symbols among the likeliest alone: the inverse CDF of what is left, as `Categorical.sample` takes it of all.

    Args:
        logits: float32 [B, num_symbols].
        uniform: float32 [B], in (0, 1).
        temperature: divides the logits first; 0 takes the likeliest.
        top_k: keep the k likeliest, and those as likely as the last of them.
        top_p: keep the fewest likeliest whose probabilities add up to at least p.

    Returns:
        int32 [B].

    Example:
        >>> filtered_draw(np.array([[0.0, 3.0, 2.0]], "float32"), np.array([0.99], "float32"), 1.0, top_k=2)
        array([2], dtype=int32)
    """
    if temperature == 0:
        return np.argmax(logits, axis=-1).astype(np.int32)
    logits = logits / np.float32(temperature)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    if top_k is not None and top_k < weights.shape[-1]:
        least = np.partition(weights, -top_k, axis=-1)[:, -top_k, None]
        weights = np.where(weights >= least, weights, 0)
    if top_p is not None:
        falling = -np.sort(-weights, axis=-1)
        before = np.cumsum(falling, axis=-1) - falling
        needed = np.sum(before < top_p * falling.sum(axis=-1, keepdims=True), axis=-1, keepdims=True)
        weights = np.where(weights >= np.take_along_axis(falling, needed - 1, axis=-1), weights, 0)
    cumulative = np.cumsum(weights, axis=-1)
    threshold = uniform[:, None] * cumulative[:, -1:]
    return np.sum(cumulative[:, :-1] < threshold, axis=-1, dtype=np.int32)
