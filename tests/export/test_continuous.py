"""Exports of continuous data: floats go in, densities and the same values come out, on every engine."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.heads import ContinuousMixture, Normal
from ar_zoo.runtime.engines import ENGINES
from ar_zoo.testing import laws, tiny
from tests.export.families import randomised
from tests.export.test_fast_operations import slow_operations

CASES = {
    "nade": dict(head=ContinuousMixture(2, "logistic"), units=(8, 9)),
    "made": dict(head=Normal(), direct=True, units=(8, 9), activation="tanh"),
}


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in ("nade", "made")])
def case(request, tmp_path_factory):
    """(model, folder of its export)."""
    model = randomised(ar_zoo.create(f"{request.param}.tiny", **CASES[request.param]))
    folder = tmp_path_factory.mktemp("export") / request.param
    formats = ("saved_model", "tflite", "onnx")
    ar_zoo.export(model, folder, formats, batch_size=2, progress=False, prefill=(3,), verify=(2,))
    return model, folder


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_with_the_model(case, engine):
    model, folder = case
    runtime, x = ar_zoo.runtime.load(folder, engine), model.sample(2, seed=9)
    np.testing.assert_allclose(runtime.score(x)[1], np.asarray(model.log_prob(x, reduce="site")), rtol=1e-4, atol=1e-5)
    params = tiny.params_of(model, x, None)
    np.testing.assert_allclose(runtime.params(x), params, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(runtime.params(x, chunk=2), params, rtol=1e-5, atol=1e-5)
    prefix = tiny.sites_of(model, x)[:, :4]
    for arguments in ({}, {"prefix": prefix}, {"temperature": 0.0}):
        drawn, expected = (other.sample(2, seed=3, **arguments) for other in (runtime, model))
        assert drawn.dtype == np.float32
        assert tiny.same_symbols(drawn, expected)
    np.testing.assert_array_equal(runtime.decode(x), x)


def test_steps_are_made_of_fast_operations(case):
    assert slow_operations(case[1] / "step.tflite") == []


def test_far_out_values_have_finite_densities(case):
    model, folder = case
    x = np.full((2, *model.event_shape), 1000.0, "float32")
    expected = np.asarray(model.log_prob(x))
    for engine in ("litert", "onnx"):
        np.testing.assert_allclose(ar_zoo.runtime.load(folder, engine).score(x)[0], expected, rtol=1e-4)


def test_the_whole_loop_is_one_signature(case):
    import tensorflow as tf

    model, folder = case
    generate = tf.saved_model.load(str(folder / "saved_model")).signatures["generate"]
    nothing, seed = tf.zeros((2, 6)), tf.constant(9, tf.int64)
    x = generate(prefix=nothing, prefix_length=tf.constant(0), seed=seed, temperature=tf.constant(1.0))["x"]
    assert tiny.same_symbols(np.asarray(x), model.sample(2, seed=9))


def test_the_manifest_knows_no_alphabet(case):
    runtime = ar_zoo.runtime.load(case[1])
    assert runtime.manifest["head"]["num_symbols"] is None
    slots = [slot for end in runtime.manifest["endpoints"].values() for slot in (*end["inputs"], *end["outputs"])]
    assert {slot["dtype"] for slot in slots if slot["name"] in ("x", "prev", "symbols", "prefix")} == {"float32"}


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 2, 3, 1), int), "`x` must hold floats, values of continuous data; got dtype int64"),
        (np.full((1, 2, 3, 1), np.nan), "`x` must hold finite values; got nan"),
    ],
)
def test_bad_events(case, x, message):
    with pytest.raises(ValueError, match=message):
        ar_zoo.runtime.load(case[1]).score(x)


@pytest.mark.slow
def test_samples_of_an_export_follow_the_density(tmp_path):
    """Law 5 on exported files."""

    def exported(model, length):
        ar_zoo.export(model, tmp_path / "export", "tflite", batch_size=1000, progress=False)
        return ar_zoo.runtime.load(tmp_path / "export")

    cls = ar_zoo.core.registry.families()["made"]
    small = [arguments for arguments in cls.SMALL if arguments["head"] == Normal()]
    laws.sampling(type("MADE", (cls,), {"SMALL": small}), drawer=exported)
