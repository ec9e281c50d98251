import hashlib

import numpy as np
import pytest
import soundfile
from PIL import Image

from ar_zoo.core.files import atomic_folder, atomic_path, sha256_of
from ar_zoo.data import image_grid, plot_waveform, write_png, write_text, write_wav

TONE = np.sin(np.arange(4000) / 9).astype(np.float32) * 0.5


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_png_round_trip(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_png(tmp_path / "inner" / "a.png", image)
    with Image.open(tmp_path / "inner" / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), image[..., 0] if shape[2:] == (1,) else image)


@pytest.mark.parametrize("image", [np.zeros((5, 7, 2), np.uint8), np.zeros((5, 7)), np.zeros(5, np.uint8)])
def test_png_of_something_else_is_refused(tmp_path, image):
    with pytest.raises(ValueError, match="image must be uint8"):
        write_png(tmp_path / "a.png", image)


def test_grid_puts_each_image_in_its_cell_on_white():
    images = np.random.default_rng(0).integers(0, 200, (5, 4, 3, 1), dtype=np.uint8)
    grid = image_grid(images, columns=3)
    assert grid.shape == (2 * 6 + 2, 3 * 5 + 2, 1)
    assert grid.dtype == np.uint8
    rest = np.ones(grid.shape, bool)
    for index, image in enumerate(images):
        top, left = 2 + index // 3 * 6, 2 + index % 3 * 5
        np.testing.assert_array_equal(grid[top : top + 4, left : left + 3], image)
        rest[top : top + 4, left : left + 3] = False
    assert (grid[rest] == 255).all()


def test_grid_is_square_by_itself_and_never_wider_than_its_images():
    assert image_grid(np.zeros((9, 2, 2), np.uint8)).shape == (14, 14, 1)
    assert image_grid(np.zeros((2, 2, 2, 3), np.uint8), columns=8).shape == (6, 10, 3)


def test_grid_refuses_what_it_cannot_lay_out():
    with pytest.raises(ValueError, match="images must be uint8"):
        image_grid(np.zeros((0, 2, 2, 1), np.uint8))
    with pytest.raises(ValueError, match="images must be uint8"):
        image_grid(np.zeros((3, 2, 2, 1), np.float32))
    with pytest.raises(ValueError, match="columns must be at least 1"):
        image_grid(np.zeros((3, 2, 2, 1), np.uint8), columns=0)


def test_wav_keeps_every_16_bit_value(tmp_path):
    values = np.arange(-32768, 32768).astype(np.int16)
    write_wav(tmp_path / "a.wav", values / np.float32(32768), sample_rate=8000)
    again, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 8000
    np.testing.assert_array_equal(again, values)


def test_wav_writes_the_top_of_the_range(tmp_path):
    write_wav(tmp_path / "a.wav", np.array([1.0, -1.0]), sample_rate=8000)
    assert soundfile.read(tmp_path / "a.wav", dtype="int16")[0].tolist() == [32767, -32768]


@pytest.mark.parametrize("write", [write_wav, plot_waveform])
@pytest.mark.parametrize(
    ("samples", "rate", "words"),
    [
        (np.array([0.0, 1.5]), 8000, "largest is 1.5"),
        (np.array([0.0, np.nan]), 8000, "largest is nan"),
        (np.zeros(3, np.int16), 8000, "samples must be float"),
        (np.zeros((3, 2)), 8000, "samples must be float"),
        (np.zeros(0), 8000, "at least one"),
        (np.zeros(3), 0, "sample_rate must be a positive number"),
    ],
)
def test_sound_that_is_none_is_refused(tmp_path, write, samples, rate, words):
    path = tmp_path / ("a.wav" if write is write_wav else "a.png")
    with pytest.raises(ValueError, match=words):
        write(path, samples, rate)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [1, 1000, 4000])
def test_waveform_is_drawn(tmp_path, length):
    plot_waveform(tmp_path / "a.png", TONE[:length], sample_rate=8000)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (960, 240)
        blue = (np.asarray(picture.convert("RGB")).astype(int) @ [-1, 0, 1] > 60).mean()
    assert (blue > 0.01) == (length > 1)


@pytest.mark.parametrize(
    ("write", "name", "suffix"),
    [(write_png, "a.jpg", ".png"), (write_wav, "a.mp3", ".wav"), (plot_waveform, "a", ".png")],
)
def test_other_suffixes_are_refused(tmp_path, write, name, suffix):
    with pytest.raises(ValueError, match=rf"path must end in \{suffix}"):
        write(tmp_path / name, *([np.zeros((2, 2), np.uint8)] if write is write_png else [TONE, 8000]))


def test_text_is_written_as_it_is(tmp_path):
    write_text(tmp_path / "a.txt", "é\r\n\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\n\n".encode()


def test_failed_write_leaves_the_older_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "model.weights.h5", "older")
    with pytest.raises(KeyError), atomic_path(tmp_path / "model.weights.h5") as temporary:  # noqa: PT012
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".weights.h5")
        temporary.write_text("half")
        raise KeyError("interrupted")
    assert [path.name for path in tmp_path.iterdir()] == ["model.weights.h5"]
    assert (tmp_path / "model.weights.h5").read_text() == "older"


def test_atomic_folder_replaces_the_whole_folder(tmp_path):
    target = tmp_path / "inner" / "preset"
    for name in ("one", "two"):
        with atomic_folder(target, mark="mark") as temporary:
            (temporary / name).write_text(name)
            (temporary / "mark").touch()
            assert not (target / name).exists()
    assert sorted(path.name for path in target.iterdir()) == ["mark", "two"]
    assert [path.name for path in target.parent.iterdir()] == ["preset"]


def test_failed_folder_leaves_the_older_folder_and_nothing_else(tmp_path):
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "manifest.json").touch()
    with pytest.raises(KeyError), atomic_folder(tmp_path / "preset") as temporary:  # noqa: PT012
        (temporary / "half").touch()
        raise KeyError("interrupted")
    assert [path.name for path in tmp_path.rglob("*")] == ["preset", "manifest.json"]


def test_atomic_folder_does_not_replace_a_file(tmp_path):
    (tmp_path / "preset").touch()
    with pytest.raises(ValueError, match="is a file"), atomic_folder(tmp_path / "preset"):
        pass


@pytest.mark.parametrize("obstacle", ["file", "link to nothing"])
@pytest.mark.parametrize("inside", ["x", "x/y"])
@pytest.mark.parametrize("writing", [atomic_path, atomic_folder])
def test_nothing_is_written_below_what_is_no_folder(tmp_path, writing, inside, obstacle):
    (tmp_path / "file").touch()
    (tmp_path / "link to nothing").symlink_to("nowhere")
    with pytest.raises(ValueError, match=f"{obstacle} is not a folder"), writing(tmp_path / obstacle / inside):
        pass


def test_atomic_folder_does_not_replace_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ValueError, match=r"holds something else \(it has no manifest\.json\)"), atomic_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("folder", [None, 3, "", ".", "..", "/"])
def test_atomic_folder_wants_a_folder_of_its_own(folder):
    with pytest.raises(ValueError, match="`folder` must be the path of a folder of its own"), atomic_folder(folder):
        pass


def test_sha256_of_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"ar_zoo")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"ar_zoo").hexdigest()
