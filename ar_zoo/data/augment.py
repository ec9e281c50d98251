"""Augmentation for `Examples.training`: functions of (x, seed) that change a batch, the same way for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

#: (x [B, …], seed int64 [2] for `tf.random.stateless_*`) → x of the same shape and dtype.
Augment = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]


def shift_images(max_pixels: int, background: int = 0) -> Augment:
    """Moves each image by up to `max_pixels` pixels, down or up and right or left, at random.

    Args:
        max_pixels: the largest shift along an axis.
        background: the symbol of the pixels that come in.

    Returns:
        a function of (x [B, H, W, C], seed) for `Examples.training`.

    Raises:
        ValueError: if `max_pixels` is negative; the function, if x is no batch of images.

    Example: `Examples(digits.values).training(64, seed=0, augment=shift_images(2))`
    """
    if max_pixels < 0:
        raise ValueError(f"max_pixels must be at least 0; got {max_pixels!r}.")

    def augment(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        if len(x.shape) != 4:
            raise ValueError(f"shift_images is for images [B, H, W, C]; x is {list(x.shape)}.")
        number, height, width, _ = x.shape
        border = (max_pixels, max_pixels)
        x = tf.pad(x, ((0, 0), border, border, (0, 0)), constant_values=background)
        starts = tf.random.stateless_uniform([2, number, 1], seed, 0, 2 * max_pixels + 1, tf.int32, alg="philox")
        x = tf.gather(x, starts[0] + tf.range(height), axis=1, batch_dims=1)
        return tf.gather(x, starts[1] + tf.range(width), axis=2, batch_dims=1)

    return augment
