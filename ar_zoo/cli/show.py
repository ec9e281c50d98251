"""`web` and `demo`."""

from __future__ import annotations

import contextlib
import runpy
import sys

from ar_zoo.cli.start import start_tensorflow
from ar_zoo.core.paths import shipped_folder


def add_to(command):
    """Adds these commands; `command(name, run, summary, *examples)` gives the parser of one."""
    summary = "write the web page, in which exported models draw, and serve it on 127.0.0.1"
    add = command(
        "web", _web, summary, "", "my_page --no-serve", "my_page --models runs/digits/best gpt.kjv"
    ).add_argument
    add("folder", nargs="?", default="web_out", help="where; an older page there is replaced (default web_out)")
    add("--port", type=int, default=8000, help="0 takes any that is free (default 8000)")
    models = "gated_pixel_cnn.mnist wavenet.speech8k gpt.kjv"
    add("--models", nargs="+", default=models.split(), help=f"as the other commands take them (default {models})")
    add("--no-serve", action="store_true", help="write it only; any web server can serve the folder")

    add = command("demo", _demo, "run what `make demo` runs, in a clone of the repository", "").add_argument
    add("--out", default="demo_out", help="the folder for what it makes (default demo_out)")


def _web(options):
    start_tensorflow()
    from ar_zoo import web

    # The port is taken before the minutes that exporting needs.
    with web.server(options.folder, 0 if options.no_serve else options.port) as server:
        folder = web.write_page(options.folder, options.models)
        if options.no_serve:
            print(folder.resolve())
            return
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        print("Ctrl-C ends it.", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _demo(options):
    path = shipped_folder("tools") / "demo.py"
    if not path.is_file():
        raise ValueError("`demo` needs the repository, not only the installed package: run `make demo` there.")
    return runpy.run_path(str(path))["main"](["--out", options.out])
