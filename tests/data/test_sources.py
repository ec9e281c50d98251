"""Where data come from: what ships, which reader takes a path, and what `Data` holds."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ar_zoo.data import SHIPPED, Data, alphabet_of, read
from tests.data.samples import CLIPS, GREY, write_clips, write_images

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
