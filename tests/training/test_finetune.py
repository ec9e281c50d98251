"""Fine-tuning: what is frozen stays to the last bit, adapters train alone, and what is saved is a plain model."""

from __future__ import annotations

import dataclasses
import shutil

import keras
import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.pretrained import named_weights, read_manifest
from ar_zoo.training import train
from ar_zoo.training.finetune import add_lora, freeze
from tests.training import runs


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A preset of the tiny recipe's, and a text with a character more."""
    folder = tmp_path_factory.mktemp("start")
    keras.utils.set_random_seed(0)
    head = ar_zoo.heads.Categorical.from_text("abcdef")
    preset = ar_zoo.save(ar_zoo.create("gpt.tiny", head=head), folder / "preset")
    data = runs.write_text(folder, letters=1500)
    (folder / "x_train.txt").write_text("Zz" + (folder / "x_train.txt").read_text())
    return dict(start=str(preset), data=data, epochs=2, jit_compile=False, verbose=0)


def values(model):
    return {path: np.asarray(weight.value) for path, weight in named_weights(model).items()}


def test_frozen_weights_stay_to_the_last_bit(start, tmp_path, capsys):
    train(runs.TINY, freeze="embedding|block_0/", out=tmp_path / "run", **start)
    before, after = values(ar_zoo.load(start["start"])), values(ar_zoo.load(tmp_path / "run" / "best"))
    for path, value in before.items():
        stays = path.startswith(("embedding", "block_0/"))
        assert np.array_equal(value, after[path]) == stays, path
    assert "2 of 1,352 characters are left out, which the model does not know: 'Z' 'z'" in capsys.readouterr().out


def test_adapters_train_alone_and_are_saved_as_their_sum(start, tmp_path):
    model = train(runs.TINY, lora=2, out=tmp_path / "run", **start)
    assert {weight.name for weight in model.trainable_variables} == {"lora_kernel_a", "lora_kernel_b"}
    best = ar_zoo.load(tmp_path / "run" / "best")
    before, after = values(ar_zoo.load(start["start"])), values(best)
    assert before.keys() == after.keys()
    for path, value in before.items():
        change = after[path] - value
        if path.startswith("block_") and path.endswith("kernel"):
            sizes = np.linalg.svd(change, compute_uv=False)
            assert sizes[1] > 1e-4 > 1e-6 > sizes[2:].max(initial=0), (path, "rank 2")
        else:
            assert not change.any(), path
    assert best.count_params() == ar_zoo.load(start["start"]).count_params()


def test_draft_heads_learn_while_the_model_stays(start, tmp_path):
    recipe = dataclasses.replace(
        runs.TINY, start=start["start"], overrides=dict(draft_heads=2), freeze="^(?!draft_)", learning_rate=0.1
    )
    train(recipe, out=tmp_path / "run", **start)
    bits = [float(row["val_draft_bits"]) for row in runs.log(tmp_path / "run")]
    assert bits[1] < bits[0]
    best = ar_zoo.load(tmp_path / "run" / "best")
    before, after = values(ar_zoo.load(start["start"])), values(best)
    for path, value in after.items():
        if path.startswith("draft_"):
            assert np.any(value), path
        else:
            np.testing.assert_array_equal(value, before[path])
    # The model predicts as it did, so that the last epoch is the best.
    assert read_manifest(tmp_path / "run" / "best")["epoch"] == 2


def test_a_saved_model_with_adapters_computes_what_it_did(tmp_path):
    model = ar_zoo.create("gpt.tiny")
    assert add_lora(model, 3, "attention/query") == ["block_0/attention/query", "block_1/attention/query"]
    for weight in model.trainable_variables:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    x = np.arange(10)[None] % 5
    np.testing.assert_allclose(
        ar_zoo.load(ar_zoo.save(model, tmp_path / "sum")).log_prob(x), model.log_prob(x), rtol=1e-5
    )


@pytest.mark.slow
def test_interrupted_with_adapters(start, tmp_path, monkeypatch):
    """The checkpoint holds them: what was there after the first epoch goes on to the same end."""
    after_epoch = ar_zoo.training.callbacks.Checkpoint.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        after_epoch(self, epoch, logs)
        if epoch == 0 and not (tmp_path / "cut").exists():
            shutil.copytree(tmp_path / "whole", tmp_path / "cut")

    monkeypatch.setattr(ar_zoo.training.callbacks.Checkpoint, "on_epoch_end", on_epoch_end)
    for run in ("whole", "cut"):
        train(runs.TINY, lora=2, out=tmp_path / run, **start)
    runs.assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize(
    ("tune", "says"),
    [
        (lambda model: freeze(model, "nothing"), "`freeze` must match some .* 'nothing' matches none"),
        (lambda model: freeze(model, ""), "matches all"),
        (lambda model: freeze(model, "("), "`freeze` must be a regular expression; got '\\('"),
        (lambda model: add_lora(model, 0), "`lora` must be"),
        (lambda model: add_lora(model, 2, "nothing"), "`lora_on` must match paths of dense layers"),
    ],
)
def test_bad_arguments(tune, says):
    model = ar_zoo.create("gpt.tiny")
    with pytest.raises(ValueError, match=says):
        tune(model)
    assert all(weight.trainable for weight in model.weights)
