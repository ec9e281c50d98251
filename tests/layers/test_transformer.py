"""TransformerBlock: both branches in NumPy around the attention, which has tests of its own."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops
from scipy.special import ndtr

from ar_zoo.core.cache import init_cache
from ar_zoo.layers import TransformerBlock
from tests.layers.cases import randomised

_LENGTH, _UNITS = 7, 8


def make(**arguments):
    layer = TransformerBlock(2, **arguments, dtype="float64")
    x = np.random.default_rng(0).normal(size=(3, _LENGTH, _UNITS))
    layer(x)
    return randomised(layer), x


def norm(layer, x):
    if not hasattr(layer, "gamma"):
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5) * np.asarray(layer.scale.value)
    centred = x - x.mean(axis=-1, keepdims=True)
    centred /= np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return centred * np.asarray(layer.gamma.value) + np.asarray(layer.beta.value)


def dense(layer, x):
    y = x @ np.asarray(layer.kernel.value)
    return y + np.asarray(layer.bias.value) if layer.use_bias else y


def gelu(x):
    rounded = float(np.float32(0.044715))  # as TensorFlow has it in float64 too
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + rounded * x**3)))


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_exact": lambda x: x * ndtr(x),
    "relu": lambda x: np.maximum(x, 0),
    "swiglu": lambda x: x / (1 + np.exp(-x)),
    "geglu": gelu,
}


def feed_forward(layer, x):
    activate = ACTIVATIONS[layer.feed_forward]
    if layer.feed_forward in ("swiglu", "geglu"):
        return dense(layer._reduce, activate(dense(layer._gate, x)) * dense(layer._expand, x))
    return dense(layer._reduce, activate(dense(layer._expand, x)))


def naive(layer, x):
    attention = lambda y: np.asarray(layer.attention(y))  # noqa: E731
    if layer.order == "post":
        x = norm(layer._norm_1, x + attention(x))
        return norm(layer._norm_2, x + feed_forward(layer, x))
    if layer.order == "parallel":
        y = norm(layer._norm_1, x)
        return x + attention(y) + feed_forward(layer, y)
    x = x + attention(norm(layer._norm_1, x))
    return x + feed_forward(layer, norm(layer._norm_2, x))


@pytest.mark.parametrize(
    "arguments",
    [
        dict(positions="rotary"),
        dict(order="post", feed_forward="gelu_exact"),
        dict(order="parallel", feed_forward="relu", use_bias=False, qkv_bias=True),
        dict(norm="rms", feed_forward="swiglu", use_bias=False, hidden_units=5, head_size=6),
        dict(norm="rms", order="post", feed_forward="geglu", attention_cap=2.0, window=3, num_sinks=1),
    ],
    ids=str,
)
def test_values(arguments):
    """And one step for each entry."""
    layer, x = make(**arguments)
    expected = naive(layer, x)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-11)
    assert layer._expand.kernel.shape[1] == arguments.get("hidden_units", 4 * _UNITS)
    assert layer.attention._query.use_bias == arguments.get("qkv_bias", layer.use_bias)
    assert layer.attention._out.use_bias == layer.use_bias
    np.testing.assert_allclose(stepped(layer, x, [1] * _LENGTH), expected, atol=1e-11)


def stepped(layer, x, chunks):
    kind, index, outputs = layer.attention.positions_spec(_LENGTH), 0, []
    cache, held = init_cache(layer.cache_spec(_LENGTH), 3), kind.init(3)
    for length in chunks:
        at = ops.tile(index + ops.arange(length), (3, 1))
        y, cache = layer.step(x[:, index : index + length], cache, index, at, kind.read(held))
        held, index = kind.write(held, at, index), index + length
        outputs.append(np.asarray(y))
    return np.concatenate(outputs, axis=1)


@pytest.mark.parametrize("name", ["norm", "order", "feed_forward"])
def test_refused(name):
    with pytest.raises(ValueError, match=rf"`{name}` must be one of '.*; got 'other'"):
        TransformerBlock(2, **{name: "other"})


@pytest.mark.parametrize("chunks", [[1] * _LENGTH, [3, 1, 3]], ids=len)
def test_step(chunks):
    layer, x = make(window=3)
    np.testing.assert_allclose(stepped(layer, x, chunks), naive(layer, x), atol=1e-11)


def test_dropout_acts_in_training_only():
    layer, x = make(dropout=0.5)
    np.testing.assert_allclose(np.asarray(layer(x)), naive(layer, x), atol=1e-11)
    assert np.abs(np.asarray(layer(x, training=True)) - naive(layer, x)).max() > 0.1
