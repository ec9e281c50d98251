"""Text by a subword tokenizer: both ways, what streams, what is refused, and models whose head it is."""

from __future__ import annotations

import json
import sys
import types

import keras
import numpy as np
import pytest

import ar_zoo
from ar_zoo import drawing, runtime
from ar_zoo.core import subwords
from ar_zoo.core.text import TextStream
from ar_zoo.data.dataset import Data
from ar_zoo.export import manifest
from ar_zoo.heads import Categorical, Tokens
from ar_zoo.runtime import request
from ar_zoo.training.evaluate import evaluate

TEXT = "In the beginning God created the heaven and the earth. And the earth was without form, and void; " * 3
ODD = "Naïve 😀👩‍👩‍👧 東京 العالم e\u0301 \U0001f1eb\U0001f1f7\r\n\n  <|end|> x\u2028 end\ufffd!"


@pytest.fixture(scope="module")
def head():
    return Tokens.train(TEXT, 300, special=["<|end|>"])


@pytest.fixture(scope="module")
def fallback():
    """As SentencePiece's: spaces are "▁", and what has no token is bytes."""
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abc", "▁a", "ab"]
    model = {"type": "BPE", "vocab": {token: n for n, token in enumerate(tokens)}, "byte_fallback": True}
    model |= {"merges": [["▁", "a"], ["a", "b"]], "unk_token": "<unk>", "fuse_unk": True}
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    back = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    decoder = {"type": "Sequence", "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"}]}
    decoder["decoders"].append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, space]}
    return Tokens(json.dumps({"normalizer": normalizer, "decoder": decoder, "model": model}))


def test_every_text_comes_back(head):
    for text in (TEXT, ODD, "", " ", "\n"):
        symbols = head.encode(text)
        assert symbols.dtype == np.int32
        assert head.decode(symbols) == text
        assert Tokens.bytes().decode(Tokens.bytes().encode(text)) == text
    assert len(head.encode(TEXT)) < len(TEXT) / 2
    assert head.encode("a<|end|>b")[1] == 0, "a special token is one symbol, the first"
    np.testing.assert_array_equal(Tokens.bytes().encode("é\n😀"), list("é\n😀".encode()))
    assert Tokens.bytes().num_symbols == 256


def test_merges_by_hand():
    """Rank 0 joins a and b, rank 1 what that gives with c, and never b with c first."""
    vocabulary = {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "bc": 5}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [["a", "b"], ["ab", "c"], ["b", "c"]]}
    np.testing.assert_array_equal(Tokens(json.dumps({"model": model})).encode("abcbcab"), [4, 5, 3])


