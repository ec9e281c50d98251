"""What a recipe trains, before its first step: the model, and the data as it takes them."""

from __future__ import annotations

import dataclasses

from ar_zoo.core.pretrained import load
from ar_zoo.core.registry import create, find
from ar_zoo.data.encoded import encode
from ar_zoo.training.finetune import add_lora, freeze
from ar_zoo.training.quantization import quantization_aware
from ar_zoo.training.step import policy_of
from ar_zoo.training.token_objective import Stage


def prepare(recipe, sets: dict, qat=None, seed: int = 0, begun: str | None = None) -> tuple:
    """A recipe's model, the parts of the data that it knows, what is minimised on them, and the grids of its weights.

    Args:
        recipe: which.
        sets: split → what `ar_zoo.data.read` gave.
        qat: as in `train`.
        seed: of what the objective draws.
        begun: the preset to go on from, `recipe.start` by default.

    Returns:
        the model, the sets, a `Stage` and the grids (`qat`).
    """
    begun = begun or recipe.start
    overrides = dict(recipe.overrides) | ({"dtype": policy_of(recipe)} if policy_of(recipe) else {})
    objective = recipe.objective and recipe.objective.loaded()
    model = _load(recipe, begun) if begun else create_for(recipe, overrides, sets["train"], objective)
    if begun or getattr(objective, "head", None) is not None:
        sets = {split: _known_characters(model, part) for split, part in sets.items()}
    model.sample_rate = sets["train"].sample_rate or model.sample_rate
    model.standard = sets["train"].standard
    if recipe.lora is not None:
        add_lora(model, recipe.lora, recipe.lora_on)
    if recipe.freeze is not None:
        freeze(model, recipe.freeze)
    grids = quantization_aware(model, qat)
    if objective is None:
        stage = Stage(None, {split: encode(model, part, recipe.window, recipe.labels) for split, part in sets.items()})
    else:
        stage = objective.stage(model, sets, recipe, seed)
    model.objective = stage.objective
    return model, sets, stage, grids


def create_for(recipe, overrides, part, objective=None):
    """The model; one for text takes its alphabet or its tokens from the training part, or its head from its teacher, one with a
    palette as many colours, one for tables the number of columns."""
    if getattr(objective, "head", None) is not None:
        return create(recipe.model, **overrides | {"head": objective.head})
    preset = find(recipe.model)[1]
    head = (preset | overrides).get("head")
    if part.kind == "table" and "event_shape" in preset:
        overrides["event_shape"] = part.values.shape[1:]
    text = part.values if part.kind == "text" else None
    if part.kind == "answers":
        text = "".join([*part.values.ravel(), getattr(objective, "end", "")])
    if text and recipe.vocabulary:
        overrides["head"] = type(head).from_text(text, recipe.vocabulary)
    elif text and hasattr(head, "from_text") and not hasattr(head, "tokenizer"):
        overrides["head"] = type(head).from_text(text)
    elif hasattr(head, "from_images"):
        overrides["head"] = type(head).from_images(part.values, head.num_symbols)
    return create(recipe.model, **overrides)


def _load(recipe, begun):
    model = load(begun, dtype=policy_of(recipe), **recipe.overrides)
    family = recipe.model.partition(".")[0]
    if model.family != family:
        raise ValueError(
            f"`from` must be a preset of {family}, the recipe's family; {recipe.start} is of {model.family}."
        )
    return model


def _known_characters(model, part):
    """A text without the characters that the model it goes on from has never seen; says which."""
    alphabet = getattr(model.head, "alphabet", None)
    unknown = set(part.values) - set(alphabet) if part.kind == "text" and alphabet else None
    if not unknown:
        return part
    text = part.values.translate({ord(letter): None for letter in unknown})
    count, shown = len(part.values) - len(text), " ".join(map(repr, sorted(unknown)[:10]))
    print(
        f"{part.source}: {count:,} of {len(part.values):,} characters are left out, which the model does not know: {shown}"
    )
    return dataclasses.replace(part, values=text)
