"""tools/benchmark.py on tiny models: cached and naive draw the same symbols, and the table says what was measured."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import sys

import pytest

import ar_zoo

_PATH = pathlib.Path(__file__).parents[2] / "tools" / "benchmark.py"
_SPEC = importlib.util.spec_from_file_location("ar_zoo_benchmark", _PATH)
benchmark = sys.modules[_SPEC.name] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(benchmark)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What `main` sets is taken back."""
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")


def test_every_row_has_a_quick_one_and_a_preset():
    assert {case.family for case in benchmark.CASES} == {case.family for case in benchmark.QUICK}
    assert {case.preset for case in benchmark.CASES + benchmark.QUICK} <= set(ar_zoo.list_models())


def test_quick_run(tmp_path, capsys):
    out = tmp_path / "table.md"
    assert benchmark.main(["--quick", "--litert", "--family", "wavenet", "--family", "gpt", "--out", str(out)]) == 0
    text = out.read_text()
    assert text in capsys.readouterr().out
    rows = [line for line in text.splitlines() if "tiny" in line]
    assert len(rows) == 3
    assert ["5 of 5" in row for row in rows] == [True, True, False]
    assert "naive, in LiteRT float32" in rows[2]


def test_symbols_that_differ_are_reported(monkeypatch, capsys):
    """Naive generation that draws something else is noticed: here its noise is another seed's."""
    original = benchmark._naive

    def shifted(model, rows, count, repeats):
        drawn, seconds = original(model, rows, count, repeats)
        return (drawn + 1) % model.head.num_symbols, seconds

    monkeypatch.setattr(benchmark, "_naive", shifted)
    assert benchmark.main(["--quick", "--family", "gated_pixel_cnn", "--batch", "3"]) == 1
    assert "15 of 15 symbols differ" in capsys.readouterr().out


def test_window_of_wavenet():
    """A window holds the receptive field and the site itself; sites are timed where it is whole."""
    model = ar_zoo.create("wavenet.tiny")
    reach = 1 + sum(conv.lookback for conv in model._convs)
    assert benchmark._window(model, 40) == reach + 1
    assert benchmark._chosen_sites(model, 40, 5)[[0, -1]].tolist() == [reach, 39]
    assert benchmark._window(model, reach) == reach
    assert benchmark._window(ar_zoo.create("gpt.tiny"), 12) == 12


def test_bars_in_the_table():
    case = dataclasses.replace(benchmark.CASES[0], label="A", bar=150)
    slower = dataclasses.replace(benchmark.CASES[2], label="B", slower_than="A")
    hub = dataclasses.replace(benchmark.CASES[-1], label="C", bar=10)
    row = lambda case, cached, naive, **more: benchmark.Row(case, 100, cached, naive, 20, 0, **more)  # noqa: E731
    lines = benchmark.table(
        [
            row(case, 1.0, 151.0),
            row(slower, 1.31, 200.0),
            row(hub, 1.0, 9.0, hub=1.6),
            row(hub, 1.0, 11.0, note="left out: why"),
        ]
    ).splitlines()[2:]
    assert [" | ".join(line.split(" | ")[6:9]) for line in lines] == [
        "naive | 151.0× | at least 150: met",
        "naive | 152.7× | –",
        "time a site over that of A | 1.31 | at most 1.3: **missed**",
        "naive | 9.0× | at least 10: **missed**",
        "keras-hub `generate` | 1.60× | at least 1.5: met",
        "naive | 11.0× | at least 10: met",
        "keras-hub `generate` | – | left out: why",
    ]


def test_nothing_to_do(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--batch", "7"])
    assert "no case has this family and this batch size" in capsys.readouterr().err
