"""A learning rate to begin with, from one short sweep (Smith 2015, arXiv:1506.01186)."""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np

from ar_zoo.core import arguments
from ar_zoo.data import read
from ar_zoo.data.writers import figure_into
from ar_zoo.training.optimizers import make_optimizer
from ar_zoo.training.prepare import prepare
from ar_zoo.training.recipe import is_recipe
from ar_zoo.training.step import check_step, jit_of, set_step

LOWEST, HIGHEST = 1e-6, 10.0
_SMOOTHING = 0.9
_LOST = 0.5  # of the lowest loss above it: it will not come back


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Losses of single steps (nats per dimension) at rates that grow evenly in their logarithm.

    Attributes:
        rates, losses: one a step.
    """

    rates: list[float]
    losses: list[float]

    @property
    def smoothed(self) -> np.ndarray:
        """Running means of the losses, each with the weights that are there so far adding up to one."""
        means, mean = [], 0.0
        for step, loss in enumerate(self.losses, 1):
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
            means.append(mean / (1 - _SMOOTHING**step))
        return np.array(means)

    @property
    def suggestion(self) -> float:
        """A tenth of the rate at which the smoothed loss is lowest."""
        return self.rates[int(np.argmin(self.smoothed))] / 10

    def plot(self, path) -> None:
        """Rate against loss, into a PNG. Example: `sweep.plot("rates.png")`"""
        with figure_into(path, 7, 4) as figure:
            axes = figure.add_subplot()
            axes.plot(self.rates, self.losses, color="#bbbbbb", linewidth=0.8, label="each step")
            axes.plot(self.rates, self.smoothed, color="#2d5d8b", linewidth=1.6, label="smoothed")
            axes.axvline(self.suggestion, color="#b03a2e", linewidth=1.0, label=f"suggestion: {self.suggestion:.2g}")
            lowest = float(self.smoothed.min())
            axes.set(xscale="log", xlabel="learning rate", ylabel="nats per dimension")
            axes.set_ylim(lowest - 0.1 * abs(lowest), max(self.losses[0], lowest) + 0.3 * abs(lowest))
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)


def find_rate(recipe, data=None, seed: int = 0, steps: int = 120, jit_compile: bool | str = "auto", verbose=0) -> Sweep:
    """Trains a recipe's model for a few steps at rates from 1e-6 to 10, until the loss is lost. Nothing is kept.

    Args:
        recipe, data, seed, jit_compile: as in `train`.
        steps: of the whole sweep.

    Example:
        >>> find_rate(find_recipe("gpt_kjv"), data="shipped:text").plot("rates.png")
    """
    arguments.whole(10, steps=steps)
    recipe = dataclasses.replace(recipe, average=None, schedule="constant", steps_per_execution=1)
    check_step(recipe, None, None)
    if recipe.objective is not None and not recipe.objective.falls:
        raise ValueError(
            f"`recipe` must learn by a loss that falls; {recipe.name}'s {type(recipe.objective).__name__} has none. Try rates."
        )
    if is_recipe(recipe.start):
        raise ValueError(
            f"`start` must be a preset here; got the recipe {recipe.start!r}. Train it, and give its `best`."
        )
    how = dict(sample_rate=recipe.sample_rate, binarize=recipe.binarize)
    sets = {split: read(data or recipe.source, split, **how) for split in ("train", "valid")}
    keras.utils.set_random_seed(seed)
    model, _, stage, _ = prepare(recipe, sets, seed=seed)
    set_step(model, recipe, steps, seed)
    model.compile(make_optimizer(recipe, model, total_steps=None), jit_compile=jit_of(model, jit_compile))
    sweeping = _Sweeping(steps)
    batches = stage.examples["train"].training(recipe.batch_size, seed)
    model.fit(batches, shuffle=False, steps_per_epoch=steps, verbose=verbose, callbacks=[sweeping])
    return sweeping.sweep


class _Sweeping(keras.callbacks.Callback):
    def __init__(self, steps):
        super().__init__()
        self.steps, self.sweep = steps, Sweep([], [])

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()  # so that the loss is the step's own
        self.rate = LOWEST * (HIGHEST / LOWEST) ** (batch / (self.steps - 1))
        self.model.optimizer.learning_rate = self.rate

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        lowest = min([loss, *self.sweep.losses])
        if not math.isfinite(loss) or loss > lowest + _LOST * abs(lowest):
            self.model.stop_training = True
            return
        self.sweep.rates.append(self.rate)
        self.sweep.losses.append(loss)
