"""Symbols → bytes → the same symbols, for every family and head; or one clear error, whatever happens to the bytes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ar_zoo
from ar_zoo.coding import codec, compress, container, decompress, steps
from ar_zoo.core.registry import families
from ar_zoo.heads import Bernoulli, DiscretizedLogisticMixture
from ar_zoo.testing.tiny import contexts, events, make

HEADER = 250  # bytes


def is_discrete(cls):
    return getattr(cls.PRESETS["tiny"].get("head"), "num_symbols", None) is not None and hasattr(cls, "step")


FAMILIES = [name for name, cls in families().items() if is_discrete(cls)]


def check(model, x, context=None, **options):
    """Round trip, into as many bytes as the model says; returns what `encode` did."""
    found = codec.encode(model, x, {}, context, **options)
    decoded = decompress(model, found.data)
    assert decoded.dtype == np.int32
    assert np.array_equal(decoded, x)
    assert 8 * len(found.data) < 1.01 * found.model_bits + 8 * HEADER
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if families()[name].HEAVY else name for name in FAMILIES]
)
def test_every_family_gives_back_what_it_took(name):
    """Three batches, the last of which is not full."""
    model = make(families()[name], dtype="float32")
    x, context = events(model, 7), contexts(model, 7)
    found = check(model, x, context, batch_size=3)
    nats = -np.sum(model.log_prob(x, context=context), dtype=np.float64)
    np.testing.assert_allclose(found.model_bits, nats / np.log(2), rtol=1e-5)
    assert found.dimensions == x.size


@pytest.mark.parametrize("head", [Bernoulli(), DiscretizedLogisticMixture(2, 8, channels=3)], ids=repr)
def test_heads_that_are_no_softmax(head):
    """One of two symbols, and sites whose later coordinates depend on the earlier ones."""
    shape = (3, 4, *(head.site_shape or (1,)))
    model = make(families()["pixel_cnn"], dtype="float32", image_shape=shape, head=head, num_blocks=1)
    x = events(model, 20)
    found = check(model, x, batch_size=16)
    nats = -np.sum(model.log_prob(x), dtype=np.float64)
    np.testing.assert_allclose(found.model_bits, nats / np.log(2), rtol=1e-4)


@pytest.fixture(scope="module")
def model():
    return make(families()["gpt"], dtype="float32")


@pytest.fixture(scope="module")
def stream():
    return np.random.default_rng(0).integers(0, 5, 1999).astype(np.int32)


@pytest.fixture(scope="module")
def data(model, stream):
    """A file of several chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_CHUNK_BYTES", 200)
        data = compress(model, stream, batch_size=32)
    assert len(container.parse(data).chunks) >= 3
    return data


def test_a_stream_is_cut_into_windows(model, stream, data):
    assert np.array_equal(decompress(model, data), stream)
    header = container.parse(data).header
    assert (header["shape"], header["window"], header["batch_size"]) == ([1999], 12, 32)
    found = check(model, stream, batch_size=32)
    windows = stream[: 166 * 12].reshape(-1, 12)
    nats = -np.sum(model.log_prob(windows)) - np.sum(model.log_prob(stream[None, 166 * 12 :]))
    np.testing.assert_allclose(found.model_bits, nats / np.log(2), rtol=1e-5)
    assert 8 * len(found.data) < 1.01 * found.model_bits + 8 * 160  # one chunk


@pytest.mark.parametrize("length", [1, 13])
def test_short_streams(model, stream, length):
    check(model, stream[:length], batch_size=32)


def test_a_model_without_longest_event_takes_any_window():
    model = make(families()["wavenet"], dtype="float32", num_classes=None, num_stacks=1)
    check(model, events(model, 1, sites=70)[0], window=30)


def test_another_copy_of_the_model_decodes(model, stream, data):
    """Its steps are traced anew, as in another process."""
    assert np.array_equal(decompress(make(families()["gpt"], dtype="float32"), data), stream)


def test_labels_are_stored_and_used():
    model = make(families()["wavenet"], dtype="float32", num_stacks=1)
    x, context = events(model, 40), contexts(model, 40)
    found, without = check(model, x, context, batch_size=40), codec.encode(model, x, {}, batch_size=40)
    assert found.model_bits != without.model_bits
    assert container.parse(found.data).header["context"] == dict.fromkeys(context, "uint8")
    assert len(container.parse(found.data).chunks[0].coded) < 40 + 11


def test_random_damage_gives_an_error_or_the_original(model, stream, data):
    generator = np.random.default_rng(1)
    original, errors = np.frombuffer(data, np.uint8), 0
    for turn in range(200):
        changed = original.copy()
        first, second, third = sorted(generator.integers(0, len(changed) + 1, 3).tolist())
        if turn % 4 == 0:
            changed[min(first, len(changed) - 1)] ^= 1 << int(generator.integers(8))
        elif turn % 4 == 1:
            changed = changed[:first]
        elif turn % 4 == 2:
            changed = np.concatenate([changed[:first], changed[second:third], changed[first:second], changed[third:]])
        else:
            changed[first:third] = generator.permutation(changed[first:third])
        try:
            assert np.array_equal(decompress(model, changed.tobytes(), source="a.arz"), stream)
        except ValueError as error:
            errors += 1
            assert str(error).startswith("a.arz ")  # noqa: PT017
    assert errors > 190


