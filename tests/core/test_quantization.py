"""Which matrices are rounded, and to which values, against NumPy."""

from __future__ import annotations

import contextlib

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.core import quantization
from ar_zoo.core.pretrained import named_weights
from ar_zoo.core.quantization import (
    Grid,
    grids,
    matrices,
    read_scheme,
    rounded,
    rounded_straight_through,
    rounded_weights,
)
from ar_zoo.heads import Categorical


def reference(weight, bits, axis=-1, block=None):
    """A loop over channels and blocks, with NumPy's own rounding."""
    top = 2 ** (bits - 1) - 1
    rows = np.moveaxis(weight, axis, -1)
    rows = rows.reshape(-1, rows.shape[-1]).T  # [channels, inputs]
    out = np.zeros_like(rows)
    for channel in range(len(rows)):
        size = block or rows.shape[1]
        for start in range(0, rows.shape[1], size):
            values = rows[channel, start : start + size]
            scale = np.float32(np.abs(values).max() / np.float32(top))
            if block:
                scale = max(np.float32(scale.astype(ml_dtypes.bfloat16)), np.float32(2.0**-14))
            if scale:
                out[channel, start : start + size] = np.clip(np.rint(values / scale), -top, top) * scale
    moved = np.moveaxis(weight, axis, -1).shape
    return np.moveaxis(out.T.reshape(moved), -1, axis)


@pytest.mark.parametrize(
    ("shape", "grid"),
    [
        ((64, 5), Grid(8)),
        ((64, 5), Grid(4)),
        ((64, 5), Grid(4, block=32)),
        ((7, 64), Grid(4, axis=0, block=32)),
        ((7, 10), Grid(8, axis=0)),
        ((2, 32, 6), Grid(4, block=32)),
        ((3, 2, 4, 6), Grid(4)),
    ],
)
@pytest.mark.parametrize("jit", [False, True])
def test_rounding_is_that_of_a_naive_loop(shape, grid, jit):
    weight = np.random.default_rng(0).normal(scale=0.1, size=shape).astype(np.float32)
    weight.flat[: shape[-1]] *= 30
    function = tf.function(lambda value: rounded(value, grid), jit_compile=jit, autograph=False)
    found = function(tf.constant(weight)).numpy()
    np.testing.assert_allclose(found, reference(weight, grid.bits, grid.axis, grid.block), rtol=1e-6, atol=0)
    assert np.abs(found - weight).max() > 0
    np.testing.assert_allclose(function(tf.constant(found)).numpy(), found, rtol=1e-6)  # what lies on a grid stays


def test_half_precision_and_zeros():
    weight = np.array([[0.1, 0.0], [1e-3, 0.0]], np.float32)
    np.testing.assert_array_equal(rounded(weight, Grid(16)), weight.astype(np.float16).astype(np.float32))
    zeros = np.zeros((64, 3), np.float32)
    for grid in (Grid(8), Grid(4), Grid(4, block=32)):
        np.testing.assert_array_equal(rounded(zeros, grid), zeros)


def test_gradient_goes_straight_through():
    weight = tf.Variable(np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(rounded_straight_through(weight, Grid(4, block=32)) ** 2)
    np.testing.assert_allclose(tape.gradient(loss, weight), 2 * rounded(weight, Grid(4, block=32)), rtol=1e-6)


def test_matrices_are_what_data_are_multiplied_with():
    text = matrices(ar_zoo.create("gpt.tiny", units=32))
    assert text["embedding/table"] == (0, True, True)  # tied: it is the output layer too
    assert text["block_1/attention/out/kernel"] == text["block_0/expand/kernel"] == (-1, True, False)
    assert "positions/table" not in text
    assert not any(path.endswith(("bias", "gain", "scale")) for path in text)
    pixels = matrices(ar_zoo.create("gated_pixel_cnn.tiny"))
    assert pixels["layer_1/row_conv/kernel"] == (-1, False, False)
    assert not {"layer_0/condition/table", "layer_0/positions/rows"} & set(pixels)
    untied = matrices(ar_zoo.create("wavenet.tiny"))
    assert "embedding/table" not in untied
    assert untied["conv_3/kernel"] == (-1, False, False)  # 18 inputs


def test_large_tables_that_rows_are_looked_up_in_take_eight_bits(monkeypatch):
    small = ar_zoo.create("llama.tiny", tied=False, head=Categorical(100), units=16)
    assert "embedding/table" not in matrices(small)
    monkeypatch.setattr(quantization, "LARGE_TABLE", 101 * 16)
    assert matrices(small)["embedding/table"] == (0, False, True)
    assert grids(small, "int4")["embedding/table"] == Grid(8, axis=0)
    monkeypatch.setattr(quantization, "LARGE_TABLE", 101 * 16 + 1)
    assert "embedding/table" not in matrices(small)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("wavenet.tiny", {"output/kernel"}),
        ("gpt.tiny", {"embedding/table"}),
        ("pixel_cnn.tiny", {"output/kernel"}),
        ("neural_lm.tiny", {"output/kernel", "direct/kernel"}),
    ],
)
def test_what_gives_the_parameters_keeps_eight_bits_unless_it_is_named(name, last):
    model = ar_zoo.create(name, units=8)
    assert {path for path, (*_, ends) in matrices(model).items() if ends} == last
    found = grids(model, "int4")
    assert {path for path, grid in found.items() if grid.bits == 8} == last
    assert any(grid.bits == 4 for grid in found.values())
    (path, *_) = last
    assert grids(model, {path: "int4", "": "int4"})[path].bits == 4


