"""Optimizers and schedules: closed formulas, what decay leaves alone, and that all of them learn."""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np
import pytest

from ar_zoo.core.registry import create
from ar_zoo.training import train
from ar_zoo.training.callbacks import Checkpoint, TimeBudget
from ar_zoo.training.muon import Muon
from ar_zoo.training.optimizers import OPTIMIZERS, Schedule, make_optimizer
from tests.training import runs

# What is left at step s, of a warm-up of 10 steps and 110 in all, falling to a tenth.
LEFT = {
    "cosine": lambda s: 0.1 + 0.9 * (1 + math.cos(math.pi * (s - 10) / 100)) / 2,
    "linear": lambda s: 1 - 0.9 * (s - 10) / 100,
    "inverse_sqrt": lambda s: math.sqrt(10 / s),
    "constant": lambda s: 1.0,
}
QUIET = dict(jit_compile=False, verbose=0)


@pytest.mark.parametrize("schedule", LEFT)
def test_schedules_are_their_formulas(schedule):
    rate = Schedule(schedule, 3e-3, 0.1, warmup_steps=10, total_steps=110)
    expected = [3e-3 * (s / 10 if s < 10 else LEFT[schedule](s)) for s in range(111)]
    np.testing.assert_allclose([float(rate(s)) for s in range(111)], expected, rtol=1e-5, atol=1e-9)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate))
    assert float(again(60)) == float(rate(60))


def test_the_transformers_own_formula():
    """d^-0.5 · min(step^-0.5, step · warmup^-1.5), whose peak is d^-0.5 · warmup^-0.5."""
    d, warmup = 512, 40
    rate = Schedule("inverse_sqrt", (d * warmup) ** -0.5, 0.0, warmup, 1000)
    for step in (1, 7, 39, 40, 41, 999):
        expected = d**-0.5 * min(step**-0.5, step * warmup**-1.5)
        assert float(rate(step)) == pytest.approx(expected, rel=1e-5), step


def test_cosine_is_that_of_keras():
    rate = Schedule("cosine", 1e-3, 0.01, warmup_steps=5, total_steps=50)
    keras_rate = keras.optimizers.schedules.CosineDecay(0.0, 45, alpha=0.01, warmup_target=1e-3, warmup_steps=5)
    np.testing.assert_allclose([rate(s) for s in range(60)], [keras_rate(s) for s in range(60)], rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize(("schedule", "first"), [("cosine", 1.0), ("inverse_sqrt", 1.0), ("constant", 1.0)])
def test_without_a_warm_up(schedule, first):
    assert float(Schedule(schedule, 1.0, 0.1, 0, 100)(0)) == first


def test_a_short_run_warms_up_for_half_of_it():
    assert Schedule.of(dataclasses.replace(runs.TINY, warmup_steps=100), 8).warmup_steps == 4


@pytest.mark.parametrize("schedule", LEFT)
def test_the_budgets_rate_is_the_schedules(schedule):
    """Where steps take equal times, a budget's rate after the warm-up is the schedule's over as many steps."""
    checkpoint = Checkpoint("nowhere")
    budget = TimeBudget(100.0, checkpoint, "wall", 1.0, 0.1, warmup_steps=9, schedule=schedule)
    for step, share in ((20, 0.2), (50, 0.5), (99, 0.99)):
        checkpoint.seconds = 100 * share
        expected = {"inverse_sqrt": math.sqrt(10 / (step + 1))}.get(schedule, LEFT[schedule](10 + step))
        assert budget.rate(step) == pytest.approx(expected, rel=1e-5), step
    checkpoint.seconds = 0.0
    assert budget.rate(4) == pytest.approx(0.5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_decay_and_clipping(optimizer):
    """Without gradients, kernels alone shrink, by decay times rate."""
    model = create("gpt.tiny")
    recipe = dataclasses.replace(runs.TINY, optimizer=optimizer, schedule="constant", warmup_steps=0)
    made = make_optimizer(recipe, model, total_steps=10)
    made.build(model.trainable_variables)
    before = [weight.numpy() for weight in model.trainable_variables]
    made.apply([np.zeros(weight.shape, "float32") for weight in before])
    for weight, value in zip(model.trainable_variables, before, strict=True):
        kept = 1 - recipe.weight_decay * recipe.learning_rate if weight.name == "kernel" else 1.0
        np.testing.assert_allclose(weight, kept * value, rtol=1e-6, err_msg=weight.path)
    assert made.global_clipnorm == recipe.clip_norm
    assert (made.use_ema, made.ema_momentum) == (True, recipe.average)


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        ("sgd", 1.0),
        pytest.param("adafactor", 0.3, marks=pytest.mark.slow),
        pytest.param("lion", 3e-3, marks=pytest.mark.slow),
        pytest.param("muon", 3e-2, marks=pytest.mark.slow),
    ],
)
def test_every_optimizer_learns(optimizer, rate, tmp_path):
    recipe = dataclasses.replace(runs.TINY, optimizer=optimizer, learning_rate=rate, schedule="linear", average=None)
    train(recipe, data=runs.write_text(tmp_path), out=tmp_path / "run", epochs=1, **QUIET)
    assert float(runs.log(tmp_path / "run")[0]["val_bits_per_dim"]) < 0.93 * math.log2(6)


