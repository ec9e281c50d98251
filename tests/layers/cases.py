"""Every public layer with arguments that use all of it, and inputs to call it on. Keras and NumPy only.

As a program (`KERAS_BACKEND=torch python -m tests.layers.cases out.npz`) it records what each layer computes, for a
comparison of backends.
"""

from __future__ import annotations

import sys

import keras
import numpy as np

from ar_zoo import layers

_IMAGE, _SEQUENCE, _HEADS, _SYMBOLS = (2, 4, 5, 6), (2, 7, 8), (2, 7, 3, 8), (2, 7)


def values(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def symbols(shape=_SYMBOLS, low=-1, high=5):
    return np.random.default_rng(0).integers(low, high, shape).astype("int32")


# name → (class, arguments, inputs)
CASES = {
    "attention": (layers.CausalSelfAttention, dict(num_heads=4, num_kv_heads=2, window=3), [values(_SEQUENCE)]),
    "attention_learned": (
        layers.CausalSelfAttention,
        dict(num_heads=2, positions="learned", max_positions=9, use_bias=False),
        [values(_SEQUENCE)],
    ),
    "attention_rotary": (layers.CausalSelfAttention, dict(num_heads=2, positions="rotary"), [values(_SEQUENCE)]),
    "attention_source": (
        layers.CausalSelfAttention,
        dict(num_heads=2, key_units=4, value_units=6, mix_heads=False),
        [values(_SEQUENCE), values((2, 7, 5), 1)],
    ),
    "causal_conv": (layers.DilatedCausalConv1D, dict(filters=3, kernel_size=3, dilation=2), [values(_SEQUENCE)]),
    "conditioning": (layers.Conditioning, dict(units=4, num_classes=3), [symbols((5,), 0, 4)]),
    "image_conditioning": (
        layers.ImageConditioning,
        dict(image_shape=(4, 6), units=3, kernel_size=3),
        [values((2, 2, 3, 5))],
    ),
    "draft_head": (layers.DraftHead, dict(chained=True), [values(_SEQUENCE), values(_SEQUENCE, 1)]),
    "gate": (layers.GatedActivation, {}, [values(_IMAGE)]),
    "gate_linear": (layers.GatedActivation, dict(activation="linear"), [values(_IMAGE)]),
    "null_dropout": (layers.NullDropout, dict(rate=0.5, null=3), [symbols((5,), 0, 4)]),
    "masked_dense": (
        layers.MaskedDense,
        dict(units=3, strict=True, by_output=True, initial_scale=0.5),
        [values(_SEQUENCE), np.arange(8, dtype="int32"), np.array([2, 9, 5], "int32")],
    ),
    "masked_network": (
        layers.MaskedNetwork,
        dict(order=(2, 0, 1), outputs=2, units=(4, 3), activation="relu", num_classes=3),
        [values((5, 3)), symbols((5,), 0, 4)],
    ),
    "masked_conv_a": (layers.MaskedConv2D, dict(filters=4, kernel_size=3, mask_type="A", groups=2), [values(_IMAGE)]),
    "masked_conv_above": (
        layers.MaskedConv2D,
        dict(filters=4, kernel_size=3, mask_type="above", initial_scale=0.1),
        [values(_IMAGE)],
    ),
    "masked_conv_row": (
        layers.MaskedConv2D,
        dict(filters=6, kernel_size=(1, 5), mask_type="B", groups=3, dilation=2, use_bias=False),
        [values(_IMAGE)],
    ),
    "no_positions": (layers.NoPositions, {}, [values(_SEQUENCE), np.arange(7)]),
    "learned_positions": (layers.LearnedPositions, dict(max_positions=9), [values(_SEQUENCE), np.arange(7)]),
    "sinusoidal_positions": (layers.SinusoidalPositions, dict(max_wavelength=50), [values(_HEADS), np.arange(7)]),
    "rotary_positions": (layers.RotaryPositions, dict(max_wavelength=50), [values(_HEADS), np.arange(7)]),
    "pixels": (layers.PixelFeatures, dict(num_symbols=5, groups=2), [symbols((2, 4, 5, 2))]),
    "neighbours": (layers.PixelNeighbours, dict(num_levels=5, outside=3), [symbols((2, 4, 5, 2), 0)]),
    "pixel_positions": (layers.PixelPositions, {}, [values(_IMAGE)]),
    "recurrent": (layers.Recurrent, dict(units=6, cell="gru"), [values(_SEQUENCE)]),
    "recurrent_lstm": (layers.Recurrent, dict(units=6), [values(_SEQUENCE)]),
    "row_lstm": (layers.RowLSTM, dict(units=4, kernel_size=5, groups=2), [values(_IMAGE)]),
    "diagonal_lstm": (layers.DiagonalLSTM, dict(units=4, groups=2), [values(_IMAGE)]),
    "transformer": (layers.TransformerBlock, dict(num_heads=4, num_kv_heads=2, window=3), [values(_SEQUENCE)]),
    "residual_skip": (layers.ResidualSkip, dict(units=6, skip_units=4, groups=2), [values(_IMAGE), values(_IMAGE, 1)]),
    "residual_off": (layers.ResidualSkip, dict(units=4, residual=False), [values(_IMAGE)]),
    "embedding": (layers.SymbolEmbedding, dict(num_symbols=5, units=4), [symbols()]),
    "embedding_started": (layers.SymbolEmbedding, dict(num_symbols=5, units=4, start_symbol=2), [symbols()]),
}


def randomised(layer, seed=0):
    """Every weight random: what is zero at first cannot hide."""
    generator = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    return layer


def make(name, **policy):
    """A built layer with random weights, and its inputs as tensors."""
    cls, arguments, inputs = CASES[name]
    layer = cls(**arguments, **policy)
    inputs = [keras.ops.convert_to_tensor(value) for value in inputs]
    layer(*inputs)
    return randomised(layer), inputs


def outputs(layer, inputs):
    """The outputs as a list of arrays, without those that are None."""
    result = layer(*inputs)
    result = result if isinstance(result, (tuple, list)) else [result]
    return [keras.ops.convert_to_numpy(value) for value in result if value is not None]


def record(path):
    """Writes what each layer gives to an archive."""
    arrays = {}
    for name in CASES:
        for i, value in enumerate(outputs(*make(name))):
            arrays[f"{name}/{i}"] = value
    np.savez(path, **arrays)


if __name__ == "__main__":
    record(sys.argv[1])
