"""The folder that `ar_zoo.export` writes: read, and checked to be whole, before anything in it runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from ar_zoo.core.files import check_file

FORMAT_VERSION = 1
TITLES = {"tflite": "TFLite", "onnx": "ONNX", "saved_model": "SavedModel"}
_NEEDED = ("event_shape", "batch_size", "num_sites", "context", "endpoints", "files")
# To draw site by site, as models of every kind but "density" do.
_NEEDED_BY_STEPS = ("head", "site_shape", "grid", "max_sites", "block_sizes", "states")
_NEEDED_OF_HEADS = ("num_symbols", "noise_shape", "decode")


def stamps(folder, manifest: dict) -> list:
    """What tells an export's files from others of the same names, without reading them."""
    found = []
    for name in manifest["files"]:
        with contextlib.suppress(FileNotFoundError):
            fact = os.stat(folder / name)
            found.append((name, fact.st_ino, fact.st_mtime_ns, fact.st_size))
    return found


def read_manifest(folder, format: str = "tflite") -> dict:
    """The manifest of an export, after every file of one format that it lists was checked.

    Args:
        folder: what `ar_zoo.export` wrote.
        format: `"tflite"`, `"onnx"` or `"saved_model"`.

    Raises:
        ValueError: no export, one without files of this format or of a newer version, or a file that is missing, cut
            short, changed, or outside the folder.

    Example:
        >>> read_manifest("digits_export")["grid"]
        [28, 28, 1]
    """
    folder = Path(folder)
    path = folder / "manifest.json"
    if not path.is_file():
        raise ValueError(f"`folder` must be what `ar_zoo.export` wrote; {folder} has no manifest.json.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format_version"]
        if version > FORMAT_VERSION:
            raise ValueError(
                f"{folder} has format version {version}; this ar_zoo reads up to {FORMAT_VERSION}. Upgrade ar_zoo."
            )
        needed = _NEEDED + (() if manifest.get("kind") == "density" else _NEEDED_BY_STEPS)
        missing = [name for name in needed if name not in manifest]
        if missing:
            raise ValueError(f"{path} is damaged or not an export's: it has no {', '.join(missing)}.")
        files = {name: (str(fact["sha256"]), fact["size"]) for name, fact in manifest["files"].items()}
        used = {name: endpoint[format] for name, endpoint in manifest["endpoints"].items() if format in endpoint}
        head = manifest.get("head")
        lacking = [f"head.{name}" for name in _NEEDED_OF_HEADS if head is not None and name not in head]
        for name in used:
            ends = manifest["endpoints"][name]
            lacking += [f"endpoints.{name}.{side}" for side in ("inputs", "outputs") if side not in ends]
        sample = "sample" if manifest.get("kind") == "density" else "sample_step"
        lacking += [f"endpoints.{sample}.{format}"] if used and sample not in used else []
        if not isinstance(manifest["batch_size"], int) or manifest["batch_size"] < 1:
            lacking.append("batch_size of at least 1")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged or not an export's: {type(error).__name__} {error}.") from None
    if lacking:
        raise ValueError(f"{path} is damaged or not an export's: it has no {', '.join(lacking)}.")
    for file in files:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*", file):
            raise ValueError(f"{path} names a file outside its folder: {file!r}. Nothing of it is run.")
    if not used:
        raise ValueError(
            f"{folder} holds nothing in the format {TITLES[format]}. Export it with formats=({format!r},)."
        )
    for endpoint, file in used.items():
        # A SavedModel is a folder of files.
        parts = [name for name in files if name == file or name.startswith(f"{file}/")]
        if not parts:
            raise ValueError(f"{path} gives {file!r} for `{endpoint}`, and does not list it among its files.")
        for name in parts:
            check_file(folder, name, *files[name])
    return manifest
