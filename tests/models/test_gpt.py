"""GPT: its start, windows and arguments, and the published sizes. Its values are compared with transformers' in tests/interop."""

from __future__ import annotations

import re
import resource

import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.pretrained import named_weights
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture
from ar_zoo.layers import attention
from ar_zoo.models.gpt import GPT
from tests.export.families import randomised


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("small", 124_439_808),
        pytest.param("medium", 354_823_168, marks=pytest.mark.slow),
        pytest.param("large", 774_030_080, marks=pytest.mark.slow),
        pytest.param("xl", 1_557_611_200, marks=pytest.mark.slow),
    ],
)
def test_published_sizes(size, count):
    """Counted from shapes: the smallest would need 0.5 GB, the largest 6 GB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert ar_zoo.num_weights(f"gpt.gpt2_{size}") == count
    ar_zoo.create("gpt.tiny")  # nor are the counted weights made later, with the next model's
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, f"counting took {grown} kB"


def test_start_symbol_or_an_embedding_of_its_own():
    own, shared = GPT(Categorical(5), 6, 1, 8, 2), GPT(Categorical(5), 6, 1, 8, 2, start_symbol=3)
    assert own.count_params() - shared.count_params() == 8
    assert named_weights(shared)["embedding/table"].shape == (5, 8)


@pytest.mark.parametrize("window", [None, 1, 3])
def test_receptive_field(window):
    model = GPT(Categorical(5), 12, 2, 8, 2, window=window)
    field = model.receptive_field(12)
    reach = 12 if window is None else 1 + 2 * (window - 1)
    assert [int(row.sum()) for row in field] == [min(i, reach) for i in range(12)]


def test_dropout_is_in_training_alone():
    model = GPT(Categorical(5), 8, 1, 8, 2, dropout=0.5)
    x = np.zeros((1, 8), "int32")
    assert np.array_equal(model(x), model(x))
    assert not np.array_equal(model(x, training=True), model(x, training=True))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(num_heads=3), "num_heads"),
        (dict(num_heads=0), "num_heads"),
        (dict(num_kv_heads=3), "num_kv_heads"),
        (dict(num_layers=0), "num_layers"),
        (dict(units=0), "units"),
        (dict(max_sites=0), "max_sites"),
        (dict(positions="absolute"), "positions"),
        (dict(positions="rotary", units=12), "units"),
        (dict(positions="sinusoidal", units=5, num_heads=1), "units"),
        (dict(window=0), "window"),
        (dict(start_symbol=5), "start_symbol"),
        (dict(dropout=1.5), "dropout"),
        (dict(head=DiscretizedLogisticMixture(2, 5, 3)), "head"),
        (dict(head=Bernoulli()), "head"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        GPT(**(dict(head=Categorical(5), max_sites=8, num_layers=1, units=8, num_heads=4) | arguments))


def test_the_shipped_preset_still_means_the_same():
    """Recorded when it was trained: names of weights, and what is computed with them."""
    x = np.random.default_rng(0).integers(0, 62, (2, 100)).astype("int32")
    np.testing.assert_allclose(np.asarray(ar_zoo.load("gpt.kjv").log_prob(x)), [-857.93774, -976.08575], atol=2e-3)


@pytest.mark.parametrize(
    "more",
    [
        dict(positions="learned"),
        dict(positions="rotary", window=3, num_sinks=1),
        dict(positions="alibi", num_kv_heads=1),
        dict(positions="sinusoidal", start_symbol=2),
    ],
)
@pytest.mark.parametrize("part", [attention.PART, 3])
def test_texts_in_one_row_are_as_if_each_stood_alone(more, part, monkeypatch):
    monkeypatch.setattr(attention, "PART", part)
    model = randomised(ar_zoo.create("gpt.tiny", dtype="float64", **more))
    rng = np.random.default_rng(0)
    alone = [rng.integers(0, 5, (2, size)).astype("int32") for size in (4, 1, 5)]
    texts = np.repeat([1, 2, 0], [4, 1, 5])[None] * np.ones((2, 1), "int32")
    packed = model(np.concatenate(alone, axis=1), texts=texts.astype("int32"))
    expected = np.concatenate([model(x) for x in alone], axis=1)
    np.testing.assert_allclose(packed, expected, rtol=0, atol=1e-12)
    assert np.abs(model(np.concatenate(alone, axis=1)) - expected).max() > 1e-3  # without `texts` they are not


@pytest.mark.parametrize("texts", [np.zeros((2, 4), "int32"), np.zeros(5, "int32"), np.zeros((2, 5), "float32")])
def test_texts_of_another_shape_or_dtype_are_refused(texts):
    got = re.escape(f"{texts.dtype} {list(texts.shape)}")
    with pytest.raises(ValueError, match=rf"`texts` must be integers of shape \[2, 5\], .*; got {got}"):
        ar_zoo.create("gpt.tiny")(np.zeros((2, 5), "int32"), texts=texts)
