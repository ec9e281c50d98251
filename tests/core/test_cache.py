"""The kinds of state: what is written is what is read."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from ar_zoo.core import cache as caches
from ar_zoo.core.cache import DelayLine, KeyValue, Link, State


@pytest.mark.parametrize("axis", [0, 1])
def test_key_value(axis):
    kind = KeyValue((3, 7) if axis else (7, 3), axis=axis, fill=-1)
    value, expected = kind.init(2), np.full((2, *kind.shape), -1.0)
    for index, length in ((0, 1), (1, 4), (5, 2)):
        shape = list(expected.shape)
        shape[axis + 1] = length
        new = np.random.default_rng(index).normal(size=shape)
        value = kind.write(value, new, index)
        places = [slice(None)] * 3
        places[axis + 1] = slice(index, index + length)
        expected[tuple(places)] = new
        np.testing.assert_allclose(np.asarray(value), expected, rtol=1e-6)
    assert kind.write(value, new.astype("float64"), 5).dtype == "float32"


@pytest.mark.parametrize("axis", [0, 1])
def test_key_value_of_rows_apart(axis):
    """Each row's entries begin at its own slot; those past the end are dropped."""
    kind = KeyValue((2, 5, 3) if axis else (5, 2, 3), axis=axis)
    new = np.random.default_rng(0).normal(size=(3, 2, 2, 3)).astype("float32")
    value = np.asarray(kind.write(kind.init(3), ops.convert_to_tensor(new), ops.convert_to_tensor([0, 3, 4])))
    expected = np.zeros((3, 5, 2, 3), "float32")
    if axis:
        value, new = np.swapaxes(value, 1, 2), np.swapaxes(new, 1, 2)
    expected[0, 0:2], expected[1, 3:5], expected[2, 4] = new[0], new[1], new[2, 0]
    np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("sinks", [0, 2])
@pytest.mark.parametrize("way", ["together", "waiting", "apart"])
def test_a_ring(way, sinks):
    """Whatever the chunks, it holds what a window of 3 and its sinks will read: of rows that go on together, that wait here
    and there, and that are apart, as they keep no more than the beginnings of some chunks."""
    spec = {
        "at": KeyValue((40,), "int32", fill=-1, window=3, sinks=sinks),
        "keys": KeyValue((2, 40, 5), axis=1, window=3, sinks=sinks),
    }
    cache, generator = caches.init_cache(spec, 3), np.random.default_rng(0)
    assert cache["keys"]["ring"].shape == (3, 2, 3 + sinks, 5)
    keys, seen, slot = generator.normal(size=(3, 2, 40, 5)).astype("float32"), np.zeros(3, int), 0
    for number, length in enumerate((1, 1, 2, 4, 1, 1, 1, 7, 5, 1)):
        here = np.ones((3, length), bool)
        if way == "waiting":
            here = generator.random((3, length)) < 0.6
        if way == "apart" and number % 2:
            here = np.arange(length) < generator.integers(0, length + 1, (3, 1))
        # What is not kept is of sites to come.
        at = np.where(here, seen[:, None] + here.cumsum(1) - 1, seen[:, None] + np.arange(length)).astype(np.int32)
        new = {"at": at, "keys": np.take_along_axis(keys, at[:, None, :, None], axis=2)}
        new = {name: ops.convert_to_tensor(value) for name, value in new.items()}
        index = ops.convert_to_tensor(seen.astype(np.int32)) if way == "apart" else slot
        if way == "apart" and number % 2:
            lent = {name: {"new": value} for name, value in new.items()}
            cache = caches.commit(spec, cache, lent, index, ops.convert_to_tensor(here.sum(1)))
        else:
            at = ops.convert_to_tensor(np.where(here, at, -1)) if way == "waiting" else None
            cache = {name: kind.write(cache[name], new[name], index, at) for name, kind in spec.items()}
        seen, slot = seen + here.sum(1), slot + length
        held, kept = (np.asarray(kind.read(cache[name])) for name, kind in spec.items())
        for row, count in enumerate(seen):
            assert {*range(min(sinks, count)), *range(max(count - 3, 0), count)} == set(held[row]) - {-1}
            for place in np.flatnonzero(held[row] >= 0):
                np.testing.assert_array_equal(kept[row, :, place], keys[row, :, held[row, place]])
    assert seen.min() > 9


