"""Arrays in .npz files: their layouts, their parts, and files that are damaged."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.data import read
from tests.data.samples import CLIPS, GREY


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
