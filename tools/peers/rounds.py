"""How a process that `tools/measure_training.py` times talks to it: facts first, then a line of figures for each number of
steps that it is told to take."""

import json
import resource
import statistics
import sys
import time


def timed(step):
    """`run` for `serve` of `step`, the number of steps taken before → its loss: one step more than asked for, which is not
    timed, as `fit` does not time its first."""
    taken = 0

    def run(steps):
        nonlocal taken
        seconds, losses = [], []
        for _ in range(1 + steps):
            start = time.perf_counter()
            losses.append(float(step(taken)))
            taken += 1
            seconds.append(time.perf_counter() - start)
        return seconds[1:], statistics.mean(losses)

    return run


def rows_of(taken, batch, length):
    """The rows of `length` that step number `taken` learns from, the same for all: one after the other, over and over."""
    return [place % length for place in range(taken * batch, (taken + 1) * batch)]


def serve(run, facts):
    """Args: `run`, number of steps → (seconds of each, their mean loss); `facts`, what is said first, ready for JSON."""
    _forget_peak()
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        seconds, loss = run(int(line))
        print(
            json.dumps({"seconds": statistics.median(seconds), "loss": float(loss), "peak_mb": resident_mb("VmHWM")}),
            flush=True,
        )


def _forget_peak():
    """From here on the peak is that of the steps, not of what was compiled before (Linux)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def resident_mb(which="VmRSS"):
    """What the process holds now, or, as "VmHWM", held at most."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(which))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
