"""What a model draws as training goes, in TensorBoard: pictures, sound, text or tables of numbers."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ar_zoo.drawing import data_kind, sample_rate_of, sheet
from ar_zoo.training.callbacks import AveragedEvaluation


class Samples(keras.callbacks.Callback):
    """After each epoch draws a few events, always from the same noise, with the weights that are evaluated.

    Args:
        folder: of TensorBoard.
        number: how many.
        averaging: the run's.
        context: name → [number, …]; what of it the model takes.
        num_sites: where the length is free.

    Example: `model.fit(…, callbacks=[Samples("run/tensorboard", 16, averaging)])`
    """

    def __init__(self, folder, number: int, averaging: AveragedEvaluation, context=None, num_sites: int | None = None):
        super().__init__()
        self.number, self.averaging, self.context, self.num_sites = number, averaging, context or None, num_sites
        self._writer = tf.summary.create_file_writer(str(folder))

    @classmethod
    def of(cls, recipe, out, averaging: AveragedEvaluation, examples) -> Samples:
        """Those of a run in the folder `out`; what models are told is that of the first of the examples."""
        first = examples.first(recipe.samples)
        number = recipe.samples if recipe.window else len(first.x)
        return cls(out / "tensorboard" / "samples", number, averaging, first.context, recipe.window)

    def on_epoch_end(self, epoch, logs=None):
        model, length = self.model, {} if self.num_sites is None else {"num_sites": self.num_sites}
        context = {name: rows for name, rows in (self.context or {}).items() if name in model.context_spec}
        with self.averaging.averaged():
            x = model.sample(self.number, seed=0, context=context or None, **length)
        with self._writer.as_default(step=epoch):
            kind = data_kind(model)
            if kind == "image":
                tf.summary.image("samples", sheet(model, x)[None])
            elif kind == "sound":
                waves = np.asarray(model.head.decode(x), "float32")[..., None]
                tf.summary.audio("samples", waves, sample_rate_of(model), max_outputs=self.number)
            else:
                tf.summary.text("samples", [_indented(_text(model, kind, row)) for row in x])
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._writer.close()


def _text(model, kind, row) -> str:
    if kind == "text":
        return model.head.decode(row)
    return " ".join(f"{number:.5g}" for number in np.ravel(row))


def _indented(text) -> str:
    """As TensorBoard's Markdown shows text with its line breaks."""
    return "\n".join(f"    {line}" for line in text.split("\n"))
