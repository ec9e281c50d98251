"""Repositories of huggingface.co, from a server on 127.0.0.1 that answers as it does."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import ar_zoo
from ar_zoo.interop import hub, hugging_face

REFERENCE = Path(__file__).parents[1] / "references" / "hugging_face" / "llama"
REPOSITORY = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """One repository, org/tiny, whose files lie in `folder`; `main` and `old` are its revisions."""

    folder: Path
    asked: list

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        for revision in ("main", "old", COMMIT):
            if path == f"/api/models/org/tiny/revision/{revision}":
                files = [{"rfilename": file.name} for file in sorted(self.folder.iterdir())]
                return self.answer(json.dumps({"id": "org/tiny", "sha": COMMIT, "siblings": files}).encode(), {}, body)
            if path.startswith(f"/api/models/org/tiny/tree/{revision}"):
                return self.answer(json.dumps(self.tree()).encode(), {}, body)
            name = path.removeprefix(f"/org/tiny/resolve/{revision}/")
            if name != path and (self.folder / name).is_file():
                content = (self.folder / name).read_bytes()
                large = name.endswith((".safetensors", ".gguf"))
                etag = hashlib.sha256(content).hexdigest() if large else hashlib.sha1(content).hexdigest()
                return self.answer(content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, body)
        headers = {"X-Error-Code": "RepoNotFound" if "tiny" not in path else "RevisionNotFound"}
        return self.answer(b"{}", headers, body, status=404)

    def tree(self):
        entries = []
        for file in sorted(self.folder.iterdir()):
            content = file.read_bytes()
            entry = {"type": "file", "path": file.name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            if file.suffix in (".safetensors", ".gguf"):
                sha = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": sha, "sha256": sha, "size": len(content), "pointerSize": 130}
            entries.append(entry)
        return entries

    def answer(self, content, headers, body, status=200):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def served(tmp_path):
    """The repository's folder, and `fetch(address)` in a process of its own, whose environment names the server."""
    folder = tmp_path / "repository"
    shutil.copytree(REFERENCE, folder)
    (folder / "reference.npz").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling.py").write_text("raise SystemExit('code ran')")
    handler = type("Handler", (Hub,), {"folder": folder, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def fetch(address, **environment):
            program = "import sys\nfrom ar_zoo.interop.hub import fetch\ntry: print(fetch(sys.argv[1]))\n"
            program += "except ValueError as error: print('error:', error)\nassert 'tensorflow' not in sys.modules"
            settings = {
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "HF_HOME": str(tmp_path / "cache"),
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_ETAG_TIMEOUT": "2",
                "PYTHONPATH": str(REPOSITORY),
            }
            done = subprocess.run(
                [sys.executable, "-c", program, address],
                env=os.environ | settings | environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        yield folder, fetch, handler.asked
        server.shutdown()


def test_a_repository_is_fetched_checked_and_loaded(served):
    _folder, fetch, asked = served
    local = Path(fetch("hf://org/tiny"))
    assert sorted(path.name for path in local.iterdir()) == ["config.json", "model.safetensors"], "no pickle, no code"
    x = np.arange(6)[None]
    expected = hugging_face.load(REFERENCE).log_prob(x)
    np.testing.assert_array_equal(ar_zoo.load(local).log_prob(x), expected)
    assert Path(fetch("hf://org/tiny@old")) == local, "a revision; the same commit"
    asked.clear()
    assert Path(fetch("hf://org/tiny")) == local
    assert not any("resolve" in path and "safetensors" in path for path in asked), "what is in the cache is not fetched"
    assert Path(fetch("hf://org/tiny", HF_ENDPOINT="http://127.0.0.1:9")) == local, "without the server"
    assert not any(path.endswith((".bin", ".py")) for path in asked)


def test_a_single_file(served):
    folder, fetch, _ = served
    (folder / "tiny.gguf").write_bytes(b"GGUF, say")
    assert Path(fetch("hf://org/tiny/tiny.gguf")).read_bytes() == b"GGUF, say"
    assert "hf://org/tiny/none.gguf cannot be fetched" in fetch("hf://org/tiny/none.gguf")


def test_what_goes_wrong_is_said(served):
    _, fetch, _ = served
    assert fetch("hf://org/absent").startswith("error: hf://org/absent cannot be fetched: ")
    assert fetch("hf://org/tiny@never").startswith("error: hf://org/tiny@never cannot be fetched: ")
    message = fetch("hf://org/tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert message.startswith("error: hf://org/tiny cannot be reached, and is not in the cache: ")
    local = Path(fetch("hf://org/tiny"))
    blob = (local / "model.safetensors").resolve()
    whole = bytearray(blob.read_bytes())
    whole[-1] ^= 1
    blob.write_bytes(whole)
    assert "model.safetensors is damaged, its sha256 is not" in fetch("hf://org/tiny")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<html>"])
def test_connections_that_break(served, answer):
    _, fetch, _ = served
    with socketserver.TCPServer(("127.0.0.1", 0), breaking(answer)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        message = fetch("hf://org/other", HF_ENDPOINT=f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
    assert message.startswith("error: hf://org/other cannot be ")


def breaking(answer):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(10_000)
            self.request.sendall(answer)

    return Handler


def test_revisions_with_slashes():
    found = hub._FORM.fullmatch("hf://a/b@refs/pr/1/x.gguf")
    assert (found["revision"], found["file"]) == ("refs/pr/1", "x.gguf")
    assert hub._FORM.fullmatch("hf://a/b@refs/pr/1")["revision"] == "refs/pr/1"


@pytest.mark.parametrize("address", ["hf://tiny", "hf://", "hf://org/tiny/file.bin", "hf://org/../x", "hf://a/b/c/d"])
def test_addresses(address):
    with pytest.raises(ValueError, match="must look like hf://org/name"):
        ar_zoo.load(address)
    with pytest.raises(ValueError, match="must look like hf://org/name"):
        hub.fetch(address)
