"""The web page: exported models that draw in the browser. Its sources are in `tools/web`; there is no server code.

from ar_zoo import web
web.write_page("web_out")
with web.server("web_out") as serving:
    serving.serve_forever()
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ar_zoo.core.files import atomic_folder, own_folder
from ar_zoo.core.paths import shipped_folder
from ar_zoo.core.pretrained import load, locate, read_manifest
from ar_zoo.drawing import data_kind
from ar_zoo.export.artifact import export

MODELS = ("gated_pixel_cnn.mnist", "wavenet.speech8k", "gpt.kjv")
FREE_SITES = 8000  # what `score` of a model takes whose events have any length
_OTHERS = {"symbols": "bare symbols", "series": "numbers", "table": "numbers"}  # what no browser shows
_LITERT = ("litert_wasm_internal", "litert_wasm_compat_internal")  # with relaxed SIMD, and for browsers without


def write_page(folder, models=MODELS, progress: bool = True) -> Path:
    """Writes the page, whole or not at all: its sources, LiteRT's WebAssembly (from npm), and exports of the models.

    Args:
        folder: where; an older page there is replaced, anything else is left alone.
        models: names, preset folders or addresses, as `load` takes them: pictures of one channel, sound and text.
        progress: say on standard error what is being done.

    Returns:
        The folder's path.

    Raises:
        ValueError: npm is missing or cannot fetch LiteRT; a model that the page cannot show; a folder of something else.

    Example:
        >>> web.write_page("web_out", models=("gpt.kjv",))
    """
    # What cannot work is refused before anything is said or made.
    presets, npm, sources = _presets(models), _npm(), shipped_folder("tools/web")
    folder = own_folder(folder, mark="page.json")
    say = functools.partial(print, file=sys.stderr, flush=True) if progress else lambda *_: None
    with atomic_folder(folder, mark="page.json") as out:
        say("Fetching LiteRT.js with npm …")
        _install_litert(npm, sources, out / "litert")
        for path in sources.iterdir():
            if path.suffix in (".html", ".css", ".js"):
                shutil.copyfile(path, out / path.name)
        entries = []
        for name, preset in presets.items():
            say(f"Exporting {name} …")
            entries.append(_export(name, preset, out / "models" / name, progress))
        (out / "page.json").write_text(json.dumps({"models": entries}, indent=1), encoding="utf-8")
    return folder


def server(folder, port: int = 8000) -> http.server.ThreadingHTTPServer:
    """A server of static files on 127.0.0.1, which nobody outside this machine reaches.

    Args:
        folder: what it serves; read at each request.
        port: 0 takes any that is free; `server_port` says which.

    Raises:
        ValueError: the port is taken or out of range.

    Example:
        >>> with web.server("web_out") as serving:
        ...     serving.serve_forever()
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"`port` must lie in 0..65535; got {port}.")
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Files, directory=str(folder)))
    except OSError as error:
        raise ValueError(f"`port` {port} cannot be used ({error.strerror}). Choose another: `--port 0`.") from None


class _Files(http.server.SimpleHTTPRequestHandler):
    # Python asks the system for types, and some systems do not know these: modules and WebAssembly are then refused.
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".tflite": "application/octet-stream",
    }

    def end_headers(self):
        self.send_header("Cache-Control", "no-cache")  # a page that was written again is seen at once
        super().end_headers()

    def log_message(self, *_):
        pass


def _presets(models) -> dict[str, Path]:
    """Each model's name in the page → its preset folder. Two runs' `best` folders become `best` and `best_2`."""
    models = (models,) if isinstance(models, str) else tuple(models)
    if not models:
        raise ValueError("`models` must hold at least one name, folder or address; got none.")
    presets = {}
    for model in models:
        preset = locate(str(model))
        name, plain, number = preset.name, preset.name, 1
        while name in presets:
            number += 1
            name = f"{plain}_{number}"
        presets[name] = preset
    return presets


def _npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(
            "`npm` is not there, and the page's WebAssembly comes through it. Install Node.js 18 or newer "
            "(https://nodejs.org, or `apt-get install nodejs npm`)."
        )
    return npm


def _install_litert(npm, sources, out) -> None:
    """LiteRT's scripts and WebAssembly at the version, and with the hash, that package-lock.json names."""
    with tempfile.TemporaryDirectory() as folder:
        for file in ("package.json", "package-lock.json"):
            shutil.copyfile(sources / file, Path(folder) / file)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        found = Path(folder) / "node_modules" / "@litertjs" / "core" / "wasm"
        if ended.returncode or not found.is_dir():
            raise ValueError(
                f"`npm ci` could not fetch @litertjs/core: {ended.stderr.strip()[-500:] or 'it gave no reason'}. "
                "It needs a package registry once; the finished page needs no network."
            )
        out.mkdir()
        for name in _LITERT:
            for suffix in (".js", ".wasm"):
                shutil.copyfile(found / f"{name}{suffix}", out / f"{name}{suffix}")


def _export(name, preset, folder, progress) -> dict:
    """Exports one model into the page; returns what page.json says of it."""
    about, model = read_manifest(preset).get("about", ""), load(preset)
    kind = data_kind(model)
    if kind == "text" and not getattr(model.head, "alphabet", None):
        raise ValueError(f"`models`: the page writes text character by character; {name} has tokens. Leave it out.")
    if kind not in ("image", "sound", "text") or (
        kind == "image" and (model.event_shape[-1] != 1 or model.head.site_shape)
    ):
        raise ValueError(
            f"`models`: the page shows pictures of one channel, sound and text; {name} draws "
            f"{f'pictures of shape {list(model.event_shape)}' if kind == 'image' else _OTHERS[kind]}. Leave it out."
        )
    sites = None if model.num_sites is not None else model.max_sites or FREE_SITES
    export(model, folder, ("tflite",), num_sites=sites, progress=progress and sys.stderr.isatty())
    return {"name": name, "kind": kind, "folder": f"models/{name}/", "about": about}
