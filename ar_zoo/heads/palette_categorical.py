"""Pixels in a palette's colours (Image GPT, Chen et al. 2020, section 3.2): a colour is one symbol."""

from __future__ import annotations

import itertools

import keras
import numpy as np

from ar_zoo.core import arguments
from ar_zoo.heads.categorical import Categorical

_ROWS = 4096  # colours whose distances are taken at once
_MOST_PIXELS = 200_000  # that k-means looks at
_MOST_TURNS = 100  # of k-means; it mostly ends before


@keras.saving.register_keras_serializable(package="ar_zoo")
class PaletteCategorical(Categorical):
    """Softmax over the colours of a palette, which travels in the configuration.

    `encode` takes pixels [..., channels] of 0..255 to the nearest colours' numbers [...], and `decode` takes those to
    colours, uint8 [..., channels].

    Args:
        palette: the colours, each with as many channels as the images (1: levels of grey), whole numbers of 0..255.

    Example:
        >>> PaletteCategorical([[0, 0, 0], [255, 0, 0]]).encode(np.array([[250, 9, 9], [9, 9, 9]]))
        array([1, 0], dtype=int32)
    """

    def __init__(self, palette):
        try:
            self.palette = tuple(tuple(int(value) for value in colour) for colour in palette)
        except (TypeError, ValueError):
            raise ValueError(
                f"`palette` must hold colours, each a sequence of whole numbers; got {palette!r}."
            ) from None
        super().__init__(max(len(self.palette), 1))
        sizes = {len(colour) for colour in self.palette}
        if len(sizes) != 1 or 0 in sizes or len(set(self.palette)) != len(self.palette):
            raise ValueError(
                f"`palette` must hold distinct colours of the same number of channels; got {len(self.palette)} colours, "
                f"{len(set(self.palette))} of them distinct, of {sorted(sizes)} channels."
            )
        if not all(0 <= value <= 255 for colour in self.palette for value in colour):
            raise ValueError("`palette` must hold levels of 0..255.")
        self.channels, self.source_levels = sizes.pop(), 256

    @classmethod
    def even(cls, levels: int, channels: int = 3) -> PaletteCategorical:
        """All colours whose channels take so many evenly spaced levels. Example: `even(8)` has 512 colours"""
        arguments.whole(2, levels=levels)
        arguments.whole(channels=channels)
        values = [round(255 * level / (levels - 1)) for level in range(levels)]
        return cls(itertools.product(values, repeat=channels))

    @classmethod
    def from_images(cls, images, num_symbols: int = 512, seed: int = 0) -> PaletteCategorical:
        """The palette that k-means finds for the pixels of images: integers of 0..255, [N, H, W, channels].

        Raises:
            ValueError: the images hold fewer colours than `num_symbols`.
        """
        images = np.asarray(images)
        if images.ndim < 2 or not images.size:
            raise ValueError(f"`images` must be pixels [N, H, W, channels]; got shape {list(images.shape)}.")
        pixels = _colours(images, images.shape[-1]).reshape(-1, images.shape[-1])
        generator = np.random.default_rng(seed)
        if len(pixels) > _MOST_PIXELS:
            pixels = pixels[generator.choice(len(pixels), _MOST_PIXELS, replace=False)]
        colours, counts = np.unique(pixels, axis=0, return_counts=True)
        if len(colours) < num_symbols:
            raise ValueError(
                f"`num_symbols` must be at most the {len(colours)} colours that the images hold; got {num_symbols}."
            )
        return cls(_k_means(colours.astype(np.float32), counts, num_symbols, generator))

    def encode(self, values):
        colours = _colours(values, self.channels)
        key = colours @ (256 ** np.arange(self.channels))
        _, first, back = np.unique(key, return_index=True, return_inverse=True)
        nearest = _nearest(colours.reshape(-1, self.channels)[first], np.array(self.palette))
        return nearest[back].reshape(colours.shape[:-1]).astype(np.int32)

    def decode(self, symbols):
        return np.array(self.palette, np.uint8)[self._integers(symbols, "symbols")]


def _colours(values, channels):
    """Pixels as int64 [..., channels], or an error that says what came."""
    values = np.asarray(values)
    if values.dtype.kind not in "iu" or values.shape[-1:] != (channels,):
        raise ValueError(
            f"`values` must be integers of 0..255 with {channels} channels in the last axis; "
            f"got dtype {values.dtype}, shape {list(values.shape)}."
        )
    if values.size and (values.min() < 0 or values.max() > 255):
        raise ValueError(f"`values` must lie in 0..255; got {values.min()}..{values.max()}.")
    return values.astype(np.int64)


def _nearest(colours, centres):
    """The number of the centre that is nearest to each colour, the first of several."""
    found = [
        np.argmin((centres**2).sum(axis=1) - 2 * (colours[start : start + _ROWS] @ centres.T), axis=1)
        for start in range(0, len(colours), _ROWS)
    ]
    return np.concatenate(found) if found else np.zeros(0, int)


def _k_means(colours, counts, number, generator):
    """Lloyd's turns from a k-means++ start, over distinct colours that weigh as much as they occur; rounded, distinct."""
    centres = colours[[generator.choice(len(colours), p=counts / counts.sum())]]
    distance = ((colours - centres[0]) ** 2).sum(axis=1)
    while len(centres) < number:
        weight = distance * counts
        new = colours[generator.choice(len(colours), p=weight / weight.sum())]
        centres, distance = np.vstack([centres, new]), np.minimum(distance, ((colours - new) ** 2).sum(axis=1))
    for _ in range(_MOST_TURNS):
        mine = _nearest(colours, centres)
        weight = np.bincount(mine, counts, number)
        moved = np.stack([np.bincount(mine, counts * channel, number) for channel in colours.T], axis=1)
        moved = np.where(weight[:, None] > 0, moved / np.maximum(weight, 1)[:, None], centres).astype(np.float32)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return _distinct(np.rint(centres).astype(int), colours.astype(int))


def _distinct(centres, colours):
    """Centres that fell on one colour when they were rounded make way for colours that are not there yet."""
    kept = dict.fromkeys(map(tuple, centres.tolist()))
    for colour in map(tuple, colours.tolist()):
        if len(kept) == len(centres):
            break
        kept.setdefault(colour)
    return sorted(kept)
