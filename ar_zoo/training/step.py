"""How a step of training is computed, as a recipe says it: in what precision, in how many parts, with what kept."""

from __future__ import annotations

from ar_zoo.core import arguments
from ar_zoo.core.regularisation import Regularisation
from ar_zoo.training.remat import rematerialise

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def check_step(recipe, qat, minutes, strategy="one") -> None:
    """Refuses what cannot be, or not together, before anything is made."""
    if minutes is not None and strategy == "multiworker":
        raise ValueError("`minutes` must be None under several workers, whose clocks differ: give `epochs` or `steps`.")
    if recipe.precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {', '.join(map(repr, PRECISIONS))}; got {recipe.precision!r}.")
    arguments.whole(
        batch_size=recipe.batch_size, accumulate=recipe.accumulate, steps_per_execution=recipe.steps_per_execution
    )
    arguments.positive(learning_rate=recipe.learning_rate)
    if recipe.weight_decay:
        arguments.positive(weight_decay=recipe.weight_decay)
    reason = "`accumulate`, since it is cut into as many parts"
    arguments.multiples(recipe.accumulate, reason, batch_size=recipe.batch_size)
    average = recipe.average
    if average is not None and not (isinstance(average, float) and 0 < average < 1):
        raise ValueError(
            f"`average` must lie between 0 and 1, or be None for the weights as they are; got {average!r}."
        )
    arguments.rates(label_smoothing=recipe.label_smoothing, scheduled_sampling=recipe.scheduled_sampling)
    arguments.whole_or_none(patience=recipe.patience)
    arguments.whole(0, samples=recipe.samples)
    if recipe.weight_noise:
        arguments.positive(weight_noise=recipe.weight_noise)
    if recipe.objective is not None:
        # It has a loss of its own, of rows that may belong together.
        for name, none in (("accumulate", 1), ("label_smoothing", 0), ("weight_noise", 0), ("scheduled_sampling", 0)):
            if getattr(recipe, name) != none:
                raise ValueError(f"`{name}` must be {none} with an objective; got {getattr(recipe, name)}.")
    other = [name for name, given in (("qat", qat), ("weight_noise", recipe.weight_noise)) if given]
    if recipe.remat and other:
        raise ValueError(f"`remat` must be off with `{other[0]}`: it computes again at weights as they are.")
    if len(other) == 2:
        raise ValueError("`weight_noise` must be 0 with `qat`, which has weights of its own to train at.")
    if recipe.scheduled_sampling and minutes is not None:
        raise ValueError(
            "`scheduled_sampling` must be 0 with `minutes`: it rises over a number of steps that is known."
        )


def policy_of(recipe) -> str | None:
    """The dtype policy of its model; `None` for as it is."""
    return None if recipe.precision == "float32" else recipe.precision


def jit_of(model, jit_compile: bool | str, smoke: bool = False) -> bool | str:
    """What `compile` is told of XLA. Keras's "auto" is for accelerators alone; a long run of a family that says so is
    compiled on a CPU too, if it computes in float32: XLA there knows no fast product of narrower floats.

    `tools/measure_training.py costs` shows what it saves, and what it costs families of convolutions over images.
    """
    import tensorflow as tf

    accelerated = any(device.device_type != "CPU" for device in tf.config.list_physical_devices())
    if jit_compile != "auto" or accelerated or smoke or tf.distribute.has_strategy():
        return jit_compile
    return model.XLA_ON_CPU and model.compute_dtype == "float32"


def set_step(model, recipe, total_steps: int | None, seed: int) -> None:
    """Has a model train as a recipe says, over so many updates. Compile it afterwards."""
    shares = {name: getattr(recipe, name) for name in ("label_smoothing", "weight_noise", "scheduled_sampling")}
    has_logits = hasattr(getattr(model, "head", None), "logits")
    if recipe.label_smoothing and not has_logits:
        raise ValueError("`label_smoothing` must be 0 for a head without logits: there is no alphabet to spread over.")
    if recipe.scheduled_sampling and not (has_logits and tuple(model.event_shape) == (None,)):
        raise ValueError("`scheduled_sampling` must be 0 but for sequences of symbols: text, tokens and sound.")
    model.regularisation = Regularisation(**shares, over_steps=total_steps or 1, seed=seed)
    model.accumulate = recipe.accumulate
    if recipe.remat:
        rematerialise(model)
