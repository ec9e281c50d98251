"""Preset folders: a model's configuration and weights with a manifest that says what they are and proves they are whole.

    manifest.json        format version, model, sha256 and size of each file, data, metrics, licence, versions
    config.json          the constructor's arguments
    weights.safetensors  one tensor a weight, by path
    README.md            the model card, made from the manifest

Nothing in a folder is code, and nothing that is loaded runs any.
"""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from urllib.parse import urljoin, urlparse

import numpy as np

from ar_zoo.core.files import atomic_folder, sha256_of
from ar_zoo.core.paths import shipped_folder
from ar_zoo.core.registry import families, unknown_name

FORMAT_VERSION = 2
_FILES = ("config.json", "weights.safetensors")


def save(model, folder, name: str | None = None, weights_dtype: str | None = None, **facts) -> Path:
    """Writes a preset folder, whole or not at all.

    Args:
        model: any registered model.
        folder: where; an older folder of that name is replaced.
        name: of the preset, `family.preset`; the folder's name by default.
        weights_dtype: how floats are stored, `"float16"` for half the size; by default as they are.
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
    folder = Path(folder)
    with atomic_folder(folder) as temporary:
        config = keras.saving.serialize_keras_object(model)
        (temporary / "config.json").write_text(json.dumps(config, indent=1))
        arrays = {path: _stored(weight, weights_dtype) for path, weight in named_weights(model).items()}
        (temporary / "weights.safetensors").write_bytes(safetensors.numpy.save(arrays))
        manifest = {
            "format_version": FORMAT_VERSION,
            "name": name or folder.name,
            "family": model.family,
            "num_weights": int(sum(np.prod(weight.shape) for weight in model.weights)),
            "versions": {"keras": keras.__version__, "ar_zoo": _version()},
            **facts,
            "files": {
                file: {"sha256": sha256_of(temporary / file), "size": os.path.getsize(temporary / file)}
                for file in _FILES
            },
        }
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1))
        (temporary / "README.md").write_text(_card(manifest))
    return folder


def _stored(weight, dtype):
    value = np.array(weight.value, order="C")
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

    folder = _locate(str(name_or_folder_or_url))
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
    unknown = sorted(set(overrides) - set(arguments))
    if unknown:
        raise ValueError(f"`load` was given {unknown}, which {cls.__name__} does not have. It has {sorted(arguments)}.")
    try:
        model = cls.from_config(arguments | overrides)
    except TypeError as error:  # what Keras says of objects that it does not know
        raise ValueError(f"{folder / 'config.json'} cannot be made into a {cls.__name__}: {error}") from None
    taken, fresh = restore_weights(model, folder / "weights.safetensors", partial=bool(overrides))
    if fresh:
        print(f"{manifest['name']}: took {len(taken)} weights; these do not fit and start fresh: {', '.join(fresh)}.")
    model.load_report = {"taken": taken, "fresh": fresh}
    return model


def list_pretrained() -> list[str]:
    """Names of the presets with weights that come with the zoo."""
    return sorted(path.parent.name for path in shipped_folder("exported").glob("*/manifest.json"))


def read_manifest(folder) -> dict:
    """The manifest of a preset folder, after every file in it was checked against it."""
    folder = Path(folder)
    path = _inside(folder / "manifest.json", folder)
    if not path.is_file():
        raise ValueError(f"{folder} is no preset folder: it has no manifest.json.")
    manifest, facts = _parse(path.read_bytes(), path)
    for file, (sha256, size) in facts.items():
        path = _inside(folder / file, folder)
        if not path.is_file():
            raise ValueError(f"{path} is missing: the preset folder is not complete. Fetch it again.")
        if path.stat().st_size != size:
            raise ValueError(
                f"{path} has {path.stat().st_size} bytes, its manifest says {size}: it was cut short or changed."
            )
        if sha256_of(path) != sha256:
            raise ValueError(
                f"{path} does not match the sha256 in its manifest: it was changed or damaged. Fetch it again."
            )
    return manifest


def _parse(data: bytes, where) -> tuple[dict, dict]:
    """A manifest and the (sha256, size) of its files, from its bytes; `where` they are from is for errors."""
    try:
        manifest = json.loads(data)
        version = int(manifest["format_version"])
        facts = {str(file): (str(fact["sha256"]), int(fact["size"])) for file, fact in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} is damaged or not a preset's manifest: {type(error).__name__} {error}.") from None
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{where} has format version {version}; this ar_zoo reads up to {FORMAT_VERSION}. Upgrade ar_zoo."
        )
    for file in facts:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", file):
            raise ValueError(f"{where} names a file outside its folder: {file!r}. It is not read.")
    missing = sorted(set(_FILES) - set(facts))
    if missing:
        raise ValueError(f"{where} does not list {', '.join(missing)}.")
    return manifest, facts


def _inside(path, folder) -> Path:
    """The path itself; a link must not lead out of the folder."""
    if path.is_symlink() and path.resolve().parent != folder.resolve():
        raise ValueError(f"{path} points outside its preset folder; it is not read.")
    return path


def _read_config(path) -> dict:
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged or not a preset's: {error}.") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} is damaged or not a preset's: it holds a {type(config).__name__}.")
    return config


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


def restore_weights(model, file, partial=False) -> tuple[list[str], list[str]]:
    """Assigns weights from a file; returns the paths of those taken and those left fresh (only if `partial`)."""
    from safetensors import SafetensorError, safe_open

    taken, fresh = [], []
    try:
        with safe_open(file, framework="numpy") as stored:
            names = set(stored.keys())
            for path, weight in named_weights(model).items():
                shape = tuple(stored.get_slice(path).get_shape()) if path in names else None
                if shape == tuple(weight.shape):
                    weight.assign(stored.get_tensor(path))
                    taken.append(path)
                elif partial:
                    fresh.append(path)
                else:
                    raise ValueError(
                        f"{file}: weight {path!r} should have shape {list(weight.shape)}; the file has "
                        f"{'none of that name' if shape is None else list(shape)}."
                    )
    except SafetensorError as error:
        raise ValueError(f"{file} cannot be read as safetensors ({error}): it was cut short or damaged.") from None
    return taken, fresh


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


def downgrade(folder, version: int) -> None:
    """Rewrites a preset folder in an older format, which the tests then load."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    if version != 1:
        raise ValueError(f"`version` must be 1, the only older format; got {version}.")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config["config"]))
    file = folder / "config.json"
    manifest["files"]["config.json"] = {"sha256": sha256_of(file), "size": file.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format_version": 1}))


def _locate(name: str) -> Path:
    if urlparse(name).scheme in ("http", "https"):
        return _download(name)
    if Path(name).is_dir():
        return Path(name)
    shipped = shipped_folder("exported") / name
    if re.fullmatch(r"[\w.]+", name) and (shipped / "manifest.json").is_file():
        return shipped
    raise ValueError(
        unknown_name(
            "name", name, list_pretrained(), f"It is no folder either; pretrained: {', '.join(list_pretrained())}."
        )
    )


def _download(url: str) -> Path:
    """Fetches a preset folder into the user's cache, each file checked against the manifest."""
    import pooch
    import requests

    def get(file, fetch):
        try:
            return fetch(urljoin(url, file))
        except requests.RequestException as error:
            raise ValueError(f"{urljoin(url, file)} cannot be reached: {error}.") from None

    url = url.rstrip("/") + "/"
    answer = get("manifest.json", lambda address: requests.get(address, timeout=60))
    if answer.status_code != 200:
        raise ValueError(
            f"{url}manifest.json answered {answer.status_code}: there is no preset folder at that address."
        )
    _, facts = _parse(answer.content, f"{url}manifest.json")
    cache = Path(os.environ.get("AR_ZOO_CACHE", pooch.os_cache("ar_zoo")))
    folder = cache / re.sub(r"[^\w.-]+", "_", url).strip("_")
    with atomic_folder(folder) as temporary:
        (temporary / "manifest.json").write_bytes(answer.content)
        for file, (sha256, _) in facts.items():
            fetch = functools.partial(pooch.retrieve, known_hash=f"sha256:{sha256}", fname=file, path=temporary)
            get(file, functools.partial(fetch, progressbar=True))
        read_manifest(temporary)
    return folder


def _version() -> str:
    from ar_zoo import __version__

    return __version__


def _card(manifest: dict) -> str:
    metrics = "\n".join(f"| {name} | {value} |" for name, value in manifest.get("metrics", {}).items())
    data = "\n".join(
        f"- {split}: {fact['source']}, sha256 `{fact['sha256'][:16]}…`"
        for split, fact in manifest.get("data", {}).items()
    )
    recipe = manifest.get("recipe")
    return f"""# {manifest["name"]}

{manifest.get("about", "")}

    import ar_zoo
    model = ar_zoo.load("{manifest["name"]}")

{manifest["num_weights"]:,} weights. Licence: {manifest.get("licence") or "not stated"}.

| metric | value |
|---|---|
{metrics}

{f"Trained by `ar-zoo train {recipe}`, which also prints these figures." if recipe else ""}

{data}
"""
