"""keras-hub's language models under the contract: its own numbers, cached, ragged, sampled, trained and exported."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.interop import keras_hub as hub

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its own imports warn of
    import keras_hub

VOCABULARY, LENGTH = 11, 12
SMALL = dict(vocabulary_size=VOCABULARY, num_layers=2)


def gpt2():
    backbone = keras_hub.models.GPT2Backbone(
        num_heads=2, hidden_dim=8, intermediate_dim=16, max_sequence_length=LENGTH, dropout=0.0, **SMALL
    )
    return keras_hub.models.GPT2CausalLM(backbone)


def llama():
    sizes = dict(num_query_heads=4, num_key_value_heads=2, hidden_dim=16, intermediate_dim=24)
    return keras_hub.models.LlamaCausalLM(keras_hub.models.LlamaBackbone(**sizes, **SMALL))


def gemma():
    sizes = dict(num_query_heads=2, num_key_value_heads=1, hidden_dim=16, intermediate_dim=24, head_dim=8)
    return keras_hub.models.GemmaCausalLM(keras_hub.models.GemmaBackbone(**sizes, **SMALL))


@pytest.fixture(
    scope="module",
    params=[gpt2, pytest.param(llama, marks=pytest.mark.slow), pytest.param(gemma, marks=pytest.mark.slow)],
    ids=["gpt2", "llama", "gemma"],
)
def model(request):
    wrapped = hub.wrap(request.param(), start_symbol=3, max_sites=LENGTH)
    generator = np.random.default_rng(0)
    for weight in wrapped.weights:
        weight.assign(weight.value + 0.3 * generator.normal(size=weight.shape).astype("float32"))
    return wrapped


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).integers(0, VOCABULARY, (2, 10)).astype("int32")


def test_numbers_are_keras_hubs(model, x):
    tokens = np.concatenate([np.full((2, 1), 3), x], axis=1)
    theirs = np.asarray(model.causal_lm({"token_ids": tokens, "padding_mask": np.ones_like(tokens)}))[:, :-1]
    np.testing.assert_allclose(np.asarray(model(x)), theirs, atol=1e-5)
    expected = np.take_along_axis(np.asarray(tf.nn.log_softmax(theirs)), x[..., None], axis=-1).sum((1, 2))
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-5)


def test_cached_in_chunks_and_ragged(model, x):
    params = np.asarray(model(x))
    prev = np.concatenate([np.full((2, 1), -1), x[:, :-1]], axis=1).astype("int32")
    cache, parts = model.init_cache(2), []
    for start, stop in ((0, 1), (1, 7), (7, 10)):
        part, cache = model.step(tf.constant(prev[:, start:stop]), cache, tf.constant(start))
        parts.append(np.asarray(part))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), params, atol=1e-4)
    at = np.arange(12)[None] - np.array([[0], [2]])  # the second row comes two slots later
    at = np.where((at >= 0) & (at < 10), at, -1).astype("int32")
    taken = np.take_along_axis(prev, np.maximum(at, 0), axis=1)
    cache = model.init_cache(2)
    for start, stop in ((0, 4), (4, 5), (5, 12)):
        positions = tf.constant(at[:, start:stop])
        part, cache = model.step(tf.constant(taken[:, start:stop]), cache, tf.constant(start), positions=positions)
        for row, k in np.argwhere(at[:, start:stop] >= 0):
            np.testing.assert_allclose(np.asarray(part)[row, k], params[row, at[row, start + k]], atol=1e-4)


def test_samples_follow_its_probabilities(model):
    """Greedy, by hand: each symbol is the likeliest after those before it. And a seed gives the same in any batch."""
    greedy = model.sample(1, temperature=0, num_sites=6)
    for i in range(6):
        assert int(np.argmax(np.asarray(model(greedy))[0, i])) == greedy[0, i]
    drawn = model.sample(3, seed=1, num_sites=6)
    np.testing.assert_array_equal(drawn[:2], model.sample(2, seed=1, num_sites=6))


def test_gradients_and_fit(x):
    model = hub.wrap(gpt2(), start_symbol=3)
    assert model.max_sites == LENGTH
    before = float(tf.reduce_mean(model.log_prob(x)))
    model.compile("adam", jit_compile=False)
    model.fit(x, epochs=3, verbose=0)
    assert float(tf.reduce_mean(model.log_prob(x))) > before


def test_what_cannot_be_wrapped():
    with pytest.raises(ValueError, match=r"`causal_lm` must be a keras_hub\.models\.CausalLM"):
        hub.wrap(gpt2().backbone)
    with pytest.raises(ValueError, match="`start_symbol` must be given: the model has no tokenizer"):
        hub.wrap(gpt2())
