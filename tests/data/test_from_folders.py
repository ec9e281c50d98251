"""Folders of sound and of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from ar_zoo.data import read
from tests.data.samples import CLIPS, GREY, write_clips, write_images

# Sound in folders.


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
