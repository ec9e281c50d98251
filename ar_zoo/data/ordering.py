"""The order in which training sees the examples: a pure function of (seed, epoch), so that a run can resume anywhere.

An epoch's order sorts fresh 64-bit words. (`tf.random.experimental.index_shuffle` needs no memory, but has only 256
orders for data sets of up to 100 rows, and its orders of two epochs of 8,000 rows correlate.) It is all in the graph:
Python inside a data set, called from a thread that prefetches, can hang the interpreter when it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def epoch_order(epoch: tf.Tensor, num_rows: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The order of an epoch's rows, int64 [num_rows], and one more random word, any int64.

    Example: `order, word = epoch_order(0, num_rows=4, seed=0)`
    """
    import tensorflow as tf

    keys = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    words = tf.random.stateless_uniform([num_rows + 1], keys, None, None, tf.int64, alg="philox")
    return tf.cast(tf.argsort(words[:-1], stable=True), tf.int64), words[-1]


def endless(starts_of: Callable[[tf.Tensor], tf.Tensor], num_rows: int, batch_size: int, start_step: int):
    """A data set of (step, int64 [batch_size]): the rows of all epochs, one after the other, in batches.

    Args:
        starts_of: epoch → int64 [num_rows], its rows in its order.
        num_rows: rows in an epoch.
        batch_size: rows in a batch, which may span epochs.
        start_step: the number of the first batch.
    """
    import tensorflow as tf

    first_epoch, already_seen = divmod(start_step * batch_size, num_rows)
    epochs = tf.data.Dataset.counter(first_epoch)
    rows = epochs.flat_map(lambda epoch: tf.data.Dataset.from_tensor_slices(starts_of(epoch))).skip(already_seen)
    batches = tf.data.Dataset.zip((tf.data.Dataset.counter(start_step), rows.batch(batch_size, drop_remainder=True)))
    return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