def test_whole_chunks_may_not_be_missing(model, data):
    file = container.parse(data)
    for chunks in ((), file.chunks[:-1], file.chunks[1:], (*file.chunks, file.chunks[-1])):
        with pytest.raises(ValueError, match="damaged or not complete"):
            decompress(model, dataclasses.replace(file, chunks=tuple(chunks)).to_bytes())


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [10**18]},
        {"shape": [10**400]},
        {"shape": [0]},
        {"shape": []},
        {"shape": "1999"},
        {"shape": [1999.0]},
        {"shape": [10**9, 12], "window": None},
        {"shape": [167, 10**9], "window": None},
        {"batch_size": 10**9},
        {"batch_size": 0},
        {"batch_size": None},
        {"window": 10**9},
        {"window": "a"},
        {"window": 13},
        {"context": {"label": "uint8"}},
        {"context": ["label"]},
        {"context": {"label": "O"}},
    ],
    ids=str,
)
def test_a_header_that_lies_is_one_error(model, data, change):
    """Its checksum is right: somebody made it."""
    file = container.parse(data)
    with pytest.raises(ValueError, match=r"^a\.arz is damaged or not complete"):
        decompress(model, dataclasses.replace(file, header=file.header | change).to_bytes(), source="a.arz")


def test_other_weights_are_refused(model, data):
    with pytest.raises(ValueError, match="other weights or another configuration"):
        decompress(make(families()["gpt"], seed=1, dtype="float32"), data)
    other = make(families()["gpt"], dtype="float32", window=3)
    with pytest.raises(ValueError, match="other weights or another configuration"):
        decompress(other, data)


def test_a_machine_that_computes_otherwise_is_refused(model, data, monkeypatch):
    monkeypatch.setattr(steps, "weights_of", lambda p: np.rint(p * np.float32((1 << 22) - 1)))
    file = container.parse(data)
    older = file.header | {"runtime": file.header["runtime"] | {"tensorflow": "2.20.0", "cpu": "Another"}}
    with pytest.raises(ValueError, match=r"the probe differs.*tensorflow 2.20.0 \(2.21.* here\), cpu Another"):
        decompress(model, dataclasses.replace(file, header=older).to_bytes())


def test_a_difference_that_the_probe_does_not_see_is_found(model, data, monkeypatch):
    """One probability, half a millionth off, in the last window."""
    truly, calls = steps.CachedSteps.probabilities, []

    def almost(self, sites, index):
        probabilities, log_probs = truly(self, sites, index)
        calls.append(index)
        if len(calls) > 60:
            probabilities = probabilities * np.float32([1, 1, 1 - 5e-7, 1, 1])
        return probabilities, log_probs

    monkeypatch.setattr(steps.CachedSteps, "probabilities", almost)
    file = container.parse(data)
    wrong = dataclasses.replace(file.chunks[-1], symbols_crc=file.chunks[-1].symbols_crc ^ 1)
    for chunks in (file.chunks, (*file.chunks[:-1], wrong)):
        calls.clear()
        changed = dataclasses.replace(file, chunks=chunks).to_bytes()
        try:
            decoded = decompress(model, changed)
        except ValueError as error:
            assert "does not compute the numbers" in str(error)  # noqa: PT017
        else:
            assert chunks is file.chunks
            assert np.array_equal(decoded, decompress(model, data))


def test_symbols_that_differ_are_never_returned(model, data):
    file = container.parse(data)
    wrong = dataclasses.replace(file.chunks[-1], symbols_crc=file.chunks[-1].symbols_crc ^ 1)
    with pytest.raises(ValueError, match=f"the symbols of chunk {len(file.chunks)} differ"):
        decompress(model, dataclasses.replace(file, chunks=(*file.chunks[:-1], wrong)).to_bytes())


@pytest.mark.parametrize(
    ("x", "options", "says"),
    [
        (np.zeros((0, 12), np.int32), {}, "at least one symbol"),
        (np.zeros(9), {}, "integer symbols"),
        (np.full(9, 5), {}, "0..4; got 5..5"),
        (np.zeros((2, 13), np.int32), {}, "at most 12"),
        (np.zeros((2, 12), np.int32), {"window": 4}, "`window`"),
        (np.zeros(9, np.int32), {"window": 0}, "`window`"),
        (np.zeros(9, np.int32), {"batch_size": 0}, "`batch_size`"),
        (np.zeros((2000, 12), np.int32), {"batch_size": 2000}, "`batch_size` must be at most 1,024"),
        (np.zeros(9, np.int32), {"context": 1}, "Cut the stream into rows"),
        (np.zeros((2, 9), np.int32), {"context": 1}, "takes none"),
    ],
)
def test_what_does_not_fit_is_refused(model, x, options, says):
    with pytest.raises(ValueError, match=says):
        compress(model, x, **options)


def test_models_are_named_or_given(model, data):
    with pytest.raises(ValueError, match="Pass it as `model`"):
        decompress(None, data)
    file = container.parse(data)
    with pytest.raises(ValueError, match=r"coded by '../evil'.*Pass it as `model`"):
        decompress(None, dataclasses.replace(file, header=file.header | {"model": "../evil"}).to_bytes())
    with pytest.raises(ValueError, match="'nowhere' is not known"):
        compress("nowhere", np.zeros(9, np.int32))
    with pytest.raises(ValueError, match="autoregressive model with a discrete head"):
        compress(Bernoulli(), np.zeros(9, np.int32))


@pytest.mark.slow
def test_a_shipped_preset_by_its_name():
    from ar_zoo import data

    verses = data.read("shipped:text", "valid").values[:700]
    symbols = ar_zoo.load("gpt.kjv").head.encode(verses)
    packed = compress("gpt.kjv", symbols)
    assert np.array_equal(decompress(None, packed), symbols)
    assert len(packed) < 400
