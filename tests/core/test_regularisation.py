"""What training does besides: each mechanism against NumPy, and nothing of it in evaluation."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.core.registry import create
from ar_zoo.core.regularisation import Regularisation


def symbols(rows=4, sites=10, seed=0):
    return np.random.default_rng(seed).integers(0, 5, (rows, sites)).astype("int32")


def compiled(name="neural_lm.tiny", seed=1, eager=True, **what):
    keras.utils.set_random_seed(seed)
    model = create(name)
    model.regularisation = Regularisation(**what)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=eager, jit_compile=False)
    model._maybe_symbolic_build()
    return model


def inputs_of(x):
    return {"x": tf.constant(x), "context": None, "mask": None, "sample_weight": None}


def test_smoothed_labels():
    model, x = compiled(label_smoothing=0.3), symbols()
    logits = model(x)
    log_p = np.asarray(tf.nn.log_softmax(logits))
    targets = 0.7 * np.eye(5)[x] + 0.3 / 5
    assert float(model.compute_loss(x, y_pred=logits)) == pytest.approx(-(targets * log_p).sum(-1).mean(), rel=1e-6)
    exact = -np.take_along_axis(log_p, x[..., None], -1).mean()
    assert float(model.compute_loss(x, y_pred=logits, training=False)) == pytest.approx(exact, rel=1e-6)
    assert model.evaluate(x, verbose=0)[0] == pytest.approx(exact, rel=1e-6)
    logs = model.fit(x, batch_size=4, verbose=0).history
    assert logs["loss"][0] == pytest.approx(exact, rel=1e-6)


def test_noisy_weights():
    """Normal, of the deviation that was asked for, on matrices alone, another at each update, and gone afterwards."""
    model, x = compiled("gpt.tiny", weight_noise=0.1), symbols()
    before = [weight.numpy() for weight in model.trainable_variables]
    seen = []

    def note():
        seen.append([np.asarray(weight.value) for weight in model.trainable_variables])
        return model(x)

    for step in (0, 0, 1):
        model.optimizer.iterations.assign(step)
        model.regularisation.at_noisy_weights(model, note)
    noises = [[now - then for now, then in zip(each, before, strict=True)] for each in seen]
    for i, value in enumerate(before):
        assert (np.abs(noises[0][i]).max() > 0) == (value.ndim > 1)
        np.testing.assert_array_equal(noises[0][i], noises[1][i])
    query, other = (
        noises[0][
            [weight.path.split("/", 1)[1] for weight in model.trainable_variables].index(
                f"{block}/attention/query/kernel"
            )
        ]
        for block in ("block_0", "block_1")
    )
    assert abs(np.corrcoef(query.ravel(), other.ravel())[0, 1]) < 0.3
    wide = [np.concatenate([each.ravel() for each in noise if each.ndim > 1]) for noise in noises]
    assert wide[0].std() == pytest.approx(0.1, rel=0.1)
    assert abs(np.corrcoef(wide[0], wide[2])[0, 1]) < 0.15
    for weight, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    noisy = model._outputs_of(inputs_of(x), training=True)
    assert np.abs(noisy - model(x)).max() > 1e-3
    np.testing.assert_array_equal(model._outputs_of(inputs_of(x), training=False), model(x))


def test_the_gradient_at_noisy_weights_is_applied_to_the_weights():
    model, x = compiled(weight_noise=0.1, eager=False), symbols()
    before = [weight.numpy() for weight in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y_pred=model._outputs_of(inputs_of(x), training=True))
    gradients = tape.gradient(loss, model.trainable_weights)
    model.fit(x, batch_size=4, shuffle=False, verbose=0)
    for weight, value, gradient in zip(model.trainable_variables, before, gradients, strict=True):
        np.testing.assert_allclose(weight, value - 0.1 * np.asarray(gradient), rtol=1e-4, atol=1e-6)


def test_scheduled_sampling():
    """The share rises evenly to the end, and what is put in are draws of the model at those places."""
    model, x = compiled(scheduled_sampling=0.6, over_steps=8), symbols(200, 50)
    generator = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(generator.normal(size=weight.shape))
    for steps, share in ((0, 0.0), (4, 0.3), (8, 0.6), (20, 0.6)):
        model.optimizer.iterations.assign(steps)
        given = np.asarray(model.regularisation.inputs(model, inputs_of(x))["x"])
        probabilities = np.asarray(tf.nn.softmax(model(x)))
        kept = np.take_along_axis(probabilities, x[..., None], -1).mean()
        assert (given != x).mean() == pytest.approx(share * (1 - kept), abs=0.015), steps
    counts = np.bincount(given.ravel(), minlength=5)
    expected = 0.4 * np.bincount(x.ravel(), minlength=5) + 0.6 * probabilities.sum((0, 1))
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square of four degrees, 0.1 %
    every = np.asarray(Regularisation(scheduled_sampling=1.0).inputs(model, inputs_of(x))["x"])
    drawn = np.take_along_axis(probabilities, every[..., None], -1).mean()
    assert drawn == pytest.approx((probabilities**2).sum(-1).mean(), abs=0.01)
    again = np.asarray(model.regularisation.inputs(model, inputs_of(x))["x"])
    np.testing.assert_array_equal(again, given)


def test_own_draws_are_inputs_and_the_data_are_targets():
    model, x = compiled("gpt.tiny", scheduled_sampling=1.0), symbols()
    model.optimizer.iterations.assign(5)
    given = model.regularisation.inputs(model, inputs_of(x))["x"]
    outputs = model._outputs_of(inputs_of(x), training=True)
    np.testing.assert_allclose(outputs, model(given), rtol=1e-4, atol=1e-6)
    expected = -np.take_along_axis(np.asarray(tf.nn.log_softmax(outputs)), x[..., None], -1).mean()
    assert float(model.compute_loss(x, y_pred=outputs)) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(model._outputs_of(inputs_of(x), training=False), model(x))


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_all_at_once_in_a_graph_with_draft_heads(jit_compile):
    keras.utils.set_random_seed(0)
    model = create("gpt.tiny", draft_heads=2, dropout=0.2)
    model.regularisation = Regularisation(0.1, 0.05, 0.5, over_steps=2, seed=3)
    model.compile(keras.optimizers.SGD(0.3), jit_compile=jit_compile)
    history = model.fit(np.tile(symbols(), (16, 1)), batch_size=32, epochs=6, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
