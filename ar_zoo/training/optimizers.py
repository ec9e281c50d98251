"""How weights follow their gradients: the optimizers of a recipe, and the schedules of their learning rate."""

from __future__ import annotations

import math

import keras
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.training.muon import Muon

SCHEDULES = ("cosine", "linear", "inverse_sqrt", "constant")
# name → class, and its arguments of a recipe.
_OPTIMIZERS = {
    "adamw": (keras.optimizers.AdamW, lambda recipe: {"beta_2": recipe.beta_2}),
    "adafactor": (keras.optimizers.Adafactor, lambda recipe: {"relative_step": False}),
    "lion": (keras.optimizers.Lion, lambda recipe: {"beta_2": recipe.beta_2}),
    "muon": (Muon, lambda recipe: {"adam_beta_2": recipe.beta_2, "adam_weight_decay": recipe.weight_decay}),
    "sgd": (keras.optimizers.SGD, lambda recipe: {"momentum": 0.9}),
}
OPTIMIZERS = tuple(_OPTIMIZERS)


def make_optimizer(recipe, model, total_steps: int | None):
    """A recipe's optimizer: decay of matrices and kernels alone, gradients clipped to a global norm, a running mean.

    Args:
        recipe: a `Recipe`.
        model: what it is to train.
        total_steps: updates that the schedule spreads over; `None` where time ends the run: then the learning rate is a
            number, which `TimeBudget` sets.

    Example:
        >>> model.compile(make_optimizer(recipe, model, total_steps=1000))
    """
    if recipe.optimizer not in OPTIMIZERS:
        raise ValueError(f"`optimizer` must be one of {', '.join(map(repr, OPTIMIZERS))}; got {recipe.optimizer!r}.")
    check_schedule(recipe.schedule)
    made, own = _OPTIMIZERS[recipe.optimizer]
    optimizer = made(
        recipe.learning_rate if total_steps is None else Schedule.of(recipe, total_steps),
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
        use_ema=recipe.average is not None,
        ema_momentum=recipe.average or 0.999,
        **own(recipe),
    )
    optimizer.exclude_from_weight_decay(
        [weight for weight in model.trainable_variables if weight.name not in ("kernel",)]
    )
    return optimizer


def inner(optimizer):
    """The optimizer itself, without what scales losses for float16. Example: `inner(model.optimizer).use_ema`"""
    return getattr(optimizer, "inner_optimizer", optimizer)


def check_schedule(schedule) -> None:
    if schedule not in SCHEDULES:
        raise ValueError(f"`schedule` must be one of {', '.join(map(repr, SCHEDULES))}; got {schedule!r}.")


def fallen(schedule: str, share, final_rate: float):
    """What is left of the learning rate after a share, from 0 to 1, of the way from the end of the warm-up to that of the
    run; `"inverse_sqrt"` knows no end. Example: `fallen("linear", 0.5, 0.0)` is 0.5
    """
    if schedule == "cosine":
        return final_rate + (1 - final_rate) * (1 + ops.cos(math.pi * share)) / 2
    if schedule == "linear":
        return 1 - (1 - final_rate) * share
    return 1.0


@keras.saving.register_keras_serializable(package="ar_zoo")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises from 0 on a straight line, and then falls.

    Args:
        schedule: along a `"cosine"` or a `"linear"` line to `final_rate` times itself; as one over the root of the step,
            `"inverse_sqrt"` (Vaswani et al. 2017, arXiv:1706.03762, equation 3, with the rate of its peak); `"constant"`.
        learning_rate: after the warm-up.
        final_rate: share of it that is left at the end.
        warmup_steps, total_steps: how many; the second includes the first.

    Example:
        >>> float(Schedule("linear", 1.0, 0.0, warmup_steps=10, total_steps=110)(60))
        0.5
    """

    def __init__(self, schedule, learning_rate, final_rate, warmup_steps, total_steps):
        check_schedule(schedule)
        arguments.whole(0, warmup_steps=warmup_steps)
        arguments.whole(total_steps=total_steps)
        self.schedule, self.learning_rate, self.final_rate = schedule, learning_rate, final_rate
        self.warmup_steps, self.total_steps = warmup_steps, total_steps

    @classmethod
    def of(cls, recipe, total_steps: int) -> Schedule:
        """That of a recipe; a short run warms up for half of it at most."""
        warmup = min(recipe.warmup_steps, total_steps // 2)
        return cls(recipe.schedule, recipe.learning_rate, recipe.final_rate, warmup, total_steps)

    def __call__(self, step):
        step, warmup = ops.cast(step, "float32"), self.warmup_steps
        share = ops.clip((step - warmup) / max(1, self.total_steps - warmup), 0.0, 1.0)
        factor = fallen(self.schedule, share, self.final_rate)
        if self.schedule == "inverse_sqrt":
            factor = ops.rsqrt(ops.maximum(step, 1.0) / max(1, warmup))
        return self.learning_rate * ops.where(step < warmup, step / max(1, warmup), factor)

    def get_config(self):
        names = ("schedule", "learning_rate", "final_rate", "warmup_steps", "total_steps")
        return {name: getattr(self, name) for name in names}