def test_nothing_is_added_and_nothing_cut_off(head):
    """Whatever the file says that its own library should do."""
    described, piece = json.loads(head.tokenizer), {"Sequence": {"id": "A", "type_id": 0}}
    start = {"SpecialToken": {"id": "<|end|>", "type_id": 0}}
    described["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [start, piece],
        "pair": [start, piece, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [0], "tokens": ["<|end|>"]}},
    }
    described["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    described["padding"] = {"strategy": {"Fixed": 2000}, "direction": "Left", "pad_id": 0, "pad_type_id": 0}
    described["padding"] |= {"pad_to_multiple_of": None, "pad_token": "<|end|>"}
    np.testing.assert_array_equal(Tokens(json.dumps(described)).encode(TEXT), head.encode(TEXT))


def test_trained_alike_and_equal_when_equal(head):
    again = Tokens.train(TEXT, 300, special=["<|end|>"])
    assert again == head
    assert hash(again) == hash(head)
    assert Tokens.from_config(json.loads(json.dumps(head.get_config()))) == head
    others = [Tokens.train(TEXT, 299), Tokens(head.tokenizer, 301), Tokens(head.tokenizer, stop_symbols=[0])]
    assert len({head, again, *others}) == 4
    assert len(repr(head)) < 100
    assert Categorical.from_text(TEXT, 299) == others[0] == Tokens.from_text(TEXT, 299)
    assert (head.reads_text, Categorical(2).reads_text, Categorical.from_text("ab").reads_text) == (True, False, True)


@pytest.mark.parametrize("text", [TEXT[:60], ODD, "😀" * 5, "東京は日本", "a b c é 😀 ab ab"])
def test_a_stream_breaks_no_character(head, fallback, text):
    characters = Categorical.from_text(text + "ab")
    for each in (head, Tokens.bytes(), fallback, characters):
        symbols, stream = each.encode(text), TextStream(each)
        pieces = [stream.push(symbol) for symbol in symbols]
        assert not any("\ufffd" in piece for piece in pieces) or "\ufffd" in text
        pieces.append(stream.flush())
        assert "".join(pieces) == each.decode(symbols)
        assert stream.flush() == ""
        # In pieces of three, and again after a flush.
        pieces = [stream.push(symbols[start : start + 3]) for start in range(0, len(symbols), 3)]
        assert "".join(pieces) + stream.flush() == each.decode(symbols)


def test_a_stream_is_no_later_than_it_must(head):
    """A character comes with its last byte; text without odd bytes with each symbol."""
    stream, symbols = TextStream(Tokens.bytes()), Tokens.bytes().encode("a😀é")
    assert [stream.push(symbol) for symbol in symbols] == ["a", "", "", "", "😀", "", "é"]
    stream, symbols = TextStream(head), head.encode(TEXT)
    assert all(stream.push(symbol) == head.decode([symbol]) for symbol in symbols)


def test_a_stream_of_damaged_bytes(head, fallback):
    """What is no UTF-8 is handed out too, each piece once, and only the end of it is decoded at each step."""
    random = np.random.default_rng(0)
    for each in (Tokens.bytes(), head, fallback):
        for _ in range(20):
            symbols = random.integers(0, each.num_symbols, 40)
            stream = TextStream(each)
            pieces = [stream.push(symbol) for symbol in symbols]
            assert "".join(pieces) + stream.flush() == each.decode(symbols)
    stream = TextStream(Tokens.bytes())
    for _ in range(100):
        stream.push(0x80)
    assert len(stream._window) <= 4


def test_a_run_of_bytes_is_held_until_it_ends(fallback):
    """ "é" is two bytes; a run that ends within a character is decoded byte by byte, and so what begins it is not certain."""
    stream, symbols = TextStream(fallback), fallback.encode("aéé b")
    assert [stream.push(symbol) for symbol in symbols] == ["a", "", "", "", "", "éé ", "b"]
    stream = TextStream(fallback)
    assert [stream.push(symbol) for symbol in symbols[:4]] == ["a", "", "", ""]
    assert stream.flush() == "\ufffd" * 3 == fallback.decode(symbols[:4])[1:]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda head: Tokens(5), "`tokenizer` must be the text of a tokenizer.json; got int"),
        (lambda head: Tokens("{"), "`tokenizer` must be the text of a tokenizer.json, .*JSONDecodeError"),
        (lambda head: Tokens('{"model": {}}'), "`tokenizer` must be the text of a tokenizer.json, .*KeyError: 'vocab'"),
        (lambda head: Tokens('{"model": {"vocab": {}}}'), "it has no tokens"),
        (lambda head: Tokens(head.tokenizer, 299), "`num_symbols` must be at least 300, .* got 299"),
        (lambda head: Tokens(head.tokenizer, stop_symbols=[300]), r"`stop_symbols` must lie in 0..299; got 300..300"),
        (lambda head: Tokens(head.tokenizer, chat_template=3), "`chat_template` must be a string or None; got 3"),
        (lambda head: Tokens(head.tokenizer, special_tokens={"bos_token": 1}), "`bos_token` must be a string"),
        (lambda head: Tokens.train(TEXT, 255), "`num_symbols` must be an integer of at least 256; got 255"),
        (lambda head: Tokens.train("ab", 300), "`num_symbols` must be at most 256 for this text"),
        (lambda head: Tokens.train("ab" * 9, 10**9), "`num_symbols` must be at most [0-9]+ for this text"),
        (lambda head: Tokens.train(None, 256), "`text` must be a string; got NoneType"),
        (lambda head: Tokens.train(TEXT, 300, ["<a>", 1]), "`special` must be texts of one character or more"),
        (lambda head: Tokens('{"model": {"vocab": {"a": 0, "b": 4294967299}}}'), "symbols that do not lie in 0"),
        (lambda head: Tokens(head.tokenizer, stop_symbols=[1.5]), "`stop_symbols` must hold integers"),
        (lambda head: Tokens(head.tokenizer, stop_symbols=None), "`stop_symbols` must hold integers"),
        (lambda head: Tokens(head.tokenizer, special_tokens="<s>"), "`special_tokens` must be a dict such as"),
        (lambda head: Tokens.from_file(None), "`path` must be that of a tokenizer.json; None"),
        (lambda head: head.decode([1, [2]]), "`symbols` must hold rows of one length"),
        (lambda head: Tokens.from_file("nowhere.json"), "`path` must be that of a tokenizer.json; nowhere.json"),
        (lambda head: head.encode(np.array([1])), "`text` must be a string; got ndarray"),
        (lambda head: head.encode("a\ud800"), r"half of a surrogate pair, '\\ud800', at position 1"),
        (lambda head: head.decode([[1]]), r"one-dimensional; got shape \[1, 1\]"),
        (lambda head: head.decode([0.5]), "symbols must be integers; got float64"),
        (
            lambda head: Tokens(head.tokenizer, 400).decode([5, 300]),
            "vocabulary of 300, up to 299; got 300 at position 1",
        ),
        (lambda head: head.decode([-1]), "got -1 at position 0"),
        (lambda head: Tokens('{"model": {"type": "?", "vocab": {"a": 0, "b": 1}}}').encode("a"), "cannot be read by"),
    ],
)
def test_what_is_refused(head, make, says):
    with pytest.raises(ValueError, match=says):
        make(head)


