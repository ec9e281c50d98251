"""Quantised exports: what the files hold, what is measured, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

import ar_zoo
from ar_zoo import runtime
from ar_zoo.core import quantization
from ar_zoo.core.quantization import grids, rounded_weights
from ar_zoo.data import Examples
from ar_zoo.export import shrink as shrinking
from ar_zoo.export import shrink_onnx
from ar_zoo.export.calibrate import ranges, recorded_calls
from ar_zoo.export.quantize import Quantization
from ar_zoo.export.shrink import scales, shrink
from ar_zoo.heads import Categorical
from tests.export.families import model, randomised
from tests.export.quantised import SITES, manifest_of, text_model, validation


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    """A text model whose output is int8, first block float32 and the rest int4."""
    folder = tmp_path_factory.mktemp("quantised") / "text"
    scheme = {"table": "int8", "block_0": "float32", "attention": "float16", "": "int4"}
    return ar_zoo.export(
        text_model(), folder, "tflite", progress=False, quantize=scheme, validation=validation(), max_loss=0.5, limit=64
    )


def constants(file, rows=6) -> dict:
    """Shape → dequantised values of the file's int8 matrices of so many channels, from LiteRT's own record of scales."""
    interpreter = Interpreter(model_path=str(file))
    found = {}
    for detail in interpreter.get_tensor_details():
        scale = detail["quantization_parameters"]["scales"]
        if detail["dtype"] == np.int8 and len(scale) == rows:
            values = interpreter.tensor(detail["index"])().astype(np.float32)
            found[tuple(values.shape)] = values * scale[:, None]
    return found


def is_static(detail) -> bool:
    """An activation whose range was fixed: int8 with one scale, and a zero point."""
    return detail["dtype"] == np.int8 and detail["quantization_parameters"]["zero_points"].any()


def test_manifest_says_what_was_lost_and_how_matrices_are_stored(quantised):
    quality = manifest_of(quantised)["quality"]
    assert quality["events"] == 64
    assert quality["data"] == "Examples"
    assert quality["loss"] == quality["bits_per_dim"] / quality["bits_per_dim_float32"] - 1
    x = validation().x.reshape(64, SITES)
    bits = -text_model().log_prob(x).numpy().mean() / np.log(2) / SITES
    np.testing.assert_allclose(quality["bits_per_dim_float32"], bits, rtol=1e-5)
    measured = -runtime.load(quantised).score(x)[0].mean() / np.log(2) / SITES
    np.testing.assert_allclose(quality["bits_per_dim"], measured, rtol=1e-6)
    attention = 32 * 32 * 2 + 32 * 16 * 2
    block = attention + 2 * 32 * 128
    expected = {"float16": attention, "float32": block, "int4, blocks of 32": 2 * 32 * 128, "int8": 6 * 32}
    assert quality["stored"] == {f"{name}.tflite": expected for name in ("sample_step", "score", "step")}


def test_files_hold_the_rounded_weights(quantised):
    """The tied output matrix, int8, as a loop over its rows has it."""
    table = text_model().get_layer("embedding").table.numpy()
    scale = np.abs(table).max(axis=1, keepdims=True) / 127
    for file in ("score", "step", "sample_step"):
        found = constants(quantised / f"{file}.tflite")[(6, 32)]
        np.testing.assert_allclose(found, np.rint(table / scale) * scale, rtol=1e-5)


def test_the_runtime_computes_with_the_rounded_weights(quantised):
    """Apart from the rounding of activations, which is small beside that of four-bit weights."""
    text, x = text_model(), validation().x.reshape(-1, SITES)
    exact = text.log_prob(x, reduce="site").numpy()
    with rounded_weights(text, grids(text, manifest_of(quantised)["quality"]["scheme"])):
        expected = text.log_prob(x, reduce="site").numpy()
    found = runtime.load(quantised).score(x)[1]
    assert np.abs(found - expected).mean() < 0.35 * np.abs(found - exact).mean()
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_states_stay_float(quantised):
    for name, state in manifest_of(quantised)["states"].items():
        assert state["dtype"] == ("int32" if name == "positions" else "float32")
    interpreter = Interpreter(model_path=str(quantised / "step.tflite"))
    details = interpreter.get_input_details() + interpreter.get_output_details()
    assert {np.dtype(detail["dtype"]).name for detail in details} == {"float32", "int32"}


def test_too_great_a_loss_is_refused_with_the_figures(quantised):
    scheme = manifest_of(quantised)["quality"]["scheme"]
    made = Quantization(text_model(), scheme, validation(), max_loss=1e-6, limit=64)
    with pytest.raises(ValueError, match=r"needs .* bits .* \+.*% against .* `max_loss` allows 0\.00%.*--qat"):
        made.measured(quantised)


def test_steps_that_do_not_agree_with_score_are_refused(quantised, monkeypatch):
    made = Quantization(text_model(), "int8", validation(), max_loss=0.5)
    monkeypatch.setattr(runtime.Runtime, "params", lambda self, x, context: np.zeros((*x.shape, 5), np.float32))
    with pytest.raises(ValueError, match=r"the chain of steps needs 2\.32.* and `score`"):
        made.measured(quantised)


@pytest.mark.slow
def test_nothing_is_left_of_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`max_loss` allows"):
        ar_zoo.export(
            text_model(), tmp_path / "out", "tflite", progress=False,
            quantize="int4", validation=validation(), max_loss=1e-9, limit=64,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantize": "int2"}, "`quantize` must be 'float16', 'int8'"),
        ({"validation": None}, "`validation` must name data"),
        ({"validation": 3}, "`validation` must be a source .* got int"),
        ({"max_loss": 0}, "`max_loss` must be above 0"),
        ({"max_loss": "1%"}, "`max_loss` must be above 0"),
        ({"quantize": "full_int8"}, "'full_int8' is for models without keys and values .* keeps 'block_0_key'"),
        ({"limit": 0}, "`limit` must be an integer of at least 1; got 0"),
        ({"formats": "saved_model"}, "`quantize` is for TFLite and ONNX files"),
        (
            {"formats": ("tflite", "onnx"), "quantize": "int4"},
            "`quantize` 'int4' is for TFLite files; ONNX files .* 'int8'",
        ),
        ({"formats": "onnx", "quantize": {"table": "float16", "": "int8"}}, "`quantize` 'float16' is for TFLite files"),
    ],
)
def test_bad_input(tmp_path, arguments, message):
    given = {"formats": "tflite", "progress": False, "quantize": "int8", "validation": validation()} | arguments
    with pytest.raises(ValueError, match=message):
        ar_zoo.export(text_model(), tmp_path / "out", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_quantizer_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_quantizer", None)
    with pytest.raises(ImportError, match=r"ar_zoo\[quantize\]"):
        shrink(tmp_path / "score.tflite", [(8, None)])


def test_matrices_on_no_grid_stay_as_they_are(exported, tmp_path):
    """An export in float32: nothing lies on a grid, and nothing may be rounded."""
    file = tmp_path / "step.tflite"
    shutil.copy(exported("gpt") / "step.tflite", file)
    before = file.read_bytes()
    assert list(shrink(file, [(4, None), (8, None)])) == ["float32"]
    assert file.read_bytes() == before


def test_full_int8_wants_data_to_calibrate_on(tmp_path):
    wavenet = ar_zoo.create("wavenet.tiny")
    data = Examples(np.zeros(SITES, np.int32), window=SITES)
    with pytest.raises(ValueError, match="`calibration` must name data"):
        ar_zoo.export(wavenet, tmp_path / "out", "tflite", num_sites=SITES, quantize="full_int8", validation=data)


def test_ranges_are_those_of_the_data(exported):
    """Of a tensor that can be computed by hand: the last product of `step` gives its params."""
    folder = exported("wavenet")
    x = model("wavenet").sample(4, seed=1, num_sites=SITES)
    context = {"label": np.zeros(4, np.int32)}
    calls = recorded_calls(folder, x, context)
    counts = {"score": 2, "step": 24, "sample_step": 24, "prefill_4": 6, "verify_3": 8}
    assert {name: len(found) for name, found in calls.items()} == counts
    assert calls["verify_3"][5]["prev"].tolist() == x[2:, 2:5].tolist()
    assert calls["prefill_4"][3]["prev"][:, 0].tolist() == [-1, -1]
    # What a chunk's delay lines hold is what the steps take one by one: the newest tap, and the last of the history.
    taps, history = calls["step"][6]["conv_0_taps"], calls["verify_3"][2]["conv_0_history"]
    assert np.abs(taps).max() > 0
    np.testing.assert_allclose(history[:, -1], taps[:, -1], rtol=1e-5)
    np.testing.assert_array_equal(calls["score"][1]["x"], x[2:])
    assert [call["prev"][:, 0].tolist() for call in calls["step"][:2]] == [[-1, -1], x[:2, 0].tolist()]
    assert 0 < calls["sample_step"][0]["noise"].min() < calls["sample_step"][0]["noise"].max() < 1
    interpreter = Interpreter(str(folder / "step.tflite"))
    params = next(d["name"] for d in interpreter.get_output_details() if d["shape"].tolist() == [2, 5])
    found = ranges(folder / "step.tflite", {params}, calls["step"])[params]
    expected = np.concatenate([runtime.load(folder).params(x[i : i + 2], context["label"][i : i + 2]) for i in (0, 2)])
    assert found["min"].shape == (1, 1)
    np.testing.assert_allclose([found["min"].item(), found["max"].item()], [expected.min(), expected.max()], rtol=1e-4)


@pytest.mark.parametrize(("bits", "short"), [(4, False), (4, True), (8, False)])
def test_scales_are_found_again(bits, short):
    random = np.random.default_rng(0)
    top = 2 ** (bits - 1) - 1
    wholes = random.integers(-top, top + 1, (40, 32)).astype(np.float32)
    wholes[:, 5] = top
    wholes[7] = 0
    wholes[8] = np.where(np.arange(32) == 3, 3, -1)  # a part of a channel that lacks its largest number
    wholes[9, :20] = top  # of which a larger number would do, were it not for the others
    true = random.uniform(0.01, 0.1, (40, 1)).astype(np.float32)
    true = (true.view(np.uint32) & 0xFFFF0000).view(np.float32) if short else true
    found = scales(wholes * true, bits, short)
    np.testing.assert_allclose(np.rint(wholes * true / found[:, None]) * found[:, None], wholes * true, rtol=1e-5)
    np.testing.assert_allclose(np.delete(found, 7), np.delete(true[:, 0], 7), rtol=1e-5)
    assert scales(random.normal(size=(40, 32)).astype(np.float32), bits, short) is None
    late = np.concatenate([wholes * true, random.normal(size=(1, 32))]).astype(np.float32)
    assert scales(late, bits, short) is None


def assert_steps_are_of_rounded_weights(folder, small, x, scheme):
    """Whatever part of a weight a step holds, it has the values of the whole."""
    context = {name: np.zeros((1, *spec.shape), spec.dtype) for name, spec in small.context_spec.items()}
    exact = np.asarray(small(x, context=context)).reshape(-1)
    with rounded_weights(small, grids(small, scheme)):
        expected = np.asarray(small(x, context=context)).reshape(-1)
    found = runtime.load(folder).params(x, context).reshape(-1)
    assert np.abs(found - expected).mean() < 0.25 * np.abs(found - exact).mean()


def test_gains_before_a_matrix_leave_it_on_its_grid(tmp_path):
    """A converter multiplies a constant that comes right before a matrix into it."""
    small = randomised(ar_zoo.create("llama.tiny"), scale=0.2)
    data = Examples(small.sample(8, seed=2, num_sites=6).reshape(-1), window=6)
    how = dict(num_sites=6, quantize="int8", validation=data, max_loss=0.5, progress=False)
    folder = ar_zoo.export(small, tmp_path / "llama", "tflite", **how)
    assert all(set(forms) == {"int8"} for forms in manifest_of(folder)["quality"]["stored"].values())


def operations(file) -> set:
    return {operation["op_name"] for operation in Interpreter(str(file))._get_ops_details()}


@pytest.mark.parametrize("tied", [True, False])
def test_large_tables_are_looked_up_in_eight_bits(tmp_path, monkeypatch, tied):
    """TFLite and ONNX hold the same rows; TFLite holds them once, where the table is the output's too."""
    for module in (quantization, shrinking, shrink_onnx):
        monkeypatch.setattr(module, "LARGE_TABLE", 65 * 32)
    small = randomised(ar_zoo.create("llama.tiny", head=Categorical(64), units=32, tied=tied), scale=0.2)
    x = small.sample(8, seed=2, num_sites=6)
    how = dict(num_sites=6, quantize="int8", validation=Examples(x.reshape(-1), window=6), max_loss=0.5, progress=False)
    engines = {"litert": "tflite"} if tied else {"litert": "tflite", "onnx": "onnx"}
    folder = ar_zoo.export(small, tmp_path / "llama", tuple(engines.values()), **how)
    stored = manifest_of(folder)["quality"]["stored"]
    assert all(set(forms) == {"int8"} for forms in stored.values())
    with rounded_weights(small, grids(small, "int8")):
        expected = small.log_prob(x, reduce="site").numpy()
        rows = small.get_layer("embedding").table.numpy()
    for file in folder.glob("*.tflite"):
        assert "EMBEDDING_LOOKUP" in operations(file)
        assert "GATHER" not in operations(file)
        found = constants(file, rows=65)[(65, 32)]
        np.testing.assert_allclose(found, rows, rtol=1e-5)
        tables = [
            detail for detail in Interpreter(str(file)).get_tensor_details() if detail["shape"].tolist() == [65, 32]
        ]
        assert [detail["dtype"] for detail in tables] == [np.int8]
    for file in folder.glob("*.onnx"):
        held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
        (name,) = (name for name in held if name.endswith("_rows"))
        assert held[name].dtype == np.int8
        np.testing.assert_allclose(held[name] * held[name.replace("_rows", "_scales")], rows, rtol=1e-5)
        assert not any(value.dtype == np.float32 and value.shape == (65, 32) for value in held.values())
    for engine in engines:
        found = runtime.load(folder, engine).score(x)[1]
        assert np.abs(found - expected).mean() < 0.1 * np.abs(expected - expected.mean()).mean()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gated_pixel_cnn", "wavenet", "pixel_cnn"])
