"""Exports of models without a step: the same densities, and the same events for the same seed, on every engine."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ar_zoo
from ar_zoo.runtime import DensityRuntime
from ar_zoo.runtime.engines import ENGINES
from ar_zoo.testing import tiny
from tests.export.families import randomised

CASES = {
    "affine": ("maf", {}),
    "spline": ("maf", {"transform": "spline", "num_classes": None, "event_shape": (2, 3)}),
    "inverse": ("iaf", {}),
    "inverse_spline": ("iaf", {"transform": "spline"}),
}
FORMATS = {"litert": "tflite", "onnx": "onnx", "saved_model": "saved_model"}


def made(name):
    family, arguments = CASES[name]
    model = randomised(ar_zoo.create(f"{family}.tiny", **arguments), scale=0.2)
    model.standard = {"mean": [1.0] * 4, "scale": [2.0] * 4, "columns": list("abcd")}
    return model


def agrees(model, runtime):
    """In batches of two, of which the last is filled up."""
    x, context = tiny.events(model, 5), tiny.contexts(model, 5)
    np.testing.assert_allclose(runtime.score(x, context), model.log_prob(x, context), rtol=1e-5, atol=1e-4)
    far = np.full((1, *model.event_shape), 50.0, "float32")
    np.testing.assert_allclose(runtime.score(far), model.log_prob(far), rtol=1e-4)
    for arguments in ({"context": context}, {"temperature": 0.3}, {"temperature": 0}):
        drawn, expected = (other.sample(5, seed=3, **arguments) for other in (runtime, model))
        assert (drawn.dtype, drawn.shape) == (np.float32, expected.shape)
        np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert np.abs(runtime.sample(5, seed=4) - runtime.sample(5, seed=3)).min() > 0


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """(model, folder of its export as TFLite)."""
    model, folder = made("affine"), tmp_path_factory.mktemp("export") / "maf"
    ar_zoo.export(model, folder, "tflite", batch_size=2, progress=False)
    return model, folder


def test_litert_agrees_with_the_model(case):
    agrees(case[0], ar_zoo.runtime.load(case[1]))


def test_the_manifest(case):
    model, folder = case
    facts = json.loads((folder / "manifest.json").read_text())
    assert (facts["kind"], facts["event_shape"], facts["standard"]) == ("density", [4], model.standard)
    assert sorted(facts["files"]) == ["sample.tflite", "score.tflite"]
    assert {name: [slot["name"] for slot in end["outputs"]] for name, end in facts["endpoints"].items()} == {
        "score": ["log_prob"],
        "sample": ["x"],
    }
    assert facts["parity"]["tflite"].keys() == {"score", "sample"}
    assert max(facts["parity"]["tflite"].values()) < 1e-5
    runtime = ar_zoo.runtime.load(folder)
    assert isinstance(runtime, DensityRuntime)
    assert runtime.standard == model.standard
    np.testing.assert_array_equal(runtime.decode([[1.5]]), [[1.5]])


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda runtime: runtime.sample(1, prefix=[0.0]), "`prefix` must be left out: maf has no step"),
        (lambda runtime: runtime.sample(1, given=[0.0], mask=[True]), "`given` must be left out: maf has no step"),
        (lambda runtime: runtime.sample(1, num_sites=3), "`num_sites` must be left out"),
        (lambda runtime: runtime.stream(seed=1), "`stream` cannot be used: take `sample`: maf has no step"),
        (lambda runtime: runtime.params(np.zeros((1, 4))), "`params` cannot be had: take `score`: maf has no step"),
        (lambda runtime: runtime.score(np.zeros((1, 5))), r"`x` must have shape \[batch, 4\]; got \[1, 5\]"),
        (lambda runtime: runtime.score([[1, 2, 3, 4]]), "`x` must hold floats"),
        (lambda runtime: runtime.score([[np.inf, 0.0, 0.0, 0.0]]), "`x` must hold finite values; got inf"),
        (
            lambda runtime: runtime.sample(context=3),
            r"`context\['label'\]` must hold integers in 0..1 \(2 for unknown\)",
        ),
        (lambda runtime: runtime.sample(temperature=-1.0), "`temperature` must be"),
        (lambda runtime: runtime.sample(seed=-1), "`seed` must be"),
    ],
)
def test_what_a_host_may_not_ask(case, ask, words):
    with pytest.raises(ValueError, match=words):
        ask(ar_zoo.runtime.load(case[1]))


def test_speed_is_of_steps(case):
    from ar_zoo.runtime.speed import measure

    with pytest.raises(ValueError, match="`folder` must hold a model that draws site by site"):
        measure(case[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(prefill=(2,)), r"`prefill` must be empty for maf.*, which has no step; got \[2\]"),
        (dict(verify=(2,)), "`verify` must be empty"),
        (dict(cache_sizes=(2,)), "`cache_sizes` must be empty"),
        (dict(num_sites=3), "`num_sites` is fixed at 4"),
        (dict(quantize="float16", formats="tflite"), "`quantize` is for models of symbols that draw site by site"),
        (dict(formats="litert_lm"), "`model` must be an AutoregressiveModel"),
    ],
)
def test_what_is_refused(arguments, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        ar_zoo.export(made("affine"), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_engine_agrees_with_every_flow(name, tmp_path):
    model = made(name)
    ar_zoo.export(model, tmp_path / "out", tuple(FORMATS.values()), batch_size=2, progress=False)
    for engine in ENGINES:
        agrees(model, ar_zoo.runtime.load(tmp_path / "out", engine))
