"""How long the steps of a `fit` take."""

import time

import keras
import tensorflow as tf


class StepTimes(keras.callbacks.Callback):
    """`seconds`: from the end of each step of the last epoch to that of the next."""

    def on_epoch_begin(self, epoch, logs=None):
        self._ends = []

    def on_train_batch_end(self, batch, logs=None):
        self._ends.append(time.perf_counter())

    @property
    def seconds(self):
        return [end - start for start, end in zip(self._ends[:-1], self._ends[1:], strict=True)]


def fitted(model, data, batch):
    """`run` for `rounds.serve` of a compiled model and of arrays, or a structure of them, whose rows are taken as
    `rounds.rows_of` takes them."""
    taken, times = 0, StepTimes()
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread sleeps at a fit's end
    rows = tf.data.Dataset.from_tensor_slices(data).repeat().with_options(options)

    def run(steps):
        nonlocal taken
        batches = rows.skip(taken * batch).batch(batch, drop_remainder=True)
        history = model.fit(batches, steps_per_epoch=steps + 1, shuffle=False, verbose=0, callbacks=[times])
        taken += steps + 1
        return times.seconds, history.history["loss"][-1]

    return run
