"""tools/benchmark.py on tiny models: cached and naive draw the same symbols, and what was measured is written."""

from __future__ import annotations

import json

import pytest

from ar_zoo.bench import naive
from tools import benchmark


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What `main` sets is taken back."""
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")


def test_quick_run(tmp_path, capsys):
    out, plot, figures = tmp_path / "table.md", tmp_path / "plot.png", tmp_path / "figures.json"
    words = ["--quick", "--family", "wavenet", "--peers", "--peer-python", "wavenet_vocoder=/nowhere/python"]
    assert benchmark.main([*words, "--out", str(out), "--plot", str(plot), "--json", str(figures)]) == 0
    text = out.read_text()
    assert text.strip() in capsys.readouterr().out
    names = [line.split(" | ")[1] for line in text.splitlines()[2:]]
    assert names[:2] == ["naive", "cached (5 of 5 symbols as naive)"]
    assert names[2].startswith("wavenet_vocoder (left out: /nowhere/python does not run")
    assert plot.read_bytes().startswith(b"\x89PNG")
    facts = json.loads(figures.read_text())
    assert facts["machine"]["threads"] == 1
    assert facts["machine"]["versions"]["tensorflow"]
    assert facts["cases"][0]["measured"]["cached"]["different"] == 0


@pytest.mark.slow
def test_engines_and_forms(capsys):
    words = ["--quick", "--family", "gpt", "--engines", "litert", "saved_model", "--forms", "float32", "int8"]
    assert benchmark.main(words) == 0
    names = [line.split(" | ")[1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert names[2:] == ["litert float32", "saved_model float32", "litert int8"], "a SavedModel has one form"


def test_symbols_that_differ_are_reported(monkeypatch, capsys):
    """Naive generation that draws something else is noticed."""
    original = naive.drawn_naively

    def shifted(model, rows, chosen, repeats):
        drawn, seconds = original(model, rows, chosen, repeats)
        return (drawn + 1) % model.head.num_symbols, seconds

    monkeypatch.setattr(naive, "drawn_naively", shifted)
    assert benchmark.main(["--quick", "--family", "gated_pixel_cnn", "--batch", "3"]) == 1
    assert "15 of 15 symbols differ" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--batch", "7"], "no case has this family and this batch size"),
        (
            ["--peer-python", "torch=python"],
            "NAME one of keras-hub, llama.cpp Q4_1, pytorch-generative, transformers, wavenet_vocoder",
        ),
        (["--peer-python", "transformers"], "--peer-python takes NAME=PYTHON"),
        (["--engines", "torch"], "invalid choice: 'torch'"),
    ],
)
def test_mistakes(words, says, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(words)
    assert says in capsys.readouterr().err