def test_muon_is_its_formula():
    """Two steps of a kernel of a convolution: momentum, and five times the quintic that drives singular values to 1."""
    rng, rate = np.random.default_rng(0), 0.1
    start, gradients = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 2, 3, 5))
    kernel = keras.Variable(start, dtype="float64", name="kernel")
    made = Muon(rate, weight_decay=None, adam_weight_decay=None)
    momentum, expected = np.zeros((6, 5)), start.reshape(6, 5)
    for gradient in gradients:
        made.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
        matrix = gradient.reshape(6, 5)
        momentum = 0.95 * momentum + matrix
        x = (matrix + 0.95 * momentum).T  # the shorter side first
        x = x / np.linalg.norm(x)
        for _ in range(5):
            square = x @ x.T
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        assert np.all((np.linalg.svd(x, compute_uv=False) > 0.3) & (np.linalg.svd(x, compute_uv=False) < 1.3))
        expected = expected - rate * 0.2 * math.sqrt(6) * x.T
    np.testing.assert_allclose(kernel.numpy(), expected.reshape(2, 3, 5), rtol=1e-6)


@pytest.mark.parametrize("name", ["gpt.tiny", "wavenet.tiny", "gated_pixel_cnn.tiny"])
def test_muon_leaves_tables_vectors_and_outputs_to_adam(name):
    model, made = create(name), Muon(1e-3)
    adams = {weight.path.split("/", 1)[-1] for weight in model.trainable_variables if made._should_use_adamw(weight)}
    others = [weight for weight in model.trainable_variables if not made._should_use_adamw(weight)]
    assert {weight.name for weight in others} == {"kernel"}
    assert len(others) >= 8
    assert not any(word in weight.path for weight in others for word in ("embedding", "output", "condition"))
    assert any("embedding" in path or "output" in path for path in adams)


def test_muon_takes_tables_where_it_is_told_to():
    table = keras.Variable(np.zeros((5, 3)), name="embedding")
    assert Muon(1e-3)._should_use_adamw(table)
    assert not Muon(1e-3, exclude_embeddings=False)._should_use_adamw(table)


@pytest.mark.parametrize("excluded", [["OUT"], [r"block_\d/attention/out"]])
def test_muon_is_told_layers_by_patterns(excluded):
    model, made = create("gpt.tiny", name="outer"), Muon(1e-3, exclude_layers=excluded)
    kept = {
        weight.path for weight in model.trainable_weights if len(weight.shape) == 2 and made._should_use_adamw(weight)
    }
    assert kept == {"outer/embedding/table"} | {f"outer/block_{i}/attention/out/kernel" for i in (0, 1)}


@pytest.mark.parametrize("excluded", ["output", [1], 3])
def test_muon_takes_no_single_word(excluded):
    with pytest.raises(ValueError, match="`exclude_layers` must be a list of regular expressions, or None; got"):
        Muon(1e-3, exclude_layers=excluded)
    with pytest.raises(ValueError, match=r"must be regular expressions; '\[out' is none: unterminated character set"):
        Muon(1e-3, exclude_layers=["output", "[out"])
    assert Muon(1e-3, exclude_layers=None).exclude_layers == []


def test_muon_is_saved_with_the_model(tmp_path):
    model = create("wavenet.tiny")
    model.compile(Muon(2e-3, exclude_layers=["output"]))
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert isinstance(again, Muon)
    assert again.exclude_layers == ["output"]


def test_wrong_names(tmp_path):
    data = runs.write_text(tmp_path)
    for field, message in [
        ("optimizer", "`optimizer` must be one of 'adamw', 'adafactor', 'lion', 'muon', 'sgd'; got 'adam'"),
        ("schedule", "`schedule` must be one of 'cosine', 'linear', 'inverse_sqrt', 'constant'; got 'adam'"),
    ]:
        with pytest.raises(ValueError, match=message):
            train(
                dataclasses.replace(runs.TINY, **{field: "adam"}), data=data, out=tmp_path / "run", minutes=1, **QUIET
            )
    assert not (tmp_path / "run").exists()


def test_the_command_line_changes_the_recipe(monkeypatch):
    told, _ = runs.told(monkeypatch, "--optimizer", "sgd", "--schedule", "constant")
    assert told == dataclasses.replace(runs.TINY, optimizer="sgd", schedule="constant")
