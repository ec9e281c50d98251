"""The host's loop on made-up graphs: who keeps a state, and when it moves."""

from __future__ import annotations

import numpy as np

from ar_zoo.runtime.loop import Loop


class FakeGraph:
    def __init__(self, inputs, outputs, function):
        self.inputs = {name: np.zeros(shape, np.float32) for name, shape in inputs.items()}
        self.outputs = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
        self._function = function

    def run(self):
        for name, value in self._function(**self.inputs).items():
            self.outputs[name][...] = value


def manifest(states, block_size=None):
    return {"states": states, "block_sizes": [block_size] if block_size else None, "batch_size": 1, "site_shape": []}


def drawn(loop, sites, known=None, start=0):
    x = np.zeros((1, sites), np.int32)
    known = np.zeros((1, sites), bool) if known is None else known
    visited = list(loop.run(x, known, start, {}, {}))
    return x[0].tolist(), visited


def test_a_state_that_a_step_changes_and_a_block_reads():
    step = FakeGraph(
        {"total": (1, 1), "scale_site": (1, 1)},
        {"total": (1, 1), "symbols": (1, 1)},
        lambda total, scale_site: {"total": total + 1, "symbols": total + scale_site},
    )
    block = FakeGraph(
        {"total": (1, 1)}, {"scale_block": (1, 2, 1)}, lambda total: {"scale_block": [[100 * total[0], [7]]]}
    )
    states = {
        "total": {"kind": "State", "shape": [1], "dtype": "float32", "fill": 3},
        "scale": {"kind": "Link", "shape": [1], "dtype": "float32", "fill": 0, "size": 2},
    }
    loop = Loop(manifest(states, block_size=4), step, block)
    expected = [3 + 300, 4 + 300, 5 + 7, 6 + 7, 7 + 700, 8 + 700, 9 + 7, 10 + 7]
    assert drawn(loop, 8) == (expected, list(range(8)))
    assert drawn(loop, 8)[0] == expected, "a second event starts afresh"


def test_a_state_that_only_blocks_keep_and_blocks_that_are_known():
    step = FakeGraph({"row": (1, 1)}, {"symbols": (1, 1)}, lambda row: {"symbols": row})
    block = FakeGraph({"row": (1, 1)}, {"row": (1, 1)}, lambda row: {"row": row + 1})
    states = {"row": {"kind": "State", "shape": [1], "dtype": "float32", "fill": 0}}
    loop = Loop(manifest(states, block_size=2), step, block)
    assert drawn(loop, 6)[0] == [1, 1, 2, 2, 3, 3]
    known = np.array([[True, True, True, False, False, False]])
    assert drawn(loop, 6, known, start=3) == ([0, 0, 0, 2, 3, 3], [2, 3, 4, 5]), (
        "the first block is not stepped through"
    )


def test_a_queue_hands_out_what_was_pushed_some_steps_ago():
    step = FakeGraph(
        {"index": (), "line_taps": (1, 2, 1)},
        {"line_push": (1, 1), "symbols": (1, 1)},
        lambda index, line_taps: {"line_push": index + 1, "symbols": 10 * line_taps[:, 0] + line_taps[:, 1]},
    )
    states = {"line": {"kind": "DelayLine", "shape": [1], "dtype": "float32", "fill": 0, "taps": [3, 1]}}
    assert drawn(Loop(manifest(states), step), 6)[0] == [0, 1, 2, 13, 24, 35]


def test_of_keys_and_values_only_the_new_slot_moves():
    step = FakeGraph(
        {"index": (), "key_held": (1, 2, 4)},
        {"key_new": (1, 2, 1), "symbols": (1, 1)},
        lambda index, key_held: {"key_new": np.full((1, 2, 1), index + 1), "symbols": key_held.sum()},
    )
    states = {"key": {"kind": "KeyValue", "shape": [2, 4], "dtype": "float32", "fill": 0, "axis": 1}}
    assert drawn(Loop(manifest(states), step), 4)[0] == [0, 2, 6, 12]


def test_keys_that_a_block_reads_too():
    step = FakeGraph(
        {"index": (), "key_held": (1, 4, 2)},
        {"key_new": (1, 1, 2), "symbols": (1, 1)},
        lambda index, key_held: {"key_new": np.full((1, 1, 2), index + 1), "symbols": key_held.sum()},
    )
    block = FakeGraph(
        {"key_held": (1, 4, 2)},
        {"sum_block": (1, 2, 1)},
        lambda key_held: {"sum_block": np.full((1, 2, 1), key_held.sum())},
    )
    step.inputs["sum_site"] = np.zeros((1, 1), np.float32)
    step._function = lambda index, key_held, sum_site: {
        "key_new": np.full((1, 1, 2), index + 1),
        "symbols": key_held.sum() + 100 * sum_site,
    }
    states = {
        "key": {"kind": "KeyValue", "shape": [4, 2], "dtype": "float32", "fill": 0, "axis": 0},
        "sum": {"kind": "Link", "shape": [1], "dtype": "float32", "fill": 0, "size": 2},
    }
    loop = Loop(manifest(states, block_size=2), step, block)
    expected = [0, 2, 6 + 600, 12 + 600]
    assert drawn(loop, 4)[0] == expected
    assert drawn(loop, 4)[0] == expected, "a second event starts afresh"


def test_a_loop_whose_keys_are_full_hands_over_to_a_larger_one():
    def step_of(slots):
        return FakeGraph(
            {"index": (), "key_held": (1, slots), "total": (1, 1), "line_taps": (1, 1, 1)},
            {"key_new": (1, 1), "total": (1, 1), "line_push": (1, 1), "symbols": (1, 1)},
            lambda index, key_held, total, line_taps: {
                "key_new": index + 1,
                "total": total + 1,
                "line_push": index + 1,
                "symbols": key_held.sum() + 100 * total + 10000 * line_taps[:, 0],
            },
        )

    states = {
        "key": {"kind": "KeyValue", "shape": [6], "dtype": "float32", "fill": 0, "axis": 0},
        "total": {"kind": "State", "shape": [1], "dtype": "float32", "fill": 3},
        "line": {"kind": "DelayLine", "shape": [1], "dtype": "float32", "fill": 0, "taps": [2]},
    }
    whole = Loop(manifest(states), step_of(6))
    last = Loop(manifest(states), step_of(6))
    middle = Loop(manifest(states), step_of(4), larger=lambda: last)
    small = Loop(manifest(states), step_of(2), larger=lambda: middle)
    expected = drawn(whole, 6)
    assert drawn(small, 6) == expected
    assert drawn(small, 6) == expected, "a second event starts afresh"
    assert small.step.inputs["key_held"].tolist() == [[1, 2]], "what is full is not overwritten"
    known = np.array([[True, True, True, False, False, False]])
    assert drawn(small, 6, known, start=3) == drawn(whole, 6, known, start=3)
