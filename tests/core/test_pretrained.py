"""Preset folders: saved, loaded, changed, damaged, hostile, and fetched over HTTP."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import json
import shutil
import threading

import keras
import numpy as np
import pytest

import ar_zoo
from ar_zoo.core import pretrained
from ar_zoo.core.registry import families
from ar_zoo.testing import laws
from ar_zoo.testing.tiny import as_version_1
from tests.core.models import image, sound, text

IMAGES = np.random.default_rng(0).integers(0, 4, (2, 4, 5, 2)).astype("int32")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A preset folder that nobody changes."""
    facts = {"licence": "CC0-1.0", "about": "A test.", "metrics": {"bits": 1.5}}
    facts["data"] = {"train": {"source": "digits", "sha256": "ab" * 32}}
    return ar_zoo.save(image(), tmp_path_factory.mktemp("presets") / "image", name="gated_pixel_cnn.test", **facts)


@pytest.fixture
def preset(original, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(original, tmp_path / "preset")


def rewrite(folder, **changes):
    """Changes the manifest; a value of None removes a key."""
    manifest = json.loads((folder / "manifest.json").read_text()) | changes
    manifest = {key: value for key, value in manifest.items() if value is not None}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def declare(folder, file):
    """Makes the manifest agree with what a file now holds."""
    data = (folder / file).read_bytes()
    files = json.loads((folder / "manifest.json").read_text())["files"]
    rewrite(folder, files=files | {file: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}})


def resize(folder, file):
    """Makes the manifest lie about a size."""
    files = json.loads((folder / "manifest.json").read_text())["files"]
    rewrite(folder, files=files | {file: files[file] | {"size": 7}})


def assert_is_the_image_model(model):
    np.testing.assert_array_equal(np.asarray(model.log_prob(IMAGES, 1)), np.asarray(image().log_prob(IMAGES, 1)))


def test_round_trip(original):
    model = ar_zoo.load(original)
    assert_is_the_image_model(model)
    assert model.load_report["fresh"] == []
    assert len(model.load_report["taken"]) == len(model.weights)
    manifest = json.loads((original / "manifest.json").read_text())
    assert (manifest["name"], manifest["family"], manifest["licence"]) == (
        "gated_pixel_cnn.test",
        "gated_pixel_cnn",
        "CC0-1.0",
    )
    assert manifest["num_weights"] == model.count_params()
    assert manifest["versions"]["ar_zoo"] == ar_zoo.__version__
    assert {file.name for file in original.iterdir()} == {*manifest["files"], "manifest.json", "README.md"}
    card = (original / "README.md").read_text()
    assert 'ar_zoo.load("gated_pixel_cnn.test")' in card
    assert f"{model.count_params():,} weights. Licence: CC0-1.0." in card
    assert "| bits | 1.5 |" in card


def test_sound_keeps_its_sample_rate(tmp_path):
    model = sound()
    assert model.sample_rate is None
    with pytest.raises(ValueError, match="`sample_rate` must be an integer of at least 1, or None; got '8k'"):
        model.sample_rate = "8k"
    again = ar_zoo.load(ar_zoo.save(model, tmp_path / "unknown"))
    assert again.sample_rate is None
    again.sample_rate = 8000
    assert ar_zoo.load(ar_zoo.save(again, tmp_path / "known")).sample_rate == 8000


def test_saving_again_replaces_the_folder(preset):
    (preset / "stray").write_text("old")
    ar_zoo.save(image(), preset)
    assert not (preset / "stray").exists()
    assert sorted(path.name for path in preset.parent.iterdir()) == ["preset"]
    assert_is_the_image_model(ar_zoo.load(str(preset)))


def test_saving_onto_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        ar_zoo.save(image(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16", "float64"])
def test_dtype(original, dtype):
    model = ar_zoo.load(original, dtype=dtype)
    assert model.dtype_policy.name == dtype
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {dtype}
    expected = np.asarray(image().log_prob(IMAGES))
    bound = 1e-5 if dtype == "float64" else 0.05
    np.testing.assert_allclose(np.asarray(model.log_prob(IMAGES)).astype("float64"), expected, rtol=bound)


def test_a_bfloat16_model_is_saved_as_such(tmp_path):
    model = laws.make(families()["gpt"], dtype="bfloat16")
    loaded = ar_zoo.load(ar_zoo.save(model, tmp_path / "preset"))
    assert {weight.dtype for weight in loaded.weights} == {"bfloat16"}
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one).astype("float32"), np.asarray(other).astype("float32"))


def test_overrides_take_what_fits(original, capsys):
    model = ar_zoo.load(original, num_classes=5, label_dropout=0.5)
    taken, fresh = model.load_report["taken"], model.load_report["fresh"]
    assert fresh == [f"layer_{i}/condition/table" for i in range(3)]
    assert len(taken) + len(fresh) == len(model.weights)
    named, stored = pretrained.named_weights(model), pretrained.named_weights(image())
    for path in taken:
        np.testing.assert_array_equal(np.asarray(named[path]), np.asarray(stored[path]))
    report = capsys.readouterr().err
    assert (
        f"gated_pixel_cnn.test: took {len(taken)} weights; these do not fit and start fresh: {', '.join(fresh)}."
        in report
    )
    assert model.label_dropout == 0.5


