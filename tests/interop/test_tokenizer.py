"""Tokenizers, chat templates and stop tokens of GGUF files and Hugging Face folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ar_zoo.core.chat import apply_chat
from ar_zoo.heads import Categorical, Tokens
from ar_zoo.interop import hugging_face
from ar_zoo.interop.gguf_tokenizer import PRE_TOKENIZERS
from ar_zoo.interop.tokenizer import head_of_folder, head_of_gguf

REFERENCES = Path(__file__).parents[1] / "references"
RECORDED = json.loads((REFERENCES / "gguf_tokens.json").read_text())
BYTE_LEVEL = RECORDED["vocabularies"]["gpt2"]
SIZE = len(BYTE_LEVEL["tokenizer.ggml.tokens"])


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: "=".join(map(str, *case["facts"].items())))
def test_gguf_texts_are_cut_as_llama_cpp_cuts_them(case):
    facts = RECORDED["vocabularies"][case["vocabulary"]] | case["facts"]
    head = head_of_gguf(facts, len(facts["tokenizer.ggml.tokens"]))
    for text, symbols in zip(RECORDED["texts"], case["symbols"], strict=True):
        assert head.encode(text).tolist() == symbols, text
        special = any(token in text for token in ("<|start|>", "<|end|>"))
        assert head.decode(symbols) == text or (special and case["facts"].get("tokenizer.ggml.add_space_prefix"))


def test_the_recorded_kinds_differ():
    """Otherwise one expression could stand in for another."""
    cut = {json.dumps(case["symbols"]) for case in RECORDED["cases"] if case["vocabulary"] == "gpt2"}
    kinds = {case["facts"]["tokenizer.ggml.pre"] for case in RECORDED["cases"] if case["vocabulary"] == "gpt2"}
    assert (len(kinds), len(cut)) == (7, 6), "dbrx cuts as llama-bpe does, but for words that no merges make"
    assert kinds <= set(PRE_TOKENIZERS)
    assert {PRE_TOKENIZERS[kind] for kind in kinds} == set(PRE_TOKENIZERS.values())


def test_words_that_no_merges_make():
    """Llama 3's are taken whole, where they are tokens; another kind's are not."""
    facts = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "b", "c", "abc", "ab"]}
    facts |= {"tokenizer.ggml.merges": ["a b"]}
    symbols = {kind: head_of_gguf(facts | {"tokenizer.ggml.pre": kind}, 5).encode("abc") for kind in PRE_TOKENIZERS}
    whole = [kind for kind, found in symbols.items() if found.tolist() == [3]]
    assert whole == ["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2", "tekken"]
    assert all(found.tolist() == [4, 2] for kind, found in symbols.items() if kind not in whole)


def test_gguf_chat_template_and_stops():
    template = "{% for m in messages %}{{ bos_token }}{{ m.content }}{{ eos_token }}{% endfor %}"
    more = {"tokenizer.chat_template": template, "tokenizer.ggml.eot_token_id": 5, "tokenizer.ggml.eom_token_id": 1}
    head = head_of_gguf(BYTE_LEVEL | more, SIZE + 8)
    assert head.num_symbols == SIZE + 8
    assert head.stop_symbols == (1, 5)
    assert head.special_tokens == {"bos_token": "<|start|>", "eos_token": "<|end|>"}
    assert apply_chat(head, [{"role": "user", "content": "Hi"}]) == "<|start|>Hi<|end|>"
    assert head_of_gguf({}, 7) == Categorical(7)


def test_gguf_tokens_of_other_kinds():
    """Unused ones fill up, and are no text; a model's own are found whole, and are nothing special."""
    tokens = [*"abc ", "<0x0A>", "[PAD]", "  "]
    facts = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["▁" if token == " " else token for token in tokens],
    }
    facts |= {"tokenizer.ggml.token_type": [1, 1, 1, 1, 6, 5, 4], "tokenizer.ggml.add_space_prefix": False}
    head = head_of_gguf(facts, 7)
    assert head.encode("a  b\n").tolist() == [0, 6, 1, 4]
    with pytest.raises(ValueError, match="vocabulary of 6, up to 6; got 5 at position 0"):
        head.decode([5])


