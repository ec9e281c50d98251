"""Scenarios of how a series goes on, their quantiles and how right they were: against brute force."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.uses import forecast
from tests.uses.models import randomised


def test_scenarios_go_on_from_what_is_known():
    model = randomised("recurrent_lm.tiny")
    history = np.random.default_rng(0).integers(0, model.head.num_symbols, 9)
    drawn = forecast.scenarios(model, history, steps=4, num=6, seed=3)
    whole = model.sample(6, 3, prefix=history, num_sites=13)
    assert drawn.shape == (6, 4)
    np.testing.assert_array_equal(drawn, whole[:, 9:])
    assert len(np.unique(drawn, axis=0)) > 3


def test_the_last_part_of_a_long_history_counts():
    model = randomised("gpt.tiny", num_layers=1)  # of at most 12 sites
    history = np.random.default_rng(0).integers(0, model.head.num_symbols, 30)
    drawn = forecast.scenarios(model, history, steps=5, num=2)
    np.testing.assert_array_equal(drawn, model.sample(2, 0, prefix=history[-7:], num_sites=12)[:, 7:])
    with pytest.raises(ValueError, match="`steps` must be less than the 12 sites"):
        forecast.scenarios(model, history, steps=12)


def test_scenarios_of_a_linear_model_are_its_exact_forecast():
    model = ar_zoo.create("ar_p.sunspots")
    part = ar_zoo.data.read("shipped:sunspots")
    model.fit_least_squares(part.values)
    drawn = forecast.scenarios(model, part.values, steps=15, num=4000, seed=1)
    exact = model.forecast(part.values, 15, level=0.8)
    spread = (exact.upper - exact.lower) / 2.563
    np.testing.assert_allclose((drawn.mean(axis=0) - exact.mean) / spread, 0, atol=4.5 / np.sqrt(4000))
    (low, high) = forecast.bands(drawn, [0.8])[0.8]
    np.testing.assert_allclose((low - exact.lower) / spread, 0, atol=0.13)
    np.testing.assert_allclose((high - exact.upper) / spread, 0, atol=0.13)


def test_bands_hold_their_shares():
    values = np.random.default_rng(1).normal(size=(20_000, 2)) * [1, 3]
    found = forecast.bands(values, [0.5, 0.9])
    np.testing.assert_allclose(found[0.5][:, 0], [-0.6745, 0.6745], atol=0.03)
    np.testing.assert_allclose(found[0.9][:, 1], [-3 * 1.6449, 3 * 1.6449], atol=0.12)
    for level in (0, 1, 50):
        with pytest.raises(ValueError, match="`levels` must lie between 0 and 1"):
            forecast.bands(values, [level])


def test_crps_is_that_of_all_pairs():
    random = np.random.default_rng(2)
    values, truth = random.normal(size=(17, 3)), random.normal(size=3)
    expected = np.abs(values - truth).mean(axis=0)
    expected -= np.abs(values[:, None] - values[None]).mean(axis=(0, 1)) / 2
    np.testing.assert_allclose(forecast.crps(values, truth), expected, rtol=1e-12)
    np.testing.assert_allclose(forecast.crps(values[:1], truth), np.abs(values[0] - truth))


def test_the_report_and_its_picture(tmp_path):
    values = np.arange(101.0)[:, None] + [0, 100, 200]
    found = forecast.report(values, [0.5, 0.9], truth=np.array([50.0, 196.0]))
    assert found["median"] == [50, 150, 250]
    assert found["levels"]["0.5"] == {"low": [25, 125, 225], "high": [75, 175, 275], "coverage": 0.5}
    assert found["levels"]["0.9"]["coverage"] == 0.5
    assert found["truth"] == [50, 196]
    assert np.isclose(found["crps"], forecast.crps(values[:, :2], np.array([50.0, 196.0])).mean())
    lines = forecast.table(found).splitlines()
    assert lines[3] == "| 2 | 150 | 125 … 175 | 105 … 195 | 196 |"
    assert lines[4].endswith("| – |")
    assert "50% within 50%, 50% within 90%" in lines[-1]
    assert len(forecast.table(found, rows=2).splitlines()) == len(lines) - 1
    unknown = forecast.report(values, [0.5])
    assert "truth" not in unknown
    assert "crps" not in unknown
    forecast.plot_fan(tmp_path / "fan.png", np.zeros(20), values, [0.5, 0.9], [1.0])
    assert (tmp_path / "fan.png").stat().st_size > 1000


def test_what_is_refused():
    with pytest.raises(ValueError, match="`model` must take events"):
        forecast.scenarios(ar_zoo.create("made.tiny"), [1], steps=1)
    model = ar_zoo.create("recurrent_lm.tiny")
    for history in ([], [[1]]):
        with pytest.raises(ValueError, match="`history` must be at least one value"):
            forecast.scenarios(model, history, steps=1)
    with pytest.raises(ValueError, match="`steps` must be an integer of at least 1; got 0"):
        forecast.scenarios(model, [1], steps=0)


def test_scores_of_other_shapes():
    with pytest.raises(ValueError, match=r"`values` must be scenarios \[num, steps\] and `truth` \[steps\]"):
        forecast.crps(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="`levels` must lie between 0 and 1; got a"):
        forecast.bands(np.zeros((2, 3)), ["a"])
