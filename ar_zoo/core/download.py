"""Preset folders from an address, into the user's cache."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from urllib.parse import urljoin

from ar_zoo.core.files import atomic_folder
from ar_zoo.core.manifest import parse_manifest, read_manifest


def download(url: str) -> Path:
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
    _, facts = parse_manifest(answer.content, f"{url}manifest.json")
    cache = Path(os.environ.get("AR_ZOO_CACHE", pooch.os_cache("ar_zoo")))
    folder = cache / re.sub(r"[^\w.-]+", "_", url).strip("_")
    with atomic_folder(folder) as temporary:
        (temporary / "manifest.json").write_bytes(answer.content)
        for file, (sha256, _) in facts.items():
            fetch = functools.partial(pooch.retrieve, known_hash=f"sha256:{sha256}", fname=file, path=temporary)
            get(file, functools.partial(fetch, progressbar=True))
        read_manifest(temporary)
    return folder
