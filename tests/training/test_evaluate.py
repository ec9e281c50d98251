"""`evaluate` against `log_prob`."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.data.dataset import Data, images
from ar_zoo.heads import Categorical
from ar_zoo.training.evaluate import evaluate


def bits(log_probs, dimensions):
    return -float(np.sum(log_probs)) / np.log(2) / dimensions


@pytest.fixture(scope="module")
def digits():
    """(model, images with labels)."""
    model = ar_zoo.create("gated_pixel_cnn.tiny", image_shape=(4, 5, 1), head=Categorical(4))
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.dtype.startswith("float"):
            weight.assign(random.normal(size=weight.shape))
    x = random.integers(0, 4, (7, 4, 5, 1), np.uint8)
    return model, images(x, np.arange(7) % 3, source="made up")


def test_images_with_and_without_labels(digits):
    model, part = digits
    x = model.head.encode(part.values)
    told, untold = evaluate(model, part, batch_size=3), evaluate(model, part, batch_size=3, labels=False)
    np.testing.assert_allclose(told["bits_per_dim"], bits(model.log_prob(x, part.labels), 140), rtol=1e-5)
    np.testing.assert_allclose(untold["bits_per_dim"], bits(model.log_prob(x), 140), rtol=1e-5)
    assert told["bits_per_dim"] != untold["bits_per_dim"]
    assert (told["events"], told["dimensions"]) == (7, 140)
    np.testing.assert_allclose(told["nats"], told["bits_per_dim"] * np.log(2) * 140)


def test_a_limit_takes_the_first(digits):
    model, part = digits
    found = evaluate(model, part, limit=2)
    expected = bits(model.log_prob(model.head.encode(part.values[:2]), part.labels[:2]), 40)
    np.testing.assert_allclose(found["bits_per_dim"], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="`limit`"):
        evaluate(model, part, limit=0)


def test_text_is_cut_into_windows_and_its_tail_counts():
    model = ar_zoo.create("gpt.tiny", head=Categorical(5, alphabet="abcde"))
    text = ("abcde" * 6)[:29]
    found = evaluate(model, Data("text", text, source="made up"), batch_size=2)
    pieces = [model.log_prob(model.head.encode(text[start : start + 12])[None]) for start in (0, 12, 24)]
    assert (found["events"], found["dimensions"]) == (3, 29)
    np.testing.assert_allclose(found["bits_per_dim"], bits(pieces, 29), rtol=1e-5)
