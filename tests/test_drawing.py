"""What models draw, as pictures, sound and text."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo import drawing
from ar_zoo.heads import Bernoulli, Categorical, Normal

ALPHABET = "abcde"


@pytest.fixture(scope="module")
def letters():
    """A tiny GPT of 12 sites that draws letters."""
    model = ar_zoo.create("gpt.tiny", head=Categorical(5, alphabet=ALPHABET))
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape))
    return model


def test_data_kind(letters):
    assert drawing.data_kind(letters) == "text"
    assert drawing.data_kind(ar_zoo.create("gpt.tiny")) == "symbols"
    assert drawing.data_kind(ar_zoo.create("wavenet.tiny")) == "sound"
    assert drawing.data_kind(ar_zoo.create("gated_pixel_cnn.tiny")) == "image"
    assert drawing.data_kind(ar_zoo.create("ar_p.tiny")) == "series"
    assert drawing.data_kind(ar_zoo.create("made.tiny", head=Normal())) == "table"


def test_numbers_are_written_as_they_are_read(tmp_path):
    from ar_zoo.data import read

    model = ar_zoo.create("made.tiny", event_shape=(3,), head=Normal())
    x = model.sample(20, seed=1)
    assert drawing.write_drawn(model, x, tmp_path / "drawn.csv") == [tmp_path / "drawn.csv"]
    np.testing.assert_allclose(read(tmp_path / "drawn.csv", "train").raw, x[:18], rtol=1e-6)


def test_draw_text_goes_on_from_half_a_window(letters):
    (text,) = drawing.draw_text(letters, 20, seed=5, prefix="bad")
    first = letters.sample(1, 5, prefix=letters.head.encode("bad"))[0]
    second = letters.sample(1, 6, prefix=first[-7:])[0]
    third = letters.sample(1, 7, prefix=second[-7:])[0]
    assert text == letters.head.decode(np.concatenate([first, second[7:], third[7:]])[:20])


def test_draw_text_within_one_window(letters):
    texts = drawing.draw_text(letters, 8, num_samples=3, seed=1)
    assert texts == [letters.head.decode(row) for row in letters.sample(3, 1, num_sites=8)]


@pytest.mark.parametrize("length", [12, 13, 30])
def test_draw_text_takes_a_beginning_as_long_as_a_window(letters, length):
    prefix = ("abcde" * 6)[:length]
    (text,) = drawing.draw_text(letters, length + 3, prefix=prefix)
    assert len(text) == length + 3
    assert text.startswith(prefix)


def test_draw_text_refuses_a_beginning_that_is_all(letters):
    with pytest.raises(ValueError, match="`prefix` has 3 characters, `num_sites` is 3"):
        drawing.draw_text(letters, 3, prefix="abc")


def test_pixels_spread_the_alphabet_from_black_to_white():
    binary = ar_zoo.create("gated_pixel_cnn.tiny", image_shape=(2, 2, 1), head=Bernoulli())
    assert drawing.pixels(binary, np.array([0, 1])).tolist() == [0, 255]
    coarse = ar_zoo.create("gated_pixel_cnn.tiny", image_shape=(2, 2, 1), head=Categorical(4, source_levels=256))
    assert drawing.pixels(coarse, np.array([0, 3])).tolist() == [32, 224]


def test_read_prefix_refuses_a_picture_of_another_width(tmp_path):
    from ar_zoo.data import write_png

    write_png(tmp_path / "wide.png", np.zeros((4, 9), np.uint8))
    with pytest.raises(ValueError, match="5 pixels wide"):
        drawing.read_prefix(ar_zoo.create("gated_pixel_cnn.tiny", image_shape=(4, 5, 1)), tmp_path / "wide.png")


def test_symbols_of_is_pixels_the_other_way_round():
    for head, top in ((Bernoulli(), 1), (Categorical(256), 255), (Categorical(4, source_levels=256), 3)):
        model = ar_zoo.create("gated_pixel_cnn.tiny", image_shape=(2, 2, 1), num_layers=0, head=head)
        x = np.array([0, top, top, 0]).reshape(2, 2, 1)
        np.testing.assert_array_equal(drawing.symbols_of(model, drawing.pixels(model, x)), x)
    binary = ar_zoo.create("gated_pixel_cnn.tiny", image_shape=(2, 2, 1), num_layers=0, head=Bernoulli())
    np.testing.assert_array_equal(drawing.symbols_of(binary, np.array([[[127], [128]]], np.uint8))[0, :, 0], [0, 1])


def test_read_image_takes_a_picture_or_one_of_a_data_set(tmp_path):
    from ar_zoo.data import read, write_png

    model = ar_zoo.create("gated_pixel_cnn.tiny", image_shape=(28, 28, 1), num_layers=0, head=Categorical(256))
    part = read("shipped:digits", "valid")
    x, label = drawing.read_image(model, "shipped:digits:3")
    np.testing.assert_array_equal(x, part.values[3])
    assert label == part.labels[3]
    assert not np.array_equal(drawing.read_image(model, "shipped:digits:3", "train")[0], x)
    write_png(tmp_path / "digit.png", part.values[3])
    again, label = drawing.read_image(model, str(tmp_path / "digit.png"))
    np.testing.assert_array_equal(again, x)
    assert label is None
    with pytest.raises(ValueError, match="has 200 images in its valid part, from 0"):
        drawing.read_image(model, "shipped:digits:200")
    write_png(tmp_path / "small.png", part.values[3, :20])
    with pytest.raises(
        ValueError, match=r"`image` must be 28x28x1 \(height, width, channels\); .*small\.png is 20x28x1"
    ):
        drawing.read_image(model, str(tmp_path / "small.png"))


def test_a_text_or_a_file_of_it(tmp_path, monkeypatch):
    """A file may begin with the mark of some editors, which is no text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbfab")
    found = [drawing.text_or_file(given) for given in ("marked.txt", "see marked.txt", "ab", "", None)]
    assert found == ["ab", "see marked.txt", "ab", "", ""]
    with pytest.raises(ValueError, match=r"^nowhere\.txt is no file here"):
        drawing.text_or_file("nowhere.txt")
