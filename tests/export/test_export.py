"""What `ar_zoo.export` writes, and what it refuses."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from tensorflow.lite.python import schema_py_generated as schema

import ar_zoo
from ar_zoo.core.files import sha256_of
from ar_zoo.export import conversion, parity, tensor_order
from ar_zoo.export.signatures import Slot, endpoints
from ar_zoo.heads import Categorical
from tests.export.families import FAMILIES, model, randomised

every_family = pytest.mark.parametrize("family", FAMILIES)


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def slots(manifest, endpoint, group):
    return {slot["name"]: slot["shape"] for slot in manifest["endpoints"][endpoint][group]}


def test_a_pixel_step_moves_only_what_it_needs(exported):
    manifest = manifest_of(exported("gated_pixel_cnn"))
    changing = {"window": [2, 3, 2], "layer_1_left": [2, 3, 8], "layer_2_left": [2, 2, 8]}
    links = {f"layer_{i}_link_site": [2, 16] for i in range(3)}
    rows = {"layer_0_rows": [2, 2, 5, 4], "layer_1_rows": [2, 2, 5, 8], "layer_2_rows": [2, 1, 5, 8]}
    blocks = {f"layer_{i}_link_block": [2, 5, 16] for i in range(3)}
    assert slots(manifest, "step", "inputs") == {"prev": [2, 1], "index": []} | changing | links
    assert slots(manifest, "step", "outputs") == {"params": [2, 4]} | changing
    assert slots(manifest, "begin_block", "inputs") == {"prev": [2, 10], "index": [], "label": [2]} | rows
    assert slots(manifest, "begin_block", "outputs") == changing | rows | blocks


def test_a_sound_step_takes_taps_and_gives_what_to_push(exported):
    manifest = manifest_of(exported("wavenet"))
    taps = {f"conv_{i}_taps": [2, 2, 6] for i in range(4)}
    drawing = {"prev": [2, 1], "noise": [2, 1], "temperature": [], "label": [2]}
    assert slots(manifest, "sample_step", "inputs") == drawing | taps
    assert slots(manifest, "sample_step", "outputs") == {"symbols": [2, 1]} | {
        f"conv_{i}_push": [2, 6] for i in range(4)
    }
    assert manifest["states"]["conv_1"]["taps"] == [4, 2]
    assert manifest["max_sites"] is None


def test_a_token_step_takes_and_gives_keys_and_values(exported):
    manifest = manifest_of(exported("gpt"))

    def memory(form, sites):
        keys = {f"block_{i}_{role}_{form}": [2, 2, sites, 4] for i in range(2) for role in ("key", "value")}
        return keys | {f"positions_{form}": [2, sites]}

    for name, size in {"step": 12, "step_3": 3, "step_7": 7}.items():
        assert slots(manifest, name, "inputs") == {"prev": [2, 1], "index": []} | memory("held", size)
        assert slots(manifest, name, "outputs") == {"params": [2, 5]} | memory("new", 1)
    assert slots(manifest, "verify_3", "outputs") == {"params": [2, 3, 5]} | memory("new", 3)
    assert manifest["states"]["block_0_key"]["axis"] == 1
    assert manifest["max_sites"] == 12


@every_family
def test_sound_keeps_its_sample_rate(exported, family):
    rate = {"wavenet": 11025}.get(family)
    assert manifest_of(exported(family))["sample_rate"] == rate
    assert ar_zoo.runtime.load(exported(family)).sample_rate == rate


@every_family
def test_manifest_lists_every_file_and_how_close_it_is(exported, family):
    folder = exported(family)
    manifest = manifest_of(folder)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"manifest.json", *manifest["files"]}
    for name, fact in manifest["files"].items():
        assert fact == {"sha256": sha256_of(folder / name), "size": (folder / name).stat().st_size}
    assert manifest["parity"].keys() == {"tflite", "onnx"}
    for parity_of_format in manifest["parity"].values():
        assert parity_of_format.keys() == manifest["endpoints"].keys() - {"generate"}
        assert max(parity_of_format.values()) < 1e-4


@every_family
def test_only_built_in_operations(exported, family):
    files = sorted(exported(family).glob("*.tflite"))
    assert {file.stem for file in files} == manifest_of(exported(family))["endpoints"].keys() - {"generate"}
    for file in files:
        graph = schema.Model.GetRootAsModel(file.read_bytes(), 0)
        codes = [graph.OperatorCodes(i) for i in range(graph.OperatorCodesLength())]
        assert codes
        assert all(code.CustomCode() is None for code in codes)
        assert schema.BuiltinOperator.CUSTOM not in [code.BuiltinCode() for code in codes]


@every_family
def test_saved_model_scores_and_holds_weights_as_variables(exported, family):
    loaded = tf.saved_model.load(str(exported(family) / "saved_model"))
    x = model(family).sample(2, seed=5, num_sites=12 if model(family).num_sites is None else None)
    context = {name: np.zeros((2, *spec.shape), spec.dtype) for name, spec in model(family).context_spec.items()}
    inputs = {name: tf.constant(value) for name, value in {"x": x, **context}.items()}
    outputs = loaded.signatures["score"](**inputs)
    np.testing.assert_allclose(outputs["log_prob"], model(family).log_prob(x, context or None), rtol=1e-5)
    np.testing.assert_allclose(
        outputs["site_log_prob"], model(family).log_prob(x, context or None, reduce="site"), atol=1e-5
    )
    assert {tuple(variable.shape) for variable in loaded.weights} >= {
        tuple(w.shape) for w in model(family).trainable_weights
    }


def test_package_is_the_function_whichever_comes_first():
    for first, second in (("import ar_zoo.export", ""), ("ar_zoo.export", "import ar_zoo.export")):
        program = (
            f"import ar_zoo\n{first}\n{second}\nfrom ar_zoo.export import export\nimport sys\n"
            "for call in (ar_zoo.export, export):\n"
            "    try:\n        call(None, 'x', formats=['keras'])\n"
            "    except ValueError as error:\n        print(error)\n"
            "assert 'tensorflow' not in sys.modules"
        )
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert result.stdout.count("`formats` must hold") == 2, result.stderr


class _Exclusive(Categorical):
    """Draws with an operation that TFLite lacks."""

    def sample(self, params, noise, temperature=1.0):
        drawn = super().sample(params, noise, temperature)
        return ops.bitwise_and(drawn, 3)


def test_an_operation_that_tflite_lacks_is_named_and_nothing_is_left(tmp_path):
    other = ar_zoo.create("gpt.tiny", head=_Exclusive(5), num_layers=1, units=8, num_heads=2, num_kv_heads=1)
    with pytest.raises(ValueError, match="`sample_step` needs BitwiseAnd"):
        ar_zoo.export(other, tmp_path / "out", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_converter_that_dies_says_so(tmp_path, monkeypatch):
    program = tmp_path / "convert.py"
    program.write_text("import sys; sys.stdin.readline(); sys.exit('out of memory')")
    monkeypatch.setattr(conversion, "_PROGRAM", [str(program)])
    with (
        conversion.Converter("tflite") as converter,
        pytest.raises(RuntimeError, match=r"TFLite converter died while converting `score`: out of mem"),
    ):
        list(converter.convert(tmp_path, {"score": tmp_path / "score.tflite"}))


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_a_file_that_differs_from_the_model_is_refused(exported, engine):
    other = randomised(ar_zoo.create("gpt.tiny", **FAMILIES["gpt"]), seed=1)
    score = endpoints(other, 2, 12)["score"]
    opened = ar_zoo.runtime.load(exported("gpt"), engine)._score
    with pytest.raises(ValueError, match=r"Lite form of `score` differs from the model by .* in `log_prob`"):
        parity.measured(score, opened, other, "Lite")


def test_order_of_slots_is_the_files_own_even_where_constants_are_shared():
    a, b, c = (Slot(name, (), "float32") for name in "abc")
    by_name = {"a": {"index": 7}, "b": {"index": 3}, "c": {"index": 7}}
    assert tensor_order._in_order((a, c, b), by_name, [{"index": 7}, {"index": 3}, {"index": 7}]) == (a, b, c)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"formats": ["tflite", "keras"]},
            r"`formats` must hold one or more of 'saved_model', 'tflite', 'onnx', 'litert_lm'; got \['tflite', 'keras'\]",
        ),
        ({"formats": ()}, "`formats` must hold"),
        ({"batch_size": 0}, "`batch_size` must be an integer of at least 1; got 0"),
        ({"batch_size": True}, "`batch_size` must be an integer"),
        ({"num_sites": None}, "`num_sites` must be given"),
        ({"num_sites": 0}, "`num_sites` must be an integer of at least 1"),
        ({"prefill": [9]}, r"`prefill` must hold whole numbers of sites from 2 to 8, .*; got \[9\]"),
        ({"cache_sizes": [4]}, "`cache_sizes` must be empty for wave"),
        (
            {"model": model("gpt"), "cache_sizes": [8]},
            r"`cache_sizes` must hold whole numbers of sites below 8, .*; got \[8\]",
        ),
        ({"verify": [1]}, r"`verify` must hold whole numbers of sites from 2 to 8, .*; got \[1\]"),
        ({"model": model("gated_pixel_cnn"), "num_sites": None, "prefill": [4]}, "`prefill` must be empty for gated"),
        ({"prefill": 4}, r"`prefill` must be a list or tuple of numbers of sites, such as \(16, 64\); got 4"),
        ({"validation": "x.txt"}, "`validation` is for quantised exports: give `quantize`"),
        ({"limit": 3}, "`limit` is for quantised exports"),
        ({"calibration": 3, "quantize": "int8"}, "`calibration` is for `quantize` 'full_int8'; got it with 'int8'"),
        ({"quantize": ["int8"]}, r"`quantize` must be a scheme's name, .* got \['int8'\]"),
        ({"model": "gpt.tiny"}, "`model` must be an AutoregressiveModel.* got str"),
    ],
)
def test_bad_input(tmp_path, arguments, message):
    arguments = {"model": model("wavenet"), "folder": tmp_path / "out", "num_sites": 8, "progress": False} | arguments
    with pytest.raises(ValueError, match=message):
        ar_zoo.export(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        ar_zoo.export(model("gpt"), tmp_path / "out", progress=False)
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(("number", "formats"), [(np.nan, "onnx"), (np.inf, ("saved_model", "tflite"))])
def test_weights_that_are_not_finite_are_named(tmp_path, number, formats):
    other = ar_zoo.create("gpt.tiny")
    weight = next(weight for weight in other.weights if weight.path.endswith("block_1/expand/kernel"))
    weight.assign(np.where(np.arange(np.size(weight.value)).reshape(weight.shape) == 3, number, weight.value))
    with pytest.raises(ValueError, match=r"`model` must have finite weights; \S*block_1/expand/kernel holds 1 of \d+"):
        ar_zoo.export(other, tmp_path / "out", formats, progress=False)
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def files_of_at_most(size):
    """Writing more to one file fails, as on a full disk, in this process and in those that it starts."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def full(*arguments, **more):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FULL_DISKS = {  # what is being written → (formats, how the disk fills up then, words)
    "weights": (("saved_model",), lambda patch: files_of_at_most(20_000), "File too large"),
    "graph": (
        ("tflite",),
        lambda patch: patch.setattr("ar_zoo.export.manifest.file_of", lambda *_: "/dev/full"),
        "No space left on device",
    ),
    "manifest": (("saved_model",), lambda patch: patch.setattr("pathlib.Path.write_text", full), "No space left on"),
}


