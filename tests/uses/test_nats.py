"""Negative log-likelihoods, event by event."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.data import Examples
from ar_zoo.uses import event_nats
from tests.uses.models import randomised


def test_each_event_whatever_the_batch():
    model = randomised("made.tiny")
    x = np.random.default_rng(0).integers(0, 4, (7, 2, 3, 1))
    expected = -np.asarray(model.log_prob(x), np.float64)
    assert expected.std() > 0.1
    for batch_size in (3, 100):
        found = event_nats(model, x, batch_size)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_labels_are_told_and_windows_are_events():
    model = randomised("gated_pixel_cnn.tiny", num_layers=0)
    x, labels = np.random.default_rng(1).integers(0, 4, (3, 4, 5, 2)), np.array([0, 1, 2])
    expected = -np.asarray(model.log_prob(x, context=labels))
    np.testing.assert_allclose(event_nats(model, Examples(x, {"label": labels})), expected, rtol=1e-5)
    assert not np.allclose(event_nats(model, x), expected, rtol=1e-3)

    model = randomised("gpt.tiny", num_layers=1)
    stream = np.random.default_rng(2).integers(0, model.head.num_symbols, 25)
    expected = [-float(model.log_prob(stream[None, start : start + 10])[0]) for start in (0, 10, 20)]
    np.testing.assert_allclose(event_nats(model, Examples(stream, window=10), 2), expected, rtol=1e-4)


def test_what_is_refused():
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1; got 0"):
        event_nats(ar_zoo.create("made.tiny"), np.zeros((1, 2, 3, 1), int), 0)


def test_what_is_no_event():
    with pytest.raises(ValueError, match="`data` must hold integer symbols; got dtype float64"):
        event_nats(randomised("made.tiny"), np.zeros((1, 2, 3, 1)))
