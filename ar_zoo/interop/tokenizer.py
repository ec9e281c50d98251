"""Heads of models from elsewhere: their tokenizers, chat templates and stop tokens, read and written.

| file of a Hugging Face folder | what is read of it |
|---|---|
| `tokenizer.json` | the tokenizer; without it the model has bare symbols |
| `tokenizer_config.json`, `special_tokens_map.json` | the chat template, and what it calls its tokens |
| `chat_template.jinja` | the chat template, in place of the one above |
| `generation_config.json`, `config.json` | the symbols that end a text |
"""

from __future__ import annotations

import json
from pathlib import Path

from ar_zoo.core.subwords import symbol_of
from ar_zoo.heads import Categorical, Head, Tokens
from ar_zoo.interop.gguf_tokenizer import tokenizer_json

TOKENIZER, OPTIONS, NAMES = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
TEMPLATE, GENERATION = "chat_template.jinja", "generation_config.json"


def head_of_folder(folder: Path, config: dict, num_symbols: int) -> Head:
    """The head of a model in a Hugging Face folder.

    Args:
        folder: of the model.
        config: its `config.json`.
        num_symbols: the size of its vocabulary.

    Raises:
        ValueError: a damaged file, or a tokenizer with more tokens than the model has symbols.

    Example: `head_of_folder(Path("SmolLM2-135M"), {"eos_token_id": 0}, 49152).encode("Hello")`
    """
    if not (folder / TOKENIZER).is_file():
        return Categorical(num_symbols)
    options = _read(folder / NAMES) | _read(folder / OPTIONS)
    named = {name: _content(token) for name, token in options.items() if name.endswith("_token")}
    named = {name: token for name, token in named.items() if isinstance(token, str)}
    template = _template(options.get("chat_template"), folder)
    if (folder / TEMPLATE).is_file():
        template = _text_of(folder / TEMPLATE)
    text, generation = _text_of(folder / TOKENIZER), _read(folder / GENERATION)
    try:
        own = symbol_of(text, named["eos_token"]) if "eos_token" in named else None
        stops = _stops(generation.get("eos_token_id"), config.get("eos_token_id"), own)
        return Tokens(text, num_symbols, template, stops, named)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / TOKENIZER}: {error}") from None


def head_of_gguf(facts, num_symbols: int) -> Head:
    """The head of a model in a GGUF file.

    Args:
        facts: what has `get`: the file's key-values by name.
        num_symbols: the size of its vocabulary.

    Raises:
        ValueError: a kind of tokenizer that is not known, or one with more tokens than the model has symbols.
    """
    tokens = facts.get("tokenizer.ggml.tokens")
    if tokens is None:
        return Categorical(num_symbols)
    text = tokenizer_json(facts, tokens)
    keys = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    symbols = {}
    for name in (*keys.values(), "eot", "eom"):
        symbol = facts.get(f"tokenizer.ggml.{name}_token_id")
        if symbol is not None and 0 <= symbol < len(tokens):
            symbols[name] = int(symbol)
    named = {name: tokens[symbols[key]] for name, key in keys.items() if key in symbols}
    stops = _stops(*(symbols.get(name) for name in ("eos", "eot", "eom")))
    return Tokens(text, num_symbols, facts.get("tokenizer.chat_template"), stops, named)


def write_head(head, folder: Path) -> dict:
    """Writes a head's files into a Hugging Face folder; what `config.json` has to say of them. Of other heads than `Tokens`
    there is nothing to write."""
    if not isinstance(head, Tokens):
        return {}
    options = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    written = {TOKENIZER: head.tokenizer, OPTIONS: _text(options | (head.special_tokens or {}))}
    if head.chat_template is not None:
        written[TEMPLATE] = head.chat_template
    stops = {"eos_token_id": list(head.stop_symbols)} if head.stop_symbols else {}
    if stops:
        written[GENERATION] = _text(stops)
    for name, text in written.items():
        (folder / name).write_bytes(text.encode("utf-8"))
    return stops


def _text(values) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False)


def _stops(*given) -> tuple[int, ...]:
    """Symbols, each once, of numbers, lists of them, and `None`."""
    flat = [symbol for item in given for symbol in (item if isinstance(item, list) else [item]) if symbol is not None]
    return tuple(symbol for place, symbol in enumerate(flat) if symbol not in flat[:place])


def _content(token) -> str | None:
    """Of a token that is written out, or described with how spaces around it are taken."""
    return token.get("content") if isinstance(token, dict) else token


def _template(given, folder) -> str | None:
    """The template; of several with names the one called "default"."""
    if not isinstance(given, list):
        return given
    named = {each.get("name"): each.get("template") for each in given if isinstance(each, dict)}
    if "default" not in named:
        raise ValueError(f"{folder / OPTIONS} has no chat template that is called 'default'; it has {sorted(named)}.")
    return named["default"]


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}.") from None


def _read(path: Path) -> dict:
    """A JSON object; an empty one where there is no such file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it holds a {type(found).__name__}.")
    return found
