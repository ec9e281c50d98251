"""Grey images as black and white ones, drawn once and for all: as models of binarised MNIST are compared."""

from __future__ import annotations

import dataclasses

import numpy as np

from ar_zoo.data.dataset import Data

_SEED = 0


def binarized(part: Data, before=()) -> Data:
    """Each pixel becomes 1 with the probability that its grey value says, `random < value / 255`, else 0.

    Args:
        part: images, uint8.
        before: the parts whose random numbers come first, of one generator: train, then valid, then test.

    Raises:
        ValueError: if it is no images.

    Example: `binarized(read("mnist", "valid"), [read("mnist", "train")])`, which is `read("mnist", "valid", binarize=True)`
    """
    if part.kind != "image":
        raise ValueError(f"binarize is for images; {part.source} holds {part.kind}. Leave it out.")
    generator = np.random.default_rng(_SEED)
    for earlier in before:
        generator.random(earlier.values.shape)
    values = generator.random(part.values.shape) < part.values / 255
    return dataclasses.replace(part, values=values.astype(np.uint8))
