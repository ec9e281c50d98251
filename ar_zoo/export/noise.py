"""`ar_zoo.core.noise` inside a graph: Philox 4x64 with 10 rounds, in unsigned 64-bit TensorFlow operations."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_ROUNDS = 10
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def uniform_noise(seed, rows: int, sites: int, shape: tuple[int, ...]):
    """The noise of rows `0 … rows - 1` and sites `0 … sites - 1`, as `ar_zoo.core.noise.uniform_noise` makes it.

    Args:
        seed: int64 scalar tensor, at least 0.

    Returns:
        float32 [rows, sites, *shape].

    Example:
        >>> uniform_noise(tf.constant(0, tf.int64), 2, 3, (1,)).shape
        TensorShape([2, 3, 1])
    """
    size = int(np.prod(shape, dtype=int))
    blocks = -(-size // 4)
    zero = tf.zeros((rows, sites * blocks), tf.uint64)
    counter = [zero + tf.constant(np.arange(1, sites * blocks + 1, dtype=np.uint64)), zero, zero, zero]
    key = [zero + tf.cast(seed, tf.uint64), zero + tf.constant(np.arange(rows, dtype=np.uint64)[:, None])]
    for _ in range(_ROUNDS):
        (high_0, low_0), (high_1, low_1) = (
            _product(counter[place], factor) for place, factor in zip((0, 2), _MULTIPLIERS, strict=True)
        )
        counter = [_xor(_xor(high_1, counter[1]), key[0]), low_1, _xor(_xor(high_0, counter[3]), key[1]), low_0]
        key = [part + tf.constant(step, tf.uint64) for part, step in zip(key, _WEYL, strict=True)]
    raw = tf.reshape(tf.stack(counter, axis=-1), (rows, sites, blocks * 4))[..., :size]
    top = tf.cast(tf.cast(tf.bitwise.right_shift(raw, tf.constant(41, tf.uint64)), tf.int32), tf.float32)
    return tf.reshape((top + 0.5) * 2.0**-23, (rows, sites, *shape))


def _xor(a, b):
    return tf.bitwise.bitwise_xor(a, b)


def _product(a, factor):
    """High and low 64 bits of the 128-bit product, from products of halves."""
    shift, low = (lambda x: tf.bitwise.right_shift(x, tf.constant(32, tf.uint64))), tf.constant(2**32 - 1, tf.uint64)
    a_low, a_high = tf.bitwise.bitwise_and(a, low), shift(a)
    b_low, b_high = tf.constant(factor & (2**32 - 1), tf.uint64), tf.constant(factor >> 32, tf.uint64)
    middle = a_high * b_low + shift(a_low * b_low)
    cross = a_low * b_high + tf.bitwise.bitwise_and(middle, low)
    return a_high * b_high + shift(middle) + shift(cross), a * tf.constant(factor, tf.uint64)
