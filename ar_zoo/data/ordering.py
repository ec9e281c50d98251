"""The order in which training sees the examples: a pure function of (seed, epoch), so that a run can resume anywhere.

Philox is a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011); only its raw
words are used for the order, which unlike NumPy's derived draws are fixed for all NumPy versions.
"""

from __future__ import annotations

import functools

import numpy as np

_PERMUTATION, _OFFSET, _AUGMENT = range(3)


def _philox(seed: int, number: int, purpose: int) -> np.random.Philox:
    return np.random.Philox(counter=[0, 0, 0, purpose], key=[seed, number])


@functools.lru_cache(maxsize=4)
def permutation(num_rows: int, seed: int, epoch: int) -> np.ndarray:
    """int64 [num_rows]: the order of one epoch."""
    order = np.argsort(_philox(seed, epoch, _PERMUTATION).random_raw(num_rows), kind="stable")
    order.flags.writeable = False
    return order


def offset(slack: int, seed: int, epoch: int) -> int:
    """Where an epoch's windows begin, in 0 … slack."""
    return int(_philox(seed, epoch, _OFFSET).random_raw() % (slack + 1))


def generator(seed: int, step: int) -> np.random.Generator:
    """The generator that one batch's augmentation may draw from."""
    return np.random.Generator(_philox(seed, step, _AUGMENT))


def rows_of(positions: np.ndarray, num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The row and the epoch of each position in the endless sequence of epochs, both int64 [positions]."""
    epochs, places = np.divmod(positions, num_rows)
    rows = np.empty_like(places)
    for epoch in range(int(epochs.min()), int(epochs.max()) + 1):
        here = epochs == epoch
        rows[here] = permutation(num_rows, seed, epoch)[places[here]]
    return rows, epochs
