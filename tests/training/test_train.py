"""A run: what it leaves behind, that it goes on where it was killed, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.registry import create
from ar_zoo.data import read
from ar_zoo.data.dataset import Data
from ar_zoo.data.encoded import encode
from ar_zoo.heads import Tokens
from ar_zoo.training import train
from ar_zoo.training.callbacks import AveragedEvaluation, TimeBudget
from ar_zoo.training.checkpoint import Checkpoint
from ar_zoo.training.prepare import create_for
from ar_zoo.training.train import licence_of
from tests.training import runs
from tests.training.test_recipe import assert_complete

_ROOT = Path(__file__).resolve().parents[2]
QUIET = dict(jit_compile=False, verbose=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.write_text(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run of two epochs that nobody changes, and its model."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    model = train(runs.TINY, data=data, out=folder, epochs=2, **QUIET)
    return folder, model


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "run")


def test_what_a_run_leaves(finished, data):
    folder, _ = finished
    best = assert_complete(folder, rows=2)
    rows = runs.log(folder)
    assert float(rows[1]["val_bits_per_dim"]) < float(rows[0]["val_bits_per_dim"]) < np.log2(6)
    manifest = json.loads((folder / "best" / "manifest.json").read_text())
    assert (manifest["name"], manifest["recipe"], manifest["epoch"]) == ("gpt.tiny", "tiny_text", 2)
    assert manifest["licence"] == "not stated: see the data's"
    assert manifest["data"]["valid"] == {"source": "x_valid.txt", "sha256": read(data, "valid").sha256}
    assert best.head.alphabet == "abcdef"
    assert np.isclose(float(rows[1]["val_bits_per_dim"]), manifest["metrics"]["valid_bits_per_dim"], atol=1e-5)


def test_a_recipe_knows_the_licence_of_its_own_data():
    for source, licence in (
        ("nowhere", "CC0-1.0"),
        ("shipped:text", "CC0-1.0"),
        ("mine.txt", "not stated: see the data's"),
    ):
        assert licence_of(runs.TINY, source) == licence


def test_the_running_mean_is_evaluated_and_kept(finished, data):
    """The best preset holds the mean of the weights, and reaches the figure in the log."""
    folder, _ = finished
    best = ar_zoo.load(folder / "best")
    best.compile("sgd", run_eagerly=True)
    examples = encode(best, read(data, "valid"), window=12)
    bits = best.evaluate(examples.evaluation(50), verbose=0, return_dict=True)["bits_per_dim"]
    assert np.isclose(bits, float(runs.log(folder)[1]["val_bits_per_dim"]), rtol=1e-4)
    kept = runs.checkpoint(folder)
    for i, weight in enumerate(best.trainable_weights):
        mean = [value for name, value in kept.items() if value.shape == weight.shape and name.startswith("optimizer/")]
        assert any(np.array_equal(weight, value) for value in mean), weight.path
        assert not np.array_equal(weight, kept[f"model/{i}"]), "the mean is not the last weights"


def test_a_finished_run_is_left_as_it_is(run, finished, data):
    again = train(runs.TINY, data=data, out=run, epochs=2, **QUIET)
    runs.assert_same_run(run, finished[0])
    assert len(runs.log(run)) == 2
    for one, other in zip(again.weights, finished[1].weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_run_that_is_cut_into_epochs_is_the_same_run(data, finished, tmp_path, monkeypatch):
    save = Checkpoint.save

    def stop(self):
        save(self)
        self.model.stop_training = True

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", stop)
        train(runs.TINY, data=data, out=tmp_path / "run", epochs=2, **QUIET)
    assert len(runs.log(tmp_path / "run")) == 1
    train(runs.TINY, data=data, out=tmp_path / "run", epochs=2, **QUIET)
    runs.assert_same_run(tmp_path / "run", finished[0])


@pytest.mark.slow
def test_a_run_that_is_killed_in_the_middle_of_an_epoch_is_the_same_run(tmp_path):
    """SIGKILL, as a machine that goes down: dropout and running means included, to the last bit."""
    data = runs.write_text(tmp_path, 40_000)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; from ar_zoo.training import train; from tests.training.runs import TINY\n"
        f"train(TINY, data={data!r}, out=sys.argv[1], jit_compile=False, verbose=0)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}

    def start(out):
        return subprocess.Popen([sys.executable, program, out], env=environment, cwd=tmp_path)

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process, deadline = start(killed), time.monotonic() + 300
    while not ((killed / "log.csv").is_file() and len(runs.log(killed)) >= 1):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)  # into the second epoch
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 1 <= len(runs.log(killed)) < runs.TINY.epochs
    assert runs.checkpoint(killed)["progress"][0] < runs.TINY.epochs
    for out in (killed, whole):
        assert start(out).wait() == 0
    runs.assert_same_run(killed, whole)
    assert runs.figures(killed) == runs.figures(whole)


def test_time_ends_a_run_and_a_run_that_it_ended_stays(data, tmp_path):
    out = tmp_path / "run"
    model = train(runs.TINY, data=data, out=out, minutes=0.04, **QUIET)
    assert_complete(out, rows=len(runs.log(out)))
    kept = runs.checkpoint(out)
    seconds, cpu_seconds = kept["time"]
    assert 2.4 <= seconds < 12
    assert cpu_seconds > 0
    assert float(model.optimizer.learning_rate) < runs.TINY.learning_rate, "it is the budget's"
    again = train(runs.TINY, data=data, out=out, minutes=0.04, **QUIET)
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations)
    assert len(runs.log(out)) == kept["progress"][0]
    with pytest.raises(ValueError, match="`minutes` must be a number above 0; got 0"):
        train(runs.TINY, data=data, out=out, minutes=0, **QUIET)
    with pytest.raises(ValueError, match="stands in the place of `epochs`; got 1 and 2"):
        train(runs.TINY, data=data, out=out, minutes=1, epochs=2, **QUIET)
    with pytest.raises(ValueError, match="`clock` must be 'wall' or 'cpu'; got 'sun'"):
        train(runs.TINY, data=data, out=out, minutes=1, clock="sun", **QUIET)


def test_a_budget_of_cpu_time_is_that_of_all_cores():
    checkpoint = Checkpoint(Path("unused"))
    checkpoint.seconds, checkpoint.cpu_seconds = 10.0, 15.0
    wall, cpu = (TimeBudget(20.0, checkpoint, clock, 1.0, 0.0, 0) for clock in ("wall", "cpu"))
    assert (wall.share, cpu.share) == (0.5, 0.75)
    assert wall.rate(0) == pytest.approx(0.5)
    assert cpu.rate(0) < 0.2


def test_the_rate_falls_with_time():
    checkpoint = Checkpoint("nowhere")
    budget = TimeBudget(10.0, checkpoint, "wall", learning_rate=2.0, final_rate=0.1, warmup_steps=4)
    for seconds, step, expected in [
        (0.0, 0, 2.0 / 5),
        (0.0, 3, 2.0 * 4 / 5),
        (0.0, 100, 2.0),
        (5.0, 100, 2.0 * (0.1 + 0.9 / 2)),
        (2.5, 100, 2.0 * (0.1 + 0.9 * (1 + np.sqrt(0.5)) / 2)),
        (10.0, 100, 0.2),
        (11.0, 100, 0.2),
    ]:
        checkpoint.seconds = seconds
        assert np.isclose(budget.rate(step), expected), (seconds, step)


@pytest.mark.parametrize(
    ("recipe", "arguments"),
    [
        (dataclasses.replace(runs.TINY, name="other"), {}),
        (dataclasses.replace(runs.TINY, learning_rate=1e-4), {}),
        (dataclasses.replace(runs.TINY, overrides={}), {}),
        (runs.TINY, dict(seed=1)),
        (runs.TINY, dict(epochs=3)),
    ],
)
def test_a_folder_of_another_run(run, data, recipe, arguments):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"`out` .* holds a run of another recipe, data, epochs or seed"):
        train(recipe, data=data, out=run, **(dict(epochs=2) | QUIET | arguments))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def write_images(path, count=12, side=4, classes=3, levels=4):
    generator = np.random.default_rng(0)
    images = generator.integers(0, levels, (count, side, side, 1)).astype("uint8")
    np.savez(path, x_train=images, y_train=np.arange(count) % classes, x_test=images[:4], y_test=np.arange(4) % classes)
    return str(path)


IMAGES = dataclasses.replace(
    runs.TINY,
    model="gated_pixel_cnn.tiny",
    overrides=dict(image_shape=(4, 4, 1), num_layers=0),
    window=None,
    labels=True,
    batch_size=4,
)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (dict(side=5), r"`x` must have shape \[batch, 4, 4, 1\]; got \[1, 5, 5, 1\]"),
        (dict(classes=5), r"`context\['label'\]` must hold integers in 0\.\.2 \(3 for unknown\); got 0\.\.4"),
        (dict(levels=9), r"`values` must lie in 0\.\.3; got 0\.\.8"),
    ],
)
def test_data_that_does_not_fit(tmp_path, images, message):
    data = write_images(tmp_path / "images.npz", **images)
    with pytest.raises(ValueError, match=message):
        train(IMAGES, data=data, out=tmp_path / "run", epochs=1, **QUIET)
    assert not (tmp_path / "run").exists()


def test_images_with_labels(tmp_path):
    train(IMAGES, data=write_images(tmp_path / "images.npz"), out=tmp_path / "run", epochs=1, **QUIET)
    assert assert_complete(tmp_path / "run").num_classes == 3


def test_empty_and_short_data(tmp_path):
    (tmp_path / "x_train.txt").write_text("")
    with pytest.raises(ValueError, match=r"there is no text in it\. An empty data set cannot be used"):
        train(runs.TINY, data=str(tmp_path / "x_train.txt"), out=tmp_path / "run", **QUIET)
    (tmp_path / "x_train.txt").write_text("abcab")
    (tmp_path / "x_valid.txt").write_text("abc")
    with pytest.raises(ValueError, match="window must fit into the stream: it is 12, the stream 5 long"):
        train(runs.TINY, data=str(tmp_path / "x_train.txt"), out=tmp_path / "run", **QUIET)
    np.savez(tmp_path / "none.npz", x_train=np.zeros((0, 4, 4, 1), np.uint8), x_test=np.zeros((0, 4, 4, 1), np.uint8))
    with pytest.raises(ValueError, match="An empty data set cannot be used"):
        train(IMAGES, data=str(tmp_path / "none.npz"), out=tmp_path / "none", **QUIET)
    assert not (tmp_path / "none").exists()


def test_labels_that_are_not_there(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=np.zeros((8, 4, 4, 1), np.uint8), x_test=np.zeros((4, 4, 4, 1), np.uint8))
    with pytest.raises(ValueError, match=r"The recipe wants labels, and .*x\.npz has none"):
        train(IMAGES, data=str(tmp_path / "x.npz"), out=tmp_path / "run", **QUIET)


def test_arguments(data, tmp_path):
    with pytest.raises(ValueError, match="`epochs` must be at least 1; got 0"):
        train(runs.TINY, data=data, out=tmp_path / "run", epochs=0)
    with pytest.raises(ValueError, match="`steps` must be at least 1; got 0"):
        train(runs.TINY, data=data, out=tmp_path / "run", steps=0)
    with pytest.raises(ValueError, match=r"`strategy` must be one of 'one', 'mirrored', .*; got 'many'"):
        train(runs.TINY, data=data, out=tmp_path / "run", strategy="many")


def test_averaging():
    """The mean is in place of the weights while the model is evaluated, and never after."""
    model = create("gpt.tiny")
    model.compile(keras.optimizers.Adam(use_ema=True), run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    averaging, x = AveragedEvaluation(), np.zeros((2, 5), "int32")
    averaging.set_model(model)
    weights = model.get_weights()
    means = [weight + np.random.default_rng(0).normal(size=weight.shape) for weight in weights]
    for variable, mean in zip(model.optimizer._model_variables_moving_average, means, strict=True):
        variable.assign(mean)
    other = create("gpt.tiny")
    other.set_weights(means)
    expected = -np.asarray(other.log_prob(x)).mean() / 5
    np.testing.assert_allclose(model.evaluate(x, verbose=0, callbacks=[averaging])[0], expected, rtol=1e-5)
    for one, weight in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, weight)

    def break_off():
        with averaging.averaged():
            for one, mean in zip(model.get_weights(), means, strict=True):
                np.testing.assert_allclose(one, mean, rtol=1e-6)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        break_off()
    for one, weight in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, weight)


def test_text_in_tokens_of_the_training_part():
    recipe, part = dataclasses.replace(runs.TINY, vocabulary=262), Data("text", "the cat sat on the mat. " * 9)
    assert create_for(recipe, {}, part).head == Tokens.train(part.values, 262)
    recipe = dataclasses.replace(recipe, vocabulary=None)
    assert create_for(recipe, {}, part).head.alphabet == " .acehmnost"
    assert create_for(recipe, {"head": Tokens.bytes()}, part).head == Tokens.bytes()


@pytest.mark.slow
def test_a_run_in_tokens_says_bits_per_character(tmp_path):
    recipe = dataclasses.replace(runs.TINY, vocabulary=280, epochs=1)
    train(recipe, data=runs.write_text(tmp_path), out=tmp_path / "run", verbose=0)
    manifest = json.loads((tmp_path / "run" / "best" / "manifest.json").read_text())
    text, head = (tmp_path / "x_valid.txt").read_text(), ar_zoo.load(tmp_path / "run" / "best").head
    assert head.num_symbols == 280
    bits = manifest["metrics"]["valid_bits_per_dim"] * len(head.encode(text)) / len(text)
    assert manifest["metrics"]["valid_bits_per_character"] == pytest.approx(bits, abs=1e-4)
    assert len(head.encode(text)) < len(text) / 1.5
