"""Quantised ONNX files: which weights they hold, and that they are measured as TFLite files are."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import ar_zoo
from ar_zoo import runtime
from ar_zoo.core.quantization import grids, rounded_weights
from ar_zoo.export import shrink_onnx
from ar_zoo.export.quantize import Quantization
from tests.export.quantised import SITES, manifest_of, text_model, validation


@pytest.fixture(scope="module")
def quantised_onnx(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantised") / "onnx"
    return ar_zoo.export(
        text_model(), folder, ("tflite", "onnx"), progress=False, prefill=(4,), verify=(3,),
        quantize={"block_0": "float32", "": "int8"}, validation=validation(), max_loss=0.05, limit=64,
    )  # fmt: skip


@pytest.mark.slow
def test_onnx_files_are_measured_too(quantised_onnx):
    quality = manifest_of(quantised_onnx)["quality"]
    x = validation().x.reshape(64, SITES)
    for engine, format in (("litert", "tflite"), ("onnx", "onnx")):
        measured = -runtime.load(quantised_onnx, engine).score(x)[0].mean() / np.log(2) / SITES
        np.testing.assert_allclose(quality["formats"][format]["bits_per_dim"], measured, rtol=1e-6)
    assert quality["loss"] == max(found["loss"] for found in quality["formats"].values())
    block = 32 * 32 * 2 + 32 * 16 * 2 + 2 * 32 * 128
    for file in ("score.onnx", "step.onnx", "sample_step.onnx", "verify_3.onnx"):
        assert quality["stored"][file] == {"float32": block, "int8": block + 6 * 32}


@pytest.mark.slow
def test_onnx_files_hold_the_rounded_weights(quantised_onnx):
    """Every matrix that is stored in eight bits, in every file, is one of the model's, number by number."""
    with rounded_weights(text_model(), grids(text_model(), "int8")):
        rounded = [weight.numpy() for weight in text_model().weights if len(weight.shape) == 2]
    for file in quantised_onnx.glob("*.onnx"):
        graph = onnx.load(file).graph
        tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        names = [name.removesuffix("_quantized") for name in tensors if name.endswith("_quantized")]
        # A block's six, and the output's; the last block's keys and values alone where nothing is to be predicted.
        assert len(names) == (2 if file.stem == "prefill_4" else 7), file
        for name in names:
            assert tensors[f"{name}_quantized"].dtype == np.uint8
            values = (tensors[f"{name}_quantized"] - np.float32(128)) * tensors[f"{name}_scale"]
            close = [
                other.shape == values.shape and np.allclose(other, values, rtol=1e-5)
                for weight in rounded
                for other in (weight, weight.T)
            ]
            assert any(close), (file, name)


@pytest.mark.slow
def test_onnx_chunks_agree_with_the_steps(quantised_onnx):
    exported, x = runtime.load(quantised_onnx, "onnx"), validation().x.reshape(-1, SITES)[:1]
    exact = np.asarray(text_model()(x)).reshape(1, SITES, -1)
    for chunk in (None, 3):
        found = exported.params(x, chunk=chunk)
        assert 0 < np.abs(found - exact).mean() < 0.05 * np.abs(exact).mean()
    drawn = [runtime.load(quantised_onnx, engine).sample(8, seed=1, prefix=x[0, :6]) for engine in ("onnx", "litert")]
    assert (drawn[0] == drawn[1]).mean() > 0.9


@pytest.mark.slow
def test_an_onnx_file_that_loses_too_much_is_refused(quantised_onnx, monkeypatch):
    made = Quantization(text_model(), "int8", validation(), max_loss=0.05, limit=64)
    assert made.measured(quantised_onnx)["formats"].keys() == {"tflite", "onnx"}
    score = runtime.Runtime.score

    def noisy(self, x, context=None):
        total, each = score(self, x, context)
        return (total * 1.2 if self.format == "onnx" else total), each

    monkeypatch.setattr(runtime.Runtime, "score", noisy)
    with pytest.raises(ValueError, match=r"in ONNX, the model needs .* bits .* `max_loss` allows 5\.00%"):
        made.measured(quantised_onnx)


def graph_of(file, first, second, kernel):
    """y = conv(x · first + 1) reshaped, · second: a Gemm, a convolution and a MatMul."""
    constants = {"first": first, "one": np.ones(6, np.float32), "kernel": kernel, "second": second}
    constants |= {"image": np.array([2, 1, 1, 6]), "rows": np.array([2, 6])}
    node = onnx.helper.make_node
    nodes = [
        node("Gemm", ["x", "first", "one"], ["a"]),
        node("Reshape", ["a", "image"], ["b"]),
        node("Conv", ["b", "kernel"], ["c"]),
        node("Reshape", ["c", "rows"], ["d"]),
        node("MatMul", ["d", "second"], ["y"]),
    ]
    value = lambda name, *shape: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)  # noqa: E731
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(nodes, "graph", [value("x", 2, 40)], [value("y", 2, 5)], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    file.write_bytes(model.SerializeToString())


def on_grid(random, shape):
    """Multiples of a scale for each column that stop short of 127: a part of a weight, whose largest is elsewhere."""
    scale = random.uniform(0.01, 0.02, shape[1]).astype(np.float32)
    return random.integers(-90, 91, shape).astype(np.float32) * scale


@pytest.mark.parametrize("on", [True, False])
def test_matrices_on_the_grid_lose_nothing_and_all_else_stays(tmp_path, on):
    random, file = np.random.default_rng(0), tmp_path / "step.onnx"
    kernel = on_grid(random, (1, 1)).reshape(1, 1, 1, 1) + 1
    first, second = on_grid(random, (40, 6)), random.normal(size=(6, 5)).astype(np.float32)
    first = first if on else random.normal(size=(40, 6)).astype(np.float32)
    graph_of(file, first, second, kernel)
    before = file.read_bytes()
    assert shrink_onnx.shrink(file) == ({"float32": 31, "int8": 240} if on else {"float32": 271})
    if not on:
        assert file.read_bytes() == before
        return
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    stored = (tensors["first_quantized"] - np.float32(128)) * tensors["first_scale"]
    np.testing.assert_allclose(stored, first, rtol=1e-5)
    x = random.normal(size=(2, 40)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert ([value.name for value in session.get_inputs()], [value.name for value in session.get_outputs()]) == (
        ["x"],
        ["y"],
    )
    expected = ((x @ first + 1) * kernel.reshape(())) @ second
    np.testing.assert_allclose(session.run(["y"], {"x": x})[0], expected, atol=0.02 * np.abs(expected).max())
