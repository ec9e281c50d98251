"""What `fit` minimises in place of a model's negative log-likelihood."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops


class Objective:
    """A loss of batches that are more than `x`. Set as `model.objective` before `compile`, it takes over `fit` and `evaluate`.

    A subclass is a frozen dataclass of its settings and writes `batch` and `measure`; the model knows nothing of it, and is
    saved without it.

    Example:
        >>> model.objective = ar_zoo.training.DPO(beta=0.1)
        >>> model.compile("adam")
        >>> model.fit(pairs)
    """

    #: What `measure` gives of training batches, and of others where that is not the same.
    measures: tuple[str, ...] = ("loss",)
    held_out: tuple[str, ...] | None = None

    def batch(self, model, data, training: bool) -> dict:
        """What `fit` hands over, checked: a dict of tensors."""
        raise TypeError(f"{type(self).__name__} must define `batch`.")

    def measure(self, model, batch, training: bool) -> dict:
        """Name → (a sum over the batch, what to divide it by). "loss" is what is minimised."""
        raise TypeError(f"{type(self).__name__} must define `measure`.")


class Measures:
    """An objective and the running means of what it measures, of one model."""

    def __init__(self, objective: Objective):
        self.objective = objective
        names = dict.fromkeys((*objective.measures, *(objective.held_out or ())))
        self.means = {name: keras.metrics.Mean(name=name) for name in names}

    def update(self, measured):
        for name, (total, count) in measured.items():
            mean = ops.cast(total, "float32") / ops.maximum(ops.cast(count, "float32"), 1e-9)
            self.means[name].update_state(mean, sample_weight=count)

    def results(self, training: bool) -> dict:
        names = self.objective.measures if training else self.objective.held_out or self.objective.measures
        return {name: self.means[name].result() for name in names}


def check_objective(value):
    if value is not None and not isinstance(value, Objective):
        raise ValueError(f"`objective` must be None or an Objective, such as ar_zoo.training.DPO(); got {value!r}.")


def columns(data, wanted: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict:
    """The entries of a batch of `Examples`, those beside `x` too, by name; `sample_weight` where it has one.

    Example: `columns({"x": x, "context": {"scored": scored}}, ("x", "scored"))`
    """
    data = {"x": data} if not isinstance(data, (dict, tuple)) else data
    data = dict(data[0] if isinstance(data, tuple) else data)
    data |= data.pop("context", None) or {}
    allowed = {*wanted, *optional, "sample_weight"}
    if not set(wanted) <= set(data) <= allowed:
        raise ValueError(
            f"A batch of this objective must have {', '.join(wanted)}, and may have {', '.join(sorted(allowed - set(wanted)))}; "
            f"got {', '.join(sorted(data))}."
        )
    return {name: tf.convert_to_tensor(value) for name, value in data.items() if value is not None}
