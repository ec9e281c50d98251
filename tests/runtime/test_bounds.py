"""What a step costs at least, counted from a manifest by hand."""

from __future__ import annotations

import pytest

from ar_zoo.runtime import bounds

SLOT = {"name": "key", "shape": [1, 2, 5, 4], "dtype": "float32", "state": "key"}
MANIFEST = {
    "block_sizes": [10, 10],
    "states": {"key": {"kind": "KeyValue"}, "row": {"kind": "State"}},
    "endpoints": {
        # A matrix of 300 x 20, and queries against two heads' keys.
        "sample_step": {"products": [[1, 300, 20], [1, 4, 5], [1, 4, 5]], "inputs": [SLOT, SLOT | {"state": "row"}]},
        "begin_block": {"products": [[10, 300, 20]], "inputs": []},
    },
}
KEPT, MATRIX = 2 * 5 * 4 * 4, 300 * 20 * 4  # bytes


@pytest.fixture(autouse=True)
def rates(monkeypatch):
    """A machine that reads a million bytes a second and multiplies a thousand times for each row of a product."""
    monkeypatch.setattr(bounds, "_bandwidth", lambda size, repeats: 1e6)
    monkeypatch.setattr(bounds, "_rate", lambda rows, repeats: 1e3 * rows)


def test_multiplications_bound_a_slow_machine():
    found = bounds.machine(MANIFEST, {"sample_step": 30_000, "begin_block": 24_500}, 1)
    assert found["bytes_per_site"] == KEPT + MATRIX + MATRIX / 10
    assert found["multiplications_per_site"] == 6040 + 60_000 / 10
    assert found["bound_us"] == pytest.approx((6040 / 1e3 + 60_000 / 1e4 / 10) * 1e6)
    assert (found["bandwidth_gb_s"], found["multiplications_per_s"]) == (1e-3, 1e3)


def test_of_small_weights_only_the_bytes_count():
    found = bounds.machine(MANIFEST, {"sample_step": 7_000, "begin_block": 6_500}, 1)
    assert found["bytes_per_site"] == KEPT + 7_000 + 6_500 / 10
    assert found["bound_us"] == pytest.approx((KEPT + 7_000 + 6_500 / 10) / 1e6 * 1e6)
    assert found["multiplications_per_s"] is None


def test_rates_of_this_machine(monkeypatch):
    monkeypatch.undo()
    assert 1e8 < bounds._bandwidth(2**20, 1) < 1e13
    assert 1e7 < bounds._rate(1, 1) < 1e13
