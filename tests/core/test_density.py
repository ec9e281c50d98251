"""Models without a step: what `log_prob`, `sample`, `fit` and the commands make of them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.bench import bench
from ar_zoo.core.density import DensityModel
from ar_zoo.core.registry import families
from ar_zoo.testing.tiny import events, make


@pytest.fixture(scope="module")
def model():
    return make(families()["maf"], dtype="float32")


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 5), "float32"), r"`x` must have shape \[batch, 4\]; got \[2, 5\]"),
        (np.zeros((2, 4), "int32"), "`x` must hold floats, values of continuous data; got dtype int32"),
        (np.full((2, 4), np.nan, "float32"), "`x` must hold finite values; got nan"),
    ],
)
def test_bad_events_are_refused_everywhere(model, x, words):
    for use in (model.log_prob, model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=words):
            use(x)


def test_bad_arguments_of_sample(model):
    for arguments, words in (
        (dict(num_samples=0), "`num_samples` must be an integer of at least 1"),
        (dict(temperature=-1), "`temperature` must be above 0"),
        (dict(batch_size=0), "`batch_size` must be an integer of at least 1"),
        (dict(seed=-1), "`seed` must be an integer of at least 0"),
        (dict(context=7), r"`context\['label'\]` must hold integers in 0..1"),
    ):
        with pytest.raises(ValueError, match=words):
            model.sample(**arguments)


def test_predict_is_log_prob_and_evaluate_its_mean(model):
    x, labels = events(model, 10), np.arange(10) % 3
    expected = np.asarray(model.log_prob(x, labels))
    data = {"x": x, "context": {"label": labels}}
    model.compile(jit_compile=False)
    np.testing.assert_allclose(model.predict(data, batch_size=4, verbose=0), expected, rtol=1e-5)
    found = model.evaluate(data, batch_size=4, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(-expected.mean() / 4, rel=1e-5)
    assert found["bits_per_dim"] == pytest.approx(-expected.mean() / 4 / np.log(2), rel=1e-5)
    weights = np.linspace(0, 1, 10).astype("float32")
    found = model.evaluate(data | {"sample_weight": weights}, batch_size=4, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(-(weights * expected).sum() / weights.sum() / 4, rel=1e-5)


def test_one_step_is_the_gradient_of_the_mean_log_likelihood():
    model = make(families()["maf"], dtype="float32", label_dropout=0.0, scale=0.2)
    x = events(model, 4)
    before = [np.asarray(weight) for weight in model.trainable_weights]
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(model.log_prob(x)) / 4
    gradients = tape.gradient(loss, model.trainable_weights)
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    model.fit(x, verbose=0, shuffle=False)
    for old, new, gradient in zip(before, model.trainable_weights, gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * np.asarray(tf.convert_to_tensor(gradient)), atol=1e-6)


def test_the_same_seed_draws_the_same_beginning(model):
    np.testing.assert_allclose(model.sample(7, seed=2)[:3], model.sample(3, seed=2), rtol=1e-4, atol=1e-5)


def test_as_distribution(model):
    distribution = model.as_distribution(context=1)
    x = distribution.sample(6, seed=3)
    assert (x.dtype, x.shape, distribution.event_shape) == ("float32", (6, 4), (4,))
    np.testing.assert_allclose(distribution.log_prob(x), model.log_prob(x, 1), rtol=1e-6)


def test_what_needs_a_step_is_refused_in_one_line(model):
    refused = "`model` must be an AutoregressiveModel.* draws site by site; got MAF, which has no step"
    with pytest.raises(ValueError, match=refused):
        bench(model)


def test_data_is_scored_in_both_units():
    from ar_zoo.training.evaluate import evaluate

    part = ar_zoo.data.read("shipped:cancer", "valid")
    model = make(families()["maf"], dtype="float32", event_shape=(30,), num_classes=None, scale=0.05)
    found = evaluate(model, part)
    assert found["events"] == 114
    assert found["nats"] == pytest.approx(-np.sum(model.log_prob(part.values)), rel=1e-5)
    assert found["raw_nats"] == pytest.approx(found["nats"] + 114 * np.log(part.scale).sum(), rel=1e-6)


def test_a_preset_keeps_the_units_of_what_it_was_trained_on(tmp_path):
    """Other data is standardised as that was, and what is drawn has its units."""
    from ar_zoo.drawing import write_drawn
    from ar_zoo.training.evaluate import evaluate
    from ar_zoo.uses import compare_models

    generator = np.random.default_rng(0)
    rows, others = (generator.normal([5, -2, 1e3, 0.1], [2, 0.1, 30, 1], (20, 4)) for _ in range(2))
    np.savez(tmp_path / "rows.npz", x_train=rows, columns=["a", 'b, "c"', "d", "e"])
    np.savez(tmp_path / "others.npz", x_train=2 * others, x_valid=others)
    model = make(families()["maf"], dtype="float32", num_classes=None, scale=0.05)
    model.standard = ar_zoo.data.read(tmp_path / "rows.npz").standard
    loaded = ar_zoo.load(ar_zoo.save(model, tmp_path / "maf.mine"))
    assert loaded.standard == model.standard

    mean, scale = (np.array(loaded.standard[name]) for name in ("mean", "scale"))
    found = evaluate(loaded, ar_zoo.data.read(tmp_path / "others.npz", "valid"))
    expected = -np.sum(model.log_prob(((others - mean) / scale).astype("float32")))
    assert found["nats"] == pytest.approx(expected, rel=1e-5)
    assert found["raw_nats"] == pytest.approx(expected + 20 * np.log(scale).sum(), rel=1e-5)

    (compared,) = compare_models({"mine": loaded}, ar_zoo.data.read(tmp_path / "others.npz", "valid"))
    assert compared["bits_per_dim"] == pytest.approx(found["bits_per_dim"], rel=1e-5)
    np.savez(tmp_path / "swapped.npz", x_train=others, x_valid=others, columns=['b, "c"', "a", "d", "e"])
    with pytest.raises(ValueError, match="the model was trained on a, b, "):
        evaluate(loaded, ar_zoo.data.read(tmp_path / "swapped.npz", "valid"))

    write_drawn(loaded, loaded.sample(3), tmp_path / "x.csv")
    names, *lines = (tmp_path / "x.csv").read_text().splitlines()
    assert names == 'a,"b, ""c""",d,e'
    drawn = np.array([line.split(",") for line in lines], float)
    np.testing.assert_allclose(drawn, model.sample(3) * scale + mean, rtol=1e-5, atol=1e-5)
    assert ar_zoo.data.read(tmp_path / "x.csv").columns == ("a", 'b, "c"', "d", "e")
    with pytest.raises(ValueError, match="`standard` must be None or a dict of mean, scale"):
        model.standard = {"mean": 0.0}


def test_a_class_without_call_says_so():
    with pytest.raises(TypeError, match="Bare must define `call`"):
        type("Bare", (DensityModel,), {})((3,)).build()
