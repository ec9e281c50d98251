"""Early stopping."""

from __future__ import annotations

from pathlib import Path

import keras

from ar_zoo.core.manifest import read_manifest


class Patience(keras.callbacks.Callback):
    """Ends training when validation has not become better for so many epochs. Runs after `BestPreset`.

    Which epoch was the best is read from the best preset, so that a run which goes on remembers.

    Args:
        epochs: how many; `None` for no end.
        best: the folder of the best preset.
    """

    def __init__(self, epochs: int | None, best: Path):
        super().__init__()
        self.epochs, self.best = epochs, best

    def at_end(self, epochs_done: int) -> bool:
        """Whether it is used up after so many epochs."""
        if self.epochs is None:
            return False
        best = read_manifest(self.best)["epoch"] if self.best.is_dir() else 0
        return epochs_done - best >= self.epochs

    def on_epoch_end(self, epoch, logs=None):
        if self.at_end(epoch + 1):
            self.model.stop_training = True
