"""How fast training goes, and how much of its time it waits for data."""

from __future__ import annotations

import time

import keras
import tensorflow as tf


class Pace(keras.callbacks.Callback):
    """Adds to what each epoch logs: `sites_per_second`, and `data_wait`, the share of the steps' time spent waiting
    for data, where these are `timed`.

    Runs before what writes logs. Time is that of steps, as `Checkpoint` counts it; the first epoch's includes tracing.

    Args:
        sites: in a batch.

    Example:
        >>> pace = Pace(16 * 256)
        >>> model.fit(pace.timed(batches), callbacks=[pace], steps_per_epoch=100)
    """

    def __init__(self, sites: int):
        super().__init__()
        self.sites, self._timed = sites, False
        with tf.device("CPU:0"):
            self._waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    def timed(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The same batches, and the time that each lets its reader wait is noted.

        A zipped data set asks one after another: the clock, the batches, and the clock again.
        """

        def note(before, batch, after):
            self._waited.assign_add(after - before)
            return batch

        self._timed = True
        clocks = (tf.data.Dataset.counter().map(lambda _: tf.timestamp()) for _ in range(2))
        timed = tf.data.Dataset.zip((next(clocks), batches, next(clocks))).map(note)
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False  # it would read, and wait, in the place of the steps
        return timed.with_options(options)

    def on_epoch_begin(self, epoch, logs=None):
        self._before, self._seconds, self._batches = float(self._waited), 0.0, 0

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._seconds += time.perf_counter() - self._began
        self._batches = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        if self._batches and logs is not None:
            logs["sites_per_second"] = self._batches * self.sites / self._seconds
            if self._timed:
                logs["data_wait"] = min(1.0, (float(self._waited) - self._before) / self._seconds)
