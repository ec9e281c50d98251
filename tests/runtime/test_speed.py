"""How fast an export runs: what is measured."""

from __future__ import annotations

import json

import pytest

from ar_zoo.runtime import speed


def test_an_export_is_measured_in_its_own_process(exported):
    row = speed.measure(exported("gpt"), "litert", repeats=1)
    assert (row["engine"], row["batch_size"], row["num_sites"]) == ("litert", 2, 12)
    assert row["prefill_sites_per_s"] > 0
    assert row["limit_us"] > 0
    assert row["site_us"] > 0
    assert row["share_of_bound"] == pytest.approx(row["bound_us"] / row["site_us"])
    assert 20 < row["memory_mb"] < 120
    files = ("sample_step", "sample_step_3", "sample_step_7")
    size = sum((exported("gpt") / f"{name}.tflite").stat().st_size for name in files)
    assert row["files_mb"] * 2**20 == pytest.approx(size)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"folder": "nowhere"}, r"has no manifest\.json"),
        ({"engine": "torch"}, "`engine` must be one of 'litert', .*; got 'torch'"),
        ({"repeats": 0}, "`repeats` must be an integer of at least 1; got 0"),
        ({"num_sites": 0}, "`num_sites` must be an integer of at least 1, or None; got 0"),
    ],
)
def test_bad_input(exported, wanted, message):
    with pytest.raises(ValueError, match=message):
        speed.measure(**{"folder": exported("gpt"), **wanted})


def test_a_process_that_fails_says_why(exported):
    with pytest.raises(RuntimeError, match="`num_sites` must be at most 12, which was exported; got 13"):
        speed.measure(exported("gpt"), num_sites=13)


def test_the_products_of_a_step_are_in_the_manifest(exported):
    manifest = json.loads((exported("gated_pixel_cnn") / "manifest.json").read_text())
    # tiny: 8 units, 3 layers; two rows at once. Window of the first layer, wiring, left neighbours, wiring, …, hidden, output.
    assert sorted(manifest["endpoints"]["step"]["products"]) == sorted(
        [[2, 12, 16], [2, 8, 16], [2, 16, 16], [2, 8, 16], [2, 16, 16], [2, 8, 16], [2, 8, 8], [2, 8, 8]]
    )
