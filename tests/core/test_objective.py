"""An objective takes the place of the likelihood in `fit` and `evaluate`, and of nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from keras import ops

import ar_zoo
from ar_zoo.core.objective import Objective, columns

X = np.random.default_rng(0).integers(0, 5, (6, 4)).astype("int32")


@dataclasses.dataclass(frozen=True)
class FewOf(Objective):
    """The mean probability of a symbol."""

    symbol: int
    measures = ("loss", "sites")
    held_out = ("loss", "sites", "rows")

    def batch(self, model, data, training):
        return columns(data, ("x",))

    def measure(self, model, batch, training):
        probability = ops.softmax(model(batch["x"], training=training))[..., self.symbol]
        count = ops.cast(ops.size(probability), "float32")
        measured = {"loss": (ops.sum(probability), count), "sites": (count, 1.0)}
        return measured if training else measured | {"rows": (ops.cast(ops.shape(batch["x"])[0], "float32"), 1.0)}


@pytest.fixture
def model():
    return ar_zoo.create("gpt.tiny")


def test_fit_minimises_it(model):
    model.objective = FewOf(2)
    model.compile("adam", jit_compile=False)
    before = model.evaluate(X, verbose=0, return_dict=True)
    assert before == {"loss": pytest.approx(float(np.mean(ops.softmax(model(X))[..., 2]))), "sites": 24, "rows": 6}
    history = model.fit(X, epochs=30, batch_size=3, verbose=0).history
    assert set(history) == {"loss", "sites"}
    assert history["sites"] == [12] * 30
    assert model.evaluate(X, verbose=0, return_dict=True)["loss"] < before["loss"] / 2


def test_gradient_is_that_of_the_loss(model):
    """One step of plain gradient descent moves the weights by it, the count taken into account."""
    import tensorflow as tf

    model.objective = FewOf(2)
    model.compile("sgd", jit_compile=False)
    with tf.GradientTape() as tape:
        loss = ops.mean(ops.softmax(model(X))[..., 2])
    gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, model.trainable_weights)]
    wanted = [weight - 0.01 * gradient for weight, gradient in zip(model.trainable_weights, gradients, strict=True)]
    model.fit(X, verbose=0)
    for weight, value in zip(model.trainable_weights, wanted, strict=True):
        np.testing.assert_allclose(weight, value, atol=1e-6)


def test_without_it_the_likelihood_is_back(model):
    model.compile("sgd", jit_compile=False)
    before = model.evaluate(X, verbose=0, return_dict=True)
    model.objective = FewOf(1)
    assert set(model.evaluate(X, verbose=0, return_dict=True)) == {"loss", "sites", "rows"}
    model.objective = None
    model.compile("sgd", jit_compile=False)
    assert model.evaluate(X, verbose=0, return_dict=True) == pytest.approx(before)


def test_the_model_is_saved_without_it(model, tmp_path):
    model.objective = FewOf(1)
    model.compile("sgd")
    ar_zoo.save(model, tmp_path / "preset")
    assert ar_zoo.load(tmp_path / "preset").objective is None


def test_refusals(model):
    with pytest.raises(ValueError, match=r"`objective` must be None or an Objective, .*; got 'dpo'"):
        model.objective = "dpo"
    model.objective = FewOf(1)
    model.compile("sgd")
    with pytest.raises(ValueError, match="`y` and `sample_weight` must be None with an objective"):
        model.fit(X, sample_weight=np.ones(6))
    with pytest.raises(ValueError, match="must have x, y, and may have sample_weight, z; got x"):
        columns(X, ("x", "y"), ("z",))
    with pytest.raises(ValueError, match="got mask, x"):
        columns({"x": X, "context": {"mask": X}}, ("x",))
