"""PixelSNAIL against a reading of the paper in NumPy, pixel by pixel, and what its constructor refuses."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.pretrained import named_weights
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture
from ar_zoo.models.pixel_snail import PixelSNAIL
from ar_zoo.testing import laws


def elu(x):
    return np.maximum(x, 0) + np.expm1(np.minimum(x, 0))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolved(image, kernel, bias, see_itself):
    """A masked convolution that knows only "rows above, then pixels to the left"."""
    height, width, _ = image.shape
    out, middle = np.zeros((height, width, kernel.shape[-1])) + bias, kernel.shape[1] // 2
    for r, c in np.ndindex(height, width):
        for k, j in np.ndindex(kernel.shape[:2]):
            row, column = r + k - (len(kernel) - 1), c + j - middle
            earlier = row < r or column < c or (see_itself and column == c)
            if row >= 0 and 0 <= column < width and earlier:
                out[r, c] += image[row, column] @ kernel[k, j]
    return out


def reference(model, image):
    """Parameters [H, W, size] of one image of symbols [H, W, channels]."""
    weights = {name: np.asarray(value) for name, value in named_weights(model).items()}
    height, width, _ = image.shape
    x = np.concatenate([image * 2.0 / (model.head.num_symbols - 1) - 1, np.ones_like(image)], axis=-1)
    where = np.array([[[r, c] for c in range(width)] for r in range(height)]) * 2.0 / [height - 1, width - 1] - 1

    def dense(y, name):
        return y @ weights[f"{name}/kernel"] + weights.get(f"{name}/bias", 0.0)

    def conv(y, name, see_itself=True):
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        return dense(y, name) if kernel.ndim == 2 else convolved(y, kernel, bias, see_itself)

    def gated(h, name, side=None):
        y = conv(elu(h), f"{name}/conv_1")
        y = y if side is None else y + dense(elu(side), f"{name}/side")
        a, b = np.split(conv(elu(y), f"{name}/conv_2"), 2, axis=-1)
        return h + a * sigmoid(b)

    def attended(h, name):
        source = gated(np.concatenate([x, h, where], axis=-1), f"{name}/source").reshape(height * width, -1)
        start = gated(np.zeros_like(source[:1]), f"{name}/source")
        source = np.concatenate([start, source])[:-1]  # entry i is pixel i - 1
        query = gated(np.concatenate([h, where], axis=-1), f"{name}/query").reshape(height * width, -1)
        query, key, value = (
            np.split(dense(y, f"{name}/attention/{kind}"), model.num_heads, axis=-1)
            for kind, y in (("query", query), ("key", source), ("value", source))
        )
        mixed = np.zeros((height * width, model.value_units))
        size = model.value_units // model.num_heads
        for head, i in np.ndindex(model.num_heads, height * width):
            score = key[head][: i + 1] @ query[head][i] / np.sqrt(query[head].shape[-1])
            score = np.exp(score - score.max())
            mixed[i, head * size : (head + 1) * size] = score @ value[head][: i + 1] / score.sum()
        return mixed.reshape(height, width, -1)

    h = conv(x, "input", see_itself=False)
    for i in range(model.num_blocks):
        for layer in range(model.num_layers):
            h = gated(h, f"block_{i}/layer_{layer}")
        h = gated(h, f"block_{i}/merge", attended(h, f"block_{i}"))
    return dense(elu(h), "output")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        dict(num_layers=0, input_kernel_size=5),
        dict(head=DiscretizedLogisticMixture(2, 4, 3), image_shape=(3, 4, 3)),
    ],
    ids=["tiny", "attention_alone", "mixture"],
)
def test_values(arguments):
    model = laws.make(PixelSNAIL, **arguments)
    x = laws.events(model, 2)
    expected = np.stack([reference(model, image) for image in x])
    np.testing.assert_allclose(
        np.asarray(model(x)).reshape(expected.shape), expected, atol=1e-9 * np.abs(expected).max()
    )


def test_attention_reaches_what_no_kernel_does():
    """One 3x3 layer sees neighbours only; with one attention behind it the last pixel depends on the first."""
    model = laws.make(PixelSNAIL, image_shape=(6, 6, 1), num_blocks=1, num_layers=0)
    assert np.array_equal(model.receptive_field(), np.tri(36, k=-1, dtype=bool))
    x = laws.events(model, 4)
    changed = x.copy()
    changed[:, 0, 5] = (changed[:, 0, 5] + 1) % 4
    difference = np.abs(np.asarray(model(changed)) - np.asarray(model(x))).reshape(4, 36, -1).max(axis=(0, 2))
    assert (difference[:6] == 0).all()
    assert (difference[6:] > 1e-12).all()


@pytest.mark.parametrize("head", [Bernoulli(), Categorical(4), DiscretizedLogisticMixture(2, 4, 1)], ids=str)
def test_heads(head):
    model = ar_zoo.create("pixel_snail.tiny", head=head)
    x = laws.events(model, 2)
    assert model.num_sites == 12
    assert model.log_prob(x, reduce="coordinate").shape == x.shape
    assert model.log_prob(x, reduce="site").shape == ((2, 3, 4) if head.site_shape else x.shape)


def test_dropout_acts_in_training_only():
    model = laws.make(PixelSNAIL, dropout=0.5)
    x = laws.events(model, 2)
    without = laws.make(PixelSNAIL)
    np.testing.assert_array_equal(np.asarray(model(x)), np.asarray(without(x)))
    assert np.abs(np.asarray(model(x, training=True)) - np.asarray(without(x))).max() > 0.1


def test_the_paper_s_size():
    """12 blocks of 5 layers of 256 channels, on CIFAR-10: by hand, from the block's equation."""
    gated = lambda units, taps: taps * units * units * 3 + 3 * units  # noqa: E731
    block = 5 * gated(256, 6) + gated(258, 1) + gated(264, 1)
    block += 258 * 16 + 16 + 264 * (16 + 128) + 16 + 128 + gated(256, 1) + 128 * 256 + 256
    preset = PixelSNAIL.PRESETS["cifar10"]
    count = PixelSNAIL(**preset | dict(image_shape=(4, 4, 3), num_blocks=2)).count_params()
    assert count == 2 * block + 6 * 6 * 256 + 256 + 256 * 100 + 100
    # The image's size and the number of blocks, 12 by default, only cost time here.
    assert (preset["dropout"], preset["head"].num_components) == (0.5, 10)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(image_shape=(4, 4)), "image_shape"),
        (dict(image_shape=(4, 4, 3)), "head"),
        (dict(head=DiscretizedLogisticMixture(2, 4, 3)), "head"),
        (dict(num_blocks=0), "num_blocks"),
        (dict(num_layers=-1), "num_layers"),
        (dict(units=0), "units"),
        (dict(key_units=3), "key_units"),
        (dict(value_units=5), "value_units"),
        (dict(num_heads=0), "num_heads"),
        (dict(input_kernel_size=4), "input_kernel_size"),
        (dict(kernel_size=1), "kernel_size"),
        (dict(dropout=1.5), "dropout"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        PixelSNAIL(**(PixelSNAIL.PRESETS["tiny"] | arguments))
