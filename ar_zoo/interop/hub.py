"""Repositories of huggingface.co (or of the server that `HF_ENDPOINT` names), into its library's cache."""

from __future__ import annotations

import re
from pathlib import Path

from ar_zoo.core.files import sha256_of

_WANTED = ["*.json", "*.safetensors", "*.jinja"]  # never a pickle, never code
_FORM = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/[\w-]+/[\w.-]+|[\w./-]+?))?(?:/(?P<file>[\w./-]+\.gguf))?/?"
)


def fetch(address: str) -> Path:
    """The local folder of a repository, or one GGUF file of it. What is in the cache already is not fetched again.

    Args:
        address: `hf://org/name`, `hf://org/name@revision` or `hf://org/name/file.gguf`.

    Raises:
        ValueError: no such repository, revision or file, or one that is private and you are not logged in for; a file that
            arrived damaged.

    Example: `fetch("hf://HuggingFaceTB/SmolLM2-135M")`
    """
    form = _FORM.fullmatch(address)
    if form is None:
        raise ValueError(
            f"{address!r} must look like hf://org/name, hf://org/name@revision or hf://org/name/file.gguf."
        )
    try:
        from huggingface_hub import hf_hub_download, snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:
        raise ImportError(f"{address} needs huggingface_hub: `pip install 'ar_zoo[text]'`.") from None
    repo, revision, file = form["repo"], form["revision"], form["file"]
    try:
        if file:
            path = Path(hf_hub_download(repo, file, revision=revision))
        else:
            path = Path(snapshot_download(repo, revision=revision, allow_patterns=_WANTED))
    except LocalEntryNotFoundError as error:
        raise ValueError(f"{address} cannot be reached, and is not in the cache: {_first_line(error)}") from None
    except Exception as error:  # of the repository, of the file system, and of whichever library makes the connection
        raise ValueError(f"{address} cannot be fetched: {_first_line(error)}") from None
    for part in [path] if file else sorted(path.rglob("*")):
        _check(part, address)
    return path


def _check(path, address):
    """Large files lie in the cache under their sha256: a download that broke, or a file that changed since, is found."""
    blob = path.resolve()
    if blob.is_file() and re.fullmatch("[0-9a-f]{64}", blob.name) and sha256_of(blob) != blob.name:
        raise ValueError(
            f"{address}: {path.name} is damaged, its sha256 is not {blob.name[:16]}…. Delete {blob} and load again."
        )


def _first_line(error) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
