import hashlib
import shutil
import socket

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds
from PIL import Image

from ar_zoo.data import SHIPPED, Data, alphabet_of, from_tfds, read

GREY = np.random.default_rng(0).integers(0, 256, (20, 4, 5), dtype=np.uint8)
CLIPS = [np.arange(-50, 50 + number).astype(np.int16) * 300 for number in range(20)]


# The shipped data.


@pytest.mark.parametrize(
    ("name", "kind", "train", "valid"),
    [
        ("digits", "image", 1800, 200),
        ("speech", "sound", 27, 5),
        ("text", "text", 272775, 35234),
        ("cancer", "table", 455, 114),
        ("sunspots", "series", 1, 1),
    ],
)
def test_shipped_data_is_there(name, kind, train, valid):
    parts = [read(f"shipped:{name}", split, kind=kind) for split in ("train", "valid")]
    assert [part.kind for part in parts] == [kind, kind]
    assert [len(part) for part in parts] == [train, valid]
    assert parts[0].sha256 != parts[1].sha256


def test_shipped_digits_and_speech_are_what_their_readme_says():
    digits, speech = read("shipped:digits"), read("shipped:speech")
    assert digits.values.shape == (1800, 28, 28, 1)
    assert np.bincount(digits.labels).tolist() == [180] * 10
    assert speech.sample_rate == 8000
    assert len(speech.values) == 398467
    assert np.abs(speech.values).max() > 0.2


def test_shipped_text_has_the_alphabet_of_the_full_text():
    train, valid = (alphabet_of(read("shipped:text", split).values) for split in ("train", "valid"))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWYZabcdefghijklmnopqrstuvwxyz"
    assert train == "\n !'(),-.:;?" + letters
    assert set(train) - set(valid) == {"Q"}


def test_unknown_shipped_name_is_refused():
    with pytest.raises(
        ValueError, match=f"not shipped; shipped are {', '.join('shipped:' + name for name in SHIPPED)}"
    ):
        read("shipped:cats")


# Data itself.


def test_sha256_is_that_of_the_values(tmp_path):
    np.savez(tmp_path / "a.npz", x=GREY)
    (tmp_path / "a.txt").write_text("é" * 10)
    assert read(tmp_path / "a.npz").sha256 == hashlib.sha256(GREY.tobytes()).hexdigest()
    assert read(tmp_path / "a.txt").sha256 == hashlib.sha256(("é" * 9).encode()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "smell", "values": "a"}, "kind must be one of image, sound, text, table, series"),
        ({"kind": "text", "values": ""}, "there is no text in it"),
        ({"kind": "image", "values": GREY[..., None], "labels": np.zeros(3)}, "one for each of the 20 items; got 3"),
        ({"kind": "sound", "values": np.zeros(5), "lengths": np.array([2, 2])}, "5 samples; they add up to 4"),
    ],
)
def test_data_that_does_not_fit_together_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Data(**arguments)


# npz.


def test_npz_images_in_parts(tmp_path):
    arrays = {"x_train": GREY[:12], "y_train": np.arange(12) % 3, "x_valid": GREY[12:18], "x_test": GREY[18:]}
    np.savez(tmp_path / "a.npz", **arrays, classes=np.array(["a", "b", "c"]))
    train, valid, test = (read(tmp_path / "a.npz", split) for split in ("train", "valid", "test"))
    np.testing.assert_array_equal(train.values, GREY[:12, ..., None])
    np.testing.assert_array_equal(valid.values, GREY[12:18, ..., None])
    np.testing.assert_array_equal(test.values, GREY[18:, ..., None])
    np.testing.assert_array_equal(train.labels, np.arange(12, dtype=np.int32) % 3, strict=True)
    assert (train.classes, valid.labels, train.lengths, train.sample_rate) == (("a", "b", "c"), None, None, None)
    assert train.source == str(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("others", "train", "valid"),
    [(("x_valid", "x_test"), 20, "x_valid"), (("x_test",), 20, "x_test"), ((), 18, "x_train")],
)
def test_valid_is_the_valid_part_or_the_test_part_or_the_last_tenth(tmp_path, others, train, valid):
    parts = {name: GREY[index : index + 5] for index, name in enumerate(others)}
    np.savez(tmp_path / "a.npz", x_train=GREY, y_train=np.arange(20), **parts)
    assert len(read(tmp_path / "a.npz")) == train
    wanted = parts.get(valid, GREY[18:])
    np.testing.assert_array_equal(read(tmp_path / "a.npz", "valid").values[..., 0], wanted)
    if not others:
        assert read(tmp_path / "a.npz", "valid").labels.tolist() == [18, 19]
    if "x_test" not in others:
        with pytest.raises(ValueError, match=r"split 'test' is not in .*: it has 'x?train'"):
            read(tmp_path / "a.npz", "test")


