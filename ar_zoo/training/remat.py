"""Rematerialisation (gradient checkpointing, Chen et al. 2016, arXiv:1604.06174): time for memory.

The blocks of a model keep what they are given, and compute the rest again when the gradient asks for it. `keras.RematScope`
does so for layers without states; dropout would draw another mask the second time, so here a block's states are those of
the first time.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras.src.backend import AutocastScope  # what `Layer.__call__` casts weights with; it has no public name


def rematerialise(model) -> list[str]:
    """From now on the model's blocks are computed twice in training. Values and gradients stay. Compile it afterwards.

    Args:
        model: one that is made of blocks: layers of layers, as those of transformers are.

    Returns:
        The names of the blocks.

    Raises:
        ValueError: the model has none.

    Example:
        >>> rematerialise(ar_zoo.create("gpt.tiny"))
        ['block_0', 'block_1']
    """
    blocks = [layer for layer in model._layers if layer._layers and type(layer).call is not keras.layers.Layer.call]
    if not blocks:
        raise ValueError(f"`remat` must be of a model that is made of blocks, such as gpt; {model.family} has none.")
    for block in blocks:
        block.call = _recomputed(block, block.call)
    model.train_function = model.test_function = None
    return [block.name for block in blocks]


def _recomputed(layer, call):
    def recomputed(*args, **kwargs):
        given = tf.nest.flatten((args, kwargs))
        places = [i for i, value in enumerate(given) if tf.is_tensor(value) and value.dtype.is_floating]
        states = [(state, tf.identity(state.value)) for state in layer.non_trainable_variables]
        later, structure = [], []

        def pure(*floats):
            values = list(given)
            for place, value in zip(places, floats, strict=True):
                values[place] = value
            args, kwargs = tf.nest.pack_sequence_as(given_structure, values)
            with AutocastScope(layer.compute_dtype), keras.StatelessScope(states) as scope:
                outputs = call(*args, **kwargs)
            if not structure:  # the first time; what the second leaves behind is the same
                structure.append(outputs)
                later.extend(scope.get_current_value(state) for state, _ in states)
            return tf.nest.flatten(outputs)

        given_structure = (args, kwargs)
        outputs = keras.remat(pure)(*[given[place] for place in places])
        for (state, _), value in zip(states, later, strict=True):
            state.assign(value)
        return tf.nest.pack_sequence_as(structure[0], tf.nest.flatten(outputs))

    return recomputed
