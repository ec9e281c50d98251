"""A folder that is damaged, or not what it says, is refused before anything in it runs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.files import sha256_of
from ar_zoo.runtime import load
from tests.export.families import BATCH, randomised


@pytest.fixture
def folder(exported, tmp_path):
    """A copy to damage."""
    return shutil.copytree(exported("gpt"), tmp_path / "copy")


def edit(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refused(folder, message):
    with pytest.raises(ValueError, match=message):
        load(folder).sample()


def test_the_copy_is_whole(folder):
    assert load(folder).sample().shape == (1, 12)


def test_truncated_file(folder):
    file = folder / "step.tflite"
    file.write_bytes(file.read_bytes()[:-100])
    refused(folder, r"step.tflite has \d+ bytes, its manifest says \d+: it was cut short")


def test_edited_file(folder):
    content = bytearray((folder / "score.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "score.tflite").write_bytes(content)
    refused(folder, "score.tflite does not match the sha256 in its manifest")


def test_missing_file(folder):
    (folder / "sample_step.tflite").unlink()
    refused(folder, "sample_step.tflite is missing: the folder is not complete")


def test_missing_manifest(folder):
    (folder / "manifest.json").unlink()
    refused(folder, "has no manifest.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format_version": 1, "files": 3}', "\xff"])
def test_damaged_manifest(folder, content):
    (folder / "manifest.json").write_bytes(content.encode("latin-1"))
    refused(folder, "is damaged or not an export's")


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        (lambda manifest: manifest["head"].pop("num_symbols"), "head.num_symbols"),
        (lambda manifest: manifest["endpoints"].pop("sample_step"), "endpoints.sample_step.tflite"),
        (lambda manifest: manifest["endpoints"]["sample_step"].pop("tflite"), "endpoints.sample_step.tflite"),
        (lambda manifest: manifest["endpoints"]["step"].pop("inputs"), "endpoints.step.inputs"),
        (lambda manifest: manifest.update(batch_size=0), "batch_size of at least 1"),
        (lambda manifest: manifest.update(format_version="x"), "TypeError"),
    ],
)
def test_manifest_that_lacks_what_is_run(folder, change, lacks):
    edit(folder, change)
    refused(folder, f"is damaged or not an export's: .*{lacks}")


def test_an_export_that_was_replaced_since_it_was_loaded(exported, folder, monkeypatch):
    """What was loaded is not mixed with what is there now, and what is loaded anew is not what was there."""
    x, other, engines = (
        [[0, 1, 2]],
        shutil.copytree(exported("gpt"), folder.with_name("other")),
        ("litert", "saved_model"),
    )
    held = [load(folder, engine) for engine in engines]
    beside = [load(other, engine) for engine in engines]
    before = [runtime.score(x)[0] for runtime in held]
    small = randomised(ar_zoo.create("gpt.tiny"), seed=5)
    ar_zoo.export(small, folder, ("saved_model", "tflite"), BATCH, progress=False)
    for runtime, engine, older, apart in zip(held, engines, before, beside, strict=True):
        with pytest.raises(ValueError, match=r"was replaced or changed since it was loaded. Load it again"):
            runtime.params(x)
        after = load(folder, engine).score(x)[0]
        assert np.abs(after - older).max() > 1e-3
        for place, expected in ((folder, after), (other, older)):  # a name of the same letters, elsewhere
            monkeypatch.chdir(place)
            np.testing.assert_allclose(load(".", engine).score(x)[0], expected, rtol=1e-5)
        np.testing.assert_allclose(apart.score(x)[0], older, rtol=1e-5)


@pytest.mark.parametrize("outside", ["../secret", "/etc/passwd", "a/../../b", "..", ".hidden", "a\\b"])
def test_path_outside_the_folder(folder, outside):
    edit(folder, lambda manifest: manifest["files"].update({outside: {"sha256": "0", "size": 1}}))
    refused(folder, "names a file outside its folder")


def test_link_to_a_place_outside(folder, tmp_path):
    (folder / "step.tflite").rename(tmp_path / "elsewhere.tflite")
    (folder / "step.tflite").symlink_to(tmp_path / "elsewhere.tflite")
    refused(folder, "points outside its folder")


def test_endpoint_that_runs_a_file_that_is_not_listed(folder):
    edit(folder, lambda manifest: manifest["endpoints"]["step"].update(tflite="../../elsewhere.tflite"))
    refused(folder, "does not list it among its files")


def test_edited_hash(folder):
    edit(folder, lambda manifest: manifest["files"]["step.tflite"].update(sha256="0" * 64))
    refused(folder, "step.tflite does not match the sha256")


def test_edited_shape(folder):
    def change(manifest):
        manifest["endpoints"]["sample_step"]["inputs"][0]["shape"] = [3, 3]

    edit(folder, change)
    refused(folder, r"sample_step.tflite has tensors .* its manifest describes")


def test_swapped_files(folder):
    """Both are whole and listed, and are not what the manifest says they are."""
    (folder / "step.tflite").write_bytes((folder / "sample_step.tflite").read_bytes())
    fact = {"sha256": sha256_of(folder / "step.tflite"), "size": (folder / "step.tflite").stat().st_size}
    edit(folder, lambda manifest: manifest["files"].update({"step.tflite": fact}))
    with pytest.raises(ValueError, match=r"step\.tflite has tensors"):
        load(folder).params([[0, 1]])


def test_newer_format(folder):
    edit(folder, lambda manifest: manifest.update(format_version=99))
    refused(folder, r"has format version 99; this ar_zoo reads up to 1. Upgrade ar_zoo")


def test_export_without_tflite(folder):
    edit(folder, lambda manifest: [endpoint.pop("tflite", 0) for endpoint in manifest["endpoints"].values()])
    refused(folder, r"holds nothing in the format TFLite. Export it with formats=\('tflite',\)")


@pytest.mark.parametrize(
    ("engine", "file"), [("onnx", "sample_step.onnx"), ("saved_model", "saved_model/saved_model.pb")]
)
def test_other_engines_check_their_files(folder, engine, file):
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    assert load(folder).sample().shape == (1, 12), "what is not run is not checked"
    with pytest.raises(ValueError, match=f"{file} does not match the sha256"):
        load(folder, engine)
