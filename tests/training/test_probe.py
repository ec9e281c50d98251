"""The linear probe against NumPy's least squares, what it is fed with, and the palette that training finds."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.registry import find
from ar_zoo.heads import PaletteCategorical
from ar_zoo.testing import laws
from ar_zoo.training import Recipe, linear_probe, pooled_features
from ar_zoo.training.prepare import create_for


def clouds(generator, count, noise):
    """Three classes, numbered 1, 4 and 7, around three points on a line: not to be told by one threshold."""
    classes = generator.integers(0, 3, count)
    middles = np.array([[0.0, 0.0, 5.0], [1.0, 0.0, 5.0], [0.5, 1.0, 5.0]]) * [100, 0.01, 1]
    return middles[classes] + generator.normal(size=(count, 3)) * noise * [100, 0.01, 1], classes * 3 + 1


def test_classes_that_a_line_tells_apart():
    """Whatever the features' scales and offsets; and one that never varies does no harm."""
    generator = np.random.default_rng(0)
    train, valid = (clouds(generator, count, 0.05) for count in (300, 200))
    assert linear_probe(train, valid) == 1.0
    still = [np.column_stack([features, np.full(len(features), 3.0)]) for features, _ in (train, valid)]
    assert linear_probe((still[0], train[1]), (still[1], valid[1])) == 1.0


def test_equals_least_squares():
    generator = np.random.default_rng(1)
    (x, y), (other_x, other_y) = clouds(generator, 400, 0.6), clouds(generator, 300, 0.6)
    design, other = (np.column_stack([given, np.ones(len(given))]) for given in (x[:, :2], other_x[:, :2]))
    weights = np.linalg.lstsq(design, np.eye(3)[(y - 1) // 3], rcond=None)[0]
    expected = np.mean((other @ weights).argmax(axis=1) * 3 + 1 == other_y)
    assert 0.5 < expected < 0.95
    found = linear_probe((x[:, :2], y), (other_x[:, :2], other_y))
    assert abs(found - expected) < 0.01


def test_pooled_features():
    """The mean over pixels, in batches that do not divide the events."""
    model = laws.make(find("image_gpt.tiny")[0])
    x = laws.events(model, 5)
    for layer in (0, 1, None):
        expected = np.asarray(model.features(x, layer=layer)).mean(axis=(1, 2))
        np.testing.assert_allclose(pooled_features(model, x, layer, batch_size=2), expected, atol=1e-12)


def test_refused():
    with pytest.raises(ValueError, match="`model` must offer `features`"):
        pooled_features(ar_zoo.create("pixel_cnn.tiny"), np.zeros((1, 4, 5, 2), "int32"))
    good = (np.zeros((4, 2)), np.zeros(4))
    with pytest.raises(ValueError, match="`valid` must hold features"):
        linear_probe(good, (np.zeros((4, 2)), np.zeros(3)))


def test_training_takes_the_palette_from_the_data():
    """As many colours as the preset has; the digits hold more greys than that."""
    part = ar_zoo.data.read("shipped:digits", "train")
    recipe = Recipe("a", "image_gpt.mnist", "mnist", "shipped:digits", "about", dict(num_layers=1))
    head = create_for(recipe, dict(recipe.overrides), part).head
    assert head == PaletteCategorical.from_images(part.values, 16)
    assert head != PaletteCategorical.even(16, 1)
    error = np.abs(head.decode(head.encode(part.values[:100])).astype(int) - part.values[:100]).mean()
    assert error < 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(batch_size=0), "`batch_size`"),
        (dict(x=np.zeros((0, 3, 4), "int32")), "`x` must hold at least one event"),
        (dict(x=np.full((1, 3, 4), 99)), "`x` must hold symbols"),
        (dict(layer=9), "^`layer` must be at most"),
    ],
    ids=str,
)
def test_features_refuse(arguments, message):
    model = ar_zoo.create("image_gpt.tiny")
    with pytest.raises(ValueError, match=message):
        pooled_features(model, **({"x": np.zeros((2, 3, 4), "int32")} | arguments))


def test_probes_refuse():
    with pytest.raises(ValueError, match="`valid` must hold as many features as `train`, 2; got 4"):
        linear_probe((np.zeros((3, 2)), np.zeros(3)), (np.zeros((3, 4)), np.zeros(3)))
    with pytest.raises(ValueError, match=r"`train` must hold .* at least one"):
        linear_probe((np.zeros((0, 2)), np.zeros(0)), (np.zeros((3, 2)), np.zeros(3)))
