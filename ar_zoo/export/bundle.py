"""A `.litertlm` bundle for Google's LiteRT-LM engine: an export's graph with its tokenizer, chat template and stop tokens.

    folder = ar_zoo.export(model, "bible", "litert_lm", prefill=(16, 128))
    bundle(folder, "bible.litertlm")

The engine (`litert-lm-api`, and apps on Android, iOS and the web) takes this one file.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from ar_zoo.core.files import atomic_path, check_file
from ar_zoo.export.litert_lm import FILE

START = "<start>"  # what starts a text, in the tokenizer of an alphabet that has no symbol for it
# The engine hands each message's content over as a list of parts; templates written for transformers expect a string.
_AS_TEXT = """\
{%- set ns = namespace(list=[]) -%}
{%- for message in messages -%}
{%- set text -%}
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for part in message.content -%}{{ part.text }}{%- endfor -%}{%- endif -%}
{%- endset -%}
{%- set ns.list = ns.list + [{"role": message.role, "content": text}] -%}
{%- endfor -%}
{%- set messages = ns.list -%}
"""
_PLAIN = "{%- for message in messages -%}{{ message.content }}{%- endfor -%}"


def bundle(folder, file) -> Path:
    """Packs an export's `litert_lm` form into one file for the engine.

    Args:
        folder: an export whose `formats` had `"litert_lm"`, of a model of text.
        file: where, ending in `.litertlm`; an older file is replaced.

    Raises:
        ValueError: the folder has no such form, or its model no text.

    Example:
        >>> bundle("bible", "bible.litertlm")
    """
    try:
        from litert_lm_builder import DType, LitertLmFileBuilder, Metadata, TfLiteModelType
    except ImportError:
        raise ImportError("Bundles need litert-lm-builder: `pip install 'ar_zoo[litertlm]'`.") from None
    folder, file = Path(folder), Path(file)
    if file.suffix != ".litertlm":
        raise ValueError(f"`file` must end in .litertlm, as the engine wants it; got {file.name}.")
    facts = _facts(folder)
    with tempfile.TemporaryDirectory() as aside, atomic_path(file) as temporary:
        tokenizer, metadata = Path(aside) / "tokenizer.json", Path(aside) / "metadata.pb"
        tokenizer.write_text(_tokenizer(facts["head"]), encoding="utf-8")
        metadata.write_bytes(_metadata(facts).SerializeToString())
        builder = LitertLmFileBuilder()
        builder.add_system_metadata(Metadata(key="Authors", value="ar_zoo", dtype=DType.STRING))
        builder.add_llm_metadata(str(metadata))
        builder.add_hf_tokenizer(str(tokenizer))
        builder.add_tflite_model(str(folder / FILE), TfLiteModelType.PREFILL_DECODE)
        with open(temporary, "wb") as stream:
            builder.build(stream)
    return file


def _facts(folder) -> dict:
    """The manifest, after the graph was checked."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise ValueError(f"`folder` must be what `ar_zoo.export` wrote; {folder} has no manifest.json.")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        engine, head = facts.get("litert_lm"), facts.get("head")
        listed = facts["files"].get(FILE) if engine else None
        if listed:
            check_file(folder, FILE, str(listed["sha256"]), int(listed["size"]))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged or not an export's: {type(error).__name__} {error}.") from None
    if not listed or not head:
        raise ValueError(
            f"{folder} has no graph for LiteRT-LM: export the model again with 'litert_lm' among `formats`."
        )
    decode = facts["head"]["decode"]
    if "tokenizer" not in decode and "alphabet" not in decode:
        raise ValueError(
            f"The model of {folder} has no text: its head is {facts['head']['class']}, without an alphabet or a tokenizer. "
            "Give it a `Tokens` head, or `Categorical.from_text`."
        )
    return facts


def _tokenizer(head) -> str:
    """The text of a tokenizer.json: the model's own, or one whose tokens are the characters of its alphabet."""
    if "tokenizer" in head["decode"]:
        return head["config"]["tokenizer"]
    vocabulary = {character: symbol for symbol, character in enumerate(head["decode"]["alphabet"])}
    start = {"id": len(vocabulary), "content": START, "special": True}
    kinds = ("single_word", "lstrip", "rstrip", "normalized")
    return json.dumps(
        {
            "version": "1.0",
            "added_tokens": [start | dict.fromkeys(kinds, False)],
            "pre_tokenizer": {
                "type": "Split",
                "pattern": {"Regex": r"[\s\S]"},
                "behavior": "Isolated",
                "invert": False,
            },
            "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocabulary | {START: len(vocabulary)}, "unk_token": START},
        }
    )


def _metadata(facts):
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    config, start = facts["head"]["config"], facts["litert_lm"]["start_token"]
    metadata = llm_metadata_pb2.LlmMetadata(max_num_tokens=facts["num_sites"])
    metadata.start_token.token_ids.ids.append(start)
    # The engine wants at least one stop token. What starts a text also ends the one before.
    for symbol in config.get("stop_symbols") or (start,):
        metadata.stop_tokens.add().token_ids.ids.append(symbol)
    metadata.llm_model_type.generic_model.SetInParent()
    metadata.jinja_prompt_template = _AS_TEXT + (config.get("chat_template") or _PLAIN)
    return metadata
