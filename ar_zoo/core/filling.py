"""Models whose weights are made with the values that they shall have: none is drawn first and replaced after."""

from __future__ import annotations

import contextlib
import sys

import numpy as np


@contextlib.contextmanager
def put_off():
    """Within it weights have shapes and no values; it gives the list of them, which the caller initialises or drops.

    Keras keeps that list, and its next scope to end would make them all: here it is a list of its own.
    """
    import keras
    from keras.src.backend.common import global_state  # no public name

    name = "uninitialized_variables"
    pending = global_state.get_global_attribute(name)
    mine: list = []
    global_state.set_global_attribute(name, mine)
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield mine
    finally:
        global_state.set_global_attribute(name, pending or [])


def filled(make, prepare):
    """A model with given weights, at the price of one of them in memory beside the model.

    Args:
        make: makes the model.
        prepare: model → a function that gives the value of a path (as `named_weights` has them), an array of any float type,
            or `None` for a fresh weight. It checks that all are there before the first is read.
    """
    import tensorflow as tf

    from ar_zoo.core.pretrained import named_weights

    with put_off() as waiting:
        model = make()
    paths = {id(weight): path for path, weight in named_weights(model).items()}
    value_of = prepare(model)
    while waiting:
        weight = waiting.pop(0)
        path = paths.get(id(weight))
        value = None if path is None else value_of(path)
        if value is not None:
            value = np.ascontiguousarray(value, tf.as_dtype(weight.dtype).as_numpy_dtype)
            weight._initializer = lambda shape, dtype=None, value=value: tf.convert_to_tensor(value)
        weight._deferred_initialize()
    return model


def report_unused(source, unused, allowed):
    """Refuses tensors that a model has no place for: without them it would compute something else.

    Args:
        source: the file or folder that holds them.
        unused: their names.
        allowed: a compiled regular expression for names of those that change nothing.
    """
    unused = sorted(name for name in unused if not allowed.search(name))
    if unused:
        raise ValueError(
            f"{source} holds {', '.join(map(repr, unused[:5]))}{' and others' * (len(unused) > 5)}, which this architecture of "
            "the zoo does not compute with: the model would be another one."
        )


def report_fresh(source, wanted, known):
    """Says which of the weights `wanted` are not among those `known`, and so start fresh: new parts, draft heads say."""
    fresh = [path for path in wanted if path not in known]
    if fresh:
        print(f"{source}: no weights for {', '.join(fresh)}, which start fresh.", file=sys.stderr)
