"""How long the steps of a `fit` take."""

import time

import keras


class StepTimes(keras.callbacks.Callback):
    """`seconds`: from the end of each step of the last epoch to that of the next."""

    def on_epoch_begin(self, epoch, logs=None):
        self._ends = []

    def on_train_batch_end(self, batch, logs=None):
        self._ends.append(time.perf_counter())

    @property
    def seconds(self):
        return [end - start for start, end in zip(self._ends[:-1], self._ends[1:], strict=True)]
