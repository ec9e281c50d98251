"""What can be seen of a run: its pace, what it draws as it goes, and where its time goes."""

from __future__ import annotations

import dataclasses
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from ar_zoo.core.registry import create
from ar_zoo.drawing import sheet
from ar_zoo.training import train
from ar_zoo.training.callbacks import AveragedEvaluation
from ar_zoo.training.pace import Pace
from ar_zoo.training.samples import Samples
from tests.training import runs

QUIET = dict(jit_compile=False, verbose=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.write_text(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def seen(data, tmp_path_factory):
    """A run of two epochs with all that can be seen."""
    folder = tmp_path_factory.mktemp("runs") / "seen"
    train(dataclasses.replace(runs.TINY, samples=2), data=data, out=folder, epochs=2, profile=True, **QUIET)
    return folder


def summaries(folder) -> list:
    """(step, value) of all that was written into a folder of TensorBoard."""
    events = [event for path in sorted(folder.glob("events.*")) for event in EventFileLoader(str(path)).Load()]
    return [(event.step, value) for event in events for value in event.summary.value]


def texts(folder):
    return [(step, [each.decode() for each in value.tensor.string_val]) for step, value in summaries(folder)]


def test_the_pace_is_in_the_log_and_in_tensorboard(seen):
    for row in runs.log(seen):
        assert float(row["sites_per_second"]) > 100
        assert 0 <= float(row["data_wait"]) <= 1
    tags = {value.tag for _, value in summaries(seen / "tensorboard" / "train")}
    assert {"epoch_sites_per_second", "epoch_data_wait"} <= tags


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps_per_execution", "data_seconds", "step_seconds", "low", "high"),
    [(1, 0.0, 0.1, 0.0, 0.3), (1, 0.1, 0.0, 0.6, 1.0), (2, 0.1, 0.0, 0.6, 1.0), (1, 0.12, 0.08, 0.12, 0.55)],
)
def test_waiting_for_data_is_measured(steps_per_execution, data_seconds, step_seconds, low, high):
    """In the last case the next batch is made while a step takes its time: a third of it is left to wait for."""
    model = create("neural_lm.tiny")
    model.compile("sgd", jit_compile=False, steps_per_execution=steps_per_execution)

    def make(step):
        time.sleep(data_seconds)
        return np.zeros((2, 6), "int32")

    made = tf.data.Dataset.counter().map(lambda step: tf.numpy_function(make, [step], tf.int32))
    batches = made.map(lambda x: {"x": tf.ensure_shape(x, (2, 6))}).prefetch(1)
    slow = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(step_seconds))
    pace, logs = Pace(12), []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, each: logs.append(dict(each)))
    how = dict(steps_per_epoch=10, epochs=3, shuffle=False, verbose=0, callbacks=[slow, pace, keep])
    model.fit(pace.timed(batches), **how)
    assert low <= logs[2]["data_wait"] <= high
    assert logs[2]["sites_per_second"] * pace._seconds == pytest.approx(12 * 10)


def test_a_timed_data_set_is_the_same(data):
    pace = Pace(1)
    batches = tf.data.Dataset.range(5).map(lambda i: {"x": tf.fill((2, 3), i)})
    for one, other in zip(pace.timed(batches), batches, strict=True):
        np.testing.assert_array_equal(one["x"], other["x"])
    assert pace.timed(batches).element_spec == batches.element_spec


def test_a_profile_is_written(seen):
    (folder,) = (seen / "tensorboard" / "train" / "plugins" / "profile").iterdir()
    assert any(path.name.endswith(".xplane.pb") and path.stat().st_size for path in folder.iterdir())


def test_samples_of_text(seen):
    """Of the weights that are evaluated, after each epoch; and training is what it would have been."""
    found = texts(seen / "tensorboard" / "samples")
    assert [step for step, _ in found] == [0, 1]
    assert all(len(drawn) == 2 and set("".join(drawn)) <= set("abcdef ") for _, drawn in found)
    assert found[0] != found[1]


def test_seeing_changes_nothing_and_has_to_be_asked_for(seen, data, tmp_path):
    train(runs.TINY, data=data, out=tmp_path / "run", epochs=2, **QUIET)
    runs.assert_same_run(seen, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run" / "tensorboard").iterdir()} == {"train", "validation"}
    assert not (tmp_path / "run" / "tensorboard" / "train" / "plugins").exists()


def drawn(model, folder, **how):
    samples = Samples(folder, 2, AveragedEvaluation(), **how)
    samples.averaging.set_model(model)
    samples.set_model(model)
    samples.on_epoch_end(3)
    samples.on_train_end()
    (written,) = summaries(folder)
    assert written[0] == 3
    return written[1].tensor


def test_samples_of_pictures(tmp_path):
    model, label = create("gated_pixel_cnn.tiny"), np.array([0, 1])
    model.compile(keras.optimizers.SGD(use_ema=True))
    model._maybe_symbolic_build()
    for mean in model.optimizer._model_variables_moving_average:
        mean.assign(np.random.default_rng(0).normal(size=mean.shape))
    png = drawn(model, tmp_path, context={"label": label}).string_val[2]
    (tmp_path / "x.png").write_bytes(png)
    for weight, mean in zip(model.trainable_variables, model.optimizer._model_variables_moving_average, strict=True):
        weight.assign(mean)
    expected = sheet(model, model.sample(2, seed=0, context=label))
    with Image.open(tmp_path / "x.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture).reshape(expected.shape), expected)


@pytest.mark.slow
def test_samples_are_told_what_the_model_takes(tmp_path):
    """And not the other columns of the data."""
    model = create("gpt.tiny")
    model.compile("sgd")
    assert drawn(model, tmp_path, num_sites=4, context={"scored": np.ones((2, 4), bool)}).string_val


def test_samples_of_sound_and_numbers(tmp_path):
    model = create("wavenet.tiny")
    model.compile("sgd")
    sound = drawn(model, tmp_path / "sound", num_sites=40).string_val[0]
    wave, rate = tf.audio.decode_wav(sound)
    expected = model.head.decode(model.sample(2, seed=0, num_sites=40))[0]
    np.testing.assert_allclose(wave[:, 0], expected, atol=1e-4)
    assert int(rate) == 8000
    model = create("maf.tiny")
    model.compile("sgd")
    (first, _) = drawn(model, tmp_path / "numbers").string_val
    np.testing.assert_allclose([float(n) for n in first.decode().split()], model.sample(2, seed=0)[0], rtol=1e-4)


def test_the_command_line(monkeypatch):
    told, how = runs.told(monkeypatch, "--samples", "3", "--profile")
    assert (told.samples, how["profile"]) == (3, True)
    assert runs.told(monkeypatch)[1]["profile"] is False
