"""Recurrent against a loop in NumPy, its steps against the whole, and its gradients against differences."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from ar_zoo.layers import Recurrent
from tests.layers.cases import randomised

CELLS = ["rnn", "gru", "lstm"]
_LENGTH = 7


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive(layer, x):
    """One site after another, one gate after another."""
    kernel, bias, state = (np.asarray(weight.value) for weight in layer.weights)
    units = layer.units
    part = lambda matrix, gate: matrix[..., gate * units : (gate + 1) * units]  # noqa: E731
    hidden, memory = np.zeros((2, len(x), units))
    y = np.zeros((*x.shape[:2], units))
    for t in range(x.shape[1]):
        given = lambda gate: x[:, t] @ part(kernel, gate) + part(bias, gate)  # noqa: B023, E731
        kept = lambda gate: hidden @ part(state, gate)  # noqa: B023, E731
        if layer.cell == "rnn":
            hidden = np.tanh(given(0) + kept(0))
        elif layer.cell == "gru":
            reset, update = sigmoid(given(0) + kept(0)), sigmoid(given(1) + kept(1))
            hidden = update * hidden + (1 - update) * np.tanh(given(2) + reset * kept(2))
        else:
            take, keep, show = (sigmoid(given(gate) + kept(gate)) for gate in range(3))
            memory = keep * memory + take * np.tanh(given(3) + kept(3))
            hidden = show * np.tanh(memory)
        y[:, t] = hidden
    return y


def make(cell, units=4):
    layer = Recurrent(units, cell, dtype="float64")
    x = np.random.default_rng(2).normal(size=(3, _LENGTH, 5))
    layer(x)
    return randomised(layer), x


@pytest.mark.parametrize("cell", CELLS)
def test_values(cell):
    layer, x = make(cell)
    assert [weight.shape[1] // 4 for weight in layer.weights if len(weight.shape) == 2] == [
        {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    ] * 2
    np.testing.assert_allclose(np.asarray(layer(x)), naive(layer, x), atol=1e-12)


@pytest.mark.parametrize("chunks", [[1] * _LENGTH, [3, 1, 1, 2], [_LENGTH]])
@pytest.mark.parametrize("cell", CELLS)
def test_chunks(cell, chunks):
    layer, x = make(cell)
    cache, index, outputs = {name: kind.init(3) for name, kind in layer.cache_spec().items()}, 0, []
    for length in chunks:
        y, cache = layer.step(ops.convert_to_tensor(x[:, index : index + length]), cache)
        outputs.append(np.asarray(y))
        index += length
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), naive(layer, x), atol=1e-12)
    np.testing.assert_array_equal(np.asarray(cache["hidden"]), outputs[-1][:, -1])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients(cell, compiled):
    """Through all sites, with XLA and without: the slope of the naive loop in a random direction of weights and inputs."""
    layer, x = make(cell)
    generator = np.random.default_rng(3)
    mix = generator.normal(size=(3, _LENGTH, 4))

    @tf.function(jit_compile=compiled)
    def slopes(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x) * mix)
        return tape.gradient(total, [x, *(weight.value for weight in layer.weights)])

    values = [x, *(np.asarray(weight.value) for weight in layer.weights)]
    directions = [generator.normal(size=value.shape) for value in values]
    found = sum(np.vdot(slope, d) for slope, d in zip(slopes(tf.constant(x)), directions, strict=True))

    def moved(distance):
        for weight, value, direction in zip(layer.weights, values[1:], directions[1:], strict=True):
            weight.assign(value + distance * direction)
        return (naive(layer, values[0] + distance * directions[0]) * mix).sum()

    np.testing.assert_allclose(found, (moved(1e-5) - moved(-1e-5)) / 2e-5, rtol=1e-6)


def test_first_weights():
    """The forget gate starts open, and each state goes on without growing or shrinking."""
    layer = Recurrent(4, "lstm")
    layer.build((None, None, 3))
    np.testing.assert_array_equal(layer.bias, np.repeat([0, 1, 0, 0], 4))
    state = np.asarray(layer.weights[2].value)
    np.testing.assert_allclose(state @ state.T, np.eye(4), atol=1e-6)
    assert not Recurrent(4, "gru", dtype="bfloat16")(np.zeros((1, 2, 3))).numpy().any()


def test_fit_leaves_xla_out():
    """It would take twice the time on a CPU."""
    layer, x = make("lstm")
    model = keras.Sequential([layer])
    model.compile("sgd", "mse")
    model.fit(x, np.asarray(layer(x)), verbose=0)
    assert model.jit_compile is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(dict(units=0), "`units` must be at least 1; got 0"), (dict(units=2, cell="LSTM"), "`cell` must be one of 'rnn'")],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Recurrent(**arguments)


def test_equals_keras_lstm():
    """The same weights in Keras's order of gates (input, forget, new, output)."""
    layer, x = make("lstm")
    other = keras.layers.LSTM(4, return_sequences=True, dtype="float64")
    other.build(x.shape)
    swap = lambda value: np.concatenate([np.split(np.asarray(value), 4, axis=-1)[i] for i in (0, 1, 3, 2)], -1)  # noqa: E731
    kernel, bias, state = (swap(weight.value) for weight in layer.weights)
    other.set_weights([kernel, state, bias])
    np.testing.assert_allclose(np.asarray(layer(x)), np.asarray(other(x)), atol=1e-12)
