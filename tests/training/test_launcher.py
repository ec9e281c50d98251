"""Several processes of one run on one host: started together, and again when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ar_zoo.training import launcher
from ar_zoo.training.launcher import launch
from ar_zoo.training.status import INTERRUPTED, REFUSED

_ROOT = Path(__file__).resolve().parents[2]

WORKER = """
import os, sys, time
from pathlib import Path
index = int(__import__("json").loads(os.environ["TF_CONFIG"])["task"]["index"])
out, how = Path(sys.argv[1]), sys.argv[2]
starts = out / f"starts_{index}"
starts.write_text(starts.read_text() + "x" if starts.is_file() else "x")
count = len(starts.read_text())
if how == "once" and count == 1 and index == 1:
    (out / "checkpoints").mkdir(exist_ok=True)
    (out / "checkpoints" / "step_00000001.safetensors").touch()
    sys.exit(9)
if how == "always" and index == 1:
    sys.exit(9)
if how == "refused":
    sys.exit(2)
if how == "done":
    sys.exit(76 * index)
if how in ("once", "always") and count == 1 or how == "asked":
    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    time.sleep(60 if how == "asked" else 0.5)
sys.exit(76 if how == "always" else 0)
"""


@pytest.fixture
def worker(tmp_path):
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    return lambda how, **more: launch([sys.executable, str(program), str(tmp_path), how], 2, tmp_path, **more)


def test_the_launcher_starts_all_again_when_one_dies(worker, tmp_path, capsys):
    assert worker("once") == 0
    assert [(tmp_path / f"starts_{index}").read_text() for index in (0, 1)] == ["xx", "xx"]
    assert "Workers ended with the statuses 0, 9; all start again from the last checkpoint." in capsys.readouterr().err


def test_the_launcher_gives_up_where_nothing_gets_on(worker, tmp_path, capsys):
    assert worker("always") == 76
    assert (tmp_path / "starts_0").read_text() == "xxx"
    assert "3 starts brought no new checkpoint" in capsys.readouterr().err


def test_the_launcher_starts_nothing_again_once_the_chief_is_done(worker, tmp_path):
    """Another that saw the chief go says that one is gone."""
    assert worker("done") == 0
    assert [(tmp_path / f"starts_{index}").read_text() for index in (0, 1)] == ["x", "x"]


def test_no_worker_is_left_where_another_cannot_be_started(tmp_path, monkeypatch):
    made, ended = [], []

    class Process:
        def __init__(self, *_, **__):
            made.append(self)
            if len(made) == 2:
                raise OSError("Cannot allocate memory")

        def kill(self):
            ended.append(self)

    monkeypatch.setattr(launcher.subprocess, "Popen", Process)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        launch(["true"], 3, tmp_path)
    assert ended == made[:1]


def test_the_launcher_ends_where_the_command_is_wrong(worker, tmp_path):
    assert worker("refused") == REFUSED
    assert (tmp_path / "starts_0").read_text() == "x"


@pytest.mark.slow
def test_the_launcher_hands_sigterm_on(worker, tmp_path):
    words = [sys.executable, str(tmp_path / "worker.py"), str(tmp_path), "asked"]
    program = "from ar_zoo.training.launcher import launch; "
    program += f"raise SystemExit(launch({words!r}, 2, {str(tmp_path)!r}))"
    process = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(_ROOT)})
    deadline = time.monotonic() + 60
    while not all((tmp_path / f"starts_{index}").is_file() for index in (0, 1)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == INTERRUPTED
