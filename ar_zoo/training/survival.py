"""How a run ends before its time: asked to, by SIGTERM, or diverged; always with a checkpoint to go on from."""

from __future__ import annotations

import contextlib
import math
import signal
import threading

import keras
import numpy as np

from ar_zoo.training.checkpoint import Checkpoint, checkpoints
from ar_zoo.training.status import Interrupted


class StopWhenAsked(keras.callbacks.Callback):
    """At SIGTERM, as schedulers send it before they take a machine away, saves after the step and ends the process.

    Args:
        checkpoint: the run's; it runs before this.
        between_epochs: whether it may stop only there.
    """

    def __init__(self, checkpoint: Checkpoint, between_epochs: bool = False):
        super().__init__()
        self.checkpoint, self.between_epochs, self.asked = checkpoint, between_epochs, False

    @contextlib.contextmanager
    def listening(self):
        """SIGTERM is taken to heart within; elsewhere it ends the process as ever."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python delivers signals to the main thread alone
            return
        before = signal.signal(signal.SIGTERM, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _ask(self, *_):
        self.asked = True

    def on_train_batch_end(self, batch, logs=None):
        if not self.between_epochs:
            self._stop_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        self._stop_if_asked()

    def _stop_if_asked(self):
        if self.asked:
            self.checkpoint.save()
            kept = checkpoints(self.checkpoint.folder)
            if self.checkpoint.writes and kept:
                print(
                    f"\nStopped after step {self.checkpoint.steps}, as asked. The same command goes on from {kept[0]}.",
                    flush=True,
                )
            raise Interrupted


class StopWhenDiverged(keras.callbacks.Callback):
    """Ends a run whose loss is no number any more, or grows and grows, and says where it went wrong.

    Args:
        checkpoint: the run's; it runs after this, so that no such step is kept.
        batch_at: step number → its batch, to look for the layer with.
        patience: for so many steps on end the loss must lie too high.
    """

    def __init__(self, checkpoint: Checkpoint, batch_at, patience: int = 20):
        super().__init__()
        self.checkpoint, self.batch_at, self.patience = checkpoint, batch_at, patience
        self._first, self._high, self._sum, self._count = None, 0, 0.0, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._sum, self._count = None, 0

    def on_train_batch_end(self, batch, logs=None):
        mean = float(np.asarray((logs or {}).get("loss", 0.0)).reshape(-1)[0])
        step = self.checkpoint.steps + 1
        if not math.isfinite(mean):
            raise ValueError(f"The loss of step {step:,} is {mean}{self._where()}. {self._advice()}")
        # What is logged is the epoch's mean so far; of an epoch that is gone on with, nothing is known of the first step.
        total, count = mean * (batch + 1), batch + 1
        loss = (total - self._sum) / (count - self._count) if self._sum is not None else mean
        self._sum, self._count = total, count
        if self._first is None:
            self._first = loss
        self._high = self._high + 1 if loss > self._first + 2 * abs(self._first) + 1 else 0
        if self._high >= self.patience:
            raise ValueError(
                f"The loss explodes: {loss:.4g} at step {step:,}, {self._first:.4g} at the first, for {self.patience} steps. "
                f"{self._advice()}"
            )

    def _advice(self):
        kept = checkpoints(self.checkpoint.folder)
        last = f"The last good checkpoint is {kept[0]}" if kept else "There is no checkpoint yet"
        return f"{last}. Try a lower learning rate, a longer warm-up or a smaller `clip_norm`, in another --out."

    def _where(self) -> str:
        found = first_not_finite(self.model, self.batch_at(self.checkpoint.steps))
        return f", first in {found}" if found else ""


def first_not_finite(model, batch) -> str | None:
    """Where the numbers of a step stop being finite: a layer's path, the head, or the weight whose gradient it is."""
    import tensorflow as tf

    found = []

    def watched(layer, call):
        def watching(*args, **kwargs):
            outputs = call(*args, **kwargs)
            if not found and not _finite(outputs):
                found.append(f"the layer {layer.path or layer.name!r}")
            return outputs

        return watching

    for weight in model.weights:
        if not _finite(weight):
            return f"the weight {weight.path!r}"
    layers = [layer for layer in model._flatten_layers(include_self=False) if "call" not in vars(layer)]
    try:
        for layer in layers:
            object.__setattr__(layer, "call", watched(layer, layer.call))
        with tf.GradientTape() as tape:
            loss, _ = model._loss_of(model._inputs_of(batch, training=True))
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")
    if found:
        return found[0]
    if not _finite(loss):
        return "the loss that is made of the layers' outputs"
    weights = model.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        if gradient is not None and not _finite(gradient):
            return f"the gradient of {weight.path!r}"
    return None


def _finite(values) -> bool:
    import tensorflow as tf

    return all(
        bool(tf.reduce_all(tf.math.is_finite(tf.cast(tensor, tensor.dtype))))
        for tensor in tf.nest.flatten(values)
        if hasattr(tensor, "dtype") and tf.as_dtype(getattr(tensor, "dtype", "int32")).is_floating
    )
