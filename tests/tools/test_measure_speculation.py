"""tools/measure_speculation.py: a row for each draft, with the same symbols as drawing one by one."""

from __future__ import annotations

import pytest

import ar_zoo
from tools import measure_speculation


@pytest.fixture
def preset(tmp_path):
    return str(ar_zoo.save(ar_zoo.create("gpt.tiny"), tmp_path / "model") or tmp_path / "model")


def test_functions_take_turns_after_a_round_that_compiles():
    calls = []
    seconds, results = measure_speculation.in_turn([lambda: calls.append("a") or 1, lambda: calls.append("b") or 2], 2)
    assert "".join(calls) == "ababab"
    assert results == [1, 2]
    assert all(0 <= each < 1 for each in seconds)


@pytest.mark.slow
def test_rows(preset, capsys):
    """A model that guesses for itself is always right, and so fills each call."""
    words = [preset, "--draft", "lookup", preset, "--lookahead", "2", "--tokens", "9", "--repeats", "1"]
    assert measure_speculation.main([*words, "--temperature", "0", "1"]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:3] for row in rows] == [[f"`{name}`", "2", t] for name in ("lookup", preset) for t in ("0", "1")]
    assert all(row[-1] == "yes" for row in rows)
    assert [row[6:8] for row in rows[2:]] == [["100%", "3.00"]] * 2


@pytest.mark.parametrize(
    ("words", "said"), [(["nowhere/model"], "nowhere/model"), (["a", "--repeats", "0"], "`repeats`")]
)
def test_bad_input_is_one_clear_error(words, said, capsys):
    assert measure_speculation.main(words) == 2
    assert said in capsys.readouterr().err