def test_overrides_that_change_no_shape_say_nothing(original, capsys):
    assert_is_the_image_model(ar_zoo.load(original, dropout=0.5))
    assert "fresh" not in capsys.readouterr().err


def test_unknown_override(original):
    with pytest.raises(
        ValueError, match=r"`load` was given \['filters'\], which GatedPixelCNN does not have.*num_layers"
    ):
        ar_zoo.load(original, filters=3)


def test_every_weight_has_a_name_of_its_own():
    for model in (image(), text()):
        assert len(pretrained.named_weights(model)) == len(model.weights)
    twins = keras.layers.Layer()
    twins.one, twins.other = (keras.layers.Dense(2, name="same") for _ in range(2))
    for part in (twins.one, twins.other):
        part.build((None, 2))
    with pytest.raises(ValueError, match="Two weights have the path 'same/kernel': give the layers names of their own"):
        pretrained.named_weights(twins)


DAMAGE = {
    "no folder": (lambda folder: shutil.rmtree(folder), "is not known"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "is no preset folder: it has no manifest.json"),
    "empty manifest": (lambda folder: (folder / "manifest.json").write_text(""), "manifest.json is damaged or not a"),
    "other manifest": (
        lambda folder: (folder / "manifest.json").write_text("[1]"),
        "manifest.json is damaged or not a",
    ),
    "binary manifest": (
        lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe\x00"),
        "manifest.json is damaged",
    ),
    "no files": (lambda folder: rewrite(folder, files=None), "manifest.json is damaged or not a"),
    "nothing listed": (lambda folder: rewrite(folder, files={}), "does not list config.json, weights.safetensors"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "weights.safetensors is missing"),
    "newer": (
        lambda folder: rewrite(folder, format_version=99),
        "has format version 99; .*reads up to 2. Upgrade ar_zoo",
    ),
    "odd rate": (lambda folder: rewrite(folder, sample_rate=0), "manifest.json: `sample_rate` must be .*; got 0"),
    "odd version": (lambda folder: rewrite(folder, format_version="two"), "manifest.json is damaged or not a"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_folders(preset, kind):
    damage, message = DAMAGE[kind]
    damage(preset)
    with pytest.raises(ValueError, match=message):
        ar_zoo.load(preset)


def test_weights_cut_short(preset):
    weights = preset / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(
        ValueError, match=r"weights\.safetensors has \d+ bytes, its manifest says \d+: it was cut short"
    ):
        ar_zoo.load(preset)


@pytest.mark.parametrize("keep", [0, 4, 50, 2000])
def test_weights_cut_short_with_a_manifest_that_agrees(preset, keep):
    weights = preset / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    declare(preset, "weights.safetensors")
    with pytest.raises(ValueError, match=r"weights\.safetensors cannot be read as safetensors .*cut short or damaged"):
        ar_zoo.load(preset)


@pytest.mark.parametrize("file", ["config.json", "weights.safetensors"])
def test_one_changed_byte(preset, file):
    data = bytearray((preset / file).read_bytes())
    data[-30] ^= 1
    (preset / file).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{file} does not match the sha256 in its manifest"):
        ar_zoo.load(preset)


def test_weights_of_another_model(preset):
    shutil.copy(ar_zoo.save(text(), preset.parent / "other") / "weights.safetensors", preset)
    declare(preset, "weights.safetensors")
    with pytest.raises(ValueError, match=r"weight '.*' should have shape \[.*\]; the file has none of that name"):
        ar_zoo.load(preset)


@pytest.mark.parametrize(
    "config",
    [
        '{"registered_name": "ar_zoo>Nobody", "config": {}}',
        '{"registered_name": "Dense", "config": {"units": 2}}',
        '{"registered_name": "ar_zoo>Categorical", "config": {"num_symbols": 2}}',
        '{"config": {}}',
        "{}",
        "[]",
        "not json",
    ],
)
def test_other_configurations(preset, config):
    (preset / "config.json").write_text(config)
    declare(preset, "config.json")
    with pytest.raises(ValueError, match=r"config\.json"):
        ar_zoo.load(preset)


@pytest.mark.parametrize(
    "head",
    [
        {"class_name": "system", "module": "os", "config": "touch hacked", "registered_name": None},
        {"class_name": "Hack", "module": "hack", "config": {}, "registered_name": "Hack"},
        {"class_name": "__lambda__", "config": {"value": "x"}},
    ],
    ids=["function", "module", "lambda"],
)
def test_a_hostile_configuration_runs_nothing(preset, head, monkeypatch):
    (preset.parent / "hack.py").write_text("open('hacked', 'w').close()\nclass Hack: pass\n")
    monkeypatch.chdir(preset.parent)
    monkeypatch.syspath_prepend(preset.parent)
    config = json.loads((preset / "config.json").read_text())
    config["config"]["head"] = head
    (preset / "config.json").write_text(json.dumps(config))
    declare(preset, "config.json")
    with pytest.raises(ValueError, match=r"config\.json cannot be made into a GatedPixelCNN|Python lambda"):
        ar_zoo.load(preset)
    assert not (preset.parent / "hacked").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/../../outside", "..", "a\\b", ""])
def test_a_manifest_that_points_outside(preset, name):
    (preset.parent / "outside").write_text("secret")
    files = json.loads((preset / "manifest.json").read_text())["files"]
    fact = {"sha256": hashlib.sha256(b"secret").hexdigest(), "size": 6}
    rewrite(preset, files=files | {name: fact})
    with pytest.raises(ValueError, match="names a file outside its folder"):
        ar_zoo.load(preset)


@pytest.mark.parametrize("file", ["weights.safetensors", "config.json", "manifest.json"])
def test_a_link_that_points_outside(preset, file):
    outside = preset.parent / "outside"
    shutil.move(preset / file, outside)
    (preset / file).symlink_to(outside)
    with pytest.raises(ValueError, match=rf"{file} points outside its folder; it is not read"):
        ar_zoo.load(preset)


def test_a_link_within_the_folder(preset):
    shutil.move(preset / "weights.safetensors", preset / "blob")
    (preset / "weights.safetensors").symlink_to("blob")
    assert_is_the_image_model(ar_zoo.load(preset))


def test_a_folder_that_is_a_link(preset):
    (preset.parent / "link").symlink_to(preset)
    assert_is_the_image_model(ar_zoo.load(preset.parent / "link"))


def test_older_format(preset):
    as_version_1(preset)
    assert json.loads((preset / "manifest.json").read_text())["format_version"] == 1
    assert_is_the_image_model(ar_zoo.load(preset))
    rewrite(preset, family="pixel_gnn")
    with pytest.raises(ValueError, match=r"The manifest names the family 'pixel_gnn'; known: .*gated_pixel_cnn"):
        ar_zoo.load(preset)


def test_names():
    for name in ("gated_pixel_cn.mnist", "../pretrained", "a/b"):
        with pytest.raises(ValueError, match=rf"`name` '{name}' is not known\..*It is no folder either; pretrained:"):
            ar_zoo.load(name)
    with pytest.raises(ValueError, match=r"'maf.tiny' has no trained weights. Train it by a recipe"):
        ar_zoo.load("maf.tiny")
    assert ar_zoo.list_pretrained() == sorted(ar_zoo.list_pretrained())


# Over HTTP.


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serve(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AR_ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(folder):
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


@pytest.mark.parametrize("slash", ["", "/"])
def test_download(preset, cache, slash):
    with serve(preset.parent) as address:
        assert_is_the_image_model(ar_zoo.load(f"{address}/preset{slash}"))
    (folder,) = cache.iterdir()
    assert contents(folder) == ["config.json", "manifest.json", "weights.safetensors"]
    assert_is_the_image_model(ar_zoo.load(folder))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: (f / "weights.safetensors").write_bytes(b"x" * 90),
            "weights.safetensors. does not match the known hash",
        ),
        (lambda f: (f / "weights.safetensors").unlink(), "weights.safetensors cannot be reached: 404"),
        (lambda f: (f / "manifest.json").unlink(), "manifest.json answered 404: there is no preset folder"),
        (lambda f: (f / "manifest.json").write_text("<html>"), "manifest.json is damaged or not a preset's manifest"),
        (lambda f: rewrite(f, files=[1]), "manifest.json is damaged or not a preset's manifest"),
        (lambda f: rewrite(f, files={"config.json": {}}), "manifest.json is damaged or not a preset's manifest"),
        (lambda f: rewrite(f, files={"../x": {"sha256": "0", "size": 1}}), "names a file outside its folder"),
        (lambda f: rewrite(f, format_version=99), "has format version 99"),
        (lambda f: resize(f, "weights.safetensors"), r"weights\.safetensors has \d+ bytes, its manifest says 7"),
        (lambda f: rewrite(f, files={}), "does not list config.json"),
    ],
)
def test_a_damaged_download_leaves_nothing(preset, cache, damage, message):
    damage(preset)
    with serve(preset.parent) as address, pytest.raises(ValueError, match=message):
        ar_zoo.load(f"{address}/preset")
    assert contents(cache) == []


def test_a_failed_download_keeps_the_older_one(preset, cache):
    with serve(preset.parent) as address:
        ar_zoo.load(f"{address}/preset")
        before = contents(cache)
        (preset / "weights.safetensors").write_bytes(b"x" * 90)
        with pytest.raises(ValueError, match="does not match the known hash"):
            ar_zoo.load(f"{address}/preset")
    assert contents(cache) == before


def test_nobody_there(cache):
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:9/preset/manifest\.json cannot be reached"):
        ar_zoo.load("http://127.0.0.1:9/preset")
    assert contents(cache) == []
