"""A run that is killed, asked to stop, out of room, or diverging."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import random
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
from ar_zoo.training import train
from ar_zoo.training.checkpoint import Checkpoint, checkpoints
from ar_zoo.training.status import INTERRUPTED, REFUSED, Interrupted
from ar_zoo.training.survival import first_not_finite
from ar_zoo.training.train import differences
from tests.training import runs

_ROOT = Path(__file__).resolve().parents[2]
QUIET = dict(jit_compile=False, verbose=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.write_text(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run of two epochs with a checkpoint after each of its last steps, that nobody disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(runs.TINY, data=data, out=folder, epochs=2, save_minutes=1e-9, **QUIET)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


class StopAt(keras.callbacks.Callback):
    """Sends SIGTERM to this very process in the middle of a step."""

    step = None

    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_epoch_end(self, epoch, logs=None):
        if self.step == "an epoch's end" and epoch == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def asked_to_stop(monkeypatch, step, *arguments, **more):
    """`train`, with a SIGTERM during the step of that number."""
    fit = ar_zoo.core.density.DensityModel.fit
    killer = StopAt()
    killer.step = step

    def with_killer(self, *args, callbacks, **kwargs):
        return fit(self, *args, callbacks=[killer, *callbacks], **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ar_zoo.core.density.DensityModel, "fit", with_killer)
        with pytest.raises(Interrupted) as stopped:
            train(*arguments, **more)
    return stopped.value.code


def test_sigterm_saves_and_the_run_goes_on(data, finished, tmp_path, monkeypatch, capsys):
    """In the middle of either epoch: weights, optimizer, means, random states and the log are those of the undisturbed run."""
    out, handler = tmp_path / "run", signal.getsignal(signal.SIGTERM)
    for step in (7, 30):
        assert asked_to_stop(monkeypatch, step, runs.TINY, data=data, out=out, epochs=2, **QUIET) == INTERRUPTED
        kept = checkpoints(out / "checkpoints")[0]
        assert kept.name == f"step_{step + 1:08d}.safetensors"
        assert (
            f"Stopped after step {step + 1}, as asked. The same command goes on from {kept}" in capsys.readouterr().out
        )
    assert signal.getsignal(signal.SIGTERM) is handler
    train(runs.TINY, data=data, out=out, epochs=2, **QUIET)
    runs.assert_same_run(out, finished)
    assert runs.figures(out) == runs.figures(finished)


def test_sigterm_at_the_end_of_an_epoch_leaves_its_row(data, finished, tmp_path, monkeypatch):
    out = tmp_path / "run"
    asked_to_stop(monkeypatch, "an epoch's end", runs.TINY, data=data, out=out, epochs=2, **QUIET)
    assert len(runs.figures(out)) == 1
    train(runs.TINY, data=data, out=out, epochs=2, **QUIET)
    runs.assert_same_run(out, finished)
    assert runs.figures(out) == runs.figures(finished)


def test_the_last_three_are_kept(finished):
    steps = int(runs.checkpoint(finished)["progress"][2])
    kept = [f"step_{step:08d}.safetensors" for step in (steps, steps - 1, steps - 2)]
    assert [path.name for path in checkpoints(finished / "checkpoints")] == kept
    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == sorted(kept)


SLOWLY = [pytest.param(how, marks=pytest.mark.slow) for how in ("empty", "cut")]


@pytest.mark.parametrize("damage", ["flipped", "end", *SLOWLY])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(run, finished, data, damage, capsys):
    newest, before, _ = checkpoints(run / "checkpoints")
    content = newest.read_bytes()
    place = len(content) * 3 // 4
    newest.write_bytes(
        {
            "empty": b"",
            "cut": content[: len(content) // 2],
            "end": content[:-1],
            "flipped": content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        }[damage]
    )
    train(runs.TINY, data=data, out=run, epochs=2, **QUIET)
    said = capsys.readouterr().out
    assert f"The checkpoint {newest} " in said
    assert ("its checksum differs" if damage == "flipped" else "cannot be read") in said
    assert f"Going on from {before.name}, the one before." in said
    runs.assert_same_run(run, finished)


def test_only_damaged_checkpoints(run, data):
    for path in checkpoints(run / "checkpoints"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        ValueError, match=r"cannot be read .* There is none before it: choose another --out to start anew"
    ):
        train(runs.TINY, data=data, out=run, epochs=2, **QUIET)


def test_a_checkpoint_of_something_else(run, data):
    shutil.rmtree(run / "checkpoints")
    checkpoint, other = Checkpoint(run / "checkpoints"), ar_zoo.create("gpt.tiny")
    other.compile("sgd")
    checkpoint.set_model(other)
    checkpoint.save()
    with pytest.raises(ValueError, match=r"The checkpoint .* is of another model or optimizer\. Choose another --out"):
        train(runs.TINY, data=data, out=run, epochs=2, **QUIET)


def test_no_room(run, data, monkeypatch):
    """One clear error, and what was there is as it was."""
    kept = {path: path.read_bytes() for path in checkpoints(run / "checkpoints")}

    def full(values, path, metadata):
        Path(path).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.numpy.save_file", full)
        checkpoint = Checkpoint(run / "checkpoints")
        model = ar_zoo.create("gpt.tiny")
        model.compile("sgd")
        checkpoint.set_model(model)
        with pytest.raises(
            OSError, match=r"cannot be written: No space left on device\. The last good one is .*Make room"
        ):
            checkpoint.save()
    assert {path: path.read_bytes() for path in (run / "checkpoints").iterdir()} == kept


def test_no_room_for_anything(data, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys.modules["ar_zoo.training.train"], "_claim", full)
    assert runs.TINY.main(["--data", data, "--out", str(tmp_path / "run"), "--jit", "off"]) == REFUSED
    said = capsys.readouterr().err
    assert (
        said
        == f"error: [Errno 28] No space left on device; make room where {tmp_path / 'run'} lies, and give the same command again\n"
    )


def test_another_recipe_is_told_apart(run, data):
    with pytest.raises(
        ValueError, match=r"recipe, data, epochs or seed: recipe\.learning_rate: 0\.01 → 0\.5; seed: 0 → 4\."
    ):
        train(dataclasses.replace(runs.TINY, learning_rate=0.5), data=data, out=run, epochs=2, seed=4, **QUIET)
    assert differences({"a": [1], "b": 1}, {"a": [1], "c": {"d": 2}}) == ["b: 1 → None", "c: None → {'d': 2}"]


def test_a_batch_that_replicas_do_not_share_evenly(data, tmp_path, monkeypatch):
    class Three:
        num_replicas_in_sync = 3

    monkeypatch.setattr(sys.modules["ar_zoo.training.train"], "make_strategy", lambda *_: Three)
    with pytest.raises(
        ValueError, match="`batch_size` must be a multiple of the 3 replicas of `strategy` 'mirrored'; got 8"
    ):
        train(runs.TINY, data=data, out=tmp_path / "run", strategy="mirrored", **QUIET)


def test_a_loss_that_is_no_number_stops_the_run(run, data, monkeypatch):
    """The layer is named, and the last good checkpoint; the weights did not get to see it."""
    call, kept = keras.layers.Dense.call, checkpoints(run / "checkpoints")[0]

    def breaks(self, x, training=None):
        y = call(self, x, training)
        return y / 0.0 if self.path.endswith("block_1/expand") else y

    monkeypatch.setattr(keras.layers.Dense, "call", breaks)
    changed = dataclasses.replace(runs.TINY, name="tiny_text")
    with pytest.raises(
        ValueError,
        match=r"The loss of step 1 is nan, first in the layer '\w+/block_1/expand'\. There is no checkpoint yet\. Try a lower",
    ):
        train(changed, data=data, out=run.parent / "other", epochs=2, **QUIET)
    assert kept.is_file()


def test_where_it_is_no_number():
    model, batch = ar_zoo.create("gpt.tiny"), {"x": np.zeros((2, 5), "int32")}
    model.compile("sgd", run_eagerly=True)
    assert first_not_finite(model, batch) is None
    assert all("call" not in vars(layer) for layer in model._flatten_layers())
    weight = model.trainable_weights[3]
    before = weight.numpy()
    weight.assign(np.full(weight.shape, np.nan))
    assert first_not_finite(model, batch) == f"the weight {weight.path!r}"
    weight.assign(before)
    log_likelihoods = type(model).log_likelihoods
    model.log_likelihoods = lambda x, y: (log_likelihoods(model, x, y)[0] / 0.0, 5)
    assert first_not_finite(model, batch) == "the loss that is made of the layers' outputs"
    model.log_likelihoods = lambda x, y: (keras.ops.sqrt(log_likelihoods(model, x, y)[0] * 0), 5)
    assert first_not_finite(model, batch).startswith("the gradient of ")


def test_a_step_that_is_no_number_does_not_reach_the_weights():
    model, x = ar_zoo.create("gpt.tiny"), np.zeros((2, 5), "int32")
    model.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
    before = model.get_weights()
    assert np.isnan(model.train_step({"x": x, "sample_weight": np.array([1.0, np.nan], "float32")})["loss"])
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_that_explodes_stops_the_run(data, tmp_path):
    wild = dataclasses.replace(
        runs.TINY, learning_rate=10.0, warmup_steps=0, clip_norm=None, final_rate=1.0, average=None
    )
    with pytest.raises(
        ValueError, match=r"The loss explodes: .* at step \d+, .* at the first, for 20 steps\. There is no"
    ):
        train(wild, data=data, out=tmp_path / "run", epochs=3, **QUIET)


KILLS, VICTIMS = 8, (1, 0)
PROGRAM = """
import dataclasses, sys
from tests.training.runs import TINY
RECIPE = dataclasses.replace(TINY, overrides=dict(dropout={dropout}))
if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
"""


def command(folder, data, out, *more, dropout=0.3):
    program = folder / "tiny_recipe.py"
    program.write_text(PROGRAM.format(dropout=dropout))
    return [
        sys.executable,
        str(program),
        "--data",
        data,
        "--out",
        str(out),
        "--jit",
        "off",
        "--save-minutes",
        "0.002",
        *more,
    ]


def environment():
    return os.environ | {"PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.mark.slow
def test_killed_again_and_again(tmp_path):
    """SIGKILL at random moments; the weights, the means, the random states are those of the undisturbed run."""
    data, rng = runs.write_text(tmp_path, 60_000), random.Random(5)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert subprocess.run(command(tmp_path, data, whole), env=environment(), stdout=subprocess.DEVNULL).returncode == 0
    kills = 0
    while kills < KILLS:
        process = subprocess.Popen(command(tmp_path, data, killed), env=environment(), stdout=subprocess.DEVNULL)
        seen = checkpoints(killed / "checkpoints")[:1]
        while process.poll() is None and checkpoints(killed / "checkpoints")[:1] == seen:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.3)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= KILLS // 2
    assert subprocess.run(command(tmp_path, data, killed), env=environment(), stdout=subprocess.DEVNULL).returncode == 0
    runs.assert_same_run(killed, whole)
    assert runs.figures(killed) == runs.figures(whole)


def children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            if int(lines["PPid"]) == parent and not lines["State"].strip().startswith("Z"):
                found.append(int(status.parent.name))
    return found


@pytest.mark.slow
def test_one_of_two_workers_is_killed(tmp_path):
    """The other stops by itself, both start again, and end with the weights of the undisturbed run."""
    data, both = runs.write_text(tmp_path, 60_000), ["--strategy", "multiworker", "--workers", "2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert (
        subprocess.run(
            command(tmp_path, data, whole, *both, dropout=0), env=environment(), capture_output=True
        ).returncode
        == 0
    )
    process = subprocess.Popen(
        command(tmp_path, data, killed, *both, dropout=0),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for victim in VICTIMS:
        seen = checkpoints(killed / "checkpoints")[:1]
        while checkpoints(killed / "checkpoints")[:1] == seen:
            assert process.poll() is None
            time.sleep(0.01)
        workers = children(process.pid)
        assert len(workers) == 2
        os.kill(sorted(workers)[victim], signal.SIGKILL)
        died = time.monotonic()
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() - died < 60, "the other one is still there"
            time.sleep(0.05)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert said.count("all start again from the last checkpoint") == len(VICTIMS)
    runs.assert_same_run(killed, whole)
