"""The pixels around a pixel, at once and as they are drawn, against a loop over places."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.layers import PixelNeighbours

_OUTSIDE = 3


def reference(image, row, column):
    """Symbols [6, channels] around one pixel: left, above left, above, above right, mirrored, mirrored above."""
    _, width, channels = image.shape

    def at(r, c):
        return image[r, c] if r >= 0 and 0 <= c < width else np.full(channels, _OUTSIDE)

    twin = width - 1 - column
    mirror, up_mirror = (
        (at(row, twin), at(row - 1, twin)) if twin < column else (at(row, column - 1), at(row - 1, column - 1))
    )
    around = [at(row, column - 1), at(row - 1, column - 1), at(row - 1, column), at(row - 1, column + 1)]
    return np.stack([*around, mirror, up_mirror])


def image(width, channels, batch=2):
    return np.random.default_rng(0).integers(0, 6, (batch, 3, width, channels)).astype("int32")


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("width", "channels"), [(1, 1), (4, 3), (5, 3)])
def test_against_loops(width, channels, ragged):
    layer, x = PixelNeighbours(6, _OUTSIDE, dtype="float64"), image(width, channels)
    expected = np.array([[[reference(one, r, c) for c in range(width)] for r in range(3)] for one in x])
    expected = expected * 2 / 5 - 1
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-15)
    state = {name: kind.init(2) for name, kind in layer.cache_spec(width, channels).items()}
    prev = np.full((2, 1, channels), -1, "int32")
    for index in range(3 * width):
        at = tf.constant([index, index]) if ragged else index
        colours, state = layer.step(prev, state, at)
        np.testing.assert_allclose(np.asarray(colours), expected[:, index // width, index % width], atol=1e-15)
        prev = x.reshape(2, -1, 1, channels)[:, index]


def test_colours_keep_their_precision():
    x = image(4, 3)
    low, high = (PixelNeighbours(6, _OUTSIDE, dtype=dtype)(x) for dtype in ("mixed_bfloat16", "float32"))
    assert low.dtype == "float32"
    np.testing.assert_array_equal(np.asarray(low), np.asarray(high))


@pytest.mark.parametrize("width", [4, 5])
def test_reach(width):
    """Pixel j is among the neighbours of pixel i if a change of it changes them."""
    layer, x = PixelNeighbours(6, _OUTSIDE, dtype="float64"), image(width, 1, 1)
    before = np.asarray(layer(x)).reshape(3 * width, -1)
    found = np.zeros((3 * width, 3 * width), bool)
    for j in range(3 * width):
        changed = x.copy()
        changed.reshape(-1)[j] = (changed.reshape(-1)[j] + 1) % 6
        found[:, j] = (np.asarray(layer(changed)).reshape(3 * width, -1) != before).any(axis=1)
    np.testing.assert_array_equal(layer.reach(3, width), found)
