"""A recipe that trains in seconds, and what its runs are made of."""

from __future__ import annotations

import csv
import sys

import numpy as np
from safetensors.numpy import load_file

from ar_zoo.training import Recipe
from ar_zoo.training.checkpoint import checkpoints

TINY = Recipe(
    name="tiny_text",
    model="gpt.tiny",
    source="nowhere",
    shipped="shipped:text",
    about="A test.",
    overrides=dict(dropout=0.3),
    batch_size=8,
    epochs=3,
    learning_rate=1e-2,
    window=12,
    warmup_steps=3,
    weight_decay=0.1,
    average=0.8,
    licence="CC0-1.0",
)


def write_text(folder, letters=2500, seed=0):
    """A text with something to learn in it: after each letter, mostly the next of the alphabet."""
    generator = np.random.default_rng(seed)
    steps = np.where(generator.random(letters) < 0.8, 1, generator.integers(0, 6, letters))
    text = "".join("abcdef"[i] for i in np.cumsum(steps) % 6)
    (folder / "x_train.txt").write_text(text[: -letters // 10])
    (folder / "x_valid.txt").write_text(text[-letters // 10 :])
    return str(folder / "x_train.txt")


def log(folder) -> list[dict]:
    with open(folder / "log.csv") as file:
        return list(csv.DictReader(file))


def figures(folder) -> list[dict]:
    """The log without what depends on the machine."""
    times = ("sites_per_second", "data_wait")
    return [{name: value for name, value in row.items() if name not in times} for row in log(folder)]


def checkpoint(folder) -> dict:
    """The newest."""
    return load_file(checkpoints(folder / "checkpoints")[0])


def assert_same_run(one, other):
    """All that the next step would depend on, to the last bit: weights, optimizer, running means, random states."""
    first, second = checkpoint(one), checkpoint(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        if name == "time":  # what it took; nothing depends on it
            continue
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def told(monkeypatch, *arguments) -> tuple[Recipe, dict]:
    """What the command line of `TINY` would train, and how."""
    seen = []
    module = sys.modules["ar_zoo.training.train"]
    monkeypatch.setattr(module, "train", lambda recipe, **how: seen.append((recipe, how)))
    assert TINY.main(list(arguments)) == 0
    return seen[0]