def test_no_ring_where_all_is_read():
    kind = KeyValue((5, 2), window=3, sinks=2)
    assert not kind.in_ring
    assert kind.init(1).shape == (1, 5, 2)


def test_state():
    np.testing.assert_array_equal(np.asarray(State((3,), "int32", fill=-1).init(2)), np.full((2, 3), -1, np.int32))


@pytest.mark.parametrize("taps", [(1,), (3,), (4, 2), (6, 4, 2)])
@pytest.mark.parametrize("ragged", [False, True])
def test_delay_line(taps, ragged):
    kind, pushed = DelayLine((2,), taps), np.random.default_rng(0).normal(size=(3, 20, 2)).astype("float32")
    line = kind.init(3)
    lines = [line]
    for t in range(20):
        index = ops.full((3,), t) if ragged else t
        for tap, value in zip(taps, kind.read(line, index), strict=True):
            expected = pushed[:, t - tap] if t >= tap else np.zeros((3, 2))
            np.testing.assert_array_equal(np.asarray(value), expected)
        line = kind.push(line, pushed[:, t], index)
        if not ragged:
            history = np.asarray(kind.history(line, t + 1))
            padded = np.concatenate([np.zeros((3, kind.depth, 2)), pushed], axis=1)
            np.testing.assert_array_equal(history, padded[:, t + 1 : t + 1 + kind.depth])
            for first in range(max(0, t - 7), t + 1):  # chunks shorter and longer than the queue
                chunk = kind.extend(lines[first], ops.convert_to_tensor(pushed[:, first : t + 1]), first)
                np.testing.assert_array_equal(np.asarray(chunk["ring"]), np.asarray(line["ring"]))
            lines.append(line)


@pytest.mark.parametrize("taps", [(1,), (4, 2)])
@pytest.mark.parametrize("ragged", [False, True])
def test_a_chunk_of_which_a_part_is_kept(taps, ragged):
    """Chunks of three, longer and shorter than the queue; rows that are apart keep numbers of their own."""
    kind, generator = DelayLine((2,), taps), np.random.default_rng(0)
    spec, kept = {"line": kind, "keys": KeyValue((40, 2))}, [[] for _ in range(3)]
    cache = caches.init_cache(spec, 3)
    for _ in range(8):
        seen = [len(row) for row in kept]
        index = ops.convert_to_tensor(seen) if ragged else seen[0]
        chunk = generator.normal(size=(3, 3, 2)).astype("float32")
        accepted = generator.integers(1, 4, 3) if ragged else np.full(3, generator.integers(1, 4))
        lent = caches.taken_chunk(spec, cache, index)
        for row, history in zip(kept, np.asarray(lent["line"]["history"]), strict=True):
            np.testing.assert_array_equal(history, np.concatenate([np.zeros((kind.depth, 2)), *row])[-kind.depth :])
        kept = [row + [chunk[b, k : k + 1] for k in range(accepted[b])] for b, row in enumerate(kept)]
        new = {"line": kind.extend(lent["line"], ops.convert_to_tensor(chunk), index), "keys": {"new": chunk}}
        cache = caches.commit(spec, cache, new, index, ops.convert_to_tensor(accepted))
        for row, keys in zip(kept, np.asarray(cache["keys"]), strict=True):
            np.testing.assert_array_equal(keys[: len(row)], np.concatenate(row))


def test_rows_of_a_delay_line_that_are_apart():
    """A chunk through rings that stand at different places."""
    kind, pushed = DelayLine((2,), (3, 1)), np.random.default_rng(0).normal(size=(2, 9, 2)).astype("float32")
    line, index = kind.init(2), np.array([2, 4], np.int32)
    for t in range(4):
        line = caches.hold(ops.convert_to_tensor(index > t), kind.push(line, pushed[:, t], t), line)
    chunk = np.stack([pushed[b, i : i + 2] for b, i in enumerate(index)])
    line = kind.extend(line, ops.convert_to_tensor(chunk), ops.convert_to_tensor(index))
    history = np.asarray(kind.history(line, ops.convert_to_tensor(index + 2)))
    np.testing.assert_array_equal(history, np.stack([pushed[b, i - 1 : i + 2] for b, i in enumerate(index)]))


