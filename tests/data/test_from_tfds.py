"""TensorFlow Datasets, prepared here: nothing asks the network."""

from __future__ import annotations

import shutil
import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ar_zoo.data import from_tfds, read
from tests.data.samples import CLIPS, GREY, write_images


class LocalBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set of the given features and rows, made here."""

    name = "local"
    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, folder, features, rows, supervised_keys=None):
        self.description = {"features": tfds.features.FeaturesDict(features), "supervised_keys": supervised_keys}
        self.rows = rows
        super().__init__(data_dir=folder)

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, **self.description)

    def _split_generators(self, dl_manager):
        return {name: enumerate(rows) for name, rows in self.rows.items()}

    def _generate_examples(self):
        raise AssertionError("the splits are generators already")


class LostBuilder(LocalBuilder, skip_registration=True):
    def _split_generators(self, dl_manager):
        raise ConnectionError("no route to host")


def read_local(folder, features, rows, split="train", **arguments):
    builder = LocalBuilder(folder, features, rows)
    from_tfds.prepare(builder)
    return from_tfds.read_builder(builder, split, **arguments)


PICTURES = [{"image": image[..., None], "label": index % 3} for index, image in enumerate(GREY)]
PICTURE_FEATURES = {
    "image": tfds.features.Image(shape=(4, 5, 1)),
    "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
}


def by_bytes(images):
    return sorted(image.tobytes() for image in images)


def test_tfds_images_with_labels(tmp_path):
    data = read_local(tmp_path, PICTURE_FEATURES, {"train": PICTURES, "test": PICTURES[:4]})
    assert (data.kind, data.values.dtype, data.values.shape) == ("image", np.uint8, (20, 4, 5, 1))
    assert (data.classes, data.labels.dtype) == (("a", "b", "c"), np.int32)
    assert by_bytes(data.values) == by_bytes(GREY)
    labels = {image.tobytes(): index % 3 for index, image in enumerate(GREY)}
    assert data.labels.tolist() == [labels[image.tobytes()] for image in data.values]
    assert data.source == "tfds:local/1.0.0"


@pytest.mark.parametrize(
    ("parts", "valid"),
    [({"validation": 3, "test": 4}, 3), ({"valid": 3, "test": 4}, 3), ({"test": 4}, 4), ({}, 2)],
)
def test_tfds_valid_is_validation_or_test_or_the_last_tenth(tmp_path, parts, valid):
    rows = {"train": PICTURES, **{name: PICTURES[:number] for name, number in parts.items()}}
    train = read_local(tmp_path, PICTURE_FEATURES, rows)
    held = read_local(tmp_path, PICTURE_FEATURES, rows, "valid")
    assert (len(train), len(held)) == (20 if parts else 18, valid)
    if not parts:
        assert by_bytes([*train.values, *held.values]) == by_bytes(GREY)
        with pytest.raises(ValueError, match=r"split 'test' is not in tfds:local/1\.0\.0: it has 'train'"):
            read_local(tmp_path, PICTURE_FEATURES, rows, "test")


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.float32])
def test_tfds_sound(tmp_path, dtype):
    features = {
        "speech": tfds.features.Audio(shape=(None,), dtype=dtype, sample_rate=16000),
        "text": tfds.features.Text(),
    }
    scale = 32768 if dtype == np.float32 else 1
    rows = [{"speech": (clip / scale).astype(dtype), "text": str(len(clip))} for clip in CLIPS]
    sound = read_local(tmp_path, features, {"train": rows, "test": rows})
    assert (sound.kind, sound.sample_rate, sound.values.dtype) == ("sound", 16000, np.float32)
    lengths = [int(line) for line in read_local(tmp_path, features, {}, kind="text").values.split("\n")]
    assert sound.lengths.tolist() == lengths
    assert sorted(lengths) == list(range(100, 120))
    first = CLIPS[lengths[0] - 100]
    np.testing.assert_array_equal(sound.values[: lengths[0]], first / np.float32(32768))


def test_tfds_text_and_channels_and_target_features(tmp_path):
    rows = {"train": [{"text": "é and\n"}], "validation": [{"text": "rest"}]}
    assert read_local(tmp_path / "text", {"text": tfds.features.Text()}, rows).values == "é and\n"
    stereo = tfds.features.Audio(shape=(None, 2), dtype=np.int16)
    rows = {"train": [{"audio": np.array([[300, 100], [-8, 8]], np.int16)}]}
    rows["test"] = rows["train"]
    sound = read_local(tmp_path / "stereo", {"audio": stereo}, rows)
    assert (sound.values.tolist(), sound.sample_rate) == ([200 / 32768, 0.0], None)
    features = {"a": tfds.features.Text(), "b": tfds.features.Text()}
    builder = LocalBuilder(
        tmp_path / "two", features, {name: [{"a": "A", "b": "B"}] for name in ("train", "test")}, ("b", "a")
    )
    from_tfds.prepare(builder)
    assert from_tfds.read_builder(builder, "train").values == "B"


def test_tfds_features_that_do_not_fit_are_refused(tmp_path):
    rows = {"train": PICTURES[:1]}
    with pytest.raises(ValueError, match=r"has no sound feature at its top level; it has image \(Image\), label"):
        read_local(tmp_path / "a", PICTURE_FEATURES, rows, kind="sound")
    with pytest.raises(ValueError, match=r"split 'valid' \(train\[90%:100%\]\) is empty"):
        read_local(tmp_path / "a", PICTURE_FEATURES, rows, "valid")
    rows = {"train": [{"image": np.zeros((size, 4, 1), np.uint8)} for size in (3, 5)]}
    rows["test"] = rows["train"]
    with pytest.raises(ValueError, match=r"one size; it has \(3, 4, 1\) and \(5, 4, 1\)"):
        read_local(tmp_path / "b", {"image": tfds.features.Image(shape=(None, None, 1))}, rows)


def test_tfds_name_reaches_the_builder(tmp_path, monkeypatch):
    builder = LocalBuilder(tmp_path, PICTURE_FEATURES, {"train": PICTURES, "test": PICTURES[:4]})
    asked = []
    monkeypatch.setattr(tfds, "builder", lambda name: asked.append(name) or builder)
    for name in ("mnist", "mnist:3.0.1", "tfds:mnist"):
        assert len(read(name)) == 20
    assert asked == ["mnist", "mnist:3.0.1", "mnist"]


def test_file_here_wins_over_a_data_set_of_that_name(tmp_path, monkeypatch):
    write_images(tmp_path / "mnist", GREY[:2])
    monkeypatch.chdir(tmp_path)
    assert len(read("mnist")) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "mnits",
            r"'mnits' is neither a file or folder here nor .* Near names: .*\bmnist\b.* Accepted: shipped:digits",
        ),
        ("tfds:zzzqqq", r"'zzzqqq' is neither a file or folder here nor a data set of TensorFlow Datasets\. Accepted"),
        ("mnist:9.9.9", r"'mnist:9\.9\.9' is no data set .* cannot be loaded at version 9\.9\.9"),
        ("my data", r"'my data' is no data set .* Parsing builder name string"),
    ],
)
def test_unknown_names_are_refused(name, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        read(name)


@pytest.mark.parametrize("where", ["name", "download"])
def test_no_network_is_one_clear_error(tmp_path, monkeypatch, where):
    def no_network(*_):
        raise socket.gaierror("Name or service not known")

    if where == "name":
        monkeypatch.setattr(socket, "getaddrinfo", no_network)
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    builder = LostBuilder(tmp_path, PICTURE_FEATURES, {"train": PICTURES})
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    reason = {"name": "Name or service not known", "download": "no route to host"}[where]
    with pytest.raises(
        ValueError, match=rf"'lost_builder' is not in .* cannot be downloaded or prepared: .*{reason}.* \(--data PATH\)"
    ):
        read("local")


def test_prepared_data_needs_no_network(tmp_path, monkeypatch):
    rows = {"train": PICTURES, "test": PICTURES[:4]}
    first = read_local(tmp_path, PICTURE_FEATURES, rows)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert read_local(tmp_path, PICTURE_FEATURES, rows).sha256 == first.sha256
    shutil.rmtree(tmp_path)
