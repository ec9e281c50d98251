"""Preset folders: a model's configuration and weights with a manifest that says what they are and proves they are whole.

    manifest.json        format version, model, sha256 and size of each file, data, metrics, licence, versions
    config.json          the constructor's arguments
    weights.safetensors  one tensor a weight, by path
    README.md            the model card, made from the manifest

Nothing in a folder is code, and nothing that is loaded runs any.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlparse

import numpy as np

from ar_zoo.core.download import download
from ar_zoo.core.files import atomic_folder, own_folder, sha256_of
from ar_zoo.core.filling import filled
from ar_zoo.core.manifest import FILES, FORMAT_VERSION, read_manifest
from ar_zoo.core.paths import shipped_folder
from ar_zoo.core.registry import families, list_models, unknown_name
from ar_zoo.core.tensors import TensorFile


def save(
    model, folder, name: str | None = None, weights_dtype: str | None = None, dtype: str | None = None, **facts
) -> Path:
    """Writes a preset folder, whole or not at all.

    Args:
        model: any registered model.
        folder: where; an older folder of that name is replaced.
        name: of the preset, `family.preset`; the folder's name by default.
        weights_dtype: how floats are stored, `"float16"` for half the size; by default as they are.
        dtype: a dtype policy in place of the model's, `"float32"` of one that was trained in `"mixed_bfloat16"`, say.
        **facts: go into the manifest: `metrics`, `data`, `licence`, `about`, …

    Returns:
        The folder's path.

    Example:
        >>> ar_zoo.save(model, "my_digits", licence="CC-BY-SA-3.0")
    """
    import keras
    import safetensors.numpy

    if weights_dtype not in (None, "float16", "float32"):
        raise ValueError(f"`weights_dtype` must be None, 'float16' or 'float32'; got {weights_dtype!r}.")
    folder = own_folder(folder)
    with atomic_folder(folder) as temporary:
        config = keras.saving.serialize_keras_object(model)
        if dtype is not None:
            config = _with_policy(config, model.dtype_policy.name, dtype)
        (temporary / "config.json").write_text(json.dumps(config, indent=1))
        arrays = {path: _stored(value, weights_dtype) for path, value in _values(model).items()}
        (temporary / "weights.safetensors").write_bytes(safetensors.numpy.save(arrays))
        manifest = {
            "format_version": FORMAT_VERSION,
            "name": name or folder.name,
            "family": model.family,
            "num_weights": int(sum(value.size for value in arrays.values())),
            "versions": {"keras": keras.__version__, "ar_zoo": _version()},
            **({"sample_rate": model.sample_rate} if model.sample_rate else {}),
            **({"standard": model.standard} if model.standard else {}),
            **facts,
            "files": {
                file: {"sha256": sha256_of(temporary / file), "size": os.path.getsize(temporary / file)}
                for file in FILES
            },
        }
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1))
        (temporary / "README.md").write_text(_card(manifest))
    return folder


def _with_policy(config, old, new):
    """A configuration with another dtype policy, also in what it holds."""
    if isinstance(config, list):
        return [_with_policy(item, old, new) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy" and config["config"]["name"] == old:
        return config | {"config": {"name": new}}
    return {key: _with_policy(item, old, new) for key, item in config.items()}


def _stored(value, dtype):
    value = np.array(value, order="C")
    return value.astype(dtype) if dtype is not None and value.dtype.kind == "f" else value


def load(name_or_folder_or_url, dtype=None, **overrides):
    """A pretrained model.

    Args:
        name_or_folder_or_url: a name of `list_pretrained()`, a preset folder, or the address of one (`https://…/`).
        dtype: a dtype policy in place of the saved one, `"mixed_bfloat16"` say.
        **overrides: constructor arguments in place of the saved ones (another `num_classes`, say). Weights whose shape
            no longer fits start fresh, and a report says which.

    Raises:
        ValueError: unknown name, a file that is missing, cut short or changed (sha256), or a folder of a newer format.

    Example:
        >>> model = ar_zoo.load("gated_pixel_cnn.mnist")
    """
    import keras

    folder = locate(str(name_or_folder_or_url))
    manifest = read_manifest(folder)
    config = _read_config(folder / "config.json")
    families()
    config = _migrate(config, manifest)
    cls = keras.saving.get_registered_object(config.get("registered_name", ""))
    if cls is None or not hasattr(cls, "PRESETS"):
        raise ValueError(
            f"{folder / 'config.json'} describes {config.get('registered_name')!r}, which is no registered model. "
            "Import the package that registers it first."
        )
    arguments = dict(config["config"])
    if dtype is not None:
        arguments["dtype"] = dtype
    known = {*arguments, *cls.argument_names()}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise ValueError(f"`load` was given {unknown}, which {cls.__name__} does not have. It has {sorted(known)}.")

    def make():
        try:
            return cls.from_config(arguments | overrides)
        except TypeError as error:  # what Keras says of objects that it does not know
            raise ValueError(f"{folder / 'config.json'} cannot be made into a {cls.__name__}: {error}") from None

    file, taken, fresh = TensorFile(folder / "weights.safetensors"), [], []

    def prepare(model):
        for path, weight in named_weights(model).items():
            fits = file.shapes.get(path) == tuple(weight.shape)
            if not fits and not overrides:
                raise ValueError(
                    f"{file.path}: weight {path!r} should have shape {list(weight.shape)}; the file has "
                    f"{list(file.shapes[path]) if path in file.shapes else 'none of that name'}."
                )
            (taken if fits else fresh).append(path)
        return lambda path: None if path in fresh else file.read(path)

    model = filled(make, prepare)
    if fresh:
        told = f"{manifest['name']}: took {len(taken)} weights; these do not fit and start fresh: {', '.join(fresh)}."
        print(told, file=sys.stderr)
    try:
        model.sample_rate, model.standard = manifest.get("sample_rate"), manifest.get("standard")
    except ValueError as error:
        raise ValueError(f"{folder / 'manifest.json'}: {error}") from None
    model.load_report = {"taken": taken, "fresh": fresh}
    return model


def list_pretrained() -> list[str]:
    """Names of the presets with weights that come with the zoo."""
    return sorted(path.parent.name for path in shipped_folder("exported").glob("*/manifest.json"))


def _read_config(path) -> dict:
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged or not a preset's: {error}.") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} is damaged or not a preset's: it holds a {type(config).__name__}.")
    return config


def named_layers(layer, prefix: str = "") -> dict:
    """Every layer within one by the names of those that own it: `block_0/attention/query`."""
    named = {}
    for part in layer._layers:
        named |= {f"{prefix}{part.name}": part} | named_layers(part, f"{prefix}{part.name}/")
    return named


def _values(model) -> dict:
    """What a preset holds of each weight. Adapters of Keras (LoRA) are added to their matrices, and not kept."""
    values = {path: weight.value for path, weight in named_weights(model).items()}
    for path, layer in named_layers(model).items():
        if getattr(layer, "lora_enabled", False):
            values[f"{path}/kernel"] = layer.kernel
            del values[f"{path}/lora_kernel_a"], values[f"{path}/lora_kernel_b"]
    return values


def named_weights(layer, prefix: str = "") -> dict:
    """Every weight by the names of the layers that own it: `block_0/attention/query/kernel`."""
    named = {
        f"{prefix}{weight.name}": weight for weight in (*layer._trainable_variables, *layer._non_trainable_variables)
    }
    for part in layer._layers:
        for name, weight in named_weights(part, f"{prefix}{part.name}/").items():
            if named.setdefault(name, weight) is not weight:
                raise ValueError(f"Two weights have the path {name!r}: give the layers names of their own.")
    return named


def _migrate(config: dict, manifest: dict) -> dict:
    """Configurations of older formats in today's form. Version 1 had the bare arguments, with the family beside them."""
    if manifest["format_version"] == 1:
        cls = families().get(manifest.get("family"))
        if cls is None:
            raise ValueError(
                f"The manifest names the family {manifest.get('family')!r}; known: {', '.join(families())}."
            )
        return {"registered_name": f"ar_zoo>{cls.__name__}", "config": config}
    return config


