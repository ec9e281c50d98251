"""Images drawn from what a smaller or grey picture shows of them."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.data import known_image
from ar_zoo.data.dataset import Data
from ar_zoo.data.encoded import encode
from ar_zoo.heads import Bernoulli, PredictiveLogisticMixture
from ar_zoo.uses import draw_from_known
from ar_zoo.uses.from_known import known_of, picture
from tests.uses.models import randomised


@pytest.fixture(scope="module")
def model():
    head = PredictiveLogisticMixture(256, 3, num_free=0)
    overrides = dict(image_shape=(4, 6, 3), head=head, known_shape=(2, 3, 1), num_classes=None)
    return randomised("gated_pixel_cnn.tiny", **overrides)


def test_the_model_is_told_what_is_known_and_nothing_else(model):
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3)).astype("int32")
    drawn = draw_from_known(model, images, num=3, seed=5)
    assert drawn.shape == (2, 3, 4, 6, 3)
    told = np.repeat(known_image(images, (2, 3, 1)), 3, axis=0)
    np.testing.assert_array_equal(drawn.reshape(-1, 4, 6, 3), model.sample(6, 5, {"image": told}))
    turned = images[:, ::-1, ::-1]
    assert not np.array_equal(draw_from_known(model, turned, num=3, seed=5), drawn)


def test_black_and_white_is_told_in_full():
    """Two levels are the whole range, not the lowest two of 256."""
    overrides = dict(image_shape=(4, 6, 1), head=Bernoulli(), known_shape=(4, 6, 1), num_classes=None)
    images = np.random.default_rng(0).integers(0, 2, (2, 4, 6, 1)).astype("int32")
    model = randomised("gated_pixel_cnn.tiny", **overrides)
    np.testing.assert_array_equal(known_of(model, images), images * 2 - 1)
    examples = encode(model, Data("image", images.astype("uint8"), source="a test"))
    np.testing.assert_array_equal(examples.context["image"], images * 2 - 1)


def test_the_picture(model):
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3)).astype("int32")
    drawn = draw_from_known(model, images, num=1)
    times, sheet = 96 // 6, picture(model, images, drawn)
    assert sheet.shape == (2 + 2 * (4 * times + 2), 2 + 3 * (96 + 2), 3)
    row = sheet[2 : 2 + 4 * times : times, 2::times]
    grey = np.round((known_image(images[:1], (2, 3, 1))[0] + 1) * 127.5).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(row[:, :6], np.broadcast_to(grey, (4, 6, 3)))
    last = sheet[2 : 2 + 4 * times : times, 2 + 2 * 98 : 2 + 2 * 98 + 96 : times]
    np.testing.assert_array_equal(last, images[0])


def test_a_model_that_is_given_none():
    with pytest.raises(ValueError, match=r"`model` must be given images: .* has the contexts none"):
        draw_from_known(randomised("pixel_cnn.tiny"), np.zeros((1, 4, 5, 2), "int32"))
