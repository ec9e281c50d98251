"""The tokenizer of a GGUF file as a `tokenizer.json`, by llama.cpp's rules.

    tokenizer.ggml.model  "gpt2": byte-level byte-pair encoding, whose merges are in the file and whose way of cutting text into
                          words has a name, `tokenizer.ggml.pre`
                          "llama": SentencePiece's, whose merges follow from the tokens' scores, with bytes for what has no token

Text is not normalised, as llama.cpp does not: of Qwen2, whose own tokenizer composes accents, a text comes back as it was.
"""

from __future__ import annotations

import json

_NORMAL, _UNKNOWN, _CONTROL, _OWN, _UNUSED, _BYTE = range(1, 7)

# How text is cut into words: contractions, letters, digits, other signs, spaces. Each expression cuts what those before it left.
_CONTRACTIONS = r"'(?:s|t|re|ve|m|ll|d)"
_GPT2 = _CONTRACTIONS + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_SPACES = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:" + _CONTRACTIONS + r")|[^\r\n\p{L}\p{N}]?\p{L}+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
_SLASHES = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3, _QWEN2 = _WORDS + r"|\p{N}{1,3}" + _SPACES, _WORDS + r"|\p{N}" + _SPACES
PRE_TOKENIZERS = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    **dict.fromkeys(("gpt-2", "mpt", "olmo", "phi-2"), (_GPT2,)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), (r"\p{N}", _GPT2)),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2"), (_LLAMA3,)),
    **dict.fromkeys(("dbrx", "smaug-bpe"), (_LLAMA3,)),
    **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen", "megrez"), (_QWEN2,)),
    "tekken": (_CASED + r"|\p{N}" + _SLASHES,),
}
# A word that is a token is taken whole, whatever the merges would make of it.
_WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2", "tekken")


def tokenizer_json(facts, tokens) -> str:
    """The text of a `tokenizer.json`.

    Args:
        facts: what has `get`: the file's key-values by name.
        tokens: the list that is among them, which takes its time to read.

    Raises:
        ValueError: a kind of tokenizer, or of cutting text into words, that is not known.

    Example: `tokenizer_json({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": ["a b"]}, ["a", "b", "ab"])`
    """
    kind = facts.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise ValueError(
            f"'tokenizer.ggml.model' is {kind!r}; known: 'gpt2' and 'llama'. For a model of bare symbols give "
            f"`head=Categorical({len(tokens)})`."
        )
    types = facts.get("tokenizer.ggml.token_type") or [_NORMAL] * len(tokens)
    made = (_byte_level if kind == "gpt2" else _sentence_piece)(facts, tokens, types)
    made["added_tokens"] = [_added(n, tokens[n], types[n]) for n in range(len(tokens)) if types[n] in _ADDED]
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "post_processor": None} | made)


_ADDED = (_UNKNOWN, _CONTROL, _OWN)


def _added(symbol, token, kind) -> dict:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": symbol, "content": token, "special": kind != _OWN} | plain


def _vocabulary(tokens, types) -> dict[str, int]:
    return {token: symbol for symbol, token in enumerate(tokens) if types[symbol] != _UNUSED}


def _byte_level(facts, tokens, types) -> dict:
    pre = facts.get("tokenizer.ggml.pre") or "default"
    if pre not in PRE_TOKENIZERS:
        raise ValueError(
            f"'tokenizer.ggml.pre' is {pre!r}, a way of cutting text into words that is not known; known: "
            f"{', '.join(PRE_TOKENIZERS)}. For a model of bare symbols give `head=Categorical({len(tokens)})`."
        )
    cuts = [
        {"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": False}
        for cut in PRE_TOKENIZERS[pre]
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    merges = [merge.split(" ", 1) for merge in facts.get("tokenizer.ggml.merges") or ()]
    model = {"type": "BPE", "vocab": _vocabulary(tokens, types), "merges": merges, "ignore_merges": pre in _WHOLE_WORDS}
    return {
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*cuts, level]},
        "decoder": level,
        "model": model,
    }


def _sentence_piece(facts, tokens, types) -> dict:
    prefix = facts.get("tokenizer.ggml.add_space_prefix", True)
    scores = facts.get("tokenizer.ggml.scores") or [0.0] * len(tokens)
    unknown = next((tokens[n] for n in range(len(tokens)) if types[n] == _UNKNOWN), None)
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    back = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    return {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": "▁"}] * bool(prefix) + [space],
        },
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": back + [strip] * bool(prefix)},
        "model": {
            "type": "BPE",
            "vocab": _vocabulary(tokens, types),
            "merges": _merges(tokens, types, scores),
            "byte_fallback": any(kind == _BYTE for kind in types),
            "fuse_unk": True,
            "unk_token": unknown,
        },
    }


def _merges(tokens, types, scores) -> list[list[str]]:
    """The pairs of tokens that make a token, those of the highest score first: that is the order SentencePiece takes them in."""
    normal = {tokens[n]: n for n in range(len(tokens)) if types[n] == _NORMAL}
    found = []
    for token, symbol in normal.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in normal and right in normal:
                found.append((-scores[symbol], symbol, normal[left], normal[right]))
    return [[tokens[left], tokens[right]] for _, _, left, right in sorted(found)]