def test_the_first_expression_that_is_found_decides():
    model = ar_zoo.create("gpt.tiny", units=32)
    found = grids(model, {"block_0": "float32", "table": "int8", "attention": "float16", "": "int4"})
    assert found["embedding/table"] == Grid(8, 0)
    assert found["block_1/attention/key/kernel"] == Grid(16, -1)
    assert found["block_1/reduce/kernel"] == Grid(4, -1, 32)
    assert not any(path.startswith("block_0") for path in found)
    assert grids(model, "int8")["block_0/reduce/kernel"] == Grid(8)


def test_narrow_matrices_stay_in_half_precision_unless_they_are_named():
    """A convolution over pixels themselves takes two features a channel of the image."""
    model = ar_zoo.create("gated_pixel_cnn.tiny", image_shape=(4, 5, 1), head=Categorical(4), units=8)
    for scheme, bits in (("int4", 4), ("int8", 8), ({"hidden": "float32", "": "int4"}, 4)):
        found = grids(model, scheme)
        assert {path for path, grid in found.items() if grid.bits == 16} == {
            "layer_0/column_conv/kernel",
            "layer_0/row_conv/kernel",
        }
        assert found["layer_1/column_conv/kernel"].bits == bits  # eight channels
    assert grids(model, {"layer_0": "int4"})["layer_0/column_conv/kernel"] == Grid(4)
    assert "layer_0/column_conv/kernel" not in grids(model, {"layer_0": "float32", "": "int4"})
    turned = ar_zoo.create("gpt.tiny", head=Categorical(5), units=4, num_heads=2, num_kv_heads=1)
    assert grids(turned, "int8")["embedding/table"].bits == 16  # [symbols, units]: four of them


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("int5", "`quantize` must be 'float16', 'int8', 'int4', or a dict .* got 'int5'"),
        ("float32", "`quantize` must be"),
        ({}, "`quantize` must be"),
        ({"output": "int3"}, "`quantize` must be"),
        ({"(": "int8"}, "a regular expression that cannot be read"),
        ({"nowhere": "int8"}, "names 'nowhere', which is found in no matrix's path; there are embedding/table"),
    ],
)
def test_bad_schemes(scheme, message):
    with pytest.raises(ValueError, match=message):
        grids(ar_zoo.create("gpt.tiny"), scheme)


def test_schemes_from_a_command_line():
    assert read_scheme(["int8"]) == "int8"
    assert read_scheme(["output|a=b=int8", "=int4"]) == {"output|a=b": "int8", "": "int4"}
    assert read_scheme(["output=int8"]) == {"output": "int8"}
    with pytest.raises(ValueError, match="one name, or PATTERN=NAME"):
        read_scheme(["int8", "int4"])


def test_weights_come_back_whatever_happens():
    model = ar_zoo.create("gpt.tiny")
    before = {path: weight.numpy() for path, weight in named_weights(model).items()}
    chosen = grids(model, "int4")
    with contextlib.suppress(KeyError), rounded_weights(model, chosen):
        changed = {path for path, weight in named_weights(model).items() if np.any(weight.numpy() != before[path])}
        raise KeyError
    assert changed == set(chosen)
    for path, weight in named_weights(model).items():
        np.testing.assert_array_equal(weight.numpy(), before[path])
