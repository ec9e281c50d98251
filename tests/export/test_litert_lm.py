"""The form for Google's engine: names, shapes, and text drawn through shared cache buffers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.data import Examples
from ar_zoo.export.litert_lm import Aliased, check, signatures
from ar_zoo.export.quantize import Quantization
from ar_zoo.heads import Categorical
from tests.export.families import randomised


@pytest.fixture(scope="module")
def model():
    return randomised(ar_zoo.create("gpt.tiny", positions="rotary", num_heads=2))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return ar_zoo.export(model, tmp_path_factory.mktemp("lm") / "out", "litert_lm", prefill=(4,), progress=False)


def described(folder):
    return json.loads((folder / "manifest.json").read_text())["litert_lm"]


def test_names_and_shapes_are_those_that_the_engine_looks_for(folder):
    caches = {f"kv_cache_{letter}_{layer}": [1, 2, 12, 8] for letter in "kv" for layer in range(2)}
    facts = described(folder)["signatures"]
    assert sorted(facts) == ["decode", "prefill_1", "prefill_4"]
    for name, size in {"decode": 1, "prefill_1": 1, "prefill_4": 4}.items():
        found = {slot["name"]: slot["shape"] for slot in facts[name]["inputs"]}
        assert found == {"tokens": [1, size], "input_pos": [size], **caches}
        found = {slot["name"]: slot["shape"] for slot in facts[name]["outputs"]}
        assert found == caches | ({"logits": [1, 1, 5]} if name == "decode" else {})
    assert described(folder)["parity"] < 1e-4


def test_greedy_text_equals_the_models(folder, model):
    facts = described(folder)
    graph = Aliased(folder / facts["file"], facts)
    prompt = model.sample(1, seed=3, num_sites=6)[0]
    graph.run("prefill_4", [facts["start_token"], *prompt[:3]], 0)
    graph.run("prefill_1", prompt[3:4], 4)
    graph.run("prefill_1", prompt[4:5], 5)
    tokens = list(prompt)
    while len(tokens) < 12:
        logits = graph.run("decode", tokens[-1:], len(tokens))
        tokens.append(int(np.argmax(logits)))
    assert tokens == model.sample(1, seed=0, prefix=prompt, temperature=0.0, num_sites=12)[0].tolist()


def test_an_alphabet_that_holds_its_start_feeds_it_as_a_token(tmp_path):
    model = ar_zoo.create("gpt.tiny", start_symbol=2)
    folder = ar_zoo.export(model, tmp_path / "out", "litert_lm", prefill=(), progress=False)
    assert described(folder)["start_token"] == 2


def test_a_window_leaves_the_layout_as_it_is():
    """The engine's slots are those of all tokens, though a loop would keep a ring."""
    model = randomised(ar_zoo.create("mistral.tiny"))
    x, decode = model.sample(1, seed=1, num_sites=12), signatures(model, 12)["decode"]
    given = {slot.name: tf.zeros(slot.shape, slot.dtype) for slot in decode.inputs}
    assert [slot.shape for slot in decode.inputs if slot.state] == [(1, 2, 12, 4)] * 4
    for place, token in enumerate([model.head.num_symbols, *x[0, :-1]]):
        given |= {"tokens": tf.constant([[token]], tf.int32), "input_pos": tf.constant([place])}
        given |= decode.function(*(given[slot.name] for slot in decode.inputs))
        np.testing.assert_allclose(given["logits"][:, 0], model(x)[:, place], atol=1e-4)


@pytest.mark.slow
def test_a_quantised_file_is_measured_too(tmp_path, monkeypatch):
    model = randomised(ar_zoo.create("gpt.tiny", units=32), scale=0.3)
    text = Examples(model.sample(16, seed=3).reshape(-1), window=12)
    arguments = dict(quantize="int8", validation=text, max_loss=0.5, prefill=(), progress=False)
    folder = ar_zoo.export(model, tmp_path / "out", ("tflite", "litert_lm"), **arguments)
    quality = json.loads((folder / "manifest.json").read_text())["quality"]
    assert quality["stored"]["litert_lm.tflite"]["int8"] > 0
    assert quality["litert_lm"] == pytest.approx(quality["formats"]["tflite"]["steps"]["bits_per_dim"], rel=0.01)
    monkeypatch.setattr(Aliased, "run", lambda graph, *rest: np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="in LiteRT-LM, the chain of steps needs"):
        Quantization(model, "int8", text, 0.5, num_sites=12).measured(folder)


def test_a_quantised_file_needs_the_tflite_files_that_it_is_held_against(tmp_path):
    with pytest.raises(ValueError, match="`quantize` needs 'tflite' among `formats` beside 'litert_lm'"):
        ar_zoo.export(ar_zoo.create("gpt.tiny"), tmp_path / "out", ("onnx", "litert_lm"), quantize="int8")


@pytest.mark.parametrize(
    ("model", "batch_size"),
    [
        (lambda: ar_zoo.create("wavenet.tiny"), 1),
        (lambda: ar_zoo.create("gated_pixel_cnn.tiny"), 1),
        (lambda: ar_zoo.create("gpt.tiny", head=Categorical(5)), 2),
    ],
)
def test_what_the_engine_cannot_drive_is_refused(model, batch_size):
    with pytest.raises(ValueError, match="`formats` 'litert_lm' is for models of tokens"):
        check(model(), batch_size)
