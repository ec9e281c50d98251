"""What happens around a training run: averaging, checkpoints, the best weights so far."""

from __future__ import annotations

import contextlib
import math
import time

import keras
import numpy as np

from ar_zoo.core.files import atomic_path


class AveragedEvaluation(keras.callbacks.Callback):
    """Evaluates with the optimizer's running mean of the weights in place of the weights, where it keeps one."""

    def swap(self):
        optimizer = self.model.optimizer
        if not optimizer.use_ema:
            return
        for weight, mean in zip(self.model.trainable_variables, optimizer._model_variables_moving_average, strict=True):
            now = weight.numpy()
            weight.assign(mean)
            mean.assign(now)

    @contextlib.contextmanager
    def averaged(self):
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def on_test_begin(self, logs=None):
        self.swap()

    def on_test_end(self, logs=None):
        self.swap()


class Checkpoint(keras.callbacks.Callback):
    """After each epoch: everything that the next one needs, in one file, written under another name and then renamed.

    Holds the weights, the states of random generators, the optimizer's variables, the number of epochs done, the
    best validation so far, and the time that steps took. The order of the data is a function of seed and step, so it
    needs no file.

    Attributes:
        seconds, cpu_seconds: what the steps took, that of earlier sittings included; validation and files do not count.
    """

    def __init__(self, path):
        super().__init__()
        self.path, self.best, self.epochs_done = path, float("inf"), 0
        self.seconds = self.cpu_seconds = 0.0

    def _variables(self) -> dict:
        groups = {"model": self.model.variables, "optimizer": self.model.optimizer.variables}
        return {f"{group}/{i}": variable for group, variables in groups.items() for i, variable in enumerate(variables)}

    def restore(self, model) -> int:
        """Loads the checkpoint, if there is one; returns the number of epochs done."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        self.set_model(model)
        if not self.path.is_file():
            return 0
        try:
            values = load_file(self.path)
        except SafetensorError as error:
            raise ValueError(
                f"The checkpoint {self.path} cannot be read ({error}). Delete it, or choose another --out, to start anew."
            ) from None
        progress, times = values.pop("progress", None), values.pop("time", (0.0, 0.0))
        variables = self._variables()
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        if progress is None or shapes != {name: value.shape for name, value in values.items()}:
            raise ValueError(f"The checkpoint {self.path} is of another model or optimizer. Choose another --out.")
        for name, variable in variables.items():
            variable.assign(values[name])
        self.epochs_done, self.best = int(progress[0]), float(progress[1])
        self.seconds, self.cpu_seconds = map(float, times)
        return self.epochs_done

    def save(self):
        from safetensors.numpy import save_file

        values = {name: np.array(variable.numpy(), order="C") for name, variable in self._variables().items()}
        values["progress"] = np.array([self.epochs_done, self.best], np.float64)
        values["time"] = np.array([self.seconds, self.cpu_seconds], np.float64)
        with atomic_path(self.path) as temporary:
            save_file(values, temporary)

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds += time.perf_counter() - self._began[0]
        self.cpu_seconds += time.process_time() - self._began[1]

    def on_epoch_end(self, epoch, logs=None):
        self.epochs_done = epoch + 1
        self.save()


class BestPreset(keras.callbacks.Callback):
    """Keeps the preset folder with the lowest validation bits per dimension, or what `monitor` names, of equal ones (where what
    is trained has no part in them, as draft heads have not) the last. Runs before `Checkpoint`."""

    def __init__(
        self,
        folder,
        checkpoint: Checkpoint,
        averaging: AveragedEvaluation,
        write,
        monitor="val_bits_per_dim",
        largest=False,
    ):
        super().__init__()
        self.folder, self.checkpoint, self.averaging, self.write = folder, checkpoint, averaging, write
        self.monitor, self.sign = monitor, -1 if largest else 1

    def on_epoch_end(self, epoch, logs=None):
        value = (logs or {}).get(self.monitor)
        if value is None or not self.sign * value <= self.checkpoint.best:
            return
        self.checkpoint.best = self.sign * float(value)
        with self.averaging.averaged():
            self.write(self.model, self.folder, epoch + 1, float(value))


class TimeBudget(keras.callbacks.Callback):
    """Ends training when its steps have taken so long, and lets the learning rate fall along a cosine to that end.

    Args:
        seconds: of steps, as `checkpoint` counts them; it runs before this.
        checkpoint: the run's.
        clock: `"wall"`, or `"cpu"` for the time of all cores.
        learning_rate, final_rate, warmup_steps: as in `Recipe`.
    """

    def __init__(self, seconds, checkpoint: Checkpoint, clock, learning_rate, final_rate, warmup_steps):
        super().__init__()
        self.seconds, self.checkpoint, self.clock = seconds, checkpoint, clock
        self.learning_rate, self.final_rate, self.warmup_steps = learning_rate, final_rate, warmup_steps

    @property
    def share(self) -> float:
        """What is spent, from 0 to 1."""
        spent = self.checkpoint.cpu_seconds if self.clock == "cpu" else self.checkpoint.seconds
        return min(1.0, spent / self.seconds)

    def rate(self, step: int) -> float:
        """The learning rate of a step that begins now."""
        rate = self.learning_rate * (self.final_rate + (1 - self.final_rate) * (1 + math.cos(math.pi * self.share)) / 2)
        return rate * min(1.0, (step + 1) / (self.warmup_steps + 1))

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.rate(int(self.model.optimizer.iterations))

    def on_train_batch_end(self, batch, logs=None):
        if self.share == 1.0:
            self.model.stop_training = True