def test_from_a_file(head, tmp_path):
    (tmp_path / "tokenizer.json").write_text(head.tokenizer)
    assert Tokens.from_file(tmp_path / "tokenizer.json", stop_symbols=[0]) == Tokens(head.tokenizer, stop_symbols=[0])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json: `tokenizer` must be"):
        Tokens.from_file(tmp_path / "tokenizer.json")


def test_without_the_package(head, monkeypatch):
    """Models load, and their symbols are scored; text is what needs it."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    subwords._loaded.cache_clear()
    again = Tokens(head.tokenizer, 400)
    assert again.num_symbols == 400
    with pytest.raises(ImportError, match=r"need the package tokenizers: `pip install 'ar_zoo\[text\]'`"):
        again.encode("a")


@pytest.fixture(scope="module")
def model(head):
    return ar_zoo.create("neural_lm.tiny", head=head)


def test_a_model_is_saved_with_its_tokenizer(model, head, tmp_path):
    ar_zoo.save(model, tmp_path / "folder")
    model.save(tmp_path / "model.keras")
    x = head.encode(TEXT)[None, :20]
    for loaded in (ar_zoo.load(tmp_path / "folder"), keras.saving.load_model(tmp_path / "model.keras")):
        assert loaded.head == head
        np.testing.assert_allclose(loaded.log_prob(x), model.log_prob(x), rtol=1e-6)


def test_texts_are_drawn(head):
    """Length is counted in tokens; what is asked of the model is as long as that, and begins with the prefix."""

    def sample(count, seed, context, prefix, temperature, num_sites):
        return np.concatenate([prefix, np.tile(head.encode(" earth" * 40)[None], (count, 1))], axis=1)[:, :num_sites]

    model, known = types.SimpleNamespace(head=head, max_sites=None, sample=sample), head.encode("In the beginning")
    for text in drawing.draw_text(model, 20, 2, prefix="In the beginning"):
        assert text.startswith("In the beginning earth")
        assert len(head.encode(text)) == 20
    drawing.draw_text(model, len(known) + 1, prefix="In the beginning")
    with pytest.raises(ValueError, match=f"`prefix` has {len(known)} tokens, `num_sites` is {len(known)} with it"):
        drawing.draw_text(model, len(known), prefix="In the beginning")


def test_texts_are_scored(model, head):
    assert drawing.data_kind(model) == "text"
    found = evaluate(model, Data("text", TEXT + "é", source="made up"), window=24)
    symbols = head.encode(TEXT + "é")
    pieces = [model.log_prob(symbols[None, start : start + 24]) for start in range(0, len(symbols), 24)]
    nats = -float(np.sum(np.concatenate(pieces)))
    expected = {"dimensions": len(symbols), "characters": len(TEXT) + 1, "bytes": len(TEXT) + 2}
    assert {name: found[name] for name in expected} == expected
    np.testing.assert_allclose(found["nats"], nats, rtol=1e-5)
    np.testing.assert_allclose(found["bits_per_byte"], nats / np.log(2) / (len(TEXT) + 2), rtol=1e-5)
    np.testing.assert_allclose(found["bits_per_character"], nats / np.log(2) / (len(TEXT) + 1), rtol=1e-5)


def test_a_manifest_is_enough_to_write_text(model, head, fallback, tmp_path):
    """Without the model: what a `Runtime` has is the manifest, in JSON."""
    for each in (head, fallback):
        model.head, kept = each, model.head
        described = json.loads(json.dumps(manifest.describe(model, {}, 1, 16, tmp_path, {}, {})))["head"]
        model.head = kept
        assert described["decode"] == {"tokenizer": True}
        x = np.stack([each.encode("ab ab")[:2]] * 2)
        assert request.decode(x, described) == [each.decode(row) for row in x]
        assert request.decode(x[0], described) == each.decode(x[0])
        assert request.byte_symbols(described) == each.byte_symbols
    assert len(fallback.byte_symbols) == 256
    assert request.byte_symbols({"decode": {"alphabet": "ab"}}) == frozenset()


@pytest.mark.slow
def test_an_export_writes_text(model, head, tmp_path):
    folder = ar_zoo.export(model, tmp_path / "exported", ("tflite",), num_sites=16)
    runner = runtime.load(folder)
    assert runner.manifest["head"]["decode"] == {"tokenizer": True}
    x = runner.sample(2, seed=1, prefix=head.encode("In the"))
    np.testing.assert_array_equal(x, model.sample(2, seed=1, prefix=head.encode("In the"), num_sites=16))
    assert runner.decode(x) == [head.decode(row) for row in x]
    stream, pieces = TextStream(runner), []
    for symbol in runner.stream(seed=1, num_sites=16):
        pieces.append(stream.push(symbol))
    assert "".join(pieces) + stream.flush() == head.decode(runner.sample(1, seed=1, num_sites=16)[0])


def test_compressed_and_back(model, tmp_path):
    pytest.importorskip("constriction")
    from ar_zoo.coding import compress_file, decompress_file

    (tmp_path / "in.txt").write_bytes(ODD.encode())
    compress_file(model, tmp_path / "in.txt", tmp_path / "in.arz")
    decompress_file(tmp_path / "in.arz", tmp_path / "out.txt", model)
    assert (tmp_path / "out.txt").read_bytes() == ODD.encode()


def test_what_a_tokenizer_changes_is_not_compressed(tmp_path):
    from ar_zoo.coding import compress_file

    model = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
    head = Tokens(json.dumps({"normalizer": {"type": "Lowercase"}, "model": model}))
    (tmp_path / "in.txt").write_text("aB")
    with pytest.raises(ValueError, match=r"in.txt would come back changed, by the model's tokenizer"):
        compress_file(ar_zoo.create("neural_lm.tiny", head=head), tmp_path / "in.txt", tmp_path / "in.arz")
