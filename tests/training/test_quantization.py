"""Quantisation-aware training: at which weights the loss is computed, what the gradient moves, what is kept."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.core.pretrained import named_weights
from ar_zoo.core.quantization import grids, rounded_weights
from ar_zoo.data import read
from ar_zoo.data.encoded import encode
from ar_zoo.heads import Categorical
from ar_zoo.training import quantization_aware, train
from tests.training import runs

QUIET = dict(jit_compile=False, verbose=0)


def text_model(**arguments):
    model = ar_zoo.create("gpt.tiny", head=Categorical(5), units=32, **arguments)
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(random.normal(scale=0.3, size=weight.shape))
    return model


def values(model):
    return {path: weight.numpy() for path, weight in named_weights(model).items()}


X = np.random.default_rng(1).integers(0, 5, (8, 12)).astype(np.int32)


def step_by_hand(scheme, rate):
    """Gradient at the rounded weights, applied to the weights themselves."""
    model = text_model()
    before = values(model)
    with rounded_weights(model, grids(model, scheme)), tf.GradientTape() as tape:
        loss = -tf.reduce_mean(model.log_prob(X)) / 12
    gradients = tape.gradient(loss, model.trainable_weights)
    paths = {id(weight): path for path, weight in named_weights(model).items()}
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        before[paths[id(weight)]] = before[paths[id(weight)]] - rate * tf.convert_to_tensor(gradient).numpy()
    return before, float(loss)


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_step_takes_the_gradient_at_the_rounded_weights(jit):
    model = text_model()
    quantization_aware(model, "int4")
    model.compile(keras.optimizers.SGD(0.5), jit_compile=jit)
    losses = model.fit(X, batch_size=8, verbose=0, shuffle=False).history["loss"]
    expected, loss = step_by_hand("int4", 0.5)
    np.testing.assert_allclose(losses, [loss], rtol=1e-5)
    for path, value in values(model).items():
        np.testing.assert_allclose(value, expected[path], atol=2e-5, err_msg=path)


def test_evaluation_is_at_the_rounded_weights_until_it_is_ended():
    model = text_model()
    exact = -model.log_prob(X).numpy().mean() / 12 / np.log(2)
    with rounded_weights(model, grids(model, "int4")):
        rounded = -model.log_prob(X).numpy().mean() / 12 / np.log(2)
    assert abs(rounded - exact) > 1e-3
    model.compile("sgd", jit_compile=False)
    for scheme, expected in ((None, exact), ("int4", rounded), (None, exact)):
        quantization_aware(model, scheme)
        found = model.evaluate(X, batch_size=8, verbose=0, return_dict=True)["bits_per_dim"]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_dropout_goes_on_and_half_width_floats_train():
    """The states of random generators change inside the scope that holds the rounded weights."""
    model = text_model(dropout=0.5, dtype="mixed_bfloat16")
    quantization_aware(model, "int8")
    states = [v for v in model.non_trainable_variables if "seed" in v.path]
    before, first = [v.numpy() for v in states], values(model)
    assert states
    model.compile(keras.optimizers.SGD(0.5), jit_compile=False)
    model.fit(X, batch_size=8, verbose=0)
    assert any(np.any(v.numpy() != old) for v, old in zip(states, before, strict=True))
    for path, value in values(model).items():
        if "seed" not in path:
            assert value.dtype == np.float32
            assert np.any(value != first[path]), path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.write_text(tmp_path_factory.mktemp("data"))


def test_a_run_keeps_the_rounded_weights_and_their_figure(data, tmp_path):
    """The best preset reaches what the log says, and lies on the grid: exporting it loses nothing more."""
    train(runs.TINY, data=data, out=tmp_path, epochs=1, qat="int4", **QUIET)
    best = ar_zoo.load(tmp_path / "best")
    best.compile(jit_compile=False)
    examples = encode(best, read(data, "valid"), window=12)
    bits = best.evaluate(examples.evaluation(8), verbose=0, return_dict=True)["bits_per_dim"]
    np.testing.assert_allclose(bits, float(runs.log(tmp_path)[0]["val_bits_per_dim"]), rtol=1e-5)
    kept = values(best)
    with rounded_weights(best, grids(best, "int4")):
        for path, value in values(best).items():
            np.testing.assert_allclose(value, kept[path], rtol=1e-5, err_msg=path)
    largest = np.abs(kept["block_0/expand/kernel"]).max(axis=0)
    assert len(np.unique(np.rint(kept["block_0/expand/kernel"] / largest * 7))) > 4
    np.testing.assert_allclose(
        kept["block_0/expand/kernel"] / largest * 7,
        np.rint(kept["block_0/expand/kernel"] / largest * 7),
        atol=1e-4,
    )
    assert json.loads((tmp_path / "best" / "manifest.json").read_text())["training"] == {"qat": "int4"}
    weights = runs.checkpoint(tmp_path)
    assert not any(np.array_equal(value, kept["block_0/expand/kernel"]) for value in weights.values())


@pytest.mark.slow
def test_a_run_starts_from_a_preset(data, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train(runs.TINY, data=data, out=first, epochs=1, **QUIET)
    train(runs.TINY, data=data, out=second, epochs=1, start=str(first / "best"), qat={"table": "int8"}, **QUIET)
    bits = [float(runs.log(folder)[0]["val_bits_per_dim"]) for folder in (first, second)]
    assert bits[1] < bits[0]
    rate = json.loads((second / "recipe.json").read_text())["recipe"]["learning_rate"]
    assert rate == runs.TINY.learning_rate / 10
    with pytest.raises(ValueError, match="of another recipe, data, epochs or seed"):
        train(runs.TINY, data=data, out=second, epochs=1, start=str(first / "best"), **QUIET)
    wavenet = ar_zoo.save(ar_zoo.create("wavenet.tiny"), tmp_path / "wavenet")
    with pytest.raises(ValueError, match=r"`from` must be a preset of gpt, .* is of wavenet"):
        train(runs.TINY, data=data, out=tmp_path / "third", epochs=1, start=str(wavenet), **QUIET)


@pytest.mark.slow
def test_fine_tuning_recovers_what_four_bits_lose(data, tmp_path):
    train(runs.TINY, data=data, out=tmp_path / "float", epochs=8, **QUIET)
    best = ar_zoo.load(tmp_path / "float" / "best")
    examples = encode(best, read(data, "valid"), window=12).evaluation(8)
    best.compile(jit_compile=False)
    exact = best.evaluate(examples, verbose=0, return_dict=True)["bits_per_dim"]
    with rounded_weights(best, grids(best, "int4")):
        lost = best.evaluate(examples, verbose=0, return_dict=True)["bits_per_dim"]
    train(
        runs.TINY, data=data, out=tmp_path / "tuned", epochs=2, qat="int4", start=str(tmp_path / "float" / "best"),
        **QUIET,
    )  # fmt: skip
    tuned = min(float(row["val_bits_per_dim"]) for row in runs.log(tmp_path / "tuned"))
    assert tuned - exact < 0.5 * (lost - exact)
