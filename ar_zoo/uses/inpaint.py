"""Completing images of which a part is known: draws side by side with the original and what was known.

Known pixels are kept and the others drawn in the model's order, so a known pixel informs those after it and not those
before. An orderless model (`nade.mnist_orderless`) puts the known ones first: they inform all.
"""

from __future__ import annotations

import math
import re

import numpy as np

from ar_zoo import drawing
from ar_zoo.core import arguments
from ar_zoo.data import image_grid

KEEP = "top, bottom, left, right (a half, or top:10 for ten pixels), box, frame (the middle, all but the middle), random:0.3"
_UNKNOWN = np.array([96, 64, 128])  # a colour that digits do not have


def known_pixels(words, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Which pixels are known: all that any word names.

    Args:
        words: one or more of: `top`, `bottom`, `left`, `right`, a half or as many pixels as `top:10` says; `box`, the middle
            half each way, or `box:TOP,LEFT,HEIGHT,WIDTH`; `frame`, all but that; `random:SHARE`; or the name of a picture of
            the image's size, white where it is known.
        height, width: of the image.
        seed: of `random`.

    Returns:
        bool [H, W].

    Example: `known_pixels(["top:14"], 28, 28).mean()` is 0.5
    """
    if isinstance(words, str) or not all(isinstance(word, str) for word in words or [None]):
        raise ValueError(f"`words` must be a list of at least one of: {KEEP}; got {words!r}.")
    mask = np.zeros((height, width), bool)
    for word in words:
        mask |= _named(word, height, width, seed)
    return mask


def _named(word, height, width, seed):
    kind, _, rest = word.partition(":")
    mask = np.zeros((height, width), bool)
    if kind in ("top", "bottom", "left", "right"):
        size = height if kind in ("top", "bottom") else width
        (count,) = _numbers(word, rest, 1, (size // 2,))
        spans = {"top": np.s_[:count], "bottom": np.s_[size - count :]}
        spans |= {"left": np.s_[:, :count], "right": np.s_[:, size - count :]}
        if not 0 < count <= size:
            raise ValueError(f"`keep` {word!r}: the number of pixels must be from 1 to {size}.")
        mask[spans[kind]] = True
    elif kind in ("box", "frame"):
        middle = (height // 4, width // 4, height // 2, width // 2)
        top, left, high, wide = _numbers(word, rest, 4, middle)
        if high < 1 or wide < 1 or top + high > height or left + wide > width:
            raise ValueError(f"`keep` {word!r}: TOP,LEFT,HEIGHT,WIDTH must lie inside the image, {height}x{width}.")
        mask[top : top + high, left : left + wide] = True
        mask = mask if kind == "box" else ~mask
    elif kind == "random":
        mask = np.random.default_rng(seed).random((height, width)) < _share(word, rest)
    else:
        mask = _picture(word, height, width)
    return mask


def _numbers(word, text, count, default):
    if not text:
        return default
    if not re.fullmatch(r"\d+(,\d+)*", text) or text.count(",") != count - 1:
        raise ValueError(f"`keep` {word!r}: after the colon {count} whole number{'s' * (count > 1)} must follow.")
    return tuple(map(int, text.split(",")))


def _share(word, text):
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise ValueError(f"`keep` {word!r}: after the colon a share between 0 and 1 must follow, as in random:0.3.")
    return share


def _picture(word, height, width):
    from PIL import Image

    try:
        with Image.open(word) as picture:
            values = np.asarray(picture.convert("L"))
    except OSError:
        raise ValueError(f"`keep` {word!r} is no picture, and none of: {KEEP}.") from None
    if values.shape != (height, width):
        raise ValueError(
            f"`keep` {word!r} must be {height}x{width}, as the image; it is {'x'.join(map(str, values.shape))}."
        )
    return values >= 128


def complete(
    model, images, mask, num: int = 4, seed: int = 0, context=None, temperature=1.0, batch_size=None
) -> np.ndarray:
    """Draws images that agree with given ones where these are known.

    Args:
        model: of images.
        images: int symbols [N, *event_shape].
        mask: bool [H, W], True where they are known.
        num: draws of each.
        seed, temperature, batch_size: as in `sample`.
        context: of the model's only input, a class say: one for all, or one for each image.

    Returns:
        int32 [N, num, *event_shape].

    Raises:
        ValueError: the model draws no images, or nothing is left to draw.

    Example: `complete(model, model.head.encode(digits[:2]), known_pixels(["left"], 28, 28)).shape` is (2, 4, 28, 28, 1)
    """
    if drawing.data_kind(model) != "image":
        raise ValueError(f"`model` must draw images; this one draws {drawing.data_kind(model)}.")
    arguments.whole(num=num)
    images, mask = np.asarray(images), np.asarray(mask)
    if mask.all():
        raise ValueError("`mask` leaves nothing to draw: every pixel is known. Keep less.")
    sites = np.broadcast_to(mask.reshape(*mask.shape, *[1] * (len(model.grid_shape) - 2)), model.grid_shape)
    each = None if context is None else np.repeat(np.broadcast_to(context, len(images)), num)
    how = dict(temperature=temperature, batch_size=batch_size, progress=batch_size is not None)
    drawn = model.sample(len(images) * num, seed, each, given=images.repeat(num, axis=0), mask=sites, **how)
    return drawn.reshape(len(images), num, *images.shape[1:])


def picture(model, images, mask, drawn) -> np.ndarray:
    """A row for each image: the original, what was known of it, and the draws. uint8 [H', W', C], enlarged if small.

    Example: `write_png("inpainted.png", picture(model, images, mask, complete(model, images, mask)))`
    """
    original = cells_of(model, images)
    known = np.where(np.asarray(mask)[..., None], original, _UNKNOWN).astype(np.uint8)
    draws = cells_of(model, drawn.reshape(-1, *images.shape[1:])).reshape(*drawn.shape[:2], *original.shape[1:])
    return rows_of_cells(np.concatenate([original[:, None], known[:, None], draws], axis=1))


def cells_of(model, images) -> np.ndarray:
    """Symbols of images → uint8 [N, H, W, 3], grey ones too."""
    pixels = drawing.pixels(model, images)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels


def rows_of_cells(cells) -> np.ndarray:
    """uint8 [rows, columns, H, W, 3] → one picture, enlarged if the cells are small."""
    times = max(1, 96 // max(cells.shape[2:4]))
    flat = cells.reshape(-1, *cells.shape[2:]).repeat(times, axis=1).repeat(times, axis=2)
    return image_grid(flat, columns=cells.shape[1])
