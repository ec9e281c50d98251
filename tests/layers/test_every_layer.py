"""What holds for every layer alike: configurations, serialisation, dtype policies, and that none needs TensorFlow."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from ar_zoo import layers
from tests.layers import cases


def test_every_layer_has_a_case():
    public = {name for name in layers.__all__ if name[0].isupper()}
    assert public == {cls.__name__ for cls, _, _ in cases.CASES.values()}


@pytest.mark.parametrize("name", cases.CASES)
def test_configuration_holds_every_argument(name):
    layer, inputs = cases.make(name)
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    for argument, value in cases.CASES[name][1].items():
        assert getattr(copy, argument) in (value, (value, value))
    assert (copy.name, copy.dtype_policy) == (layer.name, layer.dtype_policy)
    copy(*inputs)
    copy.set_weights(layer.get_weights())
    for one, other in zip(cases.outputs(layer, inputs), cases.outputs(copy, inputs), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", cases.CASES)
def test_serialised_through_json(name):
    layer, inputs = cases.make(name, dtype="mixed_bfloat16")
    layer.trainable = False
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    copy = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(copy) is type(layer)
    assert not copy.trainable
    copy(*inputs)
    copy.set_weights(layer.get_weights())
    for one, other in zip(cases.outputs(layer, inputs), cases.outputs(copy, inputs), strict=True):
        np.testing.assert_array_equal(one.astype("float32"), other.astype("float32"))


@pytest.mark.parametrize("name", ["attention", "causal_conv", "gate", "masked_conv_a", "pixels", "embedding"])
def test_keras_file(name, tmp_path):
    layer, inputs = cases.make(name)
    model = keras.Sequential([keras.Input(inputs[0].shape[1:], dtype=inputs[0].dtype), layer])
    expected = np.asarray(model(*inputs))
    model.save(tmp_path / "layer.keras")
    loaded = keras.models.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(np.asarray(loaded(*inputs)), expected)


@pytest.mark.parametrize("name", cases.CASES)
@pytest.mark.parametrize(
    ("policy", "computes", "stores"),
    [
        ("float32", "float32", "float32"),
        ("float64", "float64", "float64"),
        ("bfloat16", "bfloat16", "bfloat16"),
        ("mixed_bfloat16", "bfloat16", "float32"),
    ],
)
def test_policies(name, policy, computes, stores):
    layer, inputs = cases.make(name, dtype=policy)
    assert {weight.dtype for weight in layer.weights} <= {stores}
    # Labels stay whole numbers, and colours keep what tells their levels apart.
    wanted = {"null_dropout": "int32", "neighbours": computes.replace("bfloat16", "float32")}.get(name, computes)
    for value in cases.outputs(layer, inputs):
        assert value.dtype.name == wanted
    exact, _ = cases.make(name, dtype="float64")
    bound = {"float64": 1e-12, "float32": 1e-4, "bfloat16": 0.1}[computes]
    for value, right in zip(cases.outputs(layer, inputs), cases.outputs(exact, inputs), strict=True):
        np.testing.assert_allclose(value.astype("float64"), right, rtol=bound, atol=bound * np.abs(right).max())


def test_a_position_layer_travels_inside_attention():
    """A scheme may be a layer; a copy of the attention gets a copy of it, not the same one."""
    attention = layers.CausalSelfAttention(2, positions=layers.LearnedPositions(9))
    x = cases.values((2, 7, 8))
    attention(x)
    cases.randomised(attention)
    copy = layers.CausalSelfAttention.from_config(attention.get_config())
    copy(x)
    assert copy.positions is not attention.positions
    copy.set_weights(attention.get_weights())
    np.testing.assert_array_equal(np.asarray(copy(x)), np.asarray(attention(x)))
    assert len(attention.weights) == 9  # four kernels and biases, and one table


def test_layers_use_the_backend_neutral_part_of_keras_only():
    """Every backend runs them: of Keras they use `ops`, layers, initializers, random numbers and saving."""
    used = set()
    for path in Path(layers.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "keras":
                used.add(f"keras.{node.attr}")
    allowed = {"keras", "math", "numpy", "__future__.annotations"}
    allowed |= {
        f"keras.{name}" for name in ("ops", "saving", "layers", "activations", "initializers", "random", "KerasTensor")
    }
    assert {name for name in used if not name.startswith("ar_zoo.")} <= allowed
    assert {name for name in used if name.startswith("ar_zoo.core.")} <= {
        f"ar_zoo.core.{name}"
        for name in (
            "cache.KeyValue",
            "cache.State",
            "cache.DelayLine",
            "cache.Link",
            "lookup.entries",
            "cache.is_scalar",
            "config.Configurable",
        )
    }
