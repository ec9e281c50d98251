"""What happens around a training run: averaging, the best weights so far."""

from __future__ import annotations

import contextlib

import keras

from ar_zoo.training.checkpoint import Checkpoint
from ar_zoo.training.optimizers import fallen, inner


class AveragedEvaluation(keras.callbacks.Callback):
    """Evaluates with the optimizer's running mean of the weights in place of the weights, where it keeps one."""

    def swap(self):
        optimizer = inner(self.model.optimizer)
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
        if self.sign * value < self.checkpoint.best:
            self.checkpoint.best_epoch = epoch + 1  # patience does not count equal ones
        self.checkpoint.best = self.sign * float(value)
        if not self.checkpoint.writes:
            return
        with self.averaging.averaged():
            self.write(self.model, self.folder, epoch + 1, float(value))


class TimeBudget(keras.callbacks.Callback):
    """Ends training when its steps have taken so long, and lets the learning rate fall to that end.

    Args:
        seconds: of steps, as `checkpoint` counts them; it runs before this.
        checkpoint: the run's.
        clock: `"wall"`, or `"cpu"` for the time of all cores.
        learning_rate, final_rate, warmup_steps, schedule: as in `Recipe`.
    """

    def __init__(
        self, seconds, checkpoint: Checkpoint, clock, learning_rate, final_rate, warmup_steps, schedule="cosine"
    ):
        super().__init__()
        self.seconds, self.checkpoint, self.clock = seconds, checkpoint, clock
        self.learning_rate, self.final_rate = learning_rate, final_rate
        self.warmup_steps, self.schedule = warmup_steps, schedule

    @property
    def share(self) -> float:
        """What is spent, from 0 to 1."""
        spent = self.checkpoint.cpu_seconds if self.clock == "cpu" else self.checkpoint.seconds
        return min(1.0, spent / self.seconds)

    def rate(self, step: int) -> float:
        """The learning rate of a step that begins now."""
        rate = self.learning_rate * float(fallen(self.schedule, self.share, self.final_rate))
        risen = (step + 1) / (self.warmup_steps + 1)
        if self.schedule == "inverse_sqrt":
            return rate * min(risen, risen**-0.5)
        return rate * min(1.0, risen)

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.rate(int(self.model.optimizer.iterations.numpy()))

    def on_train_batch_end(self, batch, logs=None):
        if self.share == 1.0:
            self.model.stop_training = True
