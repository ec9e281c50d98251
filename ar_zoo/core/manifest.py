"""The manifest of a preset folder: what it says, and whether the files beside it are those it speaks of."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ar_zoo.core.files import check_file

FORMAT_VERSION = 2
FILES = ("config.json", "weights.safetensors")


def read_manifest(folder) -> dict:
    """The manifest of a preset folder, after every file in it was checked against it."""
    folder = Path(folder)
    path = folder / "manifest.json"
    if path.is_symlink() and path.resolve().parent != folder.resolve():
        raise ValueError(f"{path} points outside its folder; it is not read.")
    if not path.is_file():
        raise ValueError(f"{folder} is no preset folder: it has no manifest.json.")
    manifest, facts = parse_manifest(path.read_bytes(), path)
    for file, (sha256, size) in facts.items():
        check_file(folder, file, sha256, size)
    return manifest


def parse_manifest(data: bytes, where) -> tuple[dict, dict]:
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
    missing = sorted(set(FILES) - set(facts))
    if missing:
        raise ValueError(f"{where} does not list {', '.join(missing)}.")
    return manifest, facts
