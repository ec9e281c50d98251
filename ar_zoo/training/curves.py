"""Curves of several runs in one picture."""

from __future__ import annotations

import csv
from pathlib import Path

from ar_zoo.data.writers import figure_into

_COLUMNS = {"bits_per_dim": ("training", "--"), "val_bits_per_dim": ("validation", "-")}


def read_log(run) -> dict[str, list[float]]:
    """The columns of a run's log, by name. Example: `read_log("runs/my_text")["val_bits_per_dim"][-1]`

    Raises:
        ValueError: there is no log, or none with an epoch in it.
    """
    path = Path(run) / "log.csv"
    if not path.is_file():
        raise ValueError(f"`runs` must be folders that `ar-zoo train` wrote; {run} holds no log.csv.")
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} holds no epoch yet. Wait for its end.")
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def plot_curves(runs, out) -> None:
    """Draws bits per dimension after each epoch, of training (dashed) and validation, of several runs into one PNG.

    Args:
        runs: their folders.
        out: the file, `.png`.

    Raises:
        ValueError: a folder without a log, or `out` with another suffix.

    Example: `plot_curves(["runs/adamw", "runs/lion"], "curves.png")`
    """
    logs = {str(run): read_log(run) for run in runs}
    names = [Path(run).name for run in logs]
    with figure_into(out, 7, 4.5) as figure:
        axes = figure.add_subplot()
        for i, ((run, log), name) in enumerate(zip(logs.items(), names, strict=True)):
            for column, (what, style) in _COLUMNS.items():
                if column in log:
                    label = f"{run if names.count(name) > 1 else name}, {what}"
                    marker = "o" if len(log[column]) == 1 else None  # a line of one point is not seen
                    epochs = [epoch + 1 for epoch in log["epoch"]]
                    axes.plot(epochs, log[column], style, color=f"C{i % 10}", marker=marker, label=label, linewidth=1.4)
        axes.set(xlabel="epochs", ylabel="bits per dimension")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
