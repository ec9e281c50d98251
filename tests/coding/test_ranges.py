"""The range coder: exact both ways, and close to the entropy."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.coding.ranges import Decoder, Encoder, weights_of


def made(count, symbols, sharpness, seed=0):
    """Distributions [count, symbols], their logarithms, and a symbol of each."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(count, symbols)) * sharpness
    log_probs = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
    drawn = [generator.choice(symbols, p=row / row.sum()) for row in np.exp(log_probs)]
    return np.exp(log_probs).astype(np.float32), log_probs.astype(np.float32), np.array(drawn, np.int32)


@pytest.mark.parametrize(("symbols", "sharpness"), [(2, 1.0), (5, 3.0), (256, 2.0), (256, 30.0)])
def test_symbols_come_back_in_as_many_bits_as_they_need(symbols, sharpness):
    probabilities, log_probs, x = made(3000, symbols, sharpness)
    encoder = Encoder()
    for part in np.array_split(np.arange(3000), 7):
        encoder.code(weights_of(probabilities[part]), log_probs[part], x[part])
    coded = encoder.coded()
    bits = -np.sum(log_probs[np.arange(3000), x], dtype=np.float64) / np.log(2)
    np.testing.assert_allclose(encoder.nats / np.log(2), bits, rtol=1e-5)
    assert bits - 8 <= 8 * len(coded) <= 1.001 * bits + 64
    decoder = Decoder(coded)
    for part in np.array_split(np.arange(3000), 7):
        assert np.array_equal(decoder.code(weights_of(probabilities[part]), None, None), x[part])


def test_what_has_no_probability_can_be_coded_all_the_same():
    probabilities = np.array([[1.0, 0.0, 0.0]] * 4, np.float32)
    x = np.array([0, 2, 0, 1], np.int32)
    encoder = Encoder()
    encoder.code(weights_of(probabilities), np.log(np.maximum(probabilities, 1e-38)), x)
    assert np.array_equal(Decoder(encoder.coded()).code(weights_of(probabilities), None, None), x)


def test_weights_are_whole_numbers_that_float32_adds_exactly():
    probabilities, _, _ = made(50, 200, 3.0)
    weights = weights_of(probabilities)
    assert weights.dtype == np.float32
    assert np.array_equal(weights, np.rint(weights))
    forwards, backwards = np.cumsum(weights, axis=1)[:, -1], np.cumsum(weights[:, ::-1], axis=1)[:, -1]
    assert np.array_equal(forwards, backwards)
    assert np.max(forwards) < 1 << 24


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_probabilities_must_be_finite(value):
    with pytest.raises(ValueError, match="not finite"):
        weights_of([[0.5, value]])


def test_bytes_that_nobody_coded_are_refused_or_give_other_symbols():
    probabilities, _, x = made(300, 5, 1.0)
    refused = 0
    for seed in range(50):
        try:
            decoded = Decoder(np.random.default_rng(seed).bytes(80)).code(weights_of(probabilities), None, None)
            assert not np.array_equal(decoded, x)
        except ValueError:
            refused += 1
    with pytest.raises(ValueError, match="multiple of 4"):
        Decoder(b"abc")
