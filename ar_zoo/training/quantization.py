"""Quantisation-aware training: the loss is computed at the values that an export would store."""

from __future__ import annotations

from ar_zoo.core.quantization import grids


def quantization_aware(model, scheme):
    """From now on the model trains, and is evaluated, at its rounded weights. Compile it afterwards.

    Each step computes loss and gradient at the weights as `ar_zoo.export(…, quantize=scheme)` rounds them, and applies
    the gradient to the weights as they are ("straight through", Bengio et al. 2013, arXiv:1308.3432). What LiteRT does
    besides, rounding activations to eight bits, is not imitated.

    Args:
        model: an `AutoregressiveModel`.
        scheme: `"int4"`, say, or a dict, as in `ar_zoo.export`; `None` to end it.

    Returns:
        The grids by the weights' paths; `ar_zoo.core.quantization.rounded_weights` takes them.

    Raises:
        ValueError: unknown scheme.

    Example:
        >>> quantization_aware(model, "int4")
        >>> model.compile("adam")
        >>> model.fit(x)
    """
    model._weight_grids = {} if scheme is None else grids(model, scheme)
    # Functions that were traced before hold the weights as they are.
    model.train_function = model.test_function = None
    return model.weight_grids