def locate(name: str) -> Path:
    """The preset folder of a name, a folder or an address. Example: `locate("gpt.kjv")`"""
    if urlparse(name).scheme in ("http", "https"):
        return download(name)
    if Path(name).is_dir():
        return Path(name)
    shipped = shipped_folder("exported") / name
    if re.fullmatch(r"[\w.]+", name) and (shipped / "manifest.json").is_file():
        return shipped
    if name in list_models():
        raise ValueError(
            f"`name` {name!r} has no trained weights. Train it by a recipe (`ar-zoo train`) and give the folder, or take it "
            f"with random ones: `ar_zoo.create`, `ar-zoo bench` and `ar-zoo export --untrained` do. Pretrained: "
            f"{', '.join(list_pretrained())}."
        )
    raise ValueError(
        unknown_name(
            "name", name, list_pretrained(), f"It is no folder either; pretrained: {', '.join(list_pretrained())}."
        )
    )


def _version() -> str:
    from ar_zoo import __version__

    return __version__


def _card(manifest: dict) -> str:
    name, recipe, data = manifest["name"], manifest.get("recipe"), manifest.get("data", {})
    lines = [f"# {name}", "", manifest.get("about", ""), "", "    import ar_zoo"]
    lines += [f'    model = ar_zoo.load("{name}")  # or the path of this folder', ""]
    lines += [f"{manifest['num_weights']:,} weights. Licence: {manifest.get('licence') or 'not stated'}.", ""]
    if manifest.get("metrics"):
        lines += [
            "| metric | value |",
            "|---|---|",
            *(f"| {key} | {value} |" for key, value in manifest["metrics"].items()),
        ]
        lines += ["", f"`ar-zoo score {name} DATA` measures bits per dimension again.", ""]
    if recipe:
        lines += [f"Recipe: `{recipe}`. {manifest.get('notes', '')}".rstrip(), ""]
    lines += [f"- {split}: {fact['source']}, sha256 `{fact['sha256'][:16]}…`" for split, fact in data.items()]
    return "\n".join(lines).rstrip() + "\n"
