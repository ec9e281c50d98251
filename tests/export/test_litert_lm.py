"""The form for Google's engine: names, shapes, and text drawn through shared cache buffers."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ar_zoo
from ar_zoo.export.litert_lm import Aliased, check
from ar_zoo.heads import Categorical


@pytest.fixture(scope="module")
def model():
    return ar_zoo.create("gpt.tiny", positions="rotary", num_heads=2)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return ar_zoo.export(model, tmp_path_factory.mktemp("lm") / "out", "litert_lm", prefill=(4,), progress=False)


def described(folder):
    return json.loads((folder / "manifest.json").read_text())["litert_lm"]


class Slots:
    def __init__(self, facts):
        self.inputs = [_Slot(**slot) for slot in facts["inputs"]]
        self.outputs = [_Slot(**slot) for slot in facts["outputs"]]


class _Slot:
    def __init__(self, name, shape, dtype, state):
        self.name, self.shape, self.dtype, self.state = name, tuple(shape), dtype, state


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
    graph = Aliased(folder / facts["file"], {name: Slots(ends) for name, ends in facts["signatures"].items()})
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
