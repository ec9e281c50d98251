"""Hugging Face folders: `config.json` and `*.safetensors`, in one shard or several, read and written.

Nothing that is read runs code: configurations are JSON, weights are safetensors. Weights are read one at a time from the
mapped files, so that little more memory is needed than the model takes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from ar_zoo.core.files import atomic_folder, naming
from ar_zoo.core.filling import filled, report_fresh, report_unused
from ar_zoo.core.pretrained import named_weights
from ar_zoo.core.registry import families
from ar_zoo.core.tensors import TensorFile
from ar_zoo.interop.architectures import Config, Source, architecture_named, architecture_of
from ar_zoo.interop.tokenizer import head_of_folder, write_head

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_FLOATS = ("F64", "F32", "F16", "BF16")
# Constants that older files hold beside the weights, and a tied table's second name.
_BESIDE = re.compile(r"(rotary_emb\.inv_freq|attn\.(masked_)?bias|lm_head\.weight)$")


def load(folder, dtype=None, **overrides):
    """A model from a Hugging Face folder.

    Args:
        folder: with `config.json` and the weights.
        dtype: a dtype policy, `"bfloat16"` say; float32 by default, whatever is stored.
        **overrides: constructor arguments in place of the configuration's, `max_sites` say.

    Raises:
        ValueError: an architecture that is not known, a shard or a weight that is missing or of another shape, a damaged
            file: each says which.

    Example:
        >>> model = ar_zoo.load("path/to/SmolLM2-135M")
    """
    folder = Path(folder)
    path = folder / "config.json"
    config = _read_json(path)
    architecture = architecture_named(config, folder)
    if config.get("quantization_config"):
        method = dict(config["quantization_config"]).get("quant_method", "unknown")
        raise ValueError(
            f"{path} is of weights that are quantised ({method}), whose scales are not read. Load the model as it was before, "
            "or a GGUF file of it."
        )
    with naming(path):
        arguments = architecture.read(Config(config, path))
    if "head" not in overrides:
        arguments["head"] = head_of_folder(folder, config, Config(config, folder)["vocab_size"])
    arguments |= overrides | ({} if dtype is None else {"dtype": dtype})

    def make():
        with naming(path):
            return families()[architecture.family](**arguments)

    whole = "num_layers" not in overrides  # of a part of the layers the rest stays in the files
    return filled(make, lambda model: _values(model, architecture.names(model), folder, whole))


def save(model, folder) -> Path:
    """Writes a folder that transformers loads, whole or not at all. Families: gpt, llama and mistral in their published forms.

    Draft heads, which transformers does not know, are left out.

    Example:
        >>> ar_zoo.interop.hugging_face.save(model, "for_transformers")
    """
    import safetensors.numpy

    name, architecture = architecture_of(model)
    ours = named_weights(model)
    groups: dict[str, dict] = {}
    for path, source in architecture.names(model).items():
        groups.setdefault(source.name, {})[source.part] = _stored(ours[path], source)
    tensors = {
        theirs: next(iter(parts.values()))
        if None in parts
        else np.concatenate([parts[key] for key in sorted(parts)], -1)
        for theirs, parts in groups.items()
    }
    config = {"architectures": [name], "dtype": model.compute_dtype, "vocab_size": model.num_symbols}
    config |= {"bos_token_id": model.start_symbol, "tie_word_embeddings": model.tied} | architecture.write(model)
    with atomic_folder(folder, mark="config.json") as temporary:
        (temporary / "config.json").write_text(json.dumps(config | write_head(model.head, temporary), indent=1))
        safetensors.numpy.save_file(tensors, temporary / SINGLE, metadata={"format": "pt"})
    return Path(folder)


def names(model) -> dict[str, Source]:
    """Our path of each weight → where it is in a folder of transformers."""
    return architecture_of(model)[1].names(model)


def _stored(weight, source):
    value = np.asarray(weight.value)
    return np.ascontiguousarray(value.T if source.transposed else value)


def _values(model, sources, folder, whole):
    """Our path → its value, from the files that hold them."""
    ours = named_weights(model)
    report_fresh(folder, ours, sources)
    files, where = _files(folder), {}
    for path, source in sources.items():
        name = source.name if source.name in files else source.name.removeprefix("transformer.")  # GPT-2's own files
        if name not in files:
            raise ValueError(f"{folder} has no weight {source.name!r}, which {type(model).__name__} needs.")
        shape = source.shape(files[name].shapes[name])
        if shape != tuple(ours[path].shape):
            raise ValueError(
                f"{files[name].path}: {source.name!r} should have the shape {list(ours[path].shape)} in our order; it has "
                f"{list(shape)}."
            )
        if files[name].dtypes[name] not in _FLOATS:
            raise ValueError(
                f"{files[name].path}: {source.name!r} holds {files[name].dtypes[name]}, and weights are read as "
                f"{', '.join(_FLOATS)}. Load the model as it was before it was quantised."
            )
        where[path] = files[name], name
    report_unused(folder, set(files) - {name for _, name in where.values()} if whole else (), _BESIDE)
    return lambda path: sources[path].take(*where[path]) if path in where else None


def _files(folder) -> dict[str, TensorFile]:
    """Each tensor's file."""
    if not (folder / INDEX).is_file():
        if not (folder / SINGLE).is_file():
            raise ValueError(
                f"{folder} has neither {SINGLE} nor {INDEX}. Other formats (.bin, .pth) can hold code and are not read."
            )
        file = TensorFile(folder / SINGLE)
        return dict.fromkeys(file.shapes, file)
    index = _read_json(folder / INDEX).get("weight_map")
    if not isinstance(index, dict) or not all(isinstance(file, str) for file in index.values()):
        raise ValueError(f"{folder / INDEX} has no 'weight_map' of files.")
    named = {name: folder / Path(file).name for name, file in index.items()}
    missing = sorted({file.name for file in named.values() if not file.is_file()})
    if missing:
        raise ValueError(f"{folder} lacks the shard {', '.join(missing)}, which {INDEX} names.")
    shards = {file: TensorFile(file) for file in set(named.values())}
    absent = next((name for name, file in named.items() if name not in shards[file].shapes), None)
    if absent is not None:
        raise ValueError(f"{named[absent]} lacks the weight {absent!r}, which {INDEX} says it holds.")
    return {name: shards[file] for name, file in named.items()}


def _read_json(path) -> dict:
    try:
        value = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: no Hugging Face folder.") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds a {type(value).__name__}.")
    return value
