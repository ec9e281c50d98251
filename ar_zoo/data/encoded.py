"""Raw data as a model's symbols. Apart from the rest of the package because it needs the model's checks."""

from __future__ import annotations

from ar_zoo.core import arguments, checks
from ar_zoo.data.examples import Examples
from ar_zoo.data.known_image import known_image


def in_units_of(model, part):
    """A table or series standardised as that which the model was trained on, where it knows; other data as it is."""
    return part.standardised(model.standard) if model.standard is not None and part.raw is not None else part


def image_levels(model) -> int:
    """How many levels raw images have that the model takes: 256, or 2 of black and white ones."""
    return getattr(model.head, "source_levels", None) or model.head.num_symbols


def scored(model, part, window=None, limit=None, labels=True) -> Examples:
    """What of a part a model is scored on: encoded, in the model's units, in windows where the length is free.

    Args:
        model, part: as in `encode`.
        window: length of the pieces; the model's `max_sites` by default, or 4,000.
        limit: at most so many events or windows, the first ones.
        labels: whether a model that takes labels is told those of the data.

    Example:
        >>> len(scored(model, ar_zoo.data.read("shipped:digits", "valid"), limit=10).x)
        10
    """
    arguments.whole_or_none(window=window, limit=limit)
    window = None if model.num_sites else window or model.max_sites or 4000
    labels = labels and "label" in model.context_spec and part.labels is not None and window is None
    return encode(model, in_units_of(model, part), window, labels).first(limit)


def encode(model, part, window=None, labels=False) -> Examples:
    """Raw data as the model's symbols, ready to be cut into batches.

    Args:
        model: a `DensityModel`, such as an `AutoregressiveModel`.
        part: what `ar_zoo.data.read` gives.
        window: length of the pieces that sound, text and series are cut into.
        labels: whether the data's labels are the context "label". The context "image" is always made from the images.

    Example:
        >>> encode(model, ar_zoo.data.read("shipped:digits"), labels=True).training(16, seed=0)
    """
    if part.kind == "answers":
        raise ValueError(
            f"{part.source} holds prompts and answers: give the recipe an objective that learns them, such as Supervised()."
        )
    context = {}
    if labels:
        if part.labels is None:
            raise ValueError(f"The recipe wants labels, and {part.source} has none.")
        context["label"] = part.labels
    if "image" in model.context_spec:
        context["image"] = known_image(part.values, model.context_spec["image"].shape, image_levels(model))
    examples = Examples(model.encode(part.values), context, window)
    # Refused here, in one line, and not inside a compiled step.
    checks.symbols(model, examples.x[:1] if window is None else examples.x[None, :window])
    checks.context(model, context)
    return examples
