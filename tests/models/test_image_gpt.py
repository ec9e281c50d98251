"""Image GPT: its trunk in NumPy around blocks that have tests of their own, its features, the published sizes."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.drawing import data_kind, pixels, read_prefix
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture, PaletteCategorical
from ar_zoo.models.image_gpt import ImageGPT
from ar_zoo.testing import laws


def trunk(model, x):
    """Features after each number of blocks, and the logits, of one image: entry i is of pixel i - 1, the first of -1."""
    table = np.asarray(model._embed.table.value)
    previous = [model.head.num_symbols, *x.ravel()[:-1]]  # the start's vector is the last row
    hidden = [table[previous] + np.asarray(model._positions.table.value)]
    for block in model._blocks:
        hidden.append(np.asarray(block(hidden[-1][None]))[0])
    last = hidden[-1] - hidden[-1].mean(axis=-1, keepdims=True)
    last /= np.sqrt((last**2).mean(axis=-1, keepdims=True) + 1e-5)
    last = last * np.asarray(model._norm.gamma.value) + np.asarray(model._norm.beta.value)
    return hidden, last, last @ table[:-1].T


def test_values():
    model = laws.make(ImageGPT)
    for x in laws.events(model, 2):
        hidden, last, logits = trunk(model, x)
        np.testing.assert_allclose(np.asarray(model(x[None])).reshape(logits.shape), logits, atol=1e-11)
        for layer, expected in [*enumerate(hidden), (None, last)]:
            found = np.asarray(model.features(x[None], layer=layer))
            assert found.shape == (1, 3, 4, 8)
            np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-11)


def test_pixels_go_in_and_come_out_in_colours(tmp_path):
    """Palette, model, picture and back."""
    from ar_zoo.data import write_png

    head = PaletteCategorical([[0, 0, 0], [255, 0, 0], [9, 200, 30]])
    model = ar_zoo.create("image_gpt.tiny", head=head)
    assert data_kind(model) == "image"
    x = laws.events(model, 2)
    drawn = pixels(model, x)
    assert drawn.shape == (2, 3, 4, 3)
    np.testing.assert_array_equal(drawn, np.array(head.palette)[x])
    np.testing.assert_array_equal(head.encode(drawn), x)
    write_png(tmp_path / "top.png", drawn[0, :2])
    prefix = read_prefix(model, tmp_path / "top.png")
    np.testing.assert_array_equal(prefix, x[0, :2])
    np.testing.assert_array_equal(model.sample(1, prefix=prefix)[0, :2], x[0, :2])


def test_other_heads_of_one_symbol():
    assert ar_zoo.create("image_gpt.tiny", head=Categorical(7)).log_prob(np.full((1, 3, 4), 6)).shape == (1,)


def test_dropout_acts_in_training_only():
    model, without = laws.make(ImageGPT, dropout=0.5), laws.make(ImageGPT)
    x = laws.events(model, 2)
    np.testing.assert_array_equal(np.asarray(model(x)), np.asarray(without(x)))
    assert np.abs(np.asarray(model(x, training=True)) - np.asarray(without(x))).max() > 0.1


@pytest.mark.parametrize(
    ("size", "millions"),
    [
        ("small", 76),
        pytest.param("medium", 455, marks=pytest.mark.slow),
        pytest.param("large", 1362, marks=pytest.mark.slow),
    ],
)
def test_published_sizes(size, millions):
    assert round(ar_zoo.num_weights(f"image_gpt.{size}") / 1e6) == millions


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(image_shape=(4, 4, 1)), "image_shape"),
        (dict(image_shape=(4, 0)), "image_shape"),
        (dict(image_shape=7), "image_shape"),
        (dict(head=DiscretizedLogisticMixture(2, 4, 3)), "head"),
        (dict(head=Bernoulli()), "head"),
        (dict(num_layers=0), "num_layers"),
        (dict(units=9), "units"),
        (dict(num_heads=0), "num_heads"),
        (dict(dropout=-0.1), "dropout"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        ImageGPT(**(ImageGPT.PRESETS["tiny"] | arguments))


@pytest.mark.parametrize("layer", [-1, 3, 0.5])
def test_bad_layers(layer):
    model = ar_zoo.create("image_gpt.tiny")
    with pytest.raises(ValueError, match="`layer` must"):
        model.features(np.zeros((1, 3, 4), "int32"), layer=layer)
