"""What a run needs to go on: all of its state, in files that are whole, checked, and more than one."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

import keras
import numpy as np

from ar_zoo.core.files import atomic_path

KEPT = 3
_NAME = re.compile(r"step_(\d{8,})\.safetensors")


class Checkpoint(keras.callbacks.Callback):
    """Writes the state of a run to `folder/step_….safetensors`, after each epoch and every few minutes between.

    A file holds the weights, the states of random generators, the optimizer's variables with its running means, the metrics of
    an epoch that has begun, how far the run has come, the best validation so far, and the time that steps took. The
    order of the data is a function of seed and step, so it needs nothing but the step. A file is written under another
    name and then renamed, and holds a checksum; the last `KEPT` stay, and `restore` takes the newest one that is whole.

    Args:
        folder: of the files.
        every: seconds between them.
        writes: whether this process is the one that does, of several that train together.

    Attributes:
        epochs_done, steps_in_epoch, steps: how far the run has come; `steps` are those of all epochs.
        best, best_epoch: the lowest validation so far, and after how many epochs that was.
        seconds, cpu_seconds: what the steps took, that of earlier sittings included; validation and files do not count.
    """

    def __init__(self, folder, every: float = 300.0, writes: bool = True):
        super().__init__()
        self.folder, self.every, self.writes = Path(folder), every, writes
        self.epochs_done = self.steps_in_epoch = self.steps = self.best_epoch = 0
        self.best, self.seconds, self.cpu_seconds = float("inf"), 0.0, 0.0
        self._began_at, self._metrics, self._saved_at = 0, None, time.monotonic()

    def restore(self, model) -> bool:
        """Takes the newest file that is whole; whether there was one. Says which ones are not."""
        self.set_model(model)
        damaged = []
        for path in checkpoints(self.folder):
            try:
                values = _read(path)
            except ValueError as error:
                damaged.append(str(error))
                continue
            self._take(values, path)
            for message in damaged if self.writes else ():
                print(f"{message} Going on from {path.name}, the one before.", flush=True)
            return True
        if damaged:
            raise ValueError(f"{' '.join(damaged)} There is none before it: choose another --out to start anew.")
        return False

    def save(self):
        """Writes a file, and removes those that are too old."""
        self._saved_at = time.monotonic()
        if not self.writes:
            return
        values = {name: np.array(variable.numpy(), order="C") for name, variable in self._variables().items()}
        values["progress"] = np.array(
            [self.epochs_done, self.steps_in_epoch, self.steps, self.best_epoch, self.best], np.float64
        )
        values["time"] = np.array([self.seconds, self.cpu_seconds], np.float64)
        path = self.folder / f"step_{self.steps:08d}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(path, values)
        except OSError as error:
            kept = [old.name for old in checkpoints(self.folder)]
            last = f"The last good one is {self.folder / kept[0]}." if kept else "There is none before it."
            raise OSError(
                f"The checkpoint {path} cannot be written: {error.strerror or error}. {last} "
                "Make room, and give the same command again."
            ) from None
        for old in checkpoints(self.folder)[KEPT:]:
            old.unlink(missing_ok=True)

    def _variables(self) -> dict:
        groups = {"model": self.model.variables, "optimizer": self.model.optimizer.variables}
        if self.model.distribute_strategy.cluster_resolver is None:
            # Metrics of several processes add up, which one of them cannot do alone.
            groups["metrics"] = self.model.metrics_variables
        return {f"{group}/{i}": variable for group, variables in groups.items() for i, variable in enumerate(variables)}

    def _take(self, values, path):
        progress, times, variables = values.pop("progress", None), values.pop("time", None), self._variables()
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        # The metrics may be those of another strategy's run, and do not matter much.
        found = {
            name: value.shape for name, value in values.items() if name in shapes or not name.startswith("metrics/")
        }
        wanted = {name: shape for name, shape in shapes.items() if name in found or not name.startswith("metrics/")}
        if progress is None or times is None or found != wanted:
            raise ValueError(f"The checkpoint {path} is of another model or optimizer. Choose another --out.")
        for name in found:
            variables[name].assign(values[name])
        self._metrics = {name: values[name] for name in found if name.startswith("metrics/")}
        self.epochs_done, self.steps_in_epoch, self.steps, self.best_epoch = (int(number) for number in progress[:4])
        self.best, self.seconds, self.cpu_seconds = float(progress[4]), *map(float, times)

    def on_epoch_begin(self, epoch, logs=None):
        self._began_at = self.steps_in_epoch
        if self.steps_in_epoch and self._metrics:
            variables = self._variables()
            for name, value in self._metrics.items():
                variables[name].assign(value)
        self._metrics = None

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds += time.perf_counter() - self._began[0]
        self.cpu_seconds += time.process_time() - self._began[1]
        done = self._began_at + batch + 1
        self.steps, self.steps_in_epoch = self.steps + done - self.steps_in_epoch, done
        if time.monotonic() - self._saved_at >= self.every:
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        self.epochs_done, self.steps_in_epoch = epoch + 1, 0
        self.save()


def checkpoints(folder) -> list[Path]:
    """The files of a run, newest first."""
    found = [path for path in Path(folder).glob("step_*.safetensors") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(_NAME.fullmatch(path.name)[1]), reverse=True)


def _checksum(values) -> str:
    """Of all values, their names, dtypes and shapes."""
    found = hashlib.sha256()
    for name in sorted(values):
        found.update(f"{name} {values[name].dtype} {values[name].shape}".encode())
        found.update(np.ascontiguousarray(values[name]).view(np.uint8).data if values[name].size else b"")
    return found.hexdigest()


def _write(path, values):
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with atomic_path(path) as temporary:
        try:
            save_file(values, temporary, metadata={"sha256": _checksum(values)})
        except SafetensorError as error:
            raise OSError(str(error)) from None


def _read(path) -> dict:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            wanted = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"The checkpoint {path} cannot be read ({error}).") from None
    if wanted != _checksum(values):
        raise ValueError(f"The checkpoint {path} is not what was written: its checksum differs.")
    return values
