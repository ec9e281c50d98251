"""Recipes: finding them, their command line, and that each one shipped runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.registry import find
from ar_zoo.training import Recipe, find_recipe, list_recipes, strategies, train
from ar_zoo.training.status import LEFT
from tests.training import runs

# What depends on the data and not on a model's size: it stays the recipe's.
_OF_THE_DATA = {"head", "image_shape", "event_shape", "num_classes", "max_contexts"}
_WINDOW = 32


def small(recipe):
    """The recipe with a model of the size of its family's tiny one, unless it goes on from another."""
    if recipe.start is not None:
        return dataclasses.replace(recipe, batch_size=2, window=recipe.window and _WINDOW)
    tiny = {name: value for name, value in find(recipe.model)[0].PRESETS["tiny"].items() if name not in _OF_THE_DATA}
    tiny |= {"max_sites": _WINDOW} if "max_sites" in tiny else {}
    return dataclasses.replace(
        recipe, overrides=recipe.overrides | tiny, batch_size=2, window=recipe.window and _WINDOW
    )


def test_shipped_recipes():
    assert {"gated_pixel_cnn_mnist", "gpt_kjv", "wavenet_speech8k"} <= set(list_recipes())
    for name in list_recipes():
        recipe = find_recipe(name)
        assert isinstance(recipe, Recipe)
        assert recipe.name == name
        cls, _ = find(recipe.model)
        assert recipe.licence
        assert set(recipe.overrides) <= set(cls.argument_names())


@pytest.mark.parametrize(("name", "nearest"), [("gpt_kvj", "gpt_kjv"), ("wavenet", "wavenet_speech8k")])
def test_unknown_recipe(name, nearest):
    with pytest.raises(ValueError, match=rf"`recipe` '{name}' is not known\. Nearest: {nearest}.*There are: aem"):
        find_recipe(name)


def test_recipe_of_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from tests.training.runs import TINY\nRECIPE = TINY\n")
    assert find_recipe(str(path)) == runs.TINY
    with pytest.raises(ValueError, match=r"`recipe` '.*absent\.py' is not known"):
        find_recipe(str(tmp_path / "absent.py"))


@pytest.mark.parametrize("text", ["x = 1", "RECIPE = 3"])
def test_a_file_without_a_recipe(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"mine\.py holds no RECIPE, which must be an ar_zoo\.training\.Recipe"):
        find_recipe(str(path))


def test_help(capsys):
    with pytest.raises(SystemExit) as ended:
        find_recipe("gated_pixel_cnn_mnist").main(["--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Handwritten digits in 256 levels" in shown
    assert "Trains gated_pixel_cnn.mnist on mnist" in shown
    assert "An interrupted run goes on when the same command is given again" in shown
    assert "default runs/gated_pixel_cnn_mnist" in shown


@pytest.mark.parametrize("arguments", [["--strategy", "many"], ["--jit", "maybe"], ["--epochs", "x"], ["--nonsense"]])
def test_wrong_options(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        runs.TINY.main(arguments)
    assert ended.value.code == 2
    assert "usage: ar-zoo train tiny_text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "/nowhere/x.npz"], "error: .*nowhere"),
        (["--smoke", "--epochs", "0"], "error: `epochs` must be at least 1; got 0"),
        (["--find-rate", "--minutes", "2"], "error: --find-rate trains nothing that is kept: leave out --minutes"),
    ],
)
def test_errors_are_one_line(tmp_path, arguments, message, capsys):
    assert runs.TINY.main([*arguments, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match(message, error)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [TimeoutError("Worker 1 did not answer"), ConnectionError("Port 1 cannot be used")])
def test_a_start_that_may_succeed_next_time(error, tmp_path, monkeypatch, capsys):
    """Its status is that of a worker that is gone: the launcher tries again."""

    def fails(*_):
        raise error

    monkeypatch.setattr(strategies, "meet", fails)
    monkeypatch.setenv("TF_CONFIG", strategies.cluster(["a:1", "b:1"], 0))
    assert runs.TINY.main(["--strategy", "multiworker", "--smoke", "--out", str(tmp_path / "run")]) == LEFT
    assert capsys.readouterr().err == f"error: {error}\n"


def test_folders(monkeypatch):
    """A try leaves the run's own alone."""
    assert (runs.TINY.folder(), runs.TINY.folder(smoke=True)) == (Path("runs/tiny_text"), Path("runs/tiny_text_smoke"))
    assert runs.told(monkeypatch, "--licence", "CC0")[1]["licence"] == "CC0"


def assert_complete(folder, rows=1, measure="val_bits_per_dim"):
    assert {path.name for path in folder.iterdir()} - {"start"} == {
        "best",
        "checkpoints",
        "log.csv",
        "recipe.json",
        "tensorboard",
    }
    log = runs.log(folder)
    assert [int(row["epoch"]) for row in log] == list(range(rows))
    assert all(np.isfinite([float(value) for value in row.values()]).all() for row in log)
    best = ar_zoo.load(folder / "best")
    # n-grams are counted: there is no loss on the way.
    trained = {"loss", "val_loss"} if best.trainable_weights else set()
    assert trained | {measure} <= set(log[0])
    assert any(path.name.startswith("events.") for path in (folder / "tensorboard").rglob("*"))
    return best


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in list_recipes()])
def test_smoke(name, tmp_path):
    recipe = find_recipe(name)
    family = recipe.model.split(".")[0]
    train(small(recipe), smoke=True, out=tmp_path / "run", jit_compile=False, verbose=0)
    best = assert_complete(tmp_path / "run", **({"measure": recipe.objective.best[0]} if recipe.objective else {}))
    assert best.family == family
    assert best.sample_rate == recipe.sample_rate
    if recipe.shipped == "shipped:text" and family == "gpt":
        assert "e" in best.head.alphabet
