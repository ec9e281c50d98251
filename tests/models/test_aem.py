"""AEM: the network against a loop over connections, its heads in laws and exports, codes of levels, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.coding import compress, decompress
from ar_zoo.heads import CategoricalEnergy, ContinuousMixture, DiscretizedLogisticMixture
from ar_zoo.models.aem import AEM
from ar_zoo.testing import laws, tiny
from tests.export.families import randomised

LEVELS = dict(head=CategoricalEnergy(5, 3), units=11)


def variant(**arguments):
    """The family with another `tiny`, for the laws."""
    return type(AEM.__name__, (AEM,), {"PRESETS": {"tiny": AEM.PRESETS["tiny"] | arguments}})


def dense(values, layer, degrees_in, degrees_out, by_output=False):
    """A masked layer, connection by connection."""
    kernel, sums = np.asarray(layer.kernel), np.asarray(layer.bias).copy()
    for j, own in enumerate(degrees_out):
        for i, below in enumerate(degrees_in):
            if below < own if by_output else below <= own:
                sums[j] += values[i] * (kernel[j, i] if by_output else kernel[i, j])
    return sums


@pytest.mark.parametrize("arguments", [{}, LEVELS], ids=["continuous", "levels"])
def test_against_a_loop_over_connections(arguments):
    model = laws.make(AEM, **arguments)
    x, relu = laws.events(model, 1), lambda values: np.maximum(values, 0.0)
    symbols = model.num_symbols
    values = x.ravel() if symbols is None else np.concatenate([np.eye(symbols)[value][1:] for value in x.ravel()])
    degrees = [1 + unit * 5 // model.units for unit in range(model.units)]
    h = dense(values, model._input, np.repeat(np.arange(1, 7), len(values) // 6), degrees)
    for inner, outer in zip(model._inner, model._outer, strict=True):
        h = h + dense(relu(dense(relu(h), inner, degrees, degrees)), outer, degrees, degrees)
    size = model.head.params_size
    params = dense(relu(h), model._output, degrees, np.repeat(np.arange(1, 7), size), by_output=True)
    np.testing.assert_allclose(np.asarray(model(x)).ravel(), params, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("law", [laws.causality, laws.completeness, laws.step_equals_call, laws.ragged_rows])
@pytest.mark.parametrize(
    "arguments",
    [LEVELS, dict(head=ContinuousMixture(2), units=5, num_blocks=1, activation="tanh")],
    ids=["levels", "narrow"],
)
def test_laws_of_variants(law, arguments):
    law(variant(**arguments))


@pytest.mark.slow
def test_levels_are_coded():
    model = randomised(ar_zoo.create("aem.tiny", **LEVELS))
    x = model.sample(20, seed=1)
    np.testing.assert_array_equal(decompress(model, compress(model, x)), x)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{}, LEVELS], ids=["continuous", "levels"])
def test_exports_draw_the_same(arguments, tmp_path):
    model = randomised(ar_zoo.create("aem.tiny", **arguments))
    ar_zoo.export(model, tmp_path, ("tflite", "onnx"), batch_size=2, progress=False)
    for engine in ("litert", "onnx"):
        runtime = ar_zoo.runtime.load(tmp_path, engine)
        for drawing in ({}, {"temperature": 0.6}, {"temperature": 0.0}):
            assert tiny.same_symbols(runtime.sample(6, seed=2, **drawing), model.sample(6, seed=2, **drawing))
        x = model.sample(2, seed=9)
        np.testing.assert_allclose(runtime.score(x)[0], model.log_prob(x), rtol=1e-4)


def test_one_site():
    model = laws.make(AEM, head=CategoricalEnergy(5, 3), event_shape=(1,), units=3)
    assert abs(np.exp(np.asarray(model.log_prob(np.arange(5, dtype="int32")[:, None]))).sum() - 1) < 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(event_shape=(None,)), r"`event_shape` must be a sequence of integers of at least 1.*got \(None,\)"),
        (dict(head=DiscretizedLogisticMixture(2, 4, 3)), "`head` must draw one symbol a site"),
        (dict(units=4), "`units` must be at least 5, one less than the sites, so that each sees all before it; got 4"),
        (dict(units=(64,)), r"`units` must be an integer of at least 1; got \(64,\)"),
        (dict(num_blocks=0), "`num_blocks` must be an integer of at least 1; got 0"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ar_zoo.create("aem.tiny", **arguments)
