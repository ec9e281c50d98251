"""Every registered model and every pretrained preset in every format: the same numbers, the same samples, the laws."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.pretrained import list_pretrained
from ar_zoo.core.registry import families
from ar_zoo.runtime.engines import ENGINES
from ar_zoo.testing import laws, tiny
from tests.export.families import SCALES, randomised

pytestmark = pytest.mark.slow

CHAIN, SEEDS = 64, 10
LENGTHS = {"gpt.kjv": 96, "wavenet.speech8k": 200}  # where it is free, or longer than a test needs
FAMILIES = [name for name, cls in families().items() if issubclass(cls, AutoregressiveModel)]  # that have a step
NAMES = [*(f"{family}.tiny" for family in FAMILIES), *list_pretrained()]


@pytest.fixture(scope="module", params=NAMES)
def case(request, tmp_path_factory):
    """(model, its length where it is free, folder of its export, two events, their context)."""
    name = request.param
    model = (
        ar_zoo.load(name)
        if name in list_pretrained()
        else randomised(ar_zoo.create(name), scale=SCALES.get(name.partition(".")[0], 0.4))
    )
    length = LENGTHS.get(name, 12) if None in model.event_shape else None
    chunks = {} if model.block_sizes else dict(prefill=(5,), verify=(3,))
    folder = tmp_path_factory.mktemp("export") / name
    ar_zoo.export(
        model, folder, ("saved_model", "tflite", "onnx"), batch_size=2, num_sites=length, progress=False, **chunks
    )
    context = tiny.contexts(model, 2)
    return model, length, folder, model.sample(2, seed=99, context=context, num_sites=length), context


@pytest.mark.parametrize("engine", ENGINES)
def test_scores_and_chained_steps(case, engine):
    """Parity within 1e-4, or what float32 knows, and law 3: single steps, and chunks, equal the whole."""
    model, _, folder, x, context = case
    runtime = ar_zoo.runtime.load(folder, engine)
    expected = np.asarray(model.log_prob(x, context, reduce="site"), np.float32)
    np.testing.assert_allclose(runtime.score(x, context)[1], expected, atol=max(1e-4, rounding(model.head)))
    if model.num_sites is None:
        x = x[:, :CHAIN]
    params = np.asarray(tiny.params_of(model, x, context), np.float32)
    found = runtime.params(x, context)
    bound = max(1e-4, 2 * own_rounding(model, x, context))
    np.testing.assert_allclose(found, params.reshape(found.shape), atol=bound)
    if model.block_sizes is None:
        np.testing.assert_allclose(runtime.params(x, context, chunk=3), found, atol=1e-4)


def own_rounding(model, x, context):
    """How far TensorFlow's float32 is from float64: logits down to -30, over 784 sites, are off by more than 1e-4."""
    exact = type(model).from_config(model.get_config() | {"dtype": "float64"})
    for weight, value in zip(exact.weights, model.weights, strict=True):
        weight.assign(value)
    return np.abs(tiny.params_of(exact, x, context) - tiny.params_of(model, x, context)).max()


def rounding(head):
    """What float32's rounding of a mean near 1 moves a log-probability by, where the narrowest logistic is so narrow."""
    lowest, _ = getattr(head, "log_scale_range", (0.0, 0.0))
    return np.finfo("float32").eps * np.exp(-lowest)


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_same_noise_same_sample(case, engine):
    """Law 6 over several seeds, half of them after a prefix. Where engines part, the decision was a tie between them."""
    model, length, folder, x, context = case
    runtime, differing, drawn = ar_zoo.runtime.load(folder, engine), 0, 0
    prefix = tiny.sites_of(model, x)[:, : tiny.sites_of(model, x).shape[1] // 2]
    for seed, known in itertools.product(range(SEEDS // 2), (None, prefix)):
        arguments = dict(seed=seed, context=context, num_sites=length, prefix=known)
        expected, found = (tiny.sites_of(model, other.sample(2, **arguments)) for other in (model, runtime))
        drawn += expected.size
        if model.head.num_symbols is None:
            assert tiny.same_symbols(expected, found)
            continue
        for row in range(2):
            apart = np.flatnonzero(np.any((expected[row] != found[row]).reshape(expected.shape[1], -1), axis=-1))
            if len(apart):
                differing += 1
                assert_tie(model, runtime, expected, row, apart[0], context, seed)
    assert differing < drawn / 10_000, f"{differing} rows of {drawn} sites differ"


def assert_tie(model, runtime, x, row, site, context, seed):
    """What the row draws at this site changes when its parameters move by ten times what two engines differ by."""
    from ar_zoo.core.noise import uniform_noise

    ours = np.asarray(tiny.params_of(model, x.reshape(2, *tiny.events(model, 1).shape[1:]), context))
    ours = ours.reshape(2, x.shape[1], -1)
    theirs = runtime.params(x.reshape(2, *tiny.events(model, 1).shape[1:]), context)
    margin = 10 * np.abs(ours[:, : site + 1] - theirs[:, : site + 1]).max()
    noise = uniform_noise(seed, [row], site, site + 1, model.head.noise_shape)[:, 0]
    moved = [
        # Each parameter by itself: logits that all move alike draw the same.
        np.asarray(model.head.sample((ours[row, site] + margin * move)[None].astype("float32"), noise))
        for move in np.random.default_rng(0).uniform(-1, 1, (50, ours.shape[-1]))
    ]
    assert len(np.unique(moved)) > 1, f"row {row} differs at site {site}, and not for want of digits"


@pytest.mark.parametrize("engine", ["litert", "onnx"])
@pytest.mark.parametrize("family", FAMILIES)
def test_samples_follow_the_model(family, engine, tmp_path):
    """Law 5 on exported files."""
    format = {"litert": "tflite", "onnx": "onnx"}[engine]

    def exported(model, length):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        ar_zoo.export(model, folder, format, batch_size=1000, num_sites=length, prefill=None, progress=False)
        return ar_zoo.runtime.load(folder, engine)

    cls = families()[family]
    laws.sampling(type(cls.__name__, (cls,), {"SMALL": cls.SMALL[:1]}), drawer=exported)


def test_the_manifest_says_how_close_each_file_is(case):
    parity = json.loads((case[2] / "manifest.json").read_text())["parity"]
    assert max(apart for by_endpoint in parity.values() for apart in by_endpoint.values()) < 1e-4
