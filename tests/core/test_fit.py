"""`fit`, `evaluate` and `predict`: what they take, what they minimise and what they report."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.core.registry import families
from ar_zoo.testing import laws
from tests.core.models import colour, image, sound, text


def learner(family="gpt", rate=0.1, compiled=False, jit=False, **overrides):
    """A fresh model; plain gradient descent, so that what one batch teaches can be read off the weights."""
    plain = {name: 0.0 for name in ("dropout", "label_dropout") if name in families()[family].argument_names()}
    model = laws.make(families()[family], dtype="float32", **(plain | overrides))
    model.compile(keras.optimizers.SGD(rate), jit_compile=jit, run_eagerly=not compiled)
    return model


def fit(model, data, **arguments):
    return model.fit(data, **(dict(verbose=0, shuffle=False) | arguments)).history


def weights(model):
    return [np.asarray(weight) for weight in model.trainable_weights]


def assert_same(one, other, **tolerance):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 0, "atol": 1e-6} | tolerance))


@pytest.mark.slow
def test_one_step_is_the_gradient_of_the_mean_log_likelihood():
    model, x = learner(), laws.events(text(), 4)
    before = weights(model)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(model.log_prob(x)) / x.shape[1]
    gradients = tape.gradient(loss, model.trainable_weights)
    history = fit(model, x)
    np.testing.assert_allclose(history["loss"], float(loss), rtol=1e-5)
    for old, new, gradient in zip(before, weights(model), gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * np.asarray(tf.convert_to_tensor(gradient)), atol=1e-6)


@pytest.mark.parametrize("family", ["gpt", "gated_pixel_cnn"])
def test_arrays_data_sets_and_dicts_teach_the_same(family):
    models = [learner(family, compiled=compiled) for compiled in (True, False, True, False)]
    x = laws.events(models[0], 4)
    fit(models[0], x, batch_size=2)
    fit(models[1], tf.data.Dataset.from_tensor_slices(x).batch(2))
    fit(models[2], {"x": x}, batch_size=2)
    fit(models[3], tf.data.Dataset.from_tensor_slices({"x": x, "sample_weight": np.ones(4, "float32")}).batch(2))
    for other in models[1:]:
        assert_same(models[0], other)


def test_context_as_array_or_dict():
    models = [learner("wavenet") for _ in range(4)]
    x, label = laws.events(sound(), 4), np.array([0, 1, 2, 1], "int32")
    fit(models[0], {"x": x, "context": {"label": label}})
    fit(models[1], {"x": x, "context": label})
    fit(models[2], tf.data.Dataset.from_tensors({"x": x, "context": {"label": label}}))
    fit(models[3], x)
    assert_same(models[0], models[1])
    assert_same(models[0], models[2])
    assert max(np.abs(a - b).max() for a, b in zip(weights(models[0]), weights(models[3]), strict=True)) > 1e-4


@pytest.mark.parametrize("how", ["argument", "dict", "tuples"])
def test_rows_of_weight_zero_teach_nothing(how):
    x, weight = laws.events(text(), 4), np.array([1, 0, 2, 0], "float32")
    model, alone = learner(), learner()
    if how == "argument":
        history = fit(model, x, sample_weight=weight)
    elif how == "dict":
        history = fit(model, {"x": x, "sample_weight": weight})
    else:
        history = fit(model, tf.data.Dataset.from_tensors((x, None, weight)))
    fit(alone, x[[0, 2, 2]])
    assert_same(model, alone)
    fresh = learner()
    expected = -np.average(np.asarray(fresh.log_prob(x)), weights=weight) / x.shape[1]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(fresh.evaluate(x, sample_weight=weight, verbose=0)[0], expected, rtol=1e-5)


def test_padding_teaches_nothing():
    x, model, alone = laws.events(text(), 3), learner(), learner()
    padded = np.concatenate([x, np.full((3, 3), 4, "int32")], axis=1)
    mask = np.arange(12) < 9
    history = fit(model, {"x": padded, "mask": np.broadcast_to(mask, padded.shape)})
    expected = fit(alone, x)
    assert_same(model, alone)
    np.testing.assert_allclose(history["bits_per_dim"], expected["bits_per_dim"], rtol=1e-5)


@pytest.mark.parametrize("kind", ["medusa", "chained"])
def test_the_loss_of_draft_heads(kind):
    """Head k at site i is scored at site i + k, unless a site from i to there is padding; a row counts by its weight."""
    model = learner(draft_heads=2, draft_kind=kind, draft_weight=0.5)
    x, row_weights = laws.events(model, 3), np.array([1.0, 0.0, 2.0], "float32")
    mask = np.ones(x.shape, bool)
    mask[1, 9:], mask[2, 4] = False, False
    params = np.asarray(model(x, mask=mask, drafts=True))
    log_probs = params - np.log(np.exp(params).sum(axis=-1, keepdims=True))
    means, counts = [], []
    for k in range(3):
        terms = [
            (row_weights[b], -log_probs[b, i, k, x[b, i + k]])
            for b in range(3)
            for i in range(x.shape[1] - k)
            if mask[b, i : i + k + 1].all()
        ]
        weight, nll = np.transpose(terms)
        means.append(np.average(nll, weights=weight))
        counts.append(weight.sum())
    data = {"x": x, "mask": mask, "sample_weight": row_weights}
    found = model.evaluate(data, return_dict=True, verbose=0)
    np.testing.assert_allclose(found["draft_bits"] * np.log(2), np.average(means[1:], weights=counts[1:]), rtol=1e-5)
    loss = model.compute_loss(x=tf.constant(x), y_pred=tf.constant(params), mask=mask, sample_weight=row_weights)
    np.testing.assert_allclose(loss, means[0] + 0.5 * np.mean(means[1:]), rtol=1e-5)
    before = weights(model)
    fit(model, data)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert "draft" not in weight.path or not np.array_equal(weight, old), weight.path


@pytest.mark.parametrize(
    ("family", "jit"),
    [
        ("gpt", False),
        pytest.param("gpt", True, marks=pytest.mark.slow),
        pytest.param("wavenet", False, marks=pytest.mark.slow),
        pytest.param("wavenet", True, marks=pytest.mark.slow),
    ],
)
def test_mixed_shapes(family, jit):
    """One model, lengths and batch sizes that change from call to call, and within a data set."""
    model = learner(family, compiled=True, jit=jit)
    for count, length in ((4, 6), (4, 9), (3, 7), (2, 1)):
        x = laws.events(model, count, sites=length)
        expected = -np.asarray(model.log_prob(x)).mean() / length
        np.testing.assert_allclose(fit(model, x)["loss"], expected, rtol=1e-4)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=jit)
    several = [laws.events(model, 2, sites=length) for length in (5, 8)]
    batches = tf.data.Dataset.from_tensors(several[0]).concatenate(tf.data.Dataset.from_tensors(several[1]))
    expected = -sum(np.asarray(model.log_prob(x)).sum() for x in several) / (2 * 5 + 2 * 8)
    np.testing.assert_allclose(fit(model, batches)["loss"], expected, rtol=1e-4)
    assert model.predict(several[1], verbose=0).shape == (2, 8, 5)


def test_a_last_batch_that_is_smaller_counts_as_much_as_it_has():
    model = learner(rate=0.0)
    x = laws.events(model, 7)
    expected = -np.asarray(model.log_prob(x)).mean() / 9
    history = fit(model, x, batch_size=4)
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(x, batch_size=3, verbose=0)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("model", [text, image, colour], ids=lambda model: model.__name__)
def test_metrics(model):
    """Bits per dimension: of an image's pixels, each channel is one."""
    model = model()
    model.compile("sgd", run_eagerly=True)
    x = laws.events(model, 3)
    nats = -np.asarray(model.log_prob(x)).mean() / x[0].size
    results = model.evaluate(x, verbose=0, return_dict=True)
    np.testing.assert_allclose(results["loss"], nats, rtol=1e-4)
    np.testing.assert_allclose(results["bits_per_dim"], nats / np.log(2), rtol=1e-4)
    assert ("perplexity" in results) == (model.family == "gpt")
    if "perplexity" in results:
        np.testing.assert_allclose(results["perplexity"], np.exp(nats), rtol=1e-4)