@pytest.mark.parametrize("parts", [("train", "valid"), ("train",)])
def test_npz_sound_in_parts(tmp_path, parts):
    arrays = {"sample_rate": np.int32(8000)}
    for part in parts:
        arrays |= {f"{part}_samples": np.concatenate(CLIPS), f"{part}_lengths": [len(clip) for clip in CLIPS]}
    np.savez(tmp_path / "a.npz", **arrays)
    train, valid = (read(tmp_path / "a.npz", split) for split in ("train", "valid"))
    cut = 20 if len(parts) == 2 else 18
    assert (train.kind, train.sample_rate, len(train)) == ("sound", 8000, cut)
    assert (train.values.dtype, train.lengths.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(train.values, np.concatenate(CLIPS[:cut]) / 32768)
    np.testing.assert_array_equal(valid.values, np.concatenate(CLIPS[cut % 20 :]) / 32768)
    np.testing.assert_array_equal(valid.lengths, [len(clip) for clip in CLIPS[cut % 20 :]])


def test_npz_with_images_and_sound_asks_for_the_kind(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=GREY, train_samples=CLIPS[0])
    with pytest.raises(ValueError, match=r"holds images and sound: pass kind"):
        read(tmp_path / "a.npz")
    assert read(tmp_path / "a.npz", kind="image").kind == "image"
    assert read(tmp_path / "a.npz", kind="sound").lengths.tolist() == [90]


@pytest.mark.parametrize(
    ("array", "kind", "shape"),
    [
        (GREY, "image", (20, 4, 5, 1)),
        (np.zeros((2, 4, 5, 3), np.uint8), "image", (2, 4, 5, 3)),
        (CLIPS[0], "sound", (100,)),
        (np.linspace(-1, 1, 7), "sound", (7,)),
    ],
)
def test_npz_with_one_array_is_train_alone(tmp_path, array, kind, shape):
    np.savez(tmp_path / "a.npz", anything=array)
    data = read(tmp_path / "a.npz")
    assert (data.kind, data.values.shape) == (kind, shape)
    with pytest.raises(ValueError, match="which holds one array without parts: pass split='train'"):
        read(tmp_path / "a.npz", "valid")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": GREY, "b": GREY}, "holds a, b; known are x_train"),
        ({"a": np.zeros((2, 3), np.int64)}, r"the array 'a' is int64 \[2, 3\]"),
        ({"x_train": GREY.astype(np.float32), "x_test": GREY}, r"images must be uint8 .* got float32 \[20, 4, 5\]"),
        ({"x_train": GREY[:0], "x_valid": GREY}, "there is no image in it"),
        ({"x_train": GREY, "y_train": np.zeros(19), "x_test": GREY}, "y_train must have one label for each of the 20"),
        ({"train_samples": CLIPS[0], "train_lengths": [99]}, "train_lengths must add up to the 100 samples; got 99"),
        ({"train_samples": np.array([0.0, 1.25]), "valid_samples": CLIPS[0]}, "the largest is 1.25"),
        ({"train_samples": np.zeros((2, 5)), "valid_samples": CLIPS[0]}, r"one-dimensional, .* got float64 \[2, 5\]"),
        ({"a": np.array([{}])}, "Object arrays cannot be loaded"),
    ],
)
def test_npz_of_another_layout_is_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_npz_is_one_clear_error(tmp_path, keep):
    np.savez_compressed(tmp_path / "a.npz", x_train=GREY)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(ValueError, match=r"cut\.npz cannot be read as an npz file .* It may be truncated"):
        read(tmp_path / "cut.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("start", [0.2, 0.5])
def test_damaged_npz_is_one_clear_error(tmp_path, save, start):
    save(tmp_path / "a.npz", x_train=GREY // 32)
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    place = int(len(damaged) * start)
    damaged[place : place + 40] = b"\xff" * 40
    (tmp_path / "a.npz").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"a\.npz cannot be read as an npz file"):
        read(tmp_path / "a.npz")


def test_npy_under_the_name_of_npz_is_refused(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, GREY)
    with pytest.raises(ValueError, match="cannot be read as an npz file"):
        read(tmp_path / "a.npz")


# Text.


def test_text_finds_its_neighbours(tmp_path):
    for word in ("train", "valid", "test"):
        (tmp_path / f"kjv_{word}.txt").write_text(f"{word} " * 10)
    for asked in ("train", "valid"):
        for split in ("train", "valid", "test"):
            data = read(str(tmp_path / f"kjv_{asked}.txt"), split)
            assert (data.kind, data.values) == ("text", f"{split} " * 10)
            assert data.source == str(tmp_path / f"kjv_{split}.txt")


@pytest.mark.parametrize("name", ["book.txt", "book_train.txt", "contest.txt"])
def test_lone_text_is_cut_at_nine_tenths(tmp_path, name):
    (tmp_path / name).write_text("0123456789" * 10 + "tail.")
    train, valid = (read(tmp_path / name, split).values for split in ("train", "valid"))
    assert train + valid == "0123456789" * 10 + "tail."
    assert len(train) == 94
    with pytest.raises(ValueError, match="split 'test' is not in"):
        read(tmp_path / name, "test")


def test_lone_valid_text_is_not_cut_and_is_no_train_part(tmp_path):
    (tmp_path / "book_valid.txt").write_text("0123456789")
    assert read(tmp_path / "book_valid.txt", "valid").values == "0123456789"
    with pytest.raises(ValueError, match=r"split 'train' is not in .*: it has 'valid'"):
        read(tmp_path / "book_valid.txt", "train")


def test_text_folder(tmp_path):
    (tmp_path / "my-train.txt").write_text("train")
    (tmp_path / "my-validation.txt").write_text("valid")
    (tmp_path / "README.txt").write_text("other")
    assert [read(tmp_path, split).values for split in ("train", "valid")] == ["train", "valid"]
    (tmp_path / "your-train.txt").write_text("train")
    with pytest.raises(ValueError, match=r"two texts for 'train', my-train\.txt and your-train\.txt"):
        read(tmp_path)


def test_text_that_is_not_utf8_or_empty_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes("caf\xe9".encode("latin1"))
    with pytest.raises(ValueError, match=r"a\.txt is not UTF-8: byte 3 is 0xe9\. .*iconv"):
        read(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("")
    with pytest.raises(ValueError, match=r"b\.txt: there is no text in it"):
        read(tmp_path / "b.txt")


# Sound in folders.


def write_clips(folder, clips, rate=8000, suffix=".wav"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, clip in enumerate(clips):
        soundfile.write(folder / f"{index:02d}{suffix}", clip, rate, subtype="PCM_16")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_every_tenth_sound_is_valid(tmp_path, suffix):
    write_clips(tmp_path, CLIPS, suffix=suffix)
    train, valid = (read(tmp_path, split) for split in ("train", "valid"))
    np.testing.assert_array_equal(valid.values, np.concatenate([CLIPS[9], CLIPS[19]]) / 32768)
    np.testing.assert_array_equal(train.values, np.concatenate(CLIPS[:9] + CLIPS[10:19]) / 32768)
    assert (train.kind, train.sample_rate, train.values.dtype) == ("sound", 8000, np.float32)
    assert train.lengths.tolist() == [len(clip) for clip in CLIPS[:9] + CLIPS[10:19]]


def test_sound_in_part_folders_below_one_another(tmp_path):
    write_clips(tmp_path / "train" / "deep", CLIPS[:3])
    write_clips(tmp_path / "valid", CLIPS[3:4])
    assert [len(read(tmp_path, split)) for split in ("train", "valid")] == [3, 1]
    with pytest.raises(ValueError, match="split 'test' is not in"):
        read(tmp_path, "test")


def test_channels_are_averaged(tmp_path):
    write_clips(tmp_path, [np.stack([CLIPS[0], CLIPS[0][::-1]], axis=1)])
    np.testing.assert_array_equal(read(tmp_path).values, (CLIPS[0] + CLIPS[0][::-1].astype(float)) / 2 / 32768)


def test_other_sample_rates_are_refused(tmp_path):
    write_clips(tmp_path, CLIPS[:2])
    assert read(tmp_path, sample_rate=8000).sample_rate == 8000
    with pytest.raises(ValueError, match=r"00\.wav has a sample_rate of 8000, but 16000 is wanted .* -r 16000"):
        read(tmp_path, sample_rate=16000)
    soundfile.write(tmp_path / "01.wav", CLIPS[1], 11025)
    with pytest.raises(ValueError, match=r"01\.wav has a sample_rate of 11025, but 8000 is wanted .* -r 8000"):
        read(tmp_path)


def test_damaged_sound_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"a\.wav cannot be read as sound"):
        read(tmp_path)


def test_sample_rate_is_checked_or_set_where_the_data_comes_from_npz(tmp_path):
    with pytest.raises(ValueError, match=r"has 8000 samples per second, but 16000 is wanted. Resample"):
        read("shipped:speech", sample_rate=16000)
    np.savez(tmp_path / "a.npz", samples=CLIPS[0])
    assert read(tmp_path / "a.npz").sample_rate is None
    assert read(tmp_path / "a.npz", sample_rate=16000).sample_rate == 16000
    with pytest.raises(ValueError, match=r"sample_rate is for sound; .* holds image"):
        read("shipped:digits", sample_rate=8000)
    with pytest.raises(ValueError, match="sample_rate must be a positive"):
        read("shipped:speech", sample_rate=0)


# Images in folders.


def write_images(folder, arrays, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{index:02d}{suffix}")


def test_every_tenth_image_is_valid(tmp_path):
    write_images(tmp_path, GREY)
    train, valid = (read(tmp_path, split) for split in ("train", "valid"))
    np.testing.assert_array_equal(valid.values, GREY[[9, 19], ..., None])
    np.testing.assert_array_equal(train.values, np.delete(GREY, [9, 19], axis=0)[..., None])
    assert (train.kind, train.labels, train.classes) == ("image", None, None)


def test_folders_are_classes_numbered_over_all_parts(tmp_path):
    write_images(tmp_path / "train" / "dog", GREY[:2])
    write_images(tmp_path / "train" / "ant", GREY[2:3])
    write_images(tmp_path / "valid" / "dog", GREY[3:4])
    write_images(tmp_path / "valid" / "bee", GREY[4:5])
    train, valid = (read(tmp_path, split) for split in ("train", "valid"))
    assert train.classes == valid.classes == ("ant", "bee", "dog")
    assert (train.labels.tolist(), valid.labels.tolist()) == ([0, 2, 2], [1, 2])
    np.testing.assert_array_equal(valid.values[..., 0], GREY[[4, 3]])


def test_a_class_may_be_called_train(tmp_path):
    write_images(tmp_path / "train", GREY[:2])
    write_images(tmp_path / "ship", GREY[2:4])
    data = read(tmp_path)
    assert (data.classes, data.labels.tolist()) == (("ship", "train"), [0, 0, 1, 1])


def test_grey_among_colours_becomes_rgb_and_transparency_white(tmp_path):
    colour = np.stack([GREY[0], GREY[1], GREY[2]], axis=-1)
    glass = np.concatenate([colour, np.zeros((4, 5, 1), np.uint8)], axis=-1)
    write_images(tmp_path, [GREY[0], colour, glass])
    data = read(tmp_path)
    np.testing.assert_array_equal(data.values[0], np.repeat(GREY[0][..., None], 3, axis=-1))
    np.testing.assert_array_equal(data.values[1], colour)
    assert (data.values[2] == 255).all()


def test_jpeg_is_read(tmp_path):
    write_images(tmp_path, [np.full((8, 8, 3), 200, np.uint8)], suffix=".jpeg")
    assert np.abs(read(tmp_path).values.astype(int) - 200).max() < 4


def test_images_that_do_not_fit_are_refused(tmp_path):
    write_images(tmp_path / "sizes", [GREY[0], GREY[1, :3]])
    with pytest.raises(ValueError, match=r"one size: .*01\.png is 5x3, .*00\.png is 5x4"):
        read(tmp_path / "sizes")
    write_images(tmp_path / "deep", [GREY[0].astype(np.uint16)])
    with pytest.raises(ValueError, match=r"00\.png has more than 8 bits a channel"):
        read(tmp_path / "deep")
    write_images(tmp_path / "classes", GREY[:1])
    write_images(tmp_path / "classes" / "dog", GREY[:1])
    with pytest.raises(ValueError, match=r"00\.png lies beside the class folders"):
        read(tmp_path / "classes")
    write_images(tmp_path / "cut", GREY[:1])
    (tmp_path / "cut" / "00.png").write_bytes((tmp_path / "cut" / "00.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"00\.png cannot be read as an image"):
        read(tmp_path / "cut")
    with pytest.raises(ValueError, match=r"holds no \.png or \.jpg or \.jpeg files for split 'valid'"):
        read(tmp_path / "sizes", "valid")


# Which reader.


def test_folder_of_several_kinds_asks_for_one(tmp_path):
    write_clips(tmp_path, CLIPS[:1])
    write_images(tmp_path, GREY[:1])
    with pytest.raises(ValueError, match=r"holds image and sound: pass kind"):
        read(tmp_path)
    assert [read(tmp_path, kind=kind).kind for kind in ("image", "sound")] == ["image", "sound"]
    with pytest.raises(ValueError, match="holds no text files"):
        read(tmp_path, kind="text")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "dev"}, "split must be one of 'train', 'valid', 'test'; got 'dev'"),
        (
            {"kind": "pixels"},
            "kind must be one of 'image', 'sound', 'text', 'table', 'series', 'answers', or None; got 'pixels'",
        ),
        ({"kind": "sound"}, "kind: shipped:digits holds image, but 'sound' is wanted"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        read("shipped:digits", **arguments)


def test_paths_that_are_no_data_are_refused(tmp_path):
    for source in (tmp_path / "none", str(tmp_path / "none"), "none.npz", "~/none", ""):
        with pytest.raises(ValueError, match=r"there is no such file or folder\. Accepted: shipped:digits"):
            read(source)
    with pytest.raises(ValueError, match="holds no image, sound or text files"):
        read(tmp_path)
    (tmp_path / "a.dat").touch()
    with pytest.raises(ValueError, match=r"a file must be \.npz, \.csv, \.jsonl or \.txt .* got \.dat"):
        read(tmp_path / "a.dat")


# TensorFlow Datasets.


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


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    """Nothing here asks a name server; what is prepared is local."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])


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


# Black and white.


def test_binarized_through_the_parts(tmp_path):
    """One generator, the train part first; the same each time."""
    np.savez(tmp_path / "a.npz", x_train=GREY, x_valid=GREY[:3], x_test=GREY[3:8])
    generator = np.random.default_rng(0)
    for split, grey in (("train", GREY), ("valid", GREY[:3]), ("test", GREY[3:8])):
        found = read(tmp_path / "a.npz", split, binarize=True)
        wanted = generator.random(grey.shape) < grey / 255
        assert found.values.dtype == np.uint8
        np.testing.assert_array_equal(found.values, wanted[..., None])
        assert found.sha256 != read(tmp_path / "a.npz", split).sha256


def test_only_images_are_binarized():
    with pytest.raises(ValueError, match=r"binarize is for images; .* holds text"):
        read("shipped:text", binarize=True)
