"""Gradients of a batch from its parts, one after another, so that one part's activations are in memory at a time.

Keras's own accumulation (`gradient_accumulation_steps`) adds up over batches instead. It fails under a strategy of several
replicas (it merges them inside a condition), and its schedules and running means count batches, not updates.
"""

from __future__ import annotations

import tensorflow as tf

from ar_zoo.core import replicas


def accumulated(parts: int, inputs: dict, gradients_of, weights: list) -> list:
    """Mean gradients over the parts that a batch is cut into, each weighted as its rows are.

    Args:
        parts: how many; 1 takes the batch whole.
        inputs: tensors [B, …], dicts of them, or None.
        gradients_of: (part of the inputs, which also says which `part`) → (a list of gradients, or None where there are none,
            of a mean over so much weight; that weight).
        weights: what the gradients are by, one each.

    Returns:
        A list of gradients: the batch's own.

    Raises:
        ValueError: B is not a multiple of `parts`.

    Example: `accumulated(4, {"x": x}, model._gradients_of, model.trainable_weights)`
    """
    if parts == 1:
        return gradients_of(inputs)[0]
    rows = inputs["x"].shape[0]
    if rows is None or rows % parts:
        raise ValueError(
            f"`accumulate` must divide the batch of each replica, whose size is to be known; got {parts} parts of {rows} rows."
        )
    cut = tf.nest.map_structure(
        lambda value: None if value is None else tf.reshape(value, (parts, rows // parts, *value.shape[1:])), inputs
    )
    absent = set()  # of gradients that there are none of; a step in parts is traced once

    def add(part, totals, counted):
        taken = tf.nest.map_structure(lambda value: None if value is None else value[part], cut)
        gradients, weight = gradients_of(taken | {"part": part})
        absent.update(i for i, gradient in enumerate(gradients) if gradient is None)
        weight = tf.cast(weight, counted.dtype)
        totals = [
            total if gradient is None else total + gradient * tf.cast(weight, gradient.dtype)
            for total, gradient in zip(totals, gradients, strict=True)
        ]
        return totals, counted + weight

    totals, counted = _in_turn(
        parts, add, [tf.zeros(weight.shape, weight.dtype) for weight in weights], tf.constant(0.0)
    )
    counted = tf.maximum(counted, 1e-9)
    return [None if i in absent else total / tf.cast(counted, total.dtype) for i, total in enumerate(totals)]


def _in_turn(parts, add, totals, counted):
    """What `add` makes of the totals with each part, one after another."""
    if not replicas.several():
        # A loop, whose rounds XLA too runs in order and in the same memory.
        more = lambda part, *_: part < parts  # noqa: E731
        after = lambda part, *found: (part + 1, *add(part, *found))  # noqa: E731
        return tf.while_loop(more, after, (tf.constant(0), totals, counted), parallel_iterations=1)[1:]
    for part in range(parts):  # replicas cannot add up within a loop
        # Without the dependency TensorFlow would run all parts at once, and keep all that they need.
        with tf.control_dependencies(totals):
            part = tf.identity(part)
        totals, counted = add(part, totals, counted)
    return totals, counted
