"""What a smaller or grey picture shows of an image: the context of super-resolution and of colourisation."""

from __future__ import annotations

import numpy as np

from ar_zoo.core import arguments

_LUMA = np.array([0.299, 0.587, 0.114], "float32")  # ITU-R BT.601


def known_image(images, shape, num_levels: int = 256) -> np.ndarray:
    """The context "image" of models that take one, float32 [N, *shape] in [-1, 1].

    Each pixel is the mean of those it stands for; one channel of three is their brightness.

    Args:
        images: levels [N, height, width, channels].
        shape: (height, width, channels) of the context; rows and columns go a whole number of times into the images'.
        num_levels: levels of a channel.

    Example: `known_image(images, (8, 8, 3)).shape` is (N, 8, 8, 3)
    """
    images = np.asarray(images)
    if not arguments.is_image_shape(tuple(shape)):
        raise ValueError(f"`shape` must be (height, width, channels), integers of at least 1; got {shape!r}.")
    height, width, channels = shape
    if images.ndim != 4 or images.shape[1] % height or images.shape[2] % width:
        raise ValueError(
            f"`images` must have shape [N, height, width, channels], whole multiples of {height} rows and {width} columns; "
            f"got {list(images.shape)}."
        )
    if channels not in (1, images.shape[-1]) or (channels == 1 and images.shape[-1] not in (1, 3)):
        raise ValueError(
            f"`shape` must have the images' {images.shape[-1]} channels, or 1 for the brightness of three; got {channels}."
        )
    count, rows, columns = len(images), images.shape[1] // height, images.shape[2] // width
    squares = images.reshape(count, height, rows, width, columns, -1).astype("float32").mean(axis=(2, 4))
    if channels < squares.shape[-1]:
        squares = (squares @ _LUMA)[..., None]
    return squares * np.float32(2 / (num_levels - 1)) - np.float32(1)
