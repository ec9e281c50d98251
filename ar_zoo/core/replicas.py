"""What a step must do where several replicas share a batch, and Keras 3.15 does not: the one place that knows.

- Keras clips each replica's part of a gradient, and adds them up after that. A step of two devices is then another one than that
  of one device with the whole batch. Here gradients are added up first.
- Under `MultiWorkerMirroredStrategy` it takes the mean of what steps return along axis 0, which metrics lack.

`tests/training/test_strategies.py` says when Keras needs this no longer.
"""

from __future__ import annotations

import keras
import tensorflow as tf


def several() -> bool:
    """Whether the step that is computed is one replica's part of one."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def summed(tensors: list) -> list:
    """The tensors, of which some may be None, added up over all replicas; as they are where there is but one."""
    there = [tensor for tensor in tensors if tensor is not None]
    if not several() or not there:
        return tensors
    added = iter(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, there))
    return [None if tensor is None else next(added) for tensor in tensors]


def takes_sums(optimizer):
    """The optimizer, which from now on takes the gradients that a replica gives it for sums over all of them."""
    if several():
        own = optimizer.inner_optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else optimizer
        object.__setattr__(own, "_all_reduce_sum_gradients", list)
    return optimizer


def along_an_axis(results: dict) -> dict:
    """Metrics as a step must return them: with an axis to take the mean along, where Keras will."""
    if not isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return results
    return {name: tf.reshape(value, (1,)) for name, value in results.items()}
