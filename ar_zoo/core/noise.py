"""The noise that samples are made of: a pure function of seed, row and site, the same for every engine."""

from __future__ import annotations

import numpy as np

_PER_BLOCK = 4  # Philox makes four 64-bit numbers for each value of its counter.


def uniform_noise(seed: int, rows, start: int, stop: int, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers in (0, 1) for the sites `start … stop - 1` of some rows.

    Each site owns its own stretch of a counter-based generator (Philox) whose key is the seed and the row,
    so the numbers do not depend on the batch, on the chunk, or on how long the sample is.

    Args:
        seed: an integer of at least 0.
        rows: the rows' numbers, an iterable of integers of at least 0.
        start, stop: the range of sites.
        shape: shape of one site's noise, the head's `noise_shape`.

    Returns:
        float32 `[len(rows), stop - start, *shape]`, multiples of 2**-24 strictly between 0 and 1.

    Example:
        >>> uniform_noise(0, range(2), 0, 3, (1,)).shape
        (2, 3, 1)
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"`seed` must be an integer of at least 0; got {seed!r}.")
    rows, size = list(rows), int(np.prod(shape, dtype=int))
    blocks = -(-size // _PER_BLOCK)
    noise = np.empty((len(rows), stop - start, size), np.float32)
    for position, row in enumerate(rows):
        key = np.array([int(seed) & (2**64 - 1), int(row)], np.uint64)
        generator = np.random.Philox(key=key, counter=start * blocks)
        raw = generator.random_raw((stop - start) * blocks * _PER_BLOCK)
        raw = raw.reshape(stop - start, blocks * _PER_BLOCK)[:, :size]
        noise[position] = ((raw >> np.uint64(41)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)
    return noise.reshape(len(rows), stop - start, *shape)
