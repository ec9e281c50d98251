"""Early stopping."""

from __future__ import annotations

import keras

from ar_zoo.training.checkpoint import Checkpoint


class Patience(keras.callbacks.Callback):
    """Ends training when validation has not become better for so many epochs.

    Args:
        epochs: how many; `None` for no end.
        checkpoint: the run's, which remembers the best epoch; it runs before this.
    """

    def __init__(self, epochs: int | None, checkpoint: Checkpoint):
        super().__init__()
        self.epochs, self.checkpoint = epochs, checkpoint

    @property
    def at_end(self) -> bool:
        """Whether it is used up."""
        return self.epochs is not None and self.checkpoint.epochs_done - self.checkpoint.best_epoch >= self.epochs

    def on_epoch_end(self, epoch, logs=None):
        if self.at_end:
            self.model.stop_training = True
