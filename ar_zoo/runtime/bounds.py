"""What this machine allows a step at best: its matrix products alone, and its bytes and multiplications."""

from __future__ import annotations

import time

import numpy as np

_BYTES = 4  # of a float
_STEADY = 0.3  # of a call of microseconds three are chance
_SQUARE = 256  # sides of the matrix whose products are timed: it stays in a core's own cache


def best(repeats: int, function):
    """(seconds, result) of the fastest call, of so many; of short calls, as many as fit into `_STEADY` seconds."""
    fastest, calls, begun = float("inf"), 0, time.perf_counter()
    while calls < repeats or time.perf_counter() - begun < _STEADY:
        start = time.perf_counter()
        result = function()
        fastest, calls = min(fastest, time.perf_counter() - start), calls + 1
    return fastest, result


def products_seconds(manifest, repeats: int) -> float:
    """Seconds a site for the matrix products alone in NumPy, each with weights of its own, as a step meets them."""
    total = 0.0
    for products, share, _ in _drawing(manifest):
        random = np.random.default_rng(0)
        pairs = [
            (random.random((m, k), np.float32), random.random((k, n), np.float32), np.empty((m, n), np.float32))
            for m, k, n in products
        ]

        def run(pairs=pairs):
            for _ in range(100):
                for a, b, out in pairs:
                    np.matmul(a, b, out=out)

        total += best(repeats + 1, run)[0] / 100 / share
    return total


def machine(manifest, sizes: dict, repeats: int) -> dict:
    """Seconds a site that the machine's bandwidth and its rate of multiplications leave as the least.

    An endpoint reads its weights and its keys and values once, and multiplies as often as its products say. The
    bandwidth is that of reading as many bytes again and again (what fits into a cache comes from there), the rate that
    of products of as many rows with a matrix that stays in cache, both in NumPy. Where weights are stored in fewer bits
    than floats, only their bytes are counted: NumPy has no products of integers to compare with.

    Args:
        manifest: the export's.
        sizes: endpoint → bytes of its file.
        repeats: how often each time is taken; the best counts.

    Returns:
        a dict: `bytes_per_site`, `multiplications_per_site`, the step's `bandwidth_gb_s` and `multiplications_per_s`
        (`None` where they are not counted), and `bound_us`.
    """
    total = {"bytes_per_site": 0.0, "multiplications_per_site": 0.0, "bound_us": 0.0}
    for products, share, name in reversed(_drawing(manifest)):  # the step, last, leaves its rates
        kept = _kept_bytes(manifest, name)
        weights = max(_BYTES * sum(k * n for _, k, n in products) - kept, 0)
        small = sizes[name] < 0.9 * weights
        size = min(weights, sizes[name]) + kept
        multiplications = sum(m * k * n for m, k, n in products)
        bandwidth = _bandwidth(size, repeats)
        rate = None if small else _rate(max((m for m, _, _ in products), default=1), repeats)
        seconds = max(size / bandwidth, multiplications / rate if rate else 0.0)
        total["bytes_per_site"] += size / share
        total["multiplications_per_site"] += multiplications / share
        total["bound_us"] += seconds / share * 1e6
        total |= {"bandwidth_gb_s": bandwidth / 1e9, "multiplications_per_s": rate}
    return total


def _drawing(manifest) -> list[tuple]:
    """(matrix products, sites that share them, name) of each endpoint that drawing runs, the step first."""
    found = []
    for name, share in (("sample_step", 1), ("begin_block", (manifest["block_sizes"] or [1])[0])):
        if name in manifest["endpoints"]:
            found.append((manifest["endpoints"][name].get("products", []), share, name))
    return found


def _kept_bytes(manifest, endpoint) -> int:
    """Bytes of the keys and values that an endpoint reads."""
    kinds = {name: state["kind"] for name, state in manifest["states"].items()}
    slots = [slot for slot in manifest["endpoints"][endpoint]["inputs"] if kinds.get(slot["state"]) == "KeyValue"]
    return sum(_BYTES * int(np.prod(slot["shape"], dtype=int)) for slot in slots if slot["dtype"] == "float32")


def _bandwidth(size, repeats) -> float:
    """Bytes a second that one core reads of `size` bytes, again and again."""
    count = max(int(size) // (2 * _BYTES), 8192)
    a, b = np.ones(count, np.float32), np.ones(count, np.float32)
    times = max(1, 2**24 // count)

    def run():
        for _ in range(times):
            np.dot(a, b)

    return 2 * _BYTES * count * times / best(repeats + 1, run)[0]


def _rate(rows, repeats) -> float:
    """Multiplications a second of one core in products of `rows` rows."""
    a, b = np.ones((rows, _SQUARE), np.float32), np.ones((_SQUARE, _SQUARE), np.float32)
    out = np.empty((rows, _SQUARE), np.float32)

    def run():
        for _ in range(200):
            np.matmul(a, b, out=out)

    return 200 * rows * _SQUARE**2 / best(repeats + 1, run)[0]
