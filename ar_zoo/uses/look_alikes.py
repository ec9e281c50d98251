"""Images that look like given ones and are something else: what a detector of anomalies is tried on."""

from __future__ import annotations

import numpy as np

from ar_zoo.core import arguments

_FONTS = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Italic", "STIXGeneral", "cmr10", "cmtt10")
_LETTERS = "ABCDEFGHJKLMNPQRTUVWXYabcdefghkmnpqrtuvwxy"  # without those that are drawn like digits: I O S Z i j l o s z
_TALL = 96  # pixels of a letter before it is made small


def look_alike(kind: str, images, seed: int = 0) -> np.ndarray:
    """As many images of another kind, made from given ones.

    Args:
        kind: one of `LOOK_ALIKES`.
        images: uint8 [N, H, W, C], white on black where that matters.
        seed: of what is random.

    Returns:
        uint8 [N, H, W, C].

    Raises:
        ValueError: unknown kind, or images that it cannot be made of.

    Example: `look_alike("letters", digits.values).shape`
    """
    images = np.asarray(images)
    arguments.whole(0, seed=seed)
    if kind not in LOOK_ALIKES:
        raise ValueError(f"`kind` must be one of {', '.join(LOOK_ALIKES)}; got {kind!r}.")
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise ValueError(f"`images` must be uint8 [N, H, W, C]; got {images.dtype} {list(images.shape)}.")
    return np.ascontiguousarray(LOOK_ALIKES[kind](images, np.random.default_rng(seed)))


def _rotated(images, generator):
    """By a quarter turn to the left."""
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"`images` must be square to be turned by 90°; they are {images.shape[1]}x{images.shape[2]}.")
    return np.rot90(images, axes=(1, 2))


def _upside_down(images, generator):
    """By half a turn."""
    return images[:, ::-1, ::-1]


def _mirrored(images, generator):
    """Left and right swapped."""
    return images[:, :, ::-1]


def _noisy(images, generator):
    """With Gaussian noise of a standard deviation of 16 levels, cut off at black and white."""
    return np.clip(np.round(images + generator.normal(scale=16.0, size=images.shape)), 0, 255).astype(np.uint8)


def _speckled(images, generator):
    """One pixel in a hundred is black or white, by lot."""
    hit = generator.random(images.shape[:3]) < 0.01
    speckles = 255 * generator.integers(0, 2, images.shape[:3], np.uint8)
    return np.where(hit[..., None], speckles[..., None], images)


def _shuffled(images, generator):
    """All columns in one other order, the same for all."""
    return images[:, :, generator.permutation(images.shape[2])]


def _inverted(images, generator):
    """Black for white."""
    return 255 - images


def _letters(images, generator):
    """Letters in several typefaces, white on black, brought to size as MNIST's digits were.

    In a box of 20 of 28 pixels with their proportions kept, anti-aliased, their centre of mass in the middle
    (LeCun et al. 1998).
    """
    height, width, channels = images.shape[1:]
    if min(height, width) < 8:
        raise ValueError(f"`images` must be at least 8 pixels high and wide for letters; they are {height}x{width}.")
    drawn = np.stack([_letter(height, width, generator) for _ in images])
    return np.repeat(drawn[..., None], channels, axis=-1)


def _letter(height, width, generator):
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(str(_fonts() / f"{generator.choice(_FONTS)}.ttf"), _TALL)
    big = Image.new("L", (2 * _TALL, 2 * _TALL))
    # As a pen is held: a little turned, strokes of several widths.
    stroke = int(generator.integers(0, 4))
    letter = str(generator.choice(list(_LETTERS)))
    ImageDraw.Draw(big).text((_TALL, _TALL), letter, 255, font, anchor="mm", stroke_width=stroke)
    big = big.rotate(generator.uniform(-12, 12), Image.Resampling.BICUBIC)
    big = big.crop(big.getbbox())
    box = round(20 / 28 * min(height, width))
    times = box / max(big.size)
    small = big.resize([max(1, round(times * size)) for size in big.size], Image.Resampling.BOX)
    return _centred(np.asarray(small), height, width)


def _centred(small, height, width):
    """On black, with the centre of mass in the middle, as far as it all fits in."""
    rows, columns = (np.arange(size) for size in small.shape)
    mass = small.sum()
    top = round(height / 2 - ((small.sum(axis=1) * rows).sum() / mass + 0.5))
    left = round(width / 2 - ((small.sum(axis=0) * columns).sum() / mass + 0.5))
    top = min(max(top, 0), height - small.shape[0])
    left = min(max(left, 0), width - small.shape[1])
    image = np.zeros((height, width), np.uint8)
    image[top : top + small.shape[0], left : left + small.shape[1]] = small
    return image


def _fonts():
    """The typefaces that travel with matplotlib."""
    from pathlib import Path

    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


#: kind → (uint8 images, generator) → images; what each does stands in its first line.
LOOK_ALIKES = {
    "rotated": _rotated,
    "upside_down": _upside_down,
    "mirrored": _mirrored,
    "noisy": _noisy,
    "speckled": _speckled,
    "shuffled": _shuffled,
    "inverted": _inverted,
    "letters": _letters,
}
