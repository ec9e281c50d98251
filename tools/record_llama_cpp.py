"""Writes tests/references/gguf_tokens.json: tiny vocabularies, and how llama.cpp cuts texts up by them.

Each vocabulary is put into a GGUF file of a tiny random model, which llama.cpp's server loads and tokenizes with, once for each
way of cutting text into words. Run it where `xllamacpp` (llama.cpp, built), `tokenizers` and `gguf` are installed:

    python -m venv there && there/bin/pip install xllamacpp tokenizers gguf
    there/bin/python tools/record_llama_cpp.py

With `--model FILE.gguf` it instead writes the symbols of the texts by that file, to `--output`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
import urllib.request

import gguf
import numpy as np
import tokenizers
import xllamacpp

OUTPUT = pathlib.Path(__file__).parents[1] / "tests" / "references" / "gguf_tokens.json"
KINDS = ("default", "gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "tekken")
SPECIAL = ("<|start|>", "<|end|>")
TEXTS = (
    "In the beginning God created the heaven and the earth.",
    "It's WE'LL they've I'M don't can'T 'twas rock'n'roll",
    "1 12 123 1234 1234567 3.14159 2,000,000 ½ ٣٤٥ v2x86 ²³",
    "  two spaces,   three,\ttab\t\ttabs\n\nlines\r\nwindows\r\n\r\n  indented\n",
    "trailing spaces   ",
    "\n\n\n",
    " ",
    "Naïve café, Ångström; ÀÉÎõü straße — “quoted” … ¿qué?",
    "東京は日本の首都です。 你好，世界！ 안녕하세요 여러분",
    "Привет, мир! مرحبا بالعالم שלום עולם हिन्दी",
    "emoji 😀😃 👩‍👩‍👧‍👦 🇫🇷 ❤️ end",
    "def f(x): return x**2 + {'a': [1, 2]}['a'][0]  # comment // http://a.b/c?d=e&f=g",
    "CamelCaseWords snake_case UPPER lower MiXeD A1b2 <b>bold</b> $5 += =~ ^^ ||",
    "<|start|>user\nHello<|end|>\n<|start|>assistant\n",
    "a<|end|>b <|end|> c",
    "IT'SELF don'THE you'REALLY we'veto",
    "done!\n/* one */\n//two\n\n/three: 'x'/\n",
    "e\u0301 combined, \u00a0no-break\u2003em space\u200bzero\u2028line",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="a GGUF file, whose symbols of the texts are wanted")
    parser.add_argument("--output", default=str(OUTPUT))
    options = parser.parse_args()
    found = {"texts": TEXTS, "symbols": symbols_of(options.model, TEXTS)} if options.model else recorded()
    pathlib.Path(options.output).write_text(json.dumps(found, ensure_ascii=True, separators=(",", ":")) + "\n")


def recorded() -> dict:
    vocabularies = {"gpt2": byte_level(), "llama": sentence_piece()}
    asked = [("gpt2", {"tokenizer.ggml.pre": kind}) for kind in KINDS]
    asked += [("llama", {"tokenizer.ggml.add_space_prefix": prefix}) for prefix in (True, False)]
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (model, more) in enumerate(asked):
            file = pathlib.Path(folder) / f"{number}.gguf"
            write_model(file, vocabularies[model], more)
            cases.append({"vocabulary": model, "facts": more, "symbols": symbols_of(file, TEXTS)})
    return {"texts": TEXTS, "vocabularies": vocabularies, "cases": cases}


def byte_level() -> dict:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=640, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXTS * 2, trainer)
    model = json.loads(made.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in SPECIAL else 1 for token in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
    }


def sentence_piece() -> dict:
    """Pieces in the order they were merged in, and after them characters, as SentencePiece has them."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.train_from_iterator(TEXTS[:8] * 2, tokenizers.trainers.BpeTrainer(vocab_size=300, show_progress=False))
    vocabulary = json.loads(made.to_str())["model"]["vocab"]
    pieces = sorted((token for token in vocabulary if len(token) > 1), key=vocabulary.get)
    characters = sorted(token for token in vocabulary if len(token) == 1)
    tokens = ["<unk>", *SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, *characters]
    scores = [0.0] * 259 + [-float(rank) for rank in range(len(pieces) + len(characters))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259),
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def write_model(file, vocabulary: dict, more: dict) -> None:
    writer, count, units = gguf.GGUFWriter(file, "llama"), len(vocabulary["tokenizer.ggml.tokens"]), 32
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(units)
    writer.add_feed_forward_length(units)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    for name, value in (vocabulary | more).items():
        if isinstance(value, (list, tuple)):
            writer.add_array(name, value)
        elif isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        else:
            writer.add_string(name, value)
    random, block = (
        np.random.default_rng(0),
        ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"),
    )
    shapes = {
        "token_embd": (count, units),
        "output_norm": (units,),
        "blk.0.attn_norm": (units,),
        "blk.0.ffn_norm": (units,),
    }
    shapes |= {f"blk.0.{name}": (units, units) for name in block}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def symbols_of(file, texts) -> list[list[int]]:
    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.n_ctx, parameters.warmup = str(file), 64, False
    server = xllamacpp.Server(parameters)
    found = []
    for text in texts:
        asked = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
        request = urllib.request.Request(
            f"{server.listening_address}/tokenize", asked, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            found.append(json.load(answer)["tokens"])
    return found


if __name__ == "__main__":
    main()
