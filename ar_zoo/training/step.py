"""How a step of training is computed, as a recipe says it: in what precision, in how many parts, with what kept."""

from __future__ import annotations

from ar_zoo.core import arguments
from ar_zoo.training.remat import rematerialise

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def check_step(recipe, qat) -> None:
    """Refuses what cannot be, or not together, before anything is made."""
    if recipe.precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {', '.join(map(repr, PRECISIONS))}; got {recipe.precision!r}.")
    arguments.whole(accumulate=recipe.accumulate, steps_per_execution=recipe.steps_per_execution)
    reason = "`accumulate`, since it is cut into as many parts"
    arguments.multiples(recipe.accumulate, reason, batch_size=recipe.batch_size)
    if recipe.remat and qat is not None:
        raise ValueError("`remat` must be off with `qat`: what is computed again would be so at weights as they are.")


def policy_of(recipe) -> str | None:
    """The dtype policy of its model; `None` for as it is."""
    return None if recipe.precision == "float32" else recipe.precision


def set_step(model, recipe) -> None:
    """Has a model train as a recipe says. Compile it afterwards."""
    model.accumulate = recipe.accumulate
    if recipe.remat:
        rematerialise(model)
