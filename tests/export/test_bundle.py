"""Bundles for LiteRT-LM: what Google's engine draws from one is what the model draws."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import ar_zoo
from ar_zoo import runtime
from ar_zoo.core import quantization
from ar_zoo.data import Examples
from ar_zoo.export import shrink
from ar_zoo.export.bundle import bundle
from ar_zoo.heads import Categorical
from tests.export.families import randomised

LETTERS = "\n abcé"


@pytest.fixture(scope="module")
def model():
    head = Categorical(len(LETTERS), alphabet=LETTERS)
    return randomised(ar_zoo.create("gpt.tiny", head=head, max_sites=32, positions="rotary", num_heads=2))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "out"
    return ar_zoo.export(model, out, "litert_lm", prefill=(4, 8), progress=False)


def engine(file, prompt, tokens):
    """What the engine answers, greedily, in a process of its own."""
    program = """
import json, sys, litert_lm
file, prompt, tokens = json.loads(sys.argv[1])
greedy = litert_lm.SamplerConfig(top_k=1, top_p=1.0, temperature=0.0, seed=0)
with litert_lm.Engine(file, max_num_tokens=tokens) as engine:
    with engine.create_session(apply_prompt_template=False, sampler_config=greedy) as session:
        session.run_prefill([prompt])
        print("answer", json.dumps(session.run_decode().texts))
"""
    told = json.dumps([str(file), prompt, tokens])
    done = subprocess.run([sys.executable, "-c", program, told], capture_output=True, text=True, timeout=120)
    (answer,) = [line for line in done.stdout.splitlines() if line.startswith("answer")] or [done.stderr[-2000:]]
    return json.loads(answer.removeprefix("answer"))[0]


@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["ab é", "a", "cab\nbac ab ca"])
def test_the_engine_draws_what_the_model_draws(prompt, model, folder, tmp_path):
    file = bundle(folder, tmp_path / "letters.litertlm")
    drawn = model.sample(1, prefix=model.encode(prompt), temperature=0.0, num_sites=31)[0]
    expected = model.head.decode(drawn)[len(prompt) :]
    answer = engine(file, prompt, 32)
    assert len(answer) >= 31 - len(prompt) - 1
    assert expected.startswith(answer)


@pytest.mark.slow
def test_the_engine_knows_tables_that_are_looked_up_in_eight_bits(model, tmp_path, monkeypatch):
    for module in (quantization, shrink):
        monkeypatch.setattr(module, "LARGE_TABLE", 1)
    data = Examples(model.sample(8, seed=1, num_sites=32).reshape(-1), window=32)
    how = dict(quantize="int8", validation=data, max_loss=0.5, prefill=(4, 8), progress=False)
    folder = ar_zoo.export(model, tmp_path / "out", ("tflite", "litert_lm"), **how)
    file = bundle(folder, tmp_path / "letters.litertlm")
    interpreter = Interpreter(str(folder / "litert_lm.tflite"))
    assert {detail["dtype"] for detail in interpreter.get_tensor_details() if detail["shape"].tolist() == [7, 16]} == {
        np.int8
    }
    drawn = runtime.load(folder).sample(1, prefix=model.encode("ab"), temperature=0.0)[0]
    answer = engine(file, "ab", 32)
    assert len(answer) >= 28
    assert model.head.decode(drawn)[2:].startswith(answer)


@pytest.mark.slow
def test_what_cannot_be_packed(model, folder, tmp_path):
    with pytest.raises(ValueError, match=r"`file` must end in \.litertlm"):
        bundle(folder, tmp_path / "letters.bin")
    with pytest.raises(ValueError, match=r"must be what `ar_zoo\.export` wrote"):
        bundle(tmp_path, tmp_path / "out.litertlm")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    graph = copy / "litert_lm.tflite"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"litert_lm\.tflite"):
        bundle(copy, tmp_path / "out.litertlm")
    facts = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(facts | {"litert_lm": None}))
    with pytest.raises(ValueError, match="has no graph for LiteRT-LM: export the model again with 'litert_lm'"):
        bundle(copy, tmp_path / "out.litertlm")
    shutil.copytree(folder, tmp_path / "plain")
    facts["head"]["decode"] = {}
    (tmp_path / "plain" / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="has no text: its head is Categorical"):
        bundle(tmp_path / "plain", tmp_path / "out.litertlm")
    assert not (tmp_path / "out.litertlm").exists()
