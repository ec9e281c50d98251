"""Early stopping, in one sitting and in two; and regularisation by recipe."""

from __future__ import annotations

import dataclasses

import pytest

from ar_zoo.heads import Bernoulli
from ar_zoo.training import train
from ar_zoo.training.callbacks import Checkpoint
from tests.training import runs
from tests.training.test_train import IMAGES, write_images

QUIET = dict(jit_compile=False, verbose=0)
# Rates that make the model worse from epoch to epoch.
WORSE = dataclasses.replace(
    runs.TINY,
    patience=2,
    optimizer="sgd",
    learning_rate=0.5,
    clip_norm=1.0,
    schedule="linear",
    final_rate=9.0,
    average=None,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.write_text(tmp_path_factory.mktemp("data"))


@pytest.mark.slow
def test_patience_ends_a_run_and_is_remembered(data, tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(WORSE, data=data, out=whole, steps=6, epochs=9, **QUIET)
    bits = [float(row["val_bits_per_dim"]) for row in runs.log(whole)]
    best = bits.index(min(bits))
    assert len(bits) == best + 3 < 9
    train(WORSE, data=data, out=whole, steps=6, epochs=9, **QUIET)
    assert len(runs.log(whole)) == len(bits)

    def stop(self):
        save(self)
        self.model.stop_training = True

    save = Checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", stop)
        for _ in range(best + 2):
            train(WORSE, data=data, out=cut, steps=6, epochs=9, **QUIET)
    train(WORSE, data=data, out=cut, steps=6, epochs=9, **QUIET)
    runs.assert_same_run(cut, whole)
    assert len(runs.log(cut)) == len(bits)


def test_a_recipe_regularises(data, tmp_path):
    recipe = dataclasses.replace(runs.TINY, label_smoothing=0.1, weight_noise=0.02, scheduled_sampling=0.3)
    model = train(recipe, data=data, out=tmp_path / "run", steps=4, epochs=2, seed=5, **QUIET)
    made = model.regularisation
    assert (made.label_smoothing, made.weight_noise, made.scheduled_sampling) == (0.1, 0.02, 0.3)
    assert (made.over_steps, made.seed) == (8, 5)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        (dict(label_smoothing=1.5), {}, r"`label_smoothing` must lie in \[0, 1\]; got 1.5"),
        (dict(scheduled_sampling=-1), {}, r"`scheduled_sampling` must lie in \[0, 1\]; got -1"),
        (dict(weight_noise=-1), {}, "`weight_noise` must be a number above 0; got -1"),
        (dict(patience=0), {}, "`patience` must be an integer of at least 1, or None; got 0"),
        (dict(weight_noise=0.1), dict(qat="int8"), "`weight_noise` must be 0 with `qat`"),
        (dict(weight_noise=0.1, remat=True), {}, "`remat` must be off with `weight_noise`"),
        (dict(scheduled_sampling=0.5), dict(minutes=1), "`scheduled_sampling` must be 0 with `minutes`"),
    ],
)
def test_what_is_refused(changes, arguments, message, data, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(runs.TINY, **changes), data=data, out=tmp_path / "run", **QUIET, **arguments)
    assert not (tmp_path / "run").exists()


def test_heads_and_events_that_do_not_fit(tmp_path):
    images, binary = write_images(tmp_path / "images.npz", levels=2), dict(IMAGES.overrides, head=Bernoulli())
    for changes, message in [
        (dict(scheduled_sampling=0.5), "`scheduled_sampling` must be 0 but for sequences of symbols"),
        (dict(label_smoothing=0.5, overrides=binary), "`label_smoothing` must be 0 for a head without logits"),
    ]:
        with pytest.raises(ValueError, match=message):
            train(dataclasses.replace(IMAGES, **changes), data=images, out=tmp_path / "run", **QUIET)


def test_the_command_line(monkeypatch):
    words = ["--label-smoothing", "0.1", "--weight-noise", "0.02", "--scheduled-sampling", "0.3", "--patience", "4"]
    changes = dict(label_smoothing=0.1, weight_noise=0.02, scheduled_sampling=0.3, patience=4)
    assert runs.told(monkeypatch, *words)[0] == dataclasses.replace(runs.TINY, **changes)
