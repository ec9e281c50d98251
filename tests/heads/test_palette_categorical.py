"""The palette: nearest colours, k-means, and what is refused."""

from __future__ import annotations

import itertools
import json

import keras
import numpy as np
import pytest

from ar_zoo.heads import PaletteCategorical

_GENERATOR = np.random.default_rng(0)
COLOURS = _GENERATOR.integers(0, 256, (9, 3))


def test_nearest_colour():
    """Against a loop over pixels and colours; more colours than are looked at in one go."""
    head, images = PaletteCategorical(COLOURS), _GENERATOR.integers(0, 256, (2, 50, 60, 3)).astype("uint8")
    found = head.encode(images)
    assert found.shape == (2, 50, 60)
    assert found.dtype == np.int32
    for place in itertools.product(range(2), range(0, 50, 7), range(60)):
        distances = [((images[place].astype(int) - colour) ** 2).sum() for colour in COLOURS]
        assert found[place] == int(np.argmin(distances))


def test_colours_come_back():
    head = PaletteCategorical(COLOURS)
    colours = head.decode(np.arange(9).reshape(3, 3))
    np.testing.assert_array_equal(colours, COLOURS.reshape(3, 3, 3))
    assert colours.dtype == np.uint8
    np.testing.assert_array_equal(head.encode(colours), np.arange(9).reshape(3, 3))


def test_k_means_finds_clusters():
    """Four clouds of pixels that lie apart: their means, whatever the seed."""
    middles = np.array([[30, 30, 30], [200, 40, 40], [40, 200, 40], [220, 220, 220]])
    images = (middles[_GENERATOR.integers(0, 4, (5, 16, 16))] + _GENERATOR.integers(-5, 6, (5, 16, 16, 3))).astype(
        "uint8"
    )
    nearest = ((images[..., None, :].astype(int) - middles) ** 2).sum(axis=-1).argmin(axis=-1)
    expected = np.rint([images[nearest == k].mean(axis=0) for k in range(4)]).astype(int)
    for seed in range(3):
        palette = PaletteCategorical.from_images(images, 4, seed).palette
        assert sorted(palette) == sorted(map(tuple, expected.tolist()))


def test_k_means_beats_an_even_palette():
    """Pixels along a curve, many of them dark: less squared error than an even palette of as many colours."""
    level = _GENERATOR.beta(0.5, 2.0, (4, 32, 32)) * 255
    images = np.stack([level, level**2 / 255, 255 - level], axis=-1).astype("uint8")

    def error(head):
        return ((head.decode(head.encode(images)).astype(int) - images) ** 2).mean()

    found, even = PaletteCategorical.from_images(images, 27), PaletteCategorical.even(3)
    assert found.num_symbols == even.num_symbols == 27
    assert error(found) < error(even) / 10


def test_as_many_colours_as_there_are():
    greys = np.arange(10, 30, dtype="uint8").reshape(1, 4, 5, 1)
    head = PaletteCategorical.from_images(greys, 20)
    assert head.palette == tuple((level,) for level in range(10, 30))
    np.testing.assert_array_equal(head.decode(head.encode(greys)), greys)
    with pytest.raises(ValueError, match="`num_symbols` must be at most the 20 colours"):
        PaletteCategorical.from_images(greys, 21)


def test_the_palette_travels_in_the_configuration():
    head = PaletteCategorical(COLOURS)
    text = json.dumps(keras.saving.serialize_keras_object(head))
    copy = keras.saving.deserialize_keras_object(json.loads(text))
    assert copy == head
    assert copy.palette == head.palette
    assert head != PaletteCategorical(COLOURS[::-1])
    assert len({head, copy, PaletteCategorical(COLOURS[::-1])}) == 2


def test_even():
    assert PaletteCategorical.even(2, 1).palette == ((0,), (255,))
    assert PaletteCategorical.even(8).num_symbols == 512


@pytest.mark.parametrize(
    "palette",
    [[], [[1, 2, 3]], [[1], [1]], [[1, 2], [3]], [[], []], [[0], [256]], [[-1], [0]]],
    ids=["empty", "one", "twice", "uneven", "no channels", "high", "low"],
)
def test_bad_palettes(palette):
    with pytest.raises(ValueError, match=r"`(palette|num_symbols)` must"):
        PaletteCategorical(palette)


@pytest.mark.parametrize(
    "values",
    [np.zeros((2, 2, 3)), np.zeros((2, 2, 1), int), np.full((2, 3), 256), np.full((2, 3), -1)],
    ids=["floats", "channels", "high", "low"],
)
def test_bad_pixels(values):
    with pytest.raises(ValueError, match="`values` must"):
        PaletteCategorical(COLOURS).encode(values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PaletteCategorical.even(1), "`levels`"),
        (lambda: PaletteCategorical.even("a"), "`levels`"),
        (lambda: PaletteCategorical(5), "`palette` must hold colours"),
        (lambda: PaletteCategorical(["ab"]), "`palette` must hold colours"),
        (lambda: PaletteCategorical.from_images(3, 2), "`images` must be pixels"),
    ],
)
def test_what_is_no_palette(make, message):
    with pytest.raises(ValueError, match=message):
        make()