@pytest.mark.parametrize("writing", FULL_DISKS)
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, writing):
    formats, fill_up, words = FULL_DISKS[writing]
    older = tmp_path / "out" / "manifest.json"
    older.parent.mkdir()
    older.write_text("older")
    with (
        pytest.raises(
            OSError, match=f"export to .*out could not be written: .*{words}.* Nothing of it was kept"
        ) as said,
        fill_up(monkeypatch) or contextlib.nullcontext(),
    ):
        ar_zoo.export(model("gpt"), tmp_path / "out", formats, prefill=(), progress=False)
    assert "\n" not in str(said.value)
    assert older.read_text() == "older"
    assert sorted(tmp_path.rglob("*")) == [older.parent, older], "no temporary folder either"


def test_a_format_whose_packages_are_missing_names_them(tmp_path, monkeypatch):
    monkeypatch.setattr(ar_zoo.export.artifact, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs tf2onnx and onnxruntime: `pip install 'ar_zoo\[onnx\]'`"):
        ar_zoo.export(model("gpt"), tmp_path / "out", formats="onnx", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_chunks_move_queues_whole(exported):
    manifest = manifest_of(exported("wavenet"))
    assert slots(manifest, "prefill_4", "inputs") == {"prev": [2, 4], "label": [2]} | {
        f"conv_{i}_history": [2, depth, 6] for i, depth in enumerate((2, 4, 2))
    }, "the last layer's queue does not matter to what is pushed"
    assert slots(manifest, "prefill_4", "outputs") == {f"conv_{i}_pushes": [2, 4, 6] for i in range(4)}
    assert slots(manifest, "verify_3", "outputs")["params"] == [2, 3, 5]


def test_half_precision_is_refused(tmp_path):
    half = ar_zoo.create("gpt.tiny", dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match="computes in bfloat16; exports compute in float32"):
        ar_zoo.export(half, tmp_path / "out", progress=False)
