"""Pictures, sound and text: files in, files out, the same."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import ar_zoo
from ar_zoo.coding import compress_file, container, decompress_file
from ar_zoo.core.registry import families
from ar_zoo.data import write_wav
from ar_zoo.heads import Bernoulli, Categorical
from ar_zoo.testing.tiny import make

ALPHABET = "\n\r abcdeé"


@pytest.fixture(scope="module")
def writer():
    head = Categorical(len(ALPHABET), alphabet=ALPHABET)
    return make(families()["gpt"], dtype="float32", head=head, num_layers=1)


@pytest.fixture(scope="module")
def painter():
    """256 source levels in 4 of its own."""
    head = Categorical(4, source_levels=256)
    return make(families()["pixel_cnn"], dtype="float32", image_shape=(3, 4, 1), head=head, num_blocks=0)


@pytest.fixture(scope="module")
def speaker():
    return make(families()["wavenet"], dtype="float32", num_classes=None, num_stacks=1)


def test_a_text_comes_back_byte_by_byte(writer, tmp_path):
    data = ("abc é\r\nedcba\n\n" * 9).encode()
    (tmp_path / "a.md").write_bytes(data)
    found = compress_file(writer, tmp_path / "a.md", tmp_path / "a.arz")
    assert found["bytes"] == (tmp_path / "a.arz").stat().st_size
    assert found["dimensions"] == len(data.decode())
    np.testing.assert_allclose(found["ratio"], len(data) / found["bytes"])
    np.testing.assert_allclose(found["bits_per_dim"], 8 * found["bytes"] / found["dimensions"])
    assert 0 < found["model_bits_per_dim"] < found["bits_per_dim"]
    decompress_file(tmp_path / "a.arz", tmp_path / "b.md", writer)
    assert (tmp_path / "b.md").read_bytes() == data


def test_a_picture_comes_back_pixel_by_pixel(painter, tmp_path):
    pixels = np.random.default_rng(0).choice(np.array([32, 96, 160, 224], np.uint8), (3, 4))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    compress_file(painter, tmp_path / "a.png", tmp_path / "a.arz")
    assert container.parse((tmp_path / "a.arz").read_bytes()).header["kind"] == "image"
    decompress_file(tmp_path / "a.arz", tmp_path / "b.png", painter)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), pixels)


def test_pictures_of_two_colours_are_black_and_white(tmp_path):
    model = make(families()["pixel_cnn"], dtype="float32", image_shape=(3, 4, 1), head=Bernoulli(), num_blocks=0)
    pixels = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (3, 4))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    compress_file(model, tmp_path / "a.png", tmp_path / "a.arz")
    decompress_file(tmp_path / "a.arz", tmp_path / "b.png", model)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), pixels)
    Image.fromarray(pixels // 2).save(tmp_path / "grey.png")
    with pytest.raises(ValueError, match="shades between the 2"):
        compress_file(model, tmp_path / "grey.png", tmp_path / "c.arz")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_of_pictures(painter, tmp_path, suffix):
    images = np.random.default_rng(0).integers(0, 4, (5, 3, 4)).astype(np.uint8) * 64 + 32
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", images)
    else:
        np.savez(tmp_path / "a.npz", x_train=images[:2], x_valid=images)
    array = "x_valid" if suffix == ".npz" else None
    compress_file(painter, tmp_path / f"a{suffix}", tmp_path / "a.arz", array)
    decompress_file(tmp_path / "a.arz", tmp_path / "b.npy", painter)
    decoded = np.load(tmp_path / "b.npy")
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, images[..., None])
    with pytest.raises(ValueError, match=r"b\.png: what is in the file.*written as \.npy"):
        decompress_file(tmp_path / "a.arz", tmp_path / "b.png", painter)


def test_sound_comes_back_as_its_levels(speaker, tmp_path):
    levels = np.random.default_rng(0).integers(0, 5, 100)
    write_wav(tmp_path / "a.wav", speaker.head.decode(levels), 11025)
    compress_file(speaker, tmp_path / "a.wav", tmp_path / "a.arz", window=30)
    decompress_file(tmp_path / "a.arz", tmp_path / "b.wav", speaker)
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    decompress_file(tmp_path / "a.arz", tmp_path / "b.npy", speaker)
    found = np.load(tmp_path / "b.npy")
    assert found.dtype == np.uint8
    assert np.array_equal(found, levels)
    compress_file(speaker, tmp_path / "b.npy", tmp_path / "c.arz", window=30)
    first, again = (container.parse((tmp_path / name).read_bytes()) for name in ("a.arz", "c.arz"))
    assert first.chunks[0].coded == again.chunks[0].coded


def test_what_cannot_be_compressed_is_named(writer, painter, speaker, tmp_path):
    (tmp_path / "other.txt").write_text("xyz")
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe")
    np.save(tmp_path / "all.npy", np.arange(12, dtype=np.uint8).reshape(3, 4))
    np.save(tmp_path / "small.npy", np.full((5, 2, 2), 32, np.uint8))
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:80])
    (tmp_path / "no.png").write_bytes(b"no picture")
    np.save(tmp_path / "levels.npy", np.arange(5, dtype=np.int32))
    Image.new("RGB", (4, 3)).save(tmp_path / "colour.png")
    for model, name, says in [
        (writer, "nowhere.txt", r"nowhere\.txt is no file"),
        (writer, "other.txt", "'x', 'y', 'z'"),
        (writer, "broken.txt", "not UTF-8"),
        (painter, "other.txt", r"a model of image compresses a \.png"),
        (painter, "all.npy", "do not tell apart"),
        (painter, "small.npy", "must have shape"),
        (painter, "two.npz", "it holds a, b; name one with `array`"),
        (painter, "cut.npz", r"cut\.npz gives no array"),
        (painter, "no.png", "cannot be read as an image"),
        (painter, "colour.png", "the model takes 'L'"),
        (speaker, "levels.npy", r"must hold sound as int16, .* or as unsigned levels; got int32"),
        (speaker, "other.txt", r"a model of sound compresses a \.wav"),
    ]:
        with pytest.raises(ValueError, match=says):
            compress_file(model, tmp_path / name, tmp_path / "out.arz")
    assert not list(tmp_path.glob("*.arz"))


def test_nothing_is_written_where_decoding_fails(writer, tmp_path):
    (tmp_path / "a.txt").write_text("abcde abc\n" * 5)
    compress_file(writer, tmp_path / "a.txt", tmp_path / "a.arz")
    data = bytearray((tmp_path / "a.arz").read_bytes())
    data[-3] ^= 1
    (tmp_path / "a.arz").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.arz is damaged"):
        decompress_file(tmp_path / "a.arz", tmp_path / "b.txt", writer)
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "a.arz"}


def test_the_folder_is_reached_from_the_front():
    assert ar_zoo.coding.compress_file is compress_file
