"""Gates, residual and skip wiring, conditioning, embeddings and pixel features, each against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.layers import (
    Conditioning,
    GatedActivation,
    ImageConditioning,
    NullDropout,
    PixelFeatures,
    PixelPositions,
    ResidualSkip,
    SymbolEmbedding,
)
from tests.layers.cases import randomised


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_gate():
    x = normal(2, 3, 10)
    expected = np.tanh(x[..., :5]) / (1 + np.exp(-x[..., 5:]))
    np.testing.assert_allclose(np.asarray(GatedActivation(dtype="float64")(x)), expected, atol=1e-12)
    with pytest.raises(ValueError, match="even number of channels; the input has 5"):
        GatedActivation()(np.zeros((1, 5), "float32"))


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("skip_units", [0, 6])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_residual_skip(residual, skip_units, groups):
    layer = ResidualSkip(12, skip_units, residual, groups, dtype="float64")
    activation, x = normal(2, 4, 6), normal(2, 4, 12, seed=1)
    layer(activation, x)
    randomised(layer)
    kernel, bias = np.asarray(layer.kernel.value), np.asarray(layer.bias.value)
    out = np.zeros((2, 4, 12 + skip_units)) + bias
    for source in range(6):
        for target in range(12 + skip_units):
            # Skips start anew with group 0; a group sees itself and those before.
            group = (target if target < 12 else target - 12) % groups
            if source % groups <= group:
                out[..., target] += activation[..., source] * kernel[source, target]
    y, skip = layer(activation, x)
    np.testing.assert_allclose(np.asarray(y), out[..., :12] + (x if residual else 0), atol=1e-12)
    if skip_units:
        np.testing.assert_allclose(np.asarray(skip), out[..., 12:], atol=1e-12)
    else:
        assert skip is None
    both = np.concatenate([x, normal(2, 4, skip_units, seed=2)], axis=-1)
    np.testing.assert_allclose(np.asarray(layer.onto(activation, both)), out + (both if residual else 0), atol=1e-12)


@pytest.mark.parametrize(("units", "skip_units"), [(5, 4), (4, 5)])
def test_residual_skip_refused(units, skip_units):
    with pytest.raises(ValueError, match="`units` and `skip_units` must be multiples of `groups`"):
        ResidualSkip(units, skip_units, groups=2)


def test_conditioning():
    layer = Conditioning(4, 3, dtype="float64")
    layer(np.array([0]))
    randomised(layer)
    assert layer.table.shape == (4, 4), "three classes and the unknown one"
    np.testing.assert_array_equal(np.asarray(layer(np.array([3, 0, 3]))), np.asarray(layer.table.value)[[3, 0, 3]])


@pytest.mark.parametrize("shape", [(4, 6, 3), (2, 3, 1)])
def test_image_conditioning(shape):
    """Each pixel of a small picture is a square; a kernel around each place, of zeros beyond the edge; all rows at once
    and each by itself."""
    layer = ImageConditioning((4, 6), 5, kernel_size=3, dtype="float64")
    image = np.random.default_rng(0).normal(size=(2, *shape))
    layer(image)
    layer.set_weights([np.random.default_rng(1).normal(size=weight.shape) for weight in layer.weights])
    kernel, bias = (np.asarray(weight) for weight in (layer.kernel, layer.bias))
    large = image.repeat(4 // shape[0], axis=1).repeat(6 // shape[1], axis=2)
    padded = np.pad(large, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((2, 4, 6, 5))
    for row in range(4):
        for column in range(6):
            around = padded[:, row : row + 3, column : column + 3]
            expected[:, row, column] = np.maximum(np.einsum("bijc,ijcu->bu", around, kernel) + bias, 0)
    np.testing.assert_allclose(np.asarray(layer(image)), expected, atol=1e-12)
    for row in range(4):
        np.testing.assert_allclose(np.asarray(layer.row(tf.constant(image), row)), expected[:, row], atol=1e-12)


def test_null_dropout():
    labels = np.random.default_rng(0).integers(0, 4, 20_000)
    layer = NullDropout(0.3, 4)
    np.testing.assert_array_equal(np.asarray(layer(labels, training=False)), labels)
    hidden = np.asarray(layer(labels, training=True))
    np.testing.assert_array_equal(hidden[hidden != 4], labels[hidden != 4])
    assert abs((hidden == 4).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 20_000)
    assert (np.asarray(NullDropout(1.0, 4)(labels, training=True)) == 4).all()
    np.testing.assert_array_equal(np.asarray(NullDropout(0.0, 4)(labels, training=True)), labels)
    for rate in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="`rate` must lie in"):
            NullDropout(rate, 4)


@pytest.mark.parametrize("start_symbol", [None, 0, 2])
def test_embedding(start_symbol):
    layer = SymbolEmbedding(3, 4, start_symbol, dtype="float64")
    symbols = np.array([[0, 2, -1], [1, -1, 0]])
    layer(symbols)
    randomised(layer)
    table = np.asarray(layer.table.value)
    assert len(table) == (4 if start_symbol is None else 3)
    rows = np.where(symbols < 0, 3 if start_symbol is None else start_symbol, symbols)
    np.testing.assert_array_equal(np.asarray(layer(symbols)), table[rows])
    x = normal(2, 5, 4)
    # The start is no symbol: tied logits leave it out.
    np.testing.assert_allclose(np.asarray(layer.logits(x)), x @ table[:3].T, atol=1e-12)


@pytest.mark.parametrize("start_symbol", [-1, 3])
def test_embedding_refused(start_symbol):
    with pytest.raises(ValueError, match=r"`start_symbol` must be a symbol in 0..2, or None"):
        SymbolEmbedding(3, 4, start_symbol)


def test_pixel_features():
    x = np.array([[[0, 3], [4, -1]]])
    expected = [[[-1, 0.5, 1, 1], [1, 0, 1, 0]]]
    np.testing.assert_allclose(np.asarray(PixelFeatures(5, dtype="float64")(x)), expected, atol=1e-12)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (2, 2), (3, 3), (3, 1)])
def test_pixel_features_as_they_are_drawn(channels, groups, ragged):
    """At each site, the window holds the pixels to the left and what is drawn of the pixel itself."""
    width, left, batch = 4, 2, 2
    layer = PixelFeatures(5, groups, dtype="float64")
    row = np.random.default_rng(0).integers(0, 5, (batch, width, channels)).astype("int32")
    sites = row.reshape(batch, width * groups, -1)
    spec = layer.window_spec(left, channels)
    for number in (0, 1):  # the second row starts anew
        window = np.full((batch, *spec.shape), -1, "int32")
        for place in range(width * groups):
            index = number * width * groups + place
            prev = sites[:, place - 1 : place] if place else np.full_like(sites[:, :1], 4 if number else -1)
            at = np.full(batch, index) if ragged else index
            features, window, fresh, column = layer.step(prev, window, at, width)
            pixel, channel = divmod(place, groups)
            padded = np.concatenate([np.full((batch, left, channels), -1), row], axis=1)[:, pixel : pixel + left + 1]
            padded[:, -1, (channel if groups > 1 else 0) :] = -1
            np.testing.assert_array_equal(np.asarray(window), padded)
            np.testing.assert_allclose(np.asarray(features), np.asarray(layer(padded)))
            assert np.all(np.asarray(fresh) == (channel == 0))
            assert np.all(np.asarray(column) == pixel)


def test_groups_of_outputs():
    layer = PixelFeatures(5, 3)
    y = normal(2, 4, 12)
    split = np.asarray(layer.split_groups(y))
    for group in range(3):
        np.testing.assert_array_equal(split[:, :, group], y[..., group::3])
    for index in (0, 4, np.array([2, 9])):
        chosen = np.asarray(layer.chosen(split[:, 0], index))[:, 0]
        np.testing.assert_array_equal(chosen, split[[0, 1], 0, np.broadcast_to(index, 2) % 3])


def test_pixel_positions():
    layer, x = PixelPositions(dtype="float64"), normal(2, 3, 4, 5)
    layer(x)
    randomised(layer)
    rows, columns = np.asarray(layer.rows.value), np.asarray(layer.columns.value)
    expected = np.array([[x[:, r, c] + rows[r] + columns[c] for c in range(4)] for r in range(3)]).transpose(2, 0, 1, 3)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-12)
    for r in range(3):
        np.testing.assert_allclose(np.asarray(layer.row(x[:, r], r)), expected[:, r], atol=1e-12)
