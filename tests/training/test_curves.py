"""Curves of runs, and the sweep that finds a learning rate."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from ar_zoo.cli import main
from ar_zoo.training.curves import plot_curves, read_log
from ar_zoo.training.find_rate import HIGHEST, LOWEST, Sweep, find_rate
from tests.training import runs


def write_log(folder, values, training=True):
    folder.mkdir(parents=True)
    names = ["epoch", *(["bits_per_dim"] if training else []), "val_bits_per_dim"]
    rows = [",".join([str(i), *([str(value + 0.5)] if training else []), str(value)]) for i, value in enumerate(values)]
    (folder / "log.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    return folder


def test_a_log_is_read(tmp_path):
    log = read_log(write_log(tmp_path / "run", [2.0, 1.5]))
    assert log == {"epoch": [0.0, 1.0], "bits_per_dim": [2.5, 2.0], "val_bits_per_dim": [2.0, 1.5]}


def test_curves_of_several_runs(tmp_path, capsys, monkeypatch):
    """Two lines a run that trains, one of n-grams; what is drawn is what the logs hold."""
    drawn = []
    plot = Axes.plot

    def note(axes, x, y, *args, **how):
        drawn.append((how["label"], list(x), list(y)))
        return plot(axes, x, y, *args, **how)

    monkeypatch.setattr(Axes, "plot", note)
    folders = [
        write_log(tmp_path / "a" / "run", [2.0, 1.5]),
        write_log(tmp_path / "b" / "run", [1.9], training=False),
        write_log(tmp_path / "lion", [1.0, 0.9, 0.8]),
    ]
    out = tmp_path / "curves.png"
    assert main(["plot", *map(str, folders), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert drawn == [
        (f"{folders[0]}, training", [1, 2], [2.5, 2.0]),
        (f"{folders[0]}, validation", [1, 2], [2.0, 1.5]),
        (f"{folders[1]}, validation", [1], [1.9]),
        ("lion, training", [1, 2, 3], [1.5, 1.4, 1.3]),
        ("lion, validation", [1, 2, 3], [1.0, 0.9, 0.8]),
    ]
    with Image.open(out) as picture:
        assert picture.size == (700, 450)


def test_runs_that_cannot_be_drawn(tmp_path):
    run = write_log(tmp_path / "run", [])
    for folders, out, message in [
        ([tmp_path], "x.png", "`runs` must be folders that `ar-zoo train` wrote; .* holds no log.csv"),
        ([run], "x.png", "holds no epoch yet"),
        ([write_log(tmp_path / "whole", [1.0])], "x.pdf", r"\.png"),
    ]:
        with pytest.raises(ValueError, match=message):
            plot_curves(folders, tmp_path / out)


def test_a_sweep_suggests_a_tenth_of_the_lowest():
    rates = list(np.geomspace(1e-6, 1.0, 61))
    losses = [2.0 + np.log10(rate / 1e-2) ** 2 / 10 for rate in rates]
    sweep = Sweep(rates, losses)
    weights = 0.1 * 0.9 ** np.arange(61)
    expected = [(weights[: i + 1][::-1] * losses[: i + 1]).sum() / weights[: i + 1].sum() for i in range(61)]
    np.testing.assert_allclose(sweep.smoothed, expected)
    assert sweep.suggestion == rates[int(np.argmin(expected))] / 10


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return find_rate(runs.TINY, runs.write_text(folder), steps=60, jit_compile=False)


def test_a_sweep_goes_through_the_rates_until_the_loss_is_lost(sweep):
    expected = LOWEST * (HIGHEST / LOWEST) ** (np.arange(len(sweep.rates)) / 59)
    np.testing.assert_allclose(sweep.rates, expected, rtol=1e-6)
    assert len(sweep.losses) == len(sweep.rates) < 60
    assert sweep.losses[0] == pytest.approx(np.log(6), rel=0.2)
    assert sweep.smoothed.min() < 0.95 * sweep.smoothed[5]
    assert 1e-4 < sweep.suggestion < 0.1


def test_the_command_line_finds_a_rate(sweep, tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        "ar_zoo.training.find_rate.find_rate", lambda recipe, *args, **how: seen.append((recipe, args, how)) or sweep
    )
    out = tmp_path / "runs" / "mine"
    words = [
        "--find-rate",
        "--data",
        "x.txt",
        "--out",
        str(out),
        "--seed",
        "3",
        "--jit",
        "off",
        "--optimizer",
        "lion",
        "--lora",
        "2",
    ]
    assert runs.TINY.main(words) == 0
    told = dataclasses.replace(runs.TINY, optimizer="lion", lora=2)
    assert seen == [(told, ("x.txt", 3), {"jit_compile": False})]
    assert capsys.readouterr().out.startswith(f"learning rate {sweep.suggestion:.2g} (the recipe's: 0.01); ")
    assert (tmp_path / "runs" / "mine_rates.png").is_file()
    assert not out.exists()
