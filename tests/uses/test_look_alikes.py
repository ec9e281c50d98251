"""Images that look like digits and are none."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.data import read
from ar_zoo.uses import LOOK_ALIKES, look_alike


@pytest.fixture(scope="module")
def digits():
    return read("shipped:digits", "valid").values[:40]


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_each_keeps_the_form_and_is_something_else(digits, kind):
    before = digits.copy()
    found = look_alike(kind, digits, seed=3)
    assert (found.shape, found.dtype) == (digits.shape, np.uint8)
    assert np.mean(np.any(found != digits, axis=(1, 2, 3))) > 0.9
    np.testing.assert_array_equal(found, look_alike(kind, digits, seed=3))
    np.testing.assert_array_equal(digits, before)


def test_turns_and_mirrors_move_pixels(digits):
    for kind, place in [("rotated", (27 - 9, 4)), ("upside_down", (27 - 4, 27 - 9)), ("mirrored", (4, 27 - 9))]:
        image = np.zeros((1, 28, 28, 1), np.uint8)
        image[0, 4, 9] = 7
        assert look_alike(kind, image)[0, place[0], place[1], 0] == 7, kind


def test_columns_are_in_one_other_order_for_all(digits):
    found = look_alike("shuffled", digits)
    order = [int(np.flatnonzero((digits == found[:, :, c : c + 1]).all(axis=(0, 1, 3)))[0]) for c in range(8, 20)]
    assert order != sorted(order)
    np.testing.assert_array_equal(np.sort(found.sum(axis=(0, 1, 3))), np.sort(digits.sum(axis=(0, 1, 3))))


def test_noise_has_its_strength(digits):
    grey = np.full((50, 28, 28, 1), 128, np.uint8)
    difference = look_alike("noisy", grey).astype(int) - 128
    assert np.isclose(difference.std(), 16, rtol=0.02)
    speckled = look_alike("speckled", grey)
    assert np.isclose(np.mean(speckled != 128), 0.01, rtol=0.2)
    assert set(np.unique(speckled)) == {0, 128, 255}
    assert (look_alike("inverted", digits) == 255 - digits).all()


def test_letters_are_brought_to_size_as_digits(digits):
    letters = look_alike("letters", digits, seed=1)[..., 0].astype(float)
    places = np.arange(28)
    for image in letters:
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
        for axis in (0, 1):  # the centre of mass, within half a pixel of the middle, or as near as the edges let it
            assert abs((image.sum(axis=1 - axis) * places).sum() / image.sum() - 13.5) <= 0.51
    assert 20 < letters.mean() < 70, "about as much white as digits"
    grey = (letters > 0) & (letters < 255)
    assert 0.45 < grey.sum() / (letters > 0).sum() < 0.8, "anti-aliased"
    assert len(np.unique(letters, axis=0)) == len(letters)
    assert look_alike("letters", np.zeros((2, 32, 40, 3), np.uint8)).shape == (2, 32, 40, 3)


@pytest.mark.parametrize(
    ("kind", "images", "message"),
    [
        ("upside", np.zeros((1, 28, 28, 1), np.uint8), "`kind` must be one of rotated, upside_down"),
        ("noisy", np.zeros((1, 28, 28, 1)), "`images` must be uint8"),
        ("noisy", np.zeros((0, 28, 28, 1), np.uint8), "`images` must be uint8"),
        ("rotated", np.zeros((1, 28, 20, 1), np.uint8), "must be square to be turned by 90°; they are 28x20"),
        ("letters", np.zeros((1, 4, 28, 1), np.uint8), "at least 8 pixels"),
    ],
)
def test_what_is_refused(kind, images, message):
    with pytest.raises(ValueError, match=message):
        look_alike(kind, images)
