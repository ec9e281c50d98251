"""tools/post_train.py: the table over seeds, the plot, and a run of each kind."""

from __future__ import annotations

import pytest

from tools import post_train

CURVES = {
    "rlvr": [{"rlvr": [0.25, 0.5, 0.75]}, {"rlvr": [0.5, 0.5, 1.0]}],
    "distil": [{"alone": [3.0, 2.5], "taught": [2.5, 2.25]}, {"alone": [3.5, 3.0], "taught": [2.5, 2.0]}],
}


def test_table():
    """A curve's first and last value; of distillation the last of the student alone and of the one that is taught."""
    rows = post_train.table(CURVES, [3, 4]).splitlines()
    assert rows[2:] == [
        "| rlvr | right sums, greedy | 0.250, 0.500 | 0.750, 1.000 | 0.375 | 0.875 |",
        "| distil | bits a character (student alone against taught) | 2.500, 3.000 | 2.250, 2.000 | 2.750 | 2.125 |",
    ]
    assert "after, seeds 3, 4" in rows[0]


def test_plot(tmp_path):
    post_train.plot(CURVES, [3, 4], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(post_train.KINDS))
def test_smoke(kind, tmp_path, capsys):
    words = [kind, "--seeds", "1", "--smoke", "--out", str(tmp_path), "--plot", str(tmp_path / "plot.png")]
    assert post_train.main(words) == 0
    row = capsys.readouterr().out.splitlines()[2].split(" | ")
    assert row[0] == f"| {kind}"
    assert 0 <= float(row[2]) <= 10
    assert 0 <= float(row[3]) <= 10
    assert (tmp_path / "plot.png").is_file()
