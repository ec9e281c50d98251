"""Text files, their parts, and folders of them."""

from __future__ import annotations

import pytest

from ar_zoo.data import read


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
