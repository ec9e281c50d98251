"""Cases and their bars: what is compared with what, and when a bar is met."""

from __future__ import annotations

import pytest

import ar_zoo
from ar_zoo.bench import report
from ar_zoo.bench.cases import CASES, GENERATIVE, PRODUCTS, QUICK, Bar, Case
from ar_zoo.bench.compare import verdicts
from ar_zoo.bench.peers import estimated


def entry(rate, **more):
    return {"sites_per_s": rate, "site_us": 1e6 / rate, **more}


def result(case, **measured):
    names = {name.replace("_float32", " float32").replace("_", "-"): found for name, found in measured.items()}
    return {"label": case.label, "title": case.title, "sites": 10, "batch": 1, "measured": names}


def held(bar, **measured):
    case = Case("A", "gpt.tiny", 1, (bar,))
    (found,) = verdicts([result(case, **measured)], [case])
    return found


def test_every_family_has_a_quick_case_and_every_case_a_preset():
    assert {case.family for case in CASES} == {case.family for case in QUICK}
    assert {case.preset for case in CASES + QUICK} <= set(ar_zoo.list_models())


def test_every_bar_is_of_something_that_can_be_measured():
    titles = {case.title for case in CASES}
    for case in CASES:
        for bar in case.bars:
            assert (bar.at_least is None) != (bar.at_most is None)
            assert bar.of in ("cached", "litert float32", "litert int8")
            assert isinstance(bar.than, int) or bar.than in {"naive", PRODUCTS, *case.peers, *titles}


@pytest.mark.parametrize(
    ("bar", "figure", "met"),
    [
        (Bar("cached", "naive", at_least=20), 20, True),
        (Bar("cached", "naive", at_least=20.1), 20, False),
        (Bar("cached", 8000, at_least=0.05), 0.05, True),
        (Bar("litert float32", PRODUCTS, at_most=2.2), 2.5, False),
        (Bar("litert float32", PRODUCTS, at_most=2.5), 2.5, True),
        (Bar("cached", "peer", at_least=1.0), None, None),
        (Bar("cached", "absent", at_least=1.0), None, None),
        (Bar("litert int8", "naive", at_least=1.0), None, None),
    ],
)
def test_bars(bar, figure, met):
    measured = dict(naive=entry(20.0), cached=entry(400.0), litert_float32=entry(500.0, limit_us=800.0))
    found = held(bar, **measured, peer={"left_out": "not installed: No module named 'peer'"})
    assert found["figure"] == (None if figure is None else pytest.approx(figure))
    assert found["met"] is met


def test_time_a_site_over_that_of_an_earlier_case():
    small, large = Case("A", "gpt.tiny", 1), Case("B", "gpt.tiny", 1, (Bar("cached", "A, batch 1", at_most=1.3),))
    for rate, met in ((80.0, True), (70.0, False)):
        results = [result(small, cached=entry(100.0)), result(large, cached=entry(rate))]
        (found,) = verdicts(results, [small, large])
        assert (found["figure"], found["met"]) == (pytest.approx(100 / rate), met)


def test_what_is_known_of_a_peer_stands_in_where_it_is_not_installed():
    naive, missing = entry(314.0), {"left_out": "not installed: No module named 'torch'"}
    found = estimated(GENERATIVE, naive, missing)
    assert found["sites_per_s"] == pytest.approx(194.0)
    assert found["estimate"].startswith("estimate, not installed: naive × 0.097 / 0.157")
    assert estimated("transformers", naive, missing) == missing
    assert estimated(GENERATIVE, naive, {"left_out": "it failed: why"}) == {"left_out": "it failed: why"}
    bar = held(Bar("cached", GENERATIVE, at_least=1), naive=naive, cached=entry(388.0), **{GENERATIVE: found})
    assert bar["figure"] == pytest.approx(2.0)
    assert "estimate" in report.bars([bar])
