"""How a training process ends, where not well: what those see who started it. Imports nothing heavy."""

from __future__ import annotations

STRATEGIES = ("one", "mirrored", "multiworker", "tpu")

REFUSED = 2  # what was asked for cannot be done: the same command would end the same way
INTERRUPTED = 75  # asked to stop (EX_TEMPFAIL): the same command goes on
LEFT = 76  # another worker is gone: the same command goes on


class Interrupted(SystemExit):
    """The run was asked to stop, and can go on; the process ends with the status `INTERRUPTED`."""

    def __init__(self):
        super().__init__(INTERRUPTED)


class WorkersLeft(RuntimeError):
    """Another worker of the run is gone; the process ends with the status `LEFT`."""
