"""Runs of recipes with an objective: what they log and keep, with adapters too, and what a round of answers holds."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.pretrained import read_manifest
from ar_zoo.data import read
from ar_zoo.training import DPO, Distill, PolicyGradient, Recipe, Supervised, train
from ar_zoo.training.answers import GreedyAnswers, completed, rewards_of
from ar_zoo.training.callbacks import BestPreset
from ar_zoo.training.find_rate import find_rate
from ar_zoo.training.policy import Rollouts
from tests.training import runs

SUMS = Recipe(
    name="tiny_sums",
    model="gpt.tiny",
    source="nowhere",
    shipped="shipped:sums",
    about="A test.",
    batch_size=8,
    epochs=2,
    learning_rate=1e-2,
    warmup_steps=2,
    average=0.8,
    licence="CC0-1.0",
    objective=Supervised(),
)
POLICY = PolicyGradient(prompts=4, group=4, updates=2, rounds=2)


def last_digit(prompt, completion, answer):
    return 0.5 if completion[-1:] == answer[-1:] else 0.0


def length(prompt, completion, answer):
    return len(completion)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A few sums, of one digit each."""
    folder = tmp_path_factory.mktemp("sums")
    sums = [(first, second) for first in range(10) for second in range(10)]
    for name, part in (("train", sums[:80]), ("valid", sums[80:])):
        rows = ({"prompt": f"{a}+{b}=", "answer": str(a + b), "rejected": str(a + b + 1)} for a, b in part)
        (folder / f"x_{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder / "x_train.jsonl")


@pytest.fixture(scope="module")
def start(data, tmp_path_factory):
    """What supervised fine-tuning leaves, and its log."""
    folder = tmp_path_factory.mktemp("start")
    train(SUMS, data=data, out=folder / "run", jit_compile=False, verbose=0)
    return folder / "run"


@pytest.fixture(scope="module")
def model(start):
    return ar_zoo.load(start / "best")


def test_supervised(start, data):
    rows = runs.log(start)
    assert set(rows[0]) == {"epoch", "loss", "bits_per_dim", "val_loss", "val_bits_per_dim", "val_reward"} | {
        "sites_per_second",
        "data_wait",
    }
    assert float(rows[1]["val_bits_per_dim"]) < float(rows[0]["val_bits_per_dim"])
    manifest = read_manifest(start / "best")
    assert manifest["metrics"] == {"valid_bits_per_dim": pytest.approx(float(rows[1]["val_bits_per_dim"]), abs=1e-4)}
    assert manifest["data"]["train"]["sha256"] == read(data).sha256
    assert ar_zoo.load(start / "best").head.alphabet == "\n+0123456789="


def test_greedy_answers(model, data):
    """Each is what the model says token by token, without its end; the score is the mean reward of all."""
    part = read(data, "valid")
    prompts = list(part.values[:, 0])
    callback = GreedyAnswers(part, "\n", 3, last_digit)
    texts, drawn = completed(model, prompts, 3, "\n", temperature=0)
    for prompt, text, tokens in zip(prompts[:3], texts, drawn.tokens, strict=False):
        x = model.head.encode(prompt)
        while len(x) < len(prompt) + 3 and not model.head.decode(x).endswith("\n"):
            x = np.append(x, np.argmax(model(np.append(x, 0)[None])[0, -1]))
        assert x[len(prompt) :].tolist() == tokens.tolist()
        assert text == model.head.decode(tokens).removesuffix("\n")
    rewards = [last_digit("", text, answer) for text, answer in zip(texts, part.values[:, 1], strict=True)]
    assert callback.score(model) == pytest.approx(np.mean(rewards))


def test_rewards_are_numbers():
    assert rewards_of(last_digit, ["1+2=", "1+2="], ["3", "4"], ["3", "3"]).tolist() == [0.5, 0]
    with pytest.raises(ValueError, match=r"`reward` must give a finite number; for \('a', 'b'\) it gave None"):
        rewards_of(lambda *_: None, ["a"], ["b"], ["c"])


@pytest.fixture(scope="module")
def stage(model, data):
    sets = {split: read(data, split) for split in ("train", "valid")}
    objective = dataclasses.replace(POLICY, reward=last_digit)
    return objective.stage(model, sets, dataclasses.replace(SUMS, batch_size=16), seed=3)


def test_a_round_of_answers(stage, model):
    sampler = stage.callbacks[0]
    assert isinstance(sampler, Rollouts)
    sampler.set_model(model)
    sampler.draw(5)
    held = {name: value.numpy() for name, value in stage.objective.rollouts.items()}
    answers = dict(zip(sampler.prompts, sampler.answers, strict=True))
    scores = model.log_prob(held["x"], reduce="site").numpy()
    prompts = []
    for row in range(16):
        sites = np.flatnonzero(held["weights"][row])
        assert np.all(np.diff(sites) == 1)
        prompts.append(model.head.decode(held["x"][row, : sites[0]]))
        text = model.head.decode(held["x"][row, sites]).removesuffix("\n")
        assert held["reward"][row] == last_digit("", text, answers[prompts[-1]])
        np.testing.assert_allclose(held["old"][row, sites], scores[row, sites], atol=1e-5)
        np.testing.assert_allclose(held["reference"][row, sites], scores[row, sites], atol=1e-5)
        assert not held["old"][row, sites[-1] + 1 :].any()
    assert prompts == [sampler.prompts[place] for place in sampler.chosen(5) for _ in range(4)]
    assert len({tuple(row) for row in held["x"][:4].tolist()}) > 1, "a group's answers differ"
    sampler.draw(25)
    sampler.draw(5)
    np.testing.assert_array_equal(stage.objective.rollouts["x"], held["x"])


def test_rounds_have_noise_of_their_own(stage, model, monkeypatch):
    """The same prompts are answered otherwise in another round."""
    sampler, drawn = stage.callbacks[0], []
    sampler.set_model(model)
    monkeypatch.setattr(sampler, "chosen", lambda number: [0, 1, 2, 3])
    for number in (5, 6):
        sampler.draw(number)
        drawn.append(stage.objective.rollouts["x"].numpy())
    assert not np.array_equal(*drawn)


def test_every_prompt_has_its_turn(stage):
    sampler = stage.callbacks[0]
    rounds = [place for number in range(20) for place in sampler.chosen(number)]
    assert sorted(rounds) == list(range(80))
    again = [place for number in range(20, 40) for place in sampler.chosen(number)]
    assert sorted(again) == list(range(80))
    assert again != rounds


def test_epochs_are_rounds(stage):
    assert len(stage.examples["train"]) == 16 * 2 * 2
    batches = stage.examples["train"].training(16, seed=0)
    for batch in batches.take(3):
        assert sorted(batch["x"].numpy()[:, 0]) == list(range(16))


def test_rounds_are_counted_by_the_runs_steps(stage, model, monkeypatch):
    """And not by the optimizer's, which passes over steps that are no numbers."""
    sampler, numbers = stage.callbacks[0], []
    monkeypatch.setattr(sampler, "draw", lambda number: numbers.append(number) or setattr(sampler, "drawn", True))
    sampler.set_model(model)
    sampler.set_params({"epochs": 3, "steps": 4})
    sampler.on_train_begin()
    for epoch in (1, 2):
        sampler.on_epoch_begin(epoch)
        for batch in range(4):
            sampler.on_train_batch_begin(batch)
    assert numbers == [2, 3, 4, 5]
    sampler.set_params({"epochs": 2, "steps": 3})
    with pytest.raises(ValueError, match="`steps` must be a multiple of the 2 steps of a round; got 3"):
        sampler.on_train_begin()


def test_rates_are_not_swept_where_no_loss_falls(data):
    with pytest.raises(
        ValueError, match="`recipe` must learn by a loss that falls; tiny_sums's PolicyGradient has none"
    ):
        find_rate(dataclasses.replace(SUMS, objective=POLICY, batch_size=16), data=data)
    with pytest.raises(ValueError, match="`start` must be a preset here; got the recipe 'gpt_sums_sft'"):
        find_rate(dataclasses.replace(SUMS, start="gpt_sums_sft"), data=data)


def test_what_does_not_fit(model, data):
    sets = {split: read(data, split) for split in ("train", "valid")}
    with pytest.raises(ValueError, match=r"`batch_size` must divide the 16 answers of a round, .*; got 5"):
        POLICY.stage(model, sets, dataclasses.replace(SUMS, batch_size=5), seed=0)
    long = dataclasses.replace(POLICY, num_tokens=9)
    with pytest.raises(ValueError, match=r"`num_tokens` must leave room for prompts of 4 symbols in the 12 .*; got 9"):
        long.stage(model, sets, dataclasses.replace(SUMS, batch_size=16), seed=0)


def test_the_largest_is_kept():
    """Of equal ones the last."""
    written, averaging = [], SimpleNamespace(averaged=contextlib.nullcontext)
    write = lambda model, folder, epoch, value: written.append((epoch, value))  # noqa: E731
    checkpoint = SimpleNamespace(best=np.inf, writes=True)
    keep = BestPreset("folder", checkpoint, averaging, write, "val_reward", True)
    keep.set_model(None)
    for epoch, value in enumerate([0.25, 0.125, 0.5, 0.5]):
        keep.on_epoch_end(epoch, {"val_reward": value, "val_bits_per_dim": 1.0})
    assert written == [(1, 0.25), (3, 0.5), (4, 0.5)]
    assert checkpoint.best_epoch == 3, "to patience an equal one is no better"


TUNED = {
    "supervised": (Supervised(pack=True), {"val_bits_per_dim", "val_reward"}),
    "dpo": (DPO(beta=0.5), {"accuracy", "val_accuracy", "val_preferred", "val_loss", "val_reward"}),
    "rlvr": (POLICY, {"reward", "kl", "clipped", "val_bits_per_dim", "val_reward"}),
    "distil": ("start", {"kl", "val_kl", "val_bits_per_dim", "val_reward"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, 2])
@pytest.mark.parametrize("kind", list(TUNED))
def test_tuned(kind, lora, start, data, tmp_path):
    """Each kind goes on from a preset, adapters alone too, and what is kept is the best by its own measure."""
    objective, columns = TUNED[kind]
    objective = Distill(str(start / "best")) if objective == "start" else objective
    recipe = dataclasses.replace(SUMS, objective=objective, start=str(start / "best"), lora=lora)
    trained = train(recipe, data=data, out=tmp_path / "run", jit_compile=False, verbose=0)
    names = {weight.name for weight in trained.trainable_variables}
    assert names == {"lora_kernel_a", "lora_kernel_b"} if lora else "kernel" in names
    rows = runs.log(tmp_path / "run")
    assert columns <= set(rows[0])
    assert np.isfinite([float(value) for row in rows for value in row.values()]).all()
    measure, largest = objective.best
    values = [float(row[measure]) for row in rows]
    metrics = read_manifest(tmp_path / "run" / "best")["metrics"]
    assert metrics == {measure.replace("val_", "valid_"): pytest.approx((max if largest else min)(values), abs=1e-4)}
    assert ar_zoo.load(tmp_path / "run" / "best").count_params() == ar_zoo.load(start / "best").count_params()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dpo", "rlvr"])
def test_interrupted(kind, start, data, tmp_path, monkeypatch):
    """A run that is cut after an epoch ends as the whole one does: reference and rounds are those of the start."""
    after_epoch = ar_zoo.training.callbacks.Checkpoint.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        after_epoch(self, epoch, logs)
        if epoch == 0 and not (tmp_path / "cut").exists():
            shutil.copytree(tmp_path / "whole", tmp_path / "cut")

    monkeypatch.setattr(ar_zoo.training.callbacks.Checkpoint, "on_epoch_end", on_epoch_end)
    recipe = dataclasses.replace(SUMS, objective=TUNED[kind][0], start=str(start / "best"))
    for run in ("whole", "cut"):
        train(recipe, data=data, out=tmp_path / run, jit_compile=False, verbose=0)
    runs.assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_preferences_are_learnt(start, data, tmp_path):
    recipe = dataclasses.replace(SUMS, objective=DPO(beta=0.5), start=str(start / "best"), average=None, batch_size=16)
    train(recipe, data=data, out=tmp_path / "run", epochs=30, jit_compile=False, verbose=0)
    rows = runs.log(tmp_path / "run")
    assert float(rows[-1]["accuracy"]) > 0.8


@pytest.mark.slow
def test_text_is_distilled_with_the_teachers_head(tmp_path):
    """A student that starts from nothing; the text's characters that its teacher does not know are left out."""
    folder = tmp_path / "data"
    folder.mkdir()
    data = runs.write_text(folder, letters=600)
    (folder / "x_train.txt").write_text("Z" + (folder / "x_train.txt").read_text())
    keras.utils.set_random_seed(1)
    teacher = ar_zoo.create("gpt.tiny", head=ar_zoo.heads.Categorical.from_text("abcdefg"), num_layers=1)
    recipe = dataclasses.replace(runs.TINY, objective=Distill(teacher), overrides={})
    student = train(recipe, data=data, out=tmp_path / "run", epochs=1, jit_compile=False, verbose=0)
    assert student.head.alphabet == "abcdefg"
    assert {"kl", "val_kl", "val_bits_per_dim"} <= set(runs.log(tmp_path / "run")[0])


@pytest.mark.slow
def test_policy_gradient_under_a_strategy(start, data, tmp_path):
    """All replicas see the answers that were drawn; together they learn as one does."""
    guess = dataclasses.replace(POLICY, reward=length, rounds=1)
    recipe = dataclasses.replace(SUMS, objective=guess, start=str(start / "best"), learning_rate=1e-3)
    for strategy in ("one", "mirrored"):
        train(recipe, data=data, out=tmp_path / strategy, strategy=strategy, epochs=1, jit_compile=False, verbose=0)
    one, mirrored = (runs.log(tmp_path / strategy)[0] for strategy in ("one", "mirrored"))
    for name in ("loss", "reward", "kl", "clipped", "val_bits_per_dim", "val_reward"):
        assert float(mirrored[name]) == pytest.approx(float(one[name]), rel=1e-3, abs=1e-5), name
