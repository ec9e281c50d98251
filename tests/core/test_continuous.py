"""Continuous data in the contract: floats in and out, densities, known values, and what is refused."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import families
from ar_zoo.heads import ContinuousMixture, Normal
from ar_zoo.testing import laws


@functools.cache
def model(dtype="float32"):
    """Six values, in two orders."""
    return laws.make(families()["made"], dtype=dtype, head=Normal(), event_shape=(6,))


def test_log_prob_is_the_density_under_the_conditionals():
    x = laws.events(model(), 4)
    params = np.asarray(model()(x), np.float64)
    mean, scale = params[..., 0], np.exp(params[..., 1])
    expected = -0.5 * ((x - mean) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    for reduce in ("site", "coordinate"):
        np.testing.assert_allclose(np.asarray(model().log_prob(x, reduce=reduce)), expected, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(model().log_prob(x)), expected.sum(1), rtol=1e-4)
    np.testing.assert_allclose(np.asarray(model().log_prob(x.astype("float64"))), expected.sum(1), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "mixed_float16"])
def test_other_precisions(dtype):
    other = families()["made"].from_config(model().get_config() | {"dtype": dtype})
    other.set_weights(model().get_weights())
    x = laws.events(model(), 4)
    log_prob = other.log_prob(x)
    assert log_prob.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_allclose(np.asarray(log_prob), np.asarray(model().log_prob(x)), rtol=0.05)
    assert other.sample(2, seed=1).dtype == np.float32


def test_known_values_are_kept_and_inform_what_is_drawn():
    free, prefix = model().sample(3, seed=2), np.array([0.25, -7.5], "float32")
    assert (free.dtype, free.shape) == (np.float32, (3, 6))
    drawn = model().sample(3, seed=2, prefix=prefix)
    np.testing.assert_array_equal(drawn[:, :2], np.tile(prefix, (3, 1)))
    assert not np.allclose(drawn[:, 2:], free[:, 2:])
    given, mask = np.full(6, 0.125), np.arange(6) == 3
    drawn = model().sample(3, seed=2, given=given, mask=mask)
    np.testing.assert_array_equal(drawn[:, 3], np.full(3, 0.125, "float32"))
    np.testing.assert_allclose(drawn[:, :3], free[:, :3], atol=1e-6)
    assert not np.allclose(drawn[:, 4:], free[:, 4:])


def test_as_a_distribution():
    distribution = model().as_distribution()
    drawn = distribution.sample(3, seed=5)
    assert (distribution.dtype, drawn.dtype, drawn.shape) == (tf.float32, tf.float32, (3, 6))
    np.testing.assert_allclose(np.asarray(distribution.log_prob(drawn)), np.asarray(model().log_prob(drawn)), rtol=1e-5)


def test_fit_learns_a_density():
    """Two values that are correlated: the density of the truth is reached to a hundredth of a nat."""
    generator = np.random.default_rng(0)
    first = generator.normal(size=4000)
    x = np.stack([first, 0.8 * first + 0.6 * generator.normal(size=4000)], axis=1).astype("float32")
    learner = ar_zoo.create("made.tiny", event_shape=(2,), head=Normal(), num_orders=1, num_masks=1)
    learner.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    learner.fit(x, batch_size=500, epochs=20, verbose=0)
    truth = -np.log(2 * np.pi) - np.log(0.6) - 0.5 * np.mean(x[:, 0] ** 2 + ((x[:, 1] - 0.8 * x[:, 0]) / 0.6) ** 2)
    found = learner.evaluate(x, batch_size=500, verbose=0, return_dict=True)
    assert abs(-2 * found["loss"] - truth) < 0.01
    assert abs(found["bits_per_dim"] * np.log(2) - found["loss"]) < 1e-5
    assert learner.predict(x[:10], verbose=0).shape == (10, 2, 2)


VALUES = np.zeros((2, 6), "float32")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (VALUES.astype("int32"), "`x` must hold floats, values of continuous data; got dtype int32"),
        (np.where(np.eye(6)[:2], np.nan, VALUES), "`x` must hold finite values; got nan"),
        (np.where(np.eye(6)[:2], -np.inf, VALUES), "`x` must hold finite values; got -inf"),
        (VALUES[:, :5], r"`x` must have shape \[batch, 6\]; got \[2, 5\]"),
    ],
)
def test_bad_events(x, message):
    for use in (model().log_prob, model().fit, model().evaluate, model().predict):
        with pytest.raises(ValueError, match=message):
            use(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(prefix=[1, 2]), "`prefix` must hold floats, values of continuous data; got dtype int64"),
        (dict(prefix=[np.nan]), "`prefix` must hold finite values; got nan"),
        (dict(prefix=[0.5] * 7), "`prefix` has 7 sites, more than the 6 of an event"),
        (dict(given=np.full(6, np.inf), mask=[True] * 6), "`given` must hold finite values; got inf"),
        (dict(given=[True] * 6, mask=[True] * 6), "`given` must hold floats"),
    ],
)
def test_bad_beginnings(arguments, message):
    with pytest.raises(ValueError, match=message):
        model().sample(1, **arguments)


@pytest.mark.parametrize(
    "family", [name for name, cls in families().items() if not cls.CONTINUOUS and cls.PRESETS["tiny"].get("head")]
)
def test_families_of_symbols_take_no_continuous_heads(family):
    with pytest.raises(ValueError, match="`head`"):
        ar_zoo.create(f"{family}.tiny", head=Normal())


def test_what_is_for_symbols_alone_says_so(tmp_path):
    from ar_zoo.coding import compress

    with pytest.raises(ValueError, match="`model` must be an autoregressive model with a discrete head; got MADE"):
        compress(model(), VALUES)
    with pytest.raises(ValueError, match="`quantize` is for models of symbols"):
        ar_zoo.export(model(), tmp_path / "export", quantize="int8", validation="shipped:digits", progress=False)
    with pytest.raises(ValueError, match="`formats` 'litert_lm' is for models of tokens"):
        ar_zoo.export(model(), tmp_path / "export", "litert_lm", progress=False)


def test_the_default_step_keeps_values():
    spec = AutoregressiveModel.cache_spec(model(), 6)
    assert (spec["seen"].dtype, spec["seen"].fill) == ("float32", 0)


def test_laws_see_a_density_that_does_not_integrate_to_one():
    """And a sampler that is a little too wide."""

    class Wrong(Normal):
        def distribution(self, params, temperature=1.0):
            return super().distribution(params, 1.02 * temperature)

        def sample(self, params, noise, temperature=1.0):
            return super().sample(params, noise, 1.1 * temperature)

    small = (dict(event_shape=(2,), head=Wrong(), units=(4,), num_orders=1, num_masks=1),)
    cls = type("MADE", (families()["made"],), {"SMALL": small})
    with pytest.raises(AssertionError, match="samples do not follow log_prob: chi-square"):
        laws.sampling(cls)

    class Unnormalised(families()["made"]):
        SMALL = (dict(event_shape=(2,), head=ContinuousMixture(2), units=(4,), num_orders=1, num_masks=1),)

        def log_prob(self, *arguments, **more):
            return super().log_prob(*arguments, **more) + 1e-5

    with pytest.raises(AssertionError, match=r"the density integrates to 1\.00001"):
        laws.normalisation(Unnormalised)
