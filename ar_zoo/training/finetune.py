"""Fine-tuning a part of a model: frozen weights, and low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685)."""

from __future__ import annotations

import re

import keras

from ar_zoo.core import arguments
from ar_zoo.core.pretrained import named_layers, named_weights


def freeze(model, pattern: str) -> list[str]:
    """Weights whose paths match stay as they are in training. Compile the model afterwards.

    Args:
        model: any model of the zoo.
        pattern: a regular expression, searched for in paths such as `block_0/attention/query/kernel`.

    Returns:
        The paths.

    Example:
        >>> freeze(model, "embedding|block_[0-2]/")
    """
    paths = [path for path in named_weights(model) if _compiled("freeze", pattern).search(path)]
    if not paths or len(paths) == len(named_weights(model)):
        raise ValueError(
            f"`freeze` must match some of the model's weights and leave others; {pattern!r} matches "
            f"{'all' if paths else 'none'}. They are called {', '.join(list(named_weights(model))[:6])}, …"
        )
    for path in paths:
        named_weights(model)[path].trainable = False
    return paths


def add_lora(model, rank: int, pattern: str = "") -> list[str]:
    """Matrices W become W + A B with A [inputs, rank] and B [rank, outputs], and only A and B are trained. Compile afterwards.

    `ar_zoo.save` writes the sum: what it writes is a model like any other.

    Args:
        model: a model with dense layers.
        rank: of the adapters.
        pattern: a regular expression for the paths of the layers that get one, `"attention"` say; all by default.

    Returns:
        The layers' paths.

    Example:
        >>> add_lora(model, 8, "attention/(query|value)")
        >>> model.compile("adam")
    """
    arguments.whole(lora=rank)
    found = {
        path: layer
        for path, layer in named_layers(model).items()
        if isinstance(layer, keras.layers.Dense) and _compiled("lora_on", pattern).search(path)
    }
    if not found:
        raise ValueError(
            f"`lora_on` must match paths of dense layers, such as block_0/attention/query; got {pattern!r}."
        )
    for weight in model.trainable_variables:
        weight.trainable = False
    for layer in found.values():
        layer.enable_lora(rank)
    return list(found)


def _compiled(name, pattern):
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"`{name}` must be a regular expression; got {pattern!r}: {error}.") from None