def test_validation():
    model = learner(rate=0.0)
    x, weight = laws.events(model, 8), np.array([1, 0, 0, 1], "float32")
    expected = -np.asarray(model.log_prob(x[4:]))[[0, 3]].mean() / 9
    for data in ((x[4:], None, weight), {"x": x[4:], "sample_weight": weight}):
        history = fit(model, x, validation_data=data)
        np.testing.assert_allclose(history["val_loss"], expected, rtol=1e-5)
    history = fit(model, {"x": x}, validation_split=0.5)
    np.testing.assert_allclose(history["val_loss"], -np.asarray(model.log_prob(x[4:])).mean() / 9, rtol=1e-5)


def test_predict_gives_parameters():
    model = image()
    model.compile("sgd", run_eagerly=True)
    x, label = laws.events(model, 3), np.array([0, 1, 2], "int32")
    data = {"x": x, "context": {"label": label}}
    np.testing.assert_allclose(model.predict(data, verbose=0), np.asarray(model(x, label)), atol=1e-4)


def test_the_optimizer_lowers_the_loss_from_the_shelf():
    """`compile("adam")` and `fit` are enough."""
    model = ar_zoo.create("gpt.tiny")
    model.compile("adam")
    losses = fit(model, np.tile(np.arange(12) % 5, (256, 1)), epochs=8)["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_losses_of_layers_are_added():
    model = learner(rate=0.0)
    x = laws.events(model, 2)
    plain = model.evaluate(x, verbose=0)[0]
    model._norm.gamma.regularizer = keras.regularizers.L2(0.5)
    added = 0.5 * float(np.sum(np.asarray(model._norm.gamma) ** 2))
    model.compile("sgd", run_eagerly=True)
    results = model.evaluate(x, verbose=0, return_dict=True)
    np.testing.assert_allclose(results["loss"], plain + added, rtol=1e-5)
    np.testing.assert_allclose(results["bits_per_dim"], plain / np.log(2), rtol=1e-5)


@pytest.mark.parametrize("execution", [1, 2])
def test_data_that_end_before_an_epoch_does_are_refused(execution):
    """Keras warns, and cuts the epoch short; the steps of a schedule then are not those that it was made for."""
    model, x = learner(compiled=True), laws.events(text(), 12)
    model.compile("sgd", jit_compile=False, steps_per_execution=execution)
    data, seen = tf.data.Dataset.from_tensor_slices(x).batch(2), keras.callbacks.History()
    assert len(fit(model, data, steps_per_epoch=6, callbacks=seen)["loss"]) == len(seen.epoch) == 1
    for given in (data, data.filter(lambda _: True)):  # of a length that is known, and not
        with (
            pytest.warns(UserWarning, match="ran out of data"),
            pytest.raises(ValueError, match=r"`x` ended after 6 of the 10 batches of epoch 1\. Let it go on"),
        ):
            fit(model, given, steps_per_epoch=10, epochs=2)


@pytest.mark.parametrize("steps", [-1, 0, 2.5])
def test_epochs_have_steps(steps):
    with pytest.raises(ValueError, match=f"`steps_per_epoch` must be an integer of at least 1, or None; got {steps}"):
        fit(learner(), laws.events(text(), 2), steps_per_epoch=steps)


def test_epochs_that_are_asked_to_stop_are_not_refused():
    model, x = learner(compiled=True), laws.events(text(), 12)
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", True))
    data = tf.data.Dataset.from_tensor_slices(x).batch(2).repeat()
    assert len(fit(model, data, steps_per_epoch=6, epochs=3, callbacks=[stop])["loss"]) == 1
