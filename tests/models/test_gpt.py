"""GPT against the values of transformers' GPT-2, and the published sizes of its four versions."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.pretrained import named_weights
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture
from ar_zoo.models.gpt import GPT

_REFERENCE = Path(__file__).parents[1] / "references" / "gpt2_tiny.npz"
_NAMES = {  # ours → theirs, of one block
    "norm_1/gamma": "ln_1.weight",
    "norm_1/beta": "ln_1.bias",
    "attention/out/kernel": "attn.c_proj.weight",
    "attention/out/bias": "attn.c_proj.bias",
    "norm_2/gamma": "ln_2.weight",
    "norm_2/beta": "ln_2.bias",
    "expand/kernel": "mlp.c_fc.weight",
    "expand/bias": "mlp.c_fc.bias",
    "reduce/kernel": "mlp.c_proj.weight",
    "reduce/bias": "mlp.c_proj.bias",
}


def weights_of(stored, num_layers):
    """The reference's weights under our names."""
    taken = {
        "embedding/table": stored["transformer.wte.weight"],
        "positions/table": stored["transformer.wpe.weight"],
        "norm/gamma": stored["transformer.ln_f.weight"],
        "norm/beta": stored["transformer.ln_f.bias"],
    }
    for i in range(num_layers):
        theirs, ours = f"transformer.h.{i}.", f"block_{i}/"
        taken |= {ours + name: stored[theirs + other] for name, other in _NAMES.items()}
        for kind, other in (("kernel", "weight"), ("bias", "bias")):
            parts = np.split(stored[f"{theirs}attn.c_attn.{other}"], 3, axis=-1)
            taken |= {
                f"{ours}attention/{name}/{kind}": part
                for name, part in zip(("query", "key", "value"), parts, strict=True)
            }
    return taken


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("cached", [False, True])
def test_equals_transformers(row, cached):
    """Their logits at a token describe the next one; the first token is fed as our start symbol."""
    stored = np.load(_REFERENCE)
    tokens, logits = stored["tokens"][row], stored["logits"][row]
    model = GPT(Categorical(61), 24, num_layers=3, units=32, num_heads=4, start_symbol=int(tokens[0]))
    taken, ours = weights_of(stored, 3), named_weights(model)
    assert taken.keys() == ours.keys(), "every weight of ours has one of theirs"
    for name, value in taken.items():
        ours[name].assign(value)
    if cached:
        cache, parts = model.init_cache(1), []
        prev = np.concatenate([[-1], tokens[1:-1]])[None].astype("int32")
        for start, stop in ((0, 1), (1, 8), (8, 9), (9, 19)):
            params, cache = model.step(prev[:, start:stop], cache, start)
            parts.append(np.asarray(params))
        params = np.concatenate(parts, axis=1)[0]
    else:
        params = np.asarray(model(tokens[None, 1:]))[0]
    assert np.abs(logits).max() > 1
    np.testing.assert_allclose(params, logits[:-1], atol=1e-4)


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
    """Recorded before the block became a layer of its own: names of weights, and what is computed with them."""
    x = np.random.default_rng(0).integers(0, 62, (2, 100)).astype("int32")
    np.testing.assert_allclose(np.asarray(ar_zoo.load("gpt.kjv").log_prob(x)), [-759.6659, -779.37616], atol=2e-3)
