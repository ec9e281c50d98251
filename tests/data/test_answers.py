"""Prompts and answers: read from lines of JSON, and laid out in rows of symbols of which the answers are scored."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import ar_zoo
from ar_zoo.data import read
from ar_zoo.data.answers import encode_answers, lay_out
from ar_zoo.data.encoded import encode

LINES = ['{"prompt": "a+", "answer": "bb"}', "", '{"prompt": "b", "answer": ""}', '{"prompt": "ab+", "answer": "a"}']


@pytest.fixture(scope="module")
def model():
    return ar_zoo.create("gpt.tiny", head=ar_zoo.heads.Categorical.from_text("\n+ab"))


def write(folder, lines, name="x_train.jsonl"):
    """The file, with another for validation beside it, so that it is whole."""
    (folder / "x_valid.jsonl").write_text('{"prompt": "b+", "chosen": "a", "rejected": "b"}')
    path = folder / name
    path.write_text("\n".join(lines))
    return path


def test_shipped_sums():
    train, valid = (read("shipped:sums", split) for split in ("train", "valid"))
    assert (len(train), len(valid)) == (2000, 500)
    assert train.columns == ("prompt", "answer", "rejected")
    assert not set(train.values[:, 0]) & set(valid.values[:, 0])
    for prompt, answer, rejected in [*train.values, *valid.values]:
        assert eval(prompt[:-1]) == int(answer) != int(rejected)
        assert abs(int(answer) - int(rejected)) in (1, 10)


def test_a_file_and_its_parts(tmp_path):
    path = write(tmp_path, LINES)
    train, valid = read(path), read(path, "valid")
    assert train.kind == "answers"
    assert train.values.tolist() == [["a+", "bb"], ["b", ""], ["ab+", "a"]]
    assert valid.values.tolist() == [["b+", "a", "b"]]
    assert valid.columns == ("prompt", "answer", "rejected")
    assert train.sha256 == hashlib.sha256(b"a+\0bb\0b\0\0ab+\0a").hexdigest()


def test_the_last_tenth_of_a_lone_file_is_valid(tmp_path):
    path = write(tmp_path, [f'{{"prompt": "{number}", "answer": "a"}}' for number in range(20)], "x.jsonl")
    assert [row[0] for row in read(path, "valid").values] == ["18", "19"]
    assert len(read(path)) == 18


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["{"], r"x_train\.jsonl, line 1 is no JSON"),
        ([LINES[0], "3"], r"line 2 must be an object with prompt, answer and perhaps rejected; it has int"),
        (['{"prompt": "a"}'], r"it has prompt\."),
        (['{"prompt": "a", "answer": "b", "score": "c"}'], r"it has prompt, answer, score\."),
        (['{"prompt": "a", "answer": 3}'], r"line 1: answer must be a text; got 3"),
        (['{"prompt": "", "answer": "a"}'], r"prompt must be a text that is not empty; got ''"),
        (
            [LINES[0], "", '{"prompt": "a", "answer": "b", "rejected": "a"}'],
            r"must have prompt, answer, as the first; line 3",
        ),
        ([], "there is no answers in it"),
    ],
)
def test_bad_lines(tmp_path, lines, says):
    with pytest.raises(ValueError, match=says):
        read(write(tmp_path, lines))


def test_rows(model, tmp_path):
    rows = encode_answers(model, read(write(tmp_path, LINES)), "\n")
    x, scored, texts = lay_out(model, rows)
    decoded = ["".join("\n+ab"[symbol] for symbol in row) for row in x]
    assert decoded == ["a+bb\n", "b\n\n\n\n", "ab+a\n"]  # zeros, which are line ends here, fill up
    assert scored.astype(int).tolist() == [[0, 0, 1, 1, 1], [0, 1, 0, 0, 0], [0, 0, 0, 1, 1]]
    assert texts.tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    assert lay_out(model, rows, window=7)[0].shape == (3, 7)


def test_packed_rows(model, tmp_path):
    rows = encode_answers(model, read(write(tmp_path, LINES)), "\n")
    x, scored, texts = lay_out(model, rows, window=7, pack=True)
    assert ["".join("\n+ab"[symbol] for symbol in row) for row in x] == ["a+bb\nb\n", "ab+a\n\n\n"]
    assert scored.astype(int).tolist() == [[0, 0, 1, 1, 1, 0, 1], [0, 0, 0, 1, 1, 0, 0]]
    assert texts.tolist() == [[1, 1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 1, 0, 0]]
    assert lay_out(model, rows, pack=True)[0].shape == (1, model.max_sites)


def test_refusals(model, tmp_path):
    part = read(write(tmp_path, LINES))
    with pytest.raises(ValueError, match="holds prompts and answers: give the recipe an objective"):
        encode(model, part)
    with pytest.raises(ValueError, match="must have 'rejected' in every line; it has prompt, answer"):
        encode_answers(model, part, "\n", "rejected")
    with pytest.raises(ValueError, match="holds text; wanted are prompts and answers"):
        encode_answers(model, read("shipped:text"), "\n")
    with pytest.raises(ValueError, match=r"row 1: text has 1 character\(s\) .* 'z'"):
        encode_answers(model, read(write(tmp_path, ['{"prompt": "z", "answer": "a"}'])), "\n")
    with pytest.raises(ValueError, match=r"must fit into 4 symbols, .*; row 1 has 5"):
        lay_out(model, encode_answers(model, part, "\n"), window=4)
    with pytest.raises(ValueError, match=r"must fit into 12 symbols, .*; row 2 has 14"):
        lay_out(model, [(np.zeros(2), np.zeros(2)), (np.zeros(10), np.zeros(4))])
