"""The contexts of super-resolution and colourisation, against loops."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.data import known_image


@pytest.mark.parametrize("shape", [(4, 6, 3), (2, 3, 3), (1, 6, 1), (4, 6, 1)])
def test_means_and_brightness(shape):
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3)).astype("uint8")
    rows, columns = 4 // shape[0], 6 // shape[1]
    found = known_image(images, shape)
    assert found.shape == (2, *shape)
    assert found.dtype == np.float32
    for row in range(shape[0]):
        for column in range(shape[1]):
            square = images[:, row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
            colour = square.reshape(2, -1, 3).mean(axis=1)
            colour = colour @ [[0.299], [0.587], [0.114]] if shape[2] == 1 else colour
            np.testing.assert_allclose(found[:, row, column], colour * 2 / 255 - 1, atol=1e-6)


def test_grey_images_keep_their_levels():
    images = np.arange(4, dtype="int32").reshape(1, 2, 2, 1)
    np.testing.assert_allclose(known_image(images, (2, 2, 1), 4)[0, ..., 0], [[-1, -1 / 3], [1 / 3, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "shape", "name"),
    [
        ((1, 4, 6, 3), (3, 6, 3), "images"),
        ((4, 6, 3), (4, 6, 3), "images"),
        ((1, 4, 6, 3), (4, 6, 2), "shape"),
        ((1, 4, 6, 2), (4, 6, 1), "shape"),
        ((1, 4, 6, 3), (4, 6), "shape"),
        ((1, 4, 6, 3), (0, 6, 3), "shape"),
    ],
)
def test_refused(size, shape, name):
    with pytest.raises(ValueError, match=f"`{name}` must "):
        known_image(np.zeros(size, "uint8"), shape)