@pytest.mark.parametrize(
    ("more", "size", "says"),
    [
        (
            {"tokenizer.ggml.model": "bert"},
            SIZE,
            r"'tokenizer.ggml.model' is 'bert'; known: .*`head=Categorical\(640\)`",
        ),
        ({"tokenizer.ggml.pre": "new"}, SIZE, "'tokenizer.ggml.pre' is 'new', .* known: default, gpt-2, .*smollm"),
        ({}, SIZE - 1, "`num_symbols` must be at least 640, the tokenizer's vocabulary; got 639"),
    ],
)
def test_gguf_tokenizers_that_are_refused(more, size, says):
    with pytest.raises(ValueError, match=says):
        head_of_gguf(BYTE_LEVEL | more, size)


@pytest.fixture
def folder(tmp_path):
    """A tiny llama, which has 61 symbols, with a tokenizer of 60 tokens."""
    folder = Path(shutil.copytree(REFERENCES / "hugging_face" / "llama", tmp_path / "llama"))
    tokens = {chr(ord("0") + n): n for n in range(60)}
    added = [{"id": 10, "content": ":", "special": True}, {"id": 11, "content": ";", "special": True}]
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    model = {"type": "BPE", "vocab": tokens, "merges": []}
    text = json.dumps({"version": "1.0", "added_tokens": [token | plain for token in added], "model": model})
    (folder / "tokenizer.json").write_text(text)
    return folder


def write(folder, **files):
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))


def test_a_folder_with_a_tokenizer(folder, tmp_path):
    write(folder, tokenizer_config={"eos_token": {"content": ";"}, "chat_template": "old", "bos_token": ":"})
    write(folder, generation_config={"eos_token_id": [11, 12]}, special_tokens_map={"bos_token": "9", "unk_token": "0"})
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    model = hugging_face.load(folder)
    head = model.head
    assert (head.num_symbols, head.encode("AB;").tolist()) == (61, [17, 18, 11])
    assert head.special_tokens == {"bos_token": ":", "eos_token": ";", "unk_token": "0"}
    assert head.chat_template == "{{ messages[0].content }}"
    end = json.loads((folder / "config.json").read_text())["eos_token_id"]
    assert head.stop_symbols == tuple(dict.fromkeys((11, 12, end)))
    written = hugging_face.save(model, tmp_path / "written")
    assert (written / "tokenizer.json").read_text() == (folder / "tokenizer.json").read_text()
    assert json.loads((written / "config.json").read_text())["eos_token_id"] == list(head.stop_symbols)
    assert hugging_face.load(written).head == head


def test_folders_with_less(folder):
    config = {"eos_token_id": 3}
    assert head_of_folder(folder, config, 61) == Tokens((folder / "tokenizer.json").read_text(), 61, None, (3,))
    assert head_of_folder(folder, {}, 61).stop_symbols == ()
    write(
        folder,
        tokenizer_config={"chat_template": [{"name": "tool", "template": "a"}, {"name": "default", "template": "b"}]},
    )
    assert head_of_folder(folder, config, 61).chat_template == "b"
    assert hugging_face.load(folder, head=Categorical(61)).head == Categorical(61)
    (folder / "tokenizer.json").unlink()
    assert head_of_folder(folder, config, 61) == Categorical(61)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"tokenizer_config": [1]}, "tokenizer_config.json is damaged: it holds a list"),
        (
            {"tokenizer_config": {"chat_template": [{"name": "tool", "template": "a"}]}},
            r"no chat template .* \['tool'\]",
        ),
        ({"tokenizer": {}}, "tokenizer.json: `tokenizer` must be the text of a tokenizer.json"),
        ({"generation_config": {"eos_token_id": {"a": 1}}}, "tokenizer.json: `stop_symbols` must hold integers"),
        ({"generation_config": {"eos_token_id": 61}}, "tokenizer.json: `stop_symbols` must lie in 0..60; got 2..61"),
    ],
)
def test_folders_that_are_refused(folder, files, says):
    write(folder, **files)
    with pytest.raises(ValueError, match=says):
        hugging_face.load(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja", "generation_config.json"])
def test_files_that_are_no_text(folder, name):
    (folder / name).write_bytes(b"\xff\xfe\x00junk")
    with pytest.raises(ValueError, match=f"^[^:]*{name} is damaged: 'utf-"):
        hugging_face.load(folder)


def test_a_tokenizer_that_disagrees_with_the_vocabulary(folder):
    described = json.loads((folder / "tokenizer.json").read_text())
    described["model"]["vocab"] |= {"é": 60, "è": 61}
    write(folder, tokenizer=described)
    with pytest.raises(ValueError, match=r"tokenizer.json: `num_symbols` must be at least 62, .*; got 61"):
        hugging_face.load(folder)