def test_what_can_rewind():
    assert caches.can_rewind({"a": {"b": DelayLine((2,), (1,))}, "c": KeyValue((3,))})
    assert not caches.can_rewind({"a": {"b": State((2,))}, "c": KeyValue((3,))})


def test_a_chunk_of_an_exported_delay_line():
    kind, history = DelayLine((2,), (4, 2)), np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    assert kind.history({"history": history}, 7) is history
    assert kind.extend({"history": history}, "new", 7) == {"pushes": "new"}


def test_delay_lines_taken_out_and_put_back():
    """The loop's form: a step sees taps and returns what to push."""
    spec = {"a": {"line": DelayLine((2,), (3, 1))}, "b": State((2,))}
    generator = np.random.default_rng(0)
    cache = caches.init_cache(spec, 2)
    pushed = generator.normal(size=(9, 2, 2)).astype("float32")
    for t in range(9):
        seen = caches.taken(spec, cache, t)
        for position, tap in enumerate((3, 1)):
            expected = pushed[t - tap] if t >= tap else np.zeros((2, 2))
            np.testing.assert_array_equal(np.asarray(seen["a"]["line"]["taps"])[:, position], expected)
        new = {"a": {"line": spec["a"]["line"].push(seen["a"]["line"], pushed[t], t)}, "b": ops.ones((2, 2)) * t}
        cache = caches.put_back(spec, cache, new, t)
        np.testing.assert_array_equal(np.asarray(cache["b"]), np.full((2, 2), t))


def test_link():
    kind = Link(4, (3,))
    block = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    value = kind.write(block)
    np.testing.assert_array_equal(np.asarray(kind.read(value, 2)), block[:, 2])
    np.testing.assert_array_equal(np.asarray(kind.read(value, ops.convert_to_tensor([3, 0]))), block[[0, 1], [3, 0]])
    np.testing.assert_array_equal(np.asarray(kind.read({"site": block[:, 1]}, 3)), block[:, 1])
    assert kind.init(2)["block"].shape == (2, 4, 3)


def test_hold():
    new, old = ({"a": np.full((3, 2), value), "b": {"c": np.full(3, value)}} for value in (1, 0))
    held = caches.hold(ops.convert_to_tensor([True, False, True]), new, old)
    np.testing.assert_array_equal(np.asarray(held["a"]), [[1, 1], [0, 0], [1, 1]])
    np.testing.assert_array_equal(np.asarray(held["b"]["c"]), [1, 0, 1])


def test_site_by_site():
    """A step of single sites serves chunks and rows that wait."""

    class Counter:
        num_sites = None

        @caches.site_by_site
        def step(self, prev, cache, index, context=None):
            total = cache["total"] + prev[:, 0]
            return (total + 100 * index)[:, None], {"total": total}

    cache = {"total": ops.zeros((2,), "int32")}
    prev = ops.convert_to_tensor(np.array([[1, 2, 3], [4, 5, 6]], np.int32))
    outputs, after = Counter().step(prev, cache, 5)
    np.testing.assert_array_equal(np.asarray(outputs), [[501, 603, 706], [504, 609, 715]])
    np.testing.assert_array_equal(np.asarray(after["total"]), [6, 15])
    positions = ops.convert_to_tensor(np.array([[0, -1, 1], [-1, 0, -1]], np.int32))
    outputs, after = Counter().step(prev, cache, 0, positions=positions)
    np.testing.assert_array_equal(np.asarray(after["total"]), [1 + 3, 5])
    assert np.asarray(outputs)[0, [0, 2]].tolist() == [1, 104]
    assert np.asarray(outputs)[1, 1] == 5
    Counter.num_sites = 6  # no step sees a site that events have not
    outputs, _ = Counter().step(prev, cache, 5)
    np.testing.assert_array_equal(np.asarray(outputs), [[501, 503, 506], [504, 509, 515]])
    outputs, _ = Counter().step(prev, cache, 0, positions=positions)
    assert np.asarray(outputs)[0, 1] == 3