def test_every_endpoint_of_every_kind_of_state(tmp_path, family):
    """Convolutions, rows, links and delay lines: the chain of steps agrees with `score`, or export refuses."""
    small = randomised(ar_zoo.create(f"{family}.tiny", units=8), scale=0.2)
    chunks = {} if small.block_sizes else {"prefill": (4,), "verify": (3,)}
    sites = SITES if small.num_sites is None else None
    x = small.sample(16, seed=2, num_sites=sites)
    data = Examples(x) if sites is None else Examples(x.reshape(-1), window=sites)
    for scheme in ("int8", "int4", "full_int8"):
        folder = ar_zoo.export(
            small, tmp_path / scheme, "tflite", num_sites=sites, progress=False,
            quantize=scheme, validation=data, calibration=data if scheme == "full_int8" else None, max_loss=0.5, **chunks,
        )  # fmt: skip
        stored = manifest_of(folder)["quality"]["stored"]
        expected = {"int4", "int8"} if scheme == "int4" else {"int8"}  # the last matrix keeps eight bits
        assert set().union(*stored.values()) - {"float16"} == expected
        assert all(scheme.removeprefix("full_") in forms for forms in stored.values())
        for file in folder.glob("*.tflite"):
            static = any(map(is_static, Interpreter(str(file)).get_tensor_details()))
            assert static == (scheme == "full_int8"), file
        if scheme == "int4":
            assert_steps_are_of_rounded_weights(folder, small, x[:1], scheme)
        if chunks:
            exported = runtime.load(folder)
            one, several = exported.params(x[:1]), exported.params(x[:1], chunk=3)
            assert np.abs(several - one).mean() < 0.1 * np.abs(one - one.mean()).mean()
