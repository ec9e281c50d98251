"""Images completed from a part."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.data import write_png
from ar_zoo.uses import complete, known_pixels
from ar_zoo.uses.inpaint import picture
from tests.uses.models import randomised


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["top"], np.s_[:3]),
        (["bottom"], np.s_[3:]),
        (["left"], np.s_[:, :4]),
        (["right"], np.s_[:, 4:]),
        (["top:1"], np.s_[:1]),
        (["bottom:2"], np.s_[4:]),
        (["right:3"], np.s_[:, 5:]),
        (["box"], np.s_[1:4, 2:6]),
        (["box:0,5,6,2"], np.s_[:, 5:7]),
    ],
)
def test_parts_by_name(words, place):
    expected = np.zeros((6, 8), bool)
    expected[place] = True
    np.testing.assert_array_equal(known_pixels(words, 6, 8), expected)


def test_parts_together_and_the_rest():
    box, frame = known_pixels(["box"], 6, 8), known_pixels(["frame"], 6, 8)
    np.testing.assert_array_equal(box, ~frame)
    both = known_pixels(["top:1", "left:2"], 6, 8)
    assert both.sum() == 8 + 2 * 5
    share = known_pixels(["random:0.25"], 100, 100, seed=3)
    assert np.isclose(share.mean(), 0.25, atol=0.02)
    assert not np.array_equal(share, known_pixels(["random:0.25"], 100, 100, seed=4))


def test_a_picture_says_what_is_known(tmp_path):
    mask = np.random.default_rng(0).random((6, 8)) < 0.5
    write_png(tmp_path / "mask.png", (mask * 255).astype(np.uint8))
    np.testing.assert_array_equal(known_pixels([str(tmp_path / "mask.png")], 6, 8), mask)
    with pytest.raises(ValueError, match="must be 6x9, as the image; it is 6x8"):
        known_pixels([str(tmp_path / "mask.png")], 6, 9)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("middle", "is no picture, and none of: top, bottom"),
        ("top:0", "the number of pixels must be from 1 to 6"),
        ("left:9", "from 1 to 8"),
        ("top:a", "1 whole number must follow"),
        ("box:1,2", "4 whole numbers must follow"),
        ("box:3,0,4,4", "must lie inside the image, 6x8"),
        ("box:0,0,0,4", "must lie inside"),
        ("random", "a share between 0 and 1"),
        ("random:1.5", "a share between 0 and 1"),
    ],
)
def test_parts_that_are_none(word, message):
    with pytest.raises(ValueError, match=message):
        known_pixels([word], 6, 8)


@pytest.mark.parametrize("name", ["gated_pixel_cnn.tiny", "nade.tiny"])  # a site a channel; without an order
def test_what_is_known_stays_and_the_rest_is_drawn(name):
    model = randomised(name, **({"num_layers": 0, "image_shape": (2, 4, 2)} if name.startswith("gated") else {}))
    shape = model.event_shape
    images = np.random.default_rng(1).integers(0, 4, (2, *shape))
    mask = known_pixels(["right"], *shape[:2])
    labels = np.array([1, 2]) if model.context_spec else None
    drawn = complete(model, images, mask, num=3, seed=5, context=labels)
    assert drawn.shape == (2, 3, *shape)
    np.testing.assert_array_equal(drawn[:, :, mask], np.broadcast_to(images[:, None, mask], drawn[:, :, mask].shape))
    assert len(np.unique(drawn.reshape(6, -1), axis=0)) == 6
    sites = np.broadcast_to(mask[..., None], shape) if len(model.grid_shape) == 3 else mask
    context = None if labels is None else labels.repeat(3)
    expected = model.sample(6, 5, context, given=images.repeat(3, axis=0), mask=sites)
    np.testing.assert_array_equal(drawn.reshape(6, *shape), expected)


def test_the_picture_shows_original_known_part_and_draws():
    model = ar_zoo.create("nade.tiny", event_shape=(48, 96, 1), units=(4, 4))
    images = np.random.default_rng(0).integers(0, 4, (2, 48, 96, 1))
    mask = known_pixels(["left"], 48, 96)
    drawn = np.stack([(images + turn) % 4 for turn in range(3)], axis=1)
    sheet = picture(model, images, mask, drawn)
    assert sheet.shape == (2 + 2 * 50, 2 + 5 * 98, 3)
    cells = [sheet[52:100, 2 + 98 * place : 98 * (place + 1)] for place in range(5)]
    np.testing.assert_array_equal(cells[0], np.repeat(images[1] * 85, 3, axis=-1))
    np.testing.assert_array_equal(cells[1][:, :48], cells[0][:, :48])
    assert np.ptp(cells[1][:, 48:], axis=(0, 1)).max() == 0, "what is not known is one colour"
    assert len(set(cells[1][0, 50])) == 3, "and no grey"
    np.testing.assert_array_equal(cells[4], np.repeat((images[1] + 2) % 4 * 85, 3, axis=-1))


def test_what_is_refused():
    model = ar_zoo.create("nade.tiny")
    images = np.zeros((1, 2, 3, 1), int)
    with pytest.raises(ValueError, match="`mask` leaves nothing to draw"):
        complete(model, images, np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="`model` must draw images; this one draws symbols"):
        complete(ar_zoo.create("gpt.tiny"), images, np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="`num` must be an integer of at least 1; got 0"):
        complete(model, images, np.zeros((2, 3), bool), num=0)


@pytest.mark.parametrize("words", ["top", None, [], [3]])
def test_what_names_no_part(words):
    with pytest.raises(ValueError, match="`words` must be a list of at least one of: top, bottom"):
        known_pixels(words, 6, 8)
