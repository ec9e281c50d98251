"""Gradients of a batch from its parts, one after another, so that one part's activations are in memory at a time.

Keras's own accumulation (`gradient_accumulation_steps`) adds up over batches instead. It fails under a strategy of several
replicas (it merges them inside a condition), and its schedules and running means count batches, not updates.
"""

from __future__ import annotations

import tensorflow as tf


def accumulated(parts: int, inputs: dict, gradients_of) -> list:
    """Mean gradients over the parts that a batch is cut into, each weighted as its rows are.

    Args:
        parts: how many; 1 takes the batch whole.
        inputs: tensors [B, …], dicts of them, or None.
        gradients_of: (part of the inputs, which also says which `part`) → (a list of gradients, or None where there are none,
            of a mean over so much weight; that weight).

    Returns:
        A list of gradients: the batch's own.

    Raises:
        ValueError: B is not a multiple of `parts`.

    Example: `accumulated(4, {"x": x}, model._gradients_of)`
    """
    if parts == 1:
        return gradients_of(inputs)[0]
    rows = inputs["x"].shape[0]
    if rows is None or rows % parts:
        raise ValueError(
            f"`accumulate` must divide the batch of each replica, whose size is to be known; got {parts} parts of {rows} rows."
        )
    total, weights = None, 0.0
    for part in range(parts):
        first, last = (part * rows // parts, (part + 1) * rows // parts)
        # Without the dependency TensorFlow would run all parts at once, and keep all that they need.
        with tf.control_dependencies([each for each in total or [] if each is not None]):
            taken = tf.nest.map_structure(
                lambda value, a=first, b=last: None if value is None else tf.identity(value[a:b]), inputs
            )
        gradients, weight = gradients_of(taken | {"part": part})
        gradients = [None if gradient is None else gradient * tf.cast(weight, gradient.dtype) for gradient in gradients]
        weights += weight
        if total is not None:
            gradients = [None if one is None else one + other for one, other in zip(total, gradients, strict=True)]
        total = gradients
    weights = tf.maximum(weights, 1e-9)
    return [None if gradient is None else gradient / tf.cast(weights, gradient.dtype) for gradient in total]
