"""Runs a command as several workers of this host, and starts all of them again when one dies."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ar_zoo.core import arguments
from ar_zoo.training.checkpoint import checkpoints
from ar_zoo.training.status import INTERRUPTED, LEFT, REFUSED
from ar_zoo.training.strategies import cluster

GRACE = 60.0
ATTEMPTS = 3


def launch(command: list[str], workers: int, out, grace: float = GRACE, attempts: int = ATTEMPTS) -> int:
    """Runs `workers` processes of a command, each with its TF_CONFIG, until all are done.

    The first one, the chief, writes the run's files and has the terminal; what the others say goes to `out/worker_….log`. If one
    ends badly the others are waited for, ended, and all are started again: the run goes on from its last checkpoint. SIGTERM is
    handed to all.

    Args:
        command: to run, the same for all.
        workers: how many.
        out: the run's folder.
        grace: seconds that the others have to end by themselves.
        attempts: how many starts on end may bring no new checkpoint.

    Returns:
        the status to end with: 0; 2 for what no new start can mend; `INTERRUPTED`; or that of the worker that died.

    Example:
        >>> launch(["ar-zoo", "train", "gpt_kjv", "--strategy", "multiworker"], 2, "runs/gpt_kjv")
        0
    """
    arguments.whole(workers=workers)
    out, running, asked = Path(out), [], []

    def hand_on(number, _):
        asked.append(number)
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        without_progress = 0
        while True:
            kept = _newest(out)
            running.clear()
            for process in _start(command, workers, out):
                running.append(process)  # one by one: all are ended where another cannot be started
            if asked:
                hand_on(asked[-1], None)
            statuses = _wait(running, grace)
            # A chief that is done has written all there is, and may be gone before another has heard its last word.
            if not statuses[0] and set(statuses) <= {0, LEFT}:
                return 0
            if asked:
                return INTERRUPTED
            if REFUSED in statuses:
                return REFUSED
            dead = next(place for place, status in enumerate(statuses) if status)
            without_progress = 0 if _newest(out) != kept else without_progress + 1
            said = f"Workers ended with the statuses {', '.join(map(str, statuses))}"
            if without_progress >= attempts:
                print(f"{said}; {attempts} starts brought no new checkpoint, see {out}/worker_*.log.", file=sys.stderr)
                return abs(statuses[dead])
            print(f"{said}; all start again from the last checkpoint.", file=sys.stderr, flush=True)
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command, workers, out) -> Iterator[subprocess.Popen]:
    hosts = [f"127.0.0.1:{port}" for port in _free_ports(workers)]
    out.mkdir(parents=True, exist_ok=True)
    for index in range(workers):
        environment = os.environ | {"TF_CONFIG": cluster(hosts, index)}
        if index == 0:
            yield subprocess.Popen(command, env=environment)
            continue
        with open(out / f"worker_{index}.log", "a") as log:
            yield subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def _wait(running, grace) -> list[int]:
    """The statuses of all, once they have ended; after the first bad one the others have `grace` seconds."""
    deadline = None
    while any(process.poll() is None for process in running):
        if deadline is None and any(process.returncode for process in running):
            deadline = time.monotonic() + grace
        if deadline is not None and time.monotonic() > deadline:
            for process in running:
                process.kill()
        time.sleep(0.1)
    return [process.wait() for process in running]


def _free_ports(count) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def _newest(out) -> str | None:
    return next((path.name for path in checkpoints(out / "checkpoints")), None)
