"""tools/measure_training.py: processes take turns, and the table says who was fastest."""

from __future__ import annotations

import json

import pytest

from tools import measure_training

ROWS = [
    {"name": "ar_zoo", "weights": 1000, "seconds": 0.11, "peak_mb": 900.0, "before_mb": 400.0, "loss": 2.5},
    {"name": "pytorch, eager", "weights": 1000, "seconds": 0.2, "peak_mb": 700.0, "before_mb": 300.0, "loss": 2.25},
    {"name": "pytorch, compiled", "weights": 1000, "seconds": 0.1, "peak_mb": 800.0, "before_mb": 300.0, "loss": 2.0},
    {"name": "gone", "left_out": "no torch"},
]


@pytest.mark.parametrize(("ours", "said"), [(0.109, "1.09, **met**"), (0.111, "1.11, **not met**")])
def test_table_of_peers(ours, said):
    rows = [ROWS[0] | {"seconds": ours}, *ROWS[1:]]
    lines = measure_training.table(measure_training.CASES[0], rows, "peers").splitlines()
    assert lines[0] == "`gated_pixel_cnn.benchmark`, 1,000 weights, batches of 16"
    assert lines[4].startswith(f"| ar_zoo | {1e3 * ours:.0f} | ")
    assert lines[5:8] == [
        "| pytorch, eager | 200 | 2.00 | 400 | 2.250 |",
        "| pytorch, compiled | 100 | 1.00 | 500 | 2.000 |",
        "| gone | left out: no torch | | | |",
    ]
    assert said in lines[-1]


def test_table_of_costs():
    """Against the first row."""
    rows = [ROWS[2] | {"name": "as it comes"}, ROWS[1] | {"name": "no XLA"}]
    lines = measure_training.table(measure_training.CASES[0], rows, "costs").splitlines()
    assert lines[4:] == ["| as it comes | 100 | 1.00 | 500 | 2.000 |", "| no XLA | 200 | 2.00 | 400 | 2.250 |"]


def test_nobody_there():
    text = measure_training.table(measure_training.CASES[0], [ROWS[3]], "costs")
    assert text.splitlines()[-1] == "gone: left out, no torch"


def test_a_first_row_that_is_missing_leaves_no_ratios():
    lines = measure_training.table(measure_training.CASES[0], [ROWS[3], ROWS[1]], "costs").splitlines()
    assert lines[-1] == "| pytorch, eager | 200 |  | 400 | 2.250 |"


def test_all_learn_from_the_same_rows(monkeypatch):
    monkeypatch.syspath_prepend(str(measure_training.PEERS))
    from rounds import rows_of, timed

    taken = []
    run = timed(lambda step: taken.append(rows_of(step, 2, 5)) or len(taken))
    seconds, loss = run(2)
    assert (len(seconds), loss) == (2, 2)
    run(1)
    assert taken == [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4]]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["peers", "costs"])
def test_tiny(what, tmp_path, capsys, monkeypatch):
    """Ours trains, and so does each peer that is installed; the loss falls from that of guesses, ln 256, and is no NaN."""
    monkeypatch.setattr(measure_training, "COSTS", {"as it comes": {}, "all": {"accumulate": 4, "remat": True}})
    words = [what, "--tiny", "--rounds", "1", "--steps", "1", "--threads", "1", "--family", "gpt"]
    words += ["--peer-python", "/nowhere/python", "--json", str(tmp_path / "all.json")]
    assert measure_training.main(words) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "all.json").read_text())["cases"][0]["rows"]}
    assert "`gpt.benchmark`" in capsys.readouterr().out
    if what == "peers":
        assert "No such file" in rows.pop("transformers, eager")["left_out"]
        assert "No such file" in rows.pop("transformers, compiled")["left_out"]
        assert set(rows) == {"ar_zoo", "keras_hub, xla", "keras_hub, plain"}
    for row in rows.values():
        assert 4.5 < row["loss"] < 5.7, row
        assert 0 < row["seconds"] < 60
        assert row["peak_mb"] > row["before_mb"] > 0


@pytest.mark.parametrize("name", ["rounds", "steps", "threads"])
def test_nothing_to_measure(name, capsys):
    assert measure_training.main([f"--{name}", "0"]) == 2
    assert f"`{name}` must be" in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as error:
        measure_training.main(["--help"])
    assert error.value.code == 0
    assert "--peer-python" in capsys.readouterr().out
