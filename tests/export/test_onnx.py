"""What ONNX files hold, and the operations that tf2onnx gets wrong without a word."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras import ops

from ar_zoo.export.conversion import Converter
from ar_zoo.export.to_onnx import OPSET, onnx_name
from tests.export.families import FAMILIES

OLD = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
FUNCTIONS = {  # name → (function, inputs)
    "one_axis": (
        lambda old, new, start: ops.slice_update(old, [0, 0, start], new),
        dict(old=OLD, new=-OLD[:, :, :2] - 1, start=np.int32(1)),
    ),
    "two_axes": (
        lambda old, new, start: ops.slice_update(old, [0, start, start], new),
        dict(old=OLD, new=-OLD[:, :2, :2] - 1, start=np.int32(1)),
    ),
    "past_the_end": (  # XLA, and so TensorFlow, moves the start back
        lambda old, new, start: ops.slice_update(old, [0, start, 0], new),
        dict(old=OLD, new=-OLD[:, :2] - 1, start=np.int32(2)),
    ),
    "all_of_it": (
        lambda old, new, start: ops.slice_update(old, [start, 0, 0], new),
        dict(old=OLD, new=-OLD, start=np.int32(0)),
    ),
    "whole_remainder": (lambda a, b: a % b, dict(a=np.arange(-5, 6, dtype=np.int32), b=np.int32(3))),
    "whole_quotient": (lambda a, b: a // b, dict(a=np.arange(-5, 6, dtype=np.int32), b=np.int32(3))),
    "remainder": (lambda a, b: a % b, dict(a=np.linspace(-5, 5, 9, dtype=np.float32), b=np.float32(1.5))),
    "quotient": (lambda a, b: a // b, dict(a=np.linspace(-5, 5, 9, dtype=np.float32), b=np.float32(1.5))),
    "log1p": (ops.log1p, dict(a=np.array([-0.5, 0.0, 1e-9, 3e-8, 1e-3, 0.7, 50.0], np.float32))),
    "no_nan": (
        lambda a, b: tf.math.multiply_no_nan(a, b),
        dict(a=np.array([np.inf, np.nan, 2.0, -3.0], np.float32), b=np.array([0.0, 0.0, 1.5, 0.0], np.float32)),
    ),
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The folder of all `FUNCTIONS`, converted by one process."""
    folder, signatures = tmp_path_factory.mktemp("onnx"), {}
    for name, (function, inputs) in FUNCTIONS.items():
        specs = [tf.TensorSpec(np.shape(value), np.asarray(value).dtype, name=key) for key, value in inputs.items()]
        traced = lambda *tensors, function=function: {"out": function(*tensors)}  # noqa: E731
        signatures[name] = tf.function(traced, input_signature=specs).get_concrete_function()
    tf.saved_model.save(tf.Module(), str(folder / "saved"), signatures=signatures)
    with Converter("onnx") as converter:
        assert list(converter.convert(folder / "saved", {name: folder / f"{name}.onnx" for name in FUNCTIONS}))
    return folder


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations(converted, name):
    function, inputs = FUNCTIONS[name]
    inputs = {key: np.asarray(value) for key, value in inputs.items()}
    session = onnxruntime.InferenceSession(str(converted / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    expected = function(*(tf.constant(value) for value in inputs.values()))
    np.testing.assert_allclose(session.run(["out"], inputs)[0], expected, rtol=1e-6)  # of logarithms the last digit


@pytest.mark.parametrize("family", FAMILIES)
def test_files_are_valid_and_names_are_the_endpoints(exported, family):
    files = sorted(exported(family).glob("*.onnx"))
    assert files
    for file in files:
        graph = onnx.load(file)
        onnx.checker.check_model(graph, full_check=True)
        assert [opset.version for opset in graph.opset_import if opset.domain == ""] == [OPSET]
        assert not any(":" in value.name for value in [*graph.graph.input, *graph.graph.output])


def test_a_state_that_comes_in_and_goes_out_has_two_names():
    assert onnx_name("window", {"window", "prev"}) == "new_window"
    assert onnx_name("params", {"window", "prev"}) == "params"
