"""Steps in parts, in half-width floats, with blocks computed twice, and several in one: the same training."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.core.accumulate import accumulated
from ar_zoo.core.pretrained import _with_policy
from ar_zoo.core.registry import create
from ar_zoo.data import read
from ar_zoo.data.encoded import encode
from ar_zoo.training import Supervised, train
from ar_zoo.training.callbacks import AveragedEvaluation
from ar_zoo.training.optimizers import inner, make_optimizer
from ar_zoo.training.remat import _recomputed, rematerialise
from ar_zoo.training.step import jit_of
from tests.training import runs

QUIET = dict(jit_compile=False, verbose=0)


def symbols(rows=8, sites=10, seed=0):
    return np.random.default_rng(seed).integers(0, 5, (rows, sites)).astype("int32")


def trained(
    x, jit_compile=False, accumulate=1, remat=False, optimizer=None, name="neural_lm.tiny", steps=3, **overrides
):
    """A model after a few steps on the same batch, and its weights."""
    keras.utils.set_random_seed(0)
    model = create(name, **overrides)
    model.accumulate = accumulate
    if remat:
        rematerialise(model)
    optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5)
    model.compile(optimizer, jit_compile=jit_compile)
    data = tf.data.Dataset.from_tensors({"x": x}).repeat()
    history = model.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0).history
    return model, [weight.numpy() for weight in model.trainable_weights], history


def assert_close(one, other, tolerance):
    for value, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_batch_in_parts_is_the_batch(jit_compile):
    """Clipped, with momentum, and in metrics; the parts differ, so that one of them alone would not do."""
    x = symbols()
    _, whole, one = trained(x, dtype="float64")
    model, parts, other = trained(x, jit_compile, accumulate=4, dtype="float64")
    assert_close(parts, whole, 1e-10)
    assert other["loss"] == pytest.approx(one["loss"], rel=1e-6)
    assert int(model.optimizer.iterations) == 3


def test_parts_count_as_one_update():
    """The schedule and the running mean, too: those of whole batches."""
    recipe = dataclasses.replace(runs.TINY, overrides={}, accumulate=2)
    made = []
    for accumulate in (1, 2):
        keras.utils.set_random_seed(0)
        optimizer = make_optimizer(recipe, create("neural_lm.tiny", dtype="float64"), total_steps=20)
        trained(symbols(), accumulate=accumulate, optimizer=optimizer, steps=5, dtype="float64")
        made.append((float(optimizer.learning_rate), [mean.numpy() for mean in optimizer.variables]))
    assert made[0][0] == pytest.approx(made[1][0])
    assert_close(made[1][1], made[0][1], 1e-9)


def test_all_of_a_batch_is_cut():
    seen = []
    inputs = {"x": tf.reshape(tf.range(12), (6, 2)), "context": {"label": tf.range(6)}, "mask": None}
    weights = [tf.Variable(0.0), tf.Variable(0.0)]
    sums = lambda part: (seen.append(part) or [tf.reduce_sum(tf.cast(part["x"], "float32")), None], 1.0)  # noqa: E731
    mean, none = accumulated(3, inputs, sums, weights)
    assert float(mean) == sum(range(12)) / 3
    assert none is None
    np.testing.assert_array_equal(tf.stack([part["context"]["label"] for part in seen]), [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(seen[1]["x"], [[4, 5], [6, 7]])
    assert seen[0]["mask"] is None
    assert [part["part"] for part in seen] == [0, 1, 2]


def test_parts_that_weigh_differently():
    """Rows that do not count, and padding, all in one part."""
    x = symbols()
    batch = {
        "x": x,
        "sample_weight": np.array([1, 0.5, 1, 1, 0, 0, 2, 0], "float32"),
        "mask": np.arange(80).reshape(8, 10) > 33,
    }
    data, made = tf.data.Dataset.from_tensors(batch).repeat(), []
    for parts in (1, 4):
        keras.utils.set_random_seed(0)
        model = create("neural_lm.tiny", dtype="float64")
        model.accumulate = parts
        model.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
        model.fit(data, steps_per_epoch=2, shuffle=False, verbose=0)
        made.append([weight.numpy() for weight in model.trainable_weights])
    assert_close(made[1], made[0], 1e-9)


@pytest.mark.slow
def test_parts_on_replicas():
    devices = tf.config.list_logical_devices("CPU")
    x = symbols()
    _, alone, _ = trained(x, dtype="float64")
    with tf.distribute.MirroredStrategy([device.name for device in devices[:2]]).scope():
        _, together, _ = trained(x, accumulate=2, dtype="float64")
    assert_close(together, alone, 1e-10)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("gpt.tiny", "float64"),
        *(
            pytest.param(name, dtype, marks=pytest.mark.slow)
            for name in ("recurrent_lm.tiny", "llama.tiny")
            for dtype in ("float64", "mixed_bfloat16")
        ),
    ],
)
def test_blocks_that_are_computed_twice_give_the_same(name, dtype):
    x = symbols()
    overrides = dict(name=name, dtype=dtype) | ({} if name == "recurrent_lm.tiny" else {"dropout": 0.3})
    first, kept, one = trained(x, **overrides)
    second, again, other = trained(x, remat=True, **overrides)
    assert_close(again, kept, 1e-10)
    assert other["loss"] == pytest.approx(one["loss"], rel=1e-6)
    for state, expected in zip(second.non_trainable_variables, first.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(state, expected)  # those of dropout


class Scaled(keras.layers.Layer):
    """A block with a weight of its own, which `Layer.__call__` casts."""

    def build(self, input_shape):
        self.gain = self.add_weight(shape=(3,), initializer="ones", name="gain")
        self.dense = keras.layers.Dense(3, dtype=self.dtype_policy)
        self.dense.build(input_shape)

    def call(self, x, shift=None):
        return self.dense(x) * self.gain + shift, x


def test_a_blocks_own_weights_are_cast_both_times():
    layer, x = Scaled(dtype="mixed_bfloat16"), tf.random.stateless_normal((2, 3), (0, 1))
    layer.build(x.shape)

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, same = layer(x, shift=2 * x)
        return tape.gradient([y, same], [x, layer.gain.value])

    kept = gradients()
    layer.call = _recomputed(layer, layer.call)
    gradients = tf.function(gradients.python_function)
    assert_close([tf.cast(each, "float32") for each in gradients()], [tf.cast(each, "float32") for each in kept], 0.0)


def test_blocks_are_computed_twice(monkeypatch):
    seen = []
    model = create("gpt.tiny")
    call = type(model._blocks[0]).call
    monkeypatch.setattr(type(model._blocks[0]), "call", lambda *args, **kwargs: seen.append(1) or call(*args, **kwargs))
    assert rematerialise(model) == ["block_0", "block_1"]
    model.compile("sgd", run_eagerly=True)
    model.fit(symbols(), batch_size=8, verbose=0)
    assert len(seen) == 4
    with pytest.raises(ValueError, match="`remat` must be of a model that is made of blocks, such as gpt; wavenet has"):
        rematerialise(create("wavenet.tiny"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.write_text(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("precision", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)])
def test_half_width_floats(precision, data, tmp_path):
    """The run goes on, evaluates at the running mean, and what it keeps is a model in float32."""
    recipe = dataclasses.replace(runs.TINY, precision=precision, remat=True, accumulate=2)
    model = train(recipe, data=data, out=tmp_path / "run", epochs=2, **QUIET)
    assert model.compute_dtype == precision.removeprefix("mixed_")
    assert hasattr(model.optimizer, "dynamic_scale") == (precision == "mixed_float16")
    best, rows = ar_zoo.load(tmp_path / "run" / "best"), runs.log(tmp_path / "run")
    assert best.dtype_policy.name == best._blocks[0].attention.dtype_policy.name == "float32"
    best.compile("sgd", run_eagerly=True)
    examples = encode(best, read(data, "valid"), window=12)
    bits = best.evaluate(examples.evaluation(50), verbose=0, return_dict=True)["bits_per_dim"]
    assert bits == pytest.approx(float(rows[1]["val_bits_per_dim"]), rel=0.01)
    assert float(rows[1]["val_bits_per_dim"]) < 0.9 * np.log2(6)
    means = inner(model.optimizer)._model_variables_moving_average
    for weight, mean in zip(best.trainable_weights, means, strict=True):
        np.testing.assert_array_equal(weight, mean)  # the second epoch is the best
    again = train(recipe, data=data, out=tmp_path / "run", epochs=2, **QUIET)
    for one, other in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_losses_are_scaled_for_float16():
    keras.utils.set_random_seed(0)
    model = create("gpt.tiny", dtype="mixed_float16")
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), jit_compile=False)
    model.fit(symbols(), batch_size=8, epochs=12, verbose=0)
    scale, steps = float(model.optimizer.dynamic_scale), int(model.optimizer.iterations)
    assert steps > 3
    assert scale == 2**15 / 2 ** (12 - steps)
    averaging = AveragedEvaluation()
    averaging.set_model(model)
    before = [weight.numpy() for weight in model.trainable_weights]
    means = [weight + 1 for weight in before]
    for variable, mean in zip(inner(model.optimizer)._model_variables_moving_average, means, strict=True):
        variable.assign(mean)
    with averaging.averaged():
        assert_close([weight.numpy() for weight in model.trainable_weights], means, 0)
    assert_close([weight.numpy() for weight in model.trainable_weights], before, 0)


def test_a_policy_is_replaced_wherever_it_is():
    def config(name):
        policy = {"class_name": "DTypePolicy", "config": {"name": name}}
        return {"dtype": policy, "layers": [{"dtype": policy}], "head": {"levels": 3, "dtype": policy}}

    assert _with_policy(config("mixed_float16"), "mixed_float16", "float32") == config("float32")
    assert _with_policy(config("float64"), "mixed_float16", "float32") == config("float64")


def test_several_steps_in_one(data, tmp_path):
    """Of five steps an epoch the fifth is left out."""
    recipe = dataclasses.replace(runs.TINY, steps_per_execution=2, batch_size=20, optimizer="sgd")
    one = train(recipe, data=data, out=tmp_path / "one", steps=5, epochs=2, **QUIET)
    other = train(
        dataclasses.replace(recipe, steps_per_execution=1),
        data=data,
        out=tmp_path / "other",
        steps=4,
        epochs=2,
        **QUIET,
    )
    assert (one.steps_per_execution, int(one.optimizer.iterations)) == (2, 8)
    for weight, expected in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        (
            dict(precision="half"),
            {},
            "`precision` must be one of 'float32', 'mixed_bfloat16', 'mixed_float16'; got 'half'",
        ),
        (dict(batch_size=0), {}, "`batch_size` must be an integer of at least 1; got 0"),
        (dict(learning_rate=-1.0), {}, "`learning_rate` must be a number above 0; got -1.0"),
        (dict(average=0.0), {}, "`average` must lie between 0 and 1, or be None for the weights as they are; got 0.0"),
        (dict(average="x"), {}, "`average` must lie between 0 and 1, or be None for the weights as they are; got 'x'"),
        (dict(weight_decay=-1.0), {}, "`weight_decay` must be a number above 0; got -1.0"),
        (dict(accumulate=0), {}, "`accumulate` must be an integer of at least 1; got 0"),
        (dict(accumulate=3), {}, "`batch_size` must be a multiple of 3, `accumulate`, since it is cut into as many"),
        (dict(steps_per_execution=0), {}, "`steps_per_execution` must be an integer of at least 1; got 0"),
        (dict(remat=True), dict(qat="int8"), "`remat` must be off with `qat`"),
        (dict(objective=Supervised(), accumulate=2), {}, "`accumulate` must be 1 with an objective; got 2"),
        (
            dict(objective=Supervised(), label_smoothing=0.1),
            {},
            "`label_smoothing` must be 0 with an objective; got 0.1",
        ),
        (dict(objective=Supervised(), weight_noise=0.1), {}, "`weight_noise` must be 0 with an objective"),
        (dict(objective=Supervised(), scheduled_sampling=0.1), {}, "`scheduled_sampling` must be 0 with an objective"),
        ({}, dict(minutes=1, strategy="multiworker"), "`minutes` must be None under several workers"),
    ],
)
def test_what_is_refused(changes, arguments, message, data, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(runs.TINY, **changes), data=data, out=tmp_path / "run", **QUIET, **arguments)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_come_out_even():
    model = create("gpt.tiny")
    model.accumulate = 3
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match=r"`accumulate` must divide the batch of each replica.*got 3 parts of 8 rows"):
        model.fit(symbols(), batch_size=8, verbose=0)


def test_the_command_line(monkeypatch):
    arguments = ["--precision", "mixed_bfloat16", "--accumulate", "2", "--remat", "--steps-per-execution", "3"]
    arguments += ["--batch-size", "16", "--learning-rate", "1e-3", "--weight-decay", "0"]
    told, _ = runs.told(monkeypatch, *arguments)
    changes = dict(precision="mixed_bfloat16", accumulate=2, remat=True, steps_per_execution=3)
    changes |= dict(batch_size=16, learning_rate=1e-3, weight_decay=0.0)
    assert told == dataclasses.replace(runs.TINY, **changes)


@pytest.mark.parametrize(
    ("name", "dtype", "asked", "smoke", "told"),
    [
        ("wavenet.tiny", None, "auto", False, True),
        ("gpt.tiny", None, "auto", False, True),
        ("gated_pixel_cnn.tiny", None, "auto", False, False),
        ("wavenet.tiny", "mixed_bfloat16", "auto", False, False),
        ("wavenet.tiny", None, "auto", True, "auto"),
        ("wavenet.tiny", None, False, False, False),
        ("gated_pixel_cnn.tiny", None, True, True, True),
    ],
)
def test_who_is_compiled_on_a_cpu(name, dtype, asked, smoke, told):
    model = create(name, **({"dtype": dtype} if dtype else {}))
    assert jit_of(model, asked, smoke) is told or jit_of(model, asked, smoke) == told == "auto"


def test_an_accelerator_and_a_strategy_leave_it_to_keras(monkeypatch):
    model = create("gated_pixel_cnn.tiny")
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        assert jit_of(model, "auto") == "auto"
    gpu = tf.config.PhysicalDevice("GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: [gpu])
    assert jit_of(model, "auto") == "auto"
