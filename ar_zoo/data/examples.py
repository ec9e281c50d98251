"""Batches for `fit` and `evaluate`: random access, in an order that depends on the seed and the step alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ar_zoo.data import ordering
from ar_zoo.data.augment import Augment

if TYPE_CHECKING:
    import tensorflow as tf


class Examples:
    """Rows of a fixed size, or windows over one long stream, in batches.

    Batch number `g` of training is a pure function of (seed, g): a run that starts again at `start_step=g` sees exactly
    what it would have seen. Batches run on through the epochs; none is cut short.

    With `window`, an epoch's rows are consecutive windows that begin at an offset which every epoch draws anew, so that
    the stream is cut everywhere in time; what is left over at both ends, less than two windows, waits for other epochs.

    Args:
        x: rows: [N, …]; with `window`, a stream: [T]. Integers come out as int32, floats keep their dtype.
        context: name → [N, …], what each row is conditioned on; only with rows.
        window: the length of a window, or None for rows.

    Raises:
        ValueError: if the shapes or dtypes do not fit.

    Example: `Examples(np.zeros((100, 28, 28, 1), np.uint8)).training(16, seed=0)`
    """

    def __init__(self, x: np.ndarray, context: Mapping[str, np.ndarray] | None = None, window: int | None = None):
        self.x = _checked("x", x)
        self.context = {name: _checked(f"context[{name!r}]", values) for name, values in (context or {}).items()}
        self.window = window
        if window is None and self.x.ndim < 2:
            raise ValueError(f"x must be rows [N, …]; got {list(self.x.shape)}. For a stream [T] pass window.")
        if window is not None and (self.x.ndim != 1 or window < 1):
            raise ValueError(
                f"window must be at least 1 and x a stream [T]; got window={window}, x {list(self.x.shape)}. "
                "Leave window out for rows."
            )
        if window is not None and self.context:
            raise ValueError("context goes with rows, not with window: cut the stream into rows first.")
        for name, values in self.context.items():
            if len(values) != len(self.x):
                raise ValueError(
                    f"context[{name!r}] must have one entry for each of {len(self.x)} rows; got {len(values)}."
                )

    def __len__(self) -> int:
        """Rows in an epoch of training; 0 for a stream that is shorter than a window."""
        if self.window is None:
            return len(self.x)
        if len(self.x) < self.window:
            return 0
        return max(1, (len(self.x) - self.window + 1) // self.window)

    @property
    def num_evaluation_rows(self) -> int:
        """Rows in `evaluation`: all of them, and of a stream also the tail that is shorter than a window."""
        return len(self.x) if self.window is None else -(-len(self.x) // self.window)

    def first(self, count: int | None) -> Examples:
        """The first `count` rows or windows; all, if there are fewer or `count` is None."""
        if count is None:
            return self
        context = {name: values[:count] for name, values in self.context.items()}
        return Examples(self.x[: count * (self.window or 1)], context, self.window)

    def training(
        self, batch_size: int, seed: int, start_step: int = 0, augment: Augment | None = None
    ) -> tf.data.Dataset:
        """An endless `tf.data.Dataset` of batches, from number `start_step` on.

        Under a `tf.distribute` strategy `batch_size` is the global batch, which the replicas share.

        Args:
            batch_size: rows in a batch, over all replicas.
            seed: 0 … 2**63 - 1; decides the order, the offsets and the augmentation.
            start_step: the number of the first batch.
            augment: a function of (x [B, …], seed int64 [2]) that gives a changed x of the same shape and dtype. It is
                traced once; the seed depends on `seed` and the batch number alone. `shift_images` makes one.

        Returns:
            a data set of `{"x": …, "context": {…}}` with static shapes; "context" only if there is one.

        Raises:
            ValueError: if an argument is out of range, or the stream is shorter than one window.

        Example: `model.fit(Examples(x).training(64, seed=0), steps_per_epoch=1000)`
        """
        _check_range("batch_size", batch_size, 1)
        _check_range("seed", seed, 0)
        _check_range("start_step", start_step, 0)
        if len(self) == 0:
            raise ValueError(f"window must fit into the stream: it is {self.window}, the stream {len(self.x)} long.")

        import tensorflow as tf

        def starts_of(epoch: tf.Tensor) -> tf.Tensor:
            order, word = ordering.epoch_order(epoch, len(self), seed)
            if self.window is None:
                return order
            return order * self.window + word % (len(self.x) - len(self) * self.window + 1)

        def batch_at(step: tf.Tensor, starts: tf.Tensor) -> dict:
            batch = self._rows(starts) if self.window is None else self._windows(starts)
            if augment is not None:
                # Seeds of orders are never negative, so no random word serves twice.
                batch["x"] = _augmented(batch["x"], augment, tf.stack([tf.constant(-1 - seed, tf.int64), step]))
            return batch

        return _finished(ordering.endless(starts_of, len(self), batch_size, start_step).map(batch_at))

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        """Every row once, in order, in batches that all have one shape and the same keys.

        The last batch is filled up with copies of the last row, whose `sample_weight` is 0. A stream's tail that is
        shorter than a window is filled up with zeros, where `mask` is False.

        Args:
            batch_size: rows in a batch.

        Returns:
            a finite data set of `{"x": [B, …], "context": {…}, "mask": bool [B, window], "sample_weight": float32
            [B]}`; "context" only if there is one, "mask" only if the stream has such a tail.

        Raises:
            ValueError: if `batch_size` is not positive.

        Example: `model.evaluate(Examples(x).evaluation(64))`
        """
        _check_range("batch_size", batch_size, 1)
        import tensorflow as tf

        number = self.num_evaluation_rows

        def batch_at(index: tf.Tensor) -> dict:
            places = index * batch_size + tf.range(batch_size, dtype=tf.int64)
            rows = tf.minimum(places, number - 1)
            batch = self._rows(rows) if self.window is None else self._windows(rows * self.window, masked=True)
            return batch | {"sample_weight": tf.cast(places < number, tf.float32)}

        return _finished(tf.data.Dataset.range(-(-number // batch_size)).map(batch_at))

    @functools.cached_property
    def _tensors(self) -> dict:
        """The arrays as tensors in the host's memory, made once; what a graph captures."""
        import tensorflow as tf

        with tf.init_scope(), tf.device("CPU:0"):
            return {"x": tf.constant(self.x), "context": {name: tf.constant(v) for name, v in self.context.items()}}

    def _rows(self, rows: tf.Tensor) -> dict:
        import tensorflow as tf

        batch = {"x": _symbols(tf.gather(self._tensors["x"], rows))}
        if self.context:
            context = self._tensors["context"]
            batch["context"] = {name: _integers(tf.gather(values, rows)) for name, values in context.items()}
        return batch

    def _windows(self, starts: tf.Tensor, masked: bool = False) -> dict:
        import tensorflow as tf

        sites = starts[:, None] + tf.range(self.window, dtype=tf.int64)
        if not masked or len(self.x) % self.window == 0:
            return {"x": _symbols(tf.gather(self._tensors["x"], sites))}
        inside = sites < len(self.x)
        x = _symbols(tf.gather(self._tensors["x"], tf.minimum(sites, len(self.x) - 1)))
        return {"x": tf.where(inside, x, tf.zeros_like(x)), "mask": inside}


def _finished(batches: tf.data.Dataset) -> tf.data.Dataset:
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    # The thread that tunes buffers sleeps for up to a minute, and an iterator of several replicas waits for it when it ends.
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.prefetch(2).with_options(options)


def _augmented(x: tf.Tensor, augment: Augment, seed: tf.Tensor) -> tf.Tensor:
    changed = augment(x, seed)
    if changed.shape != x.shape or changed.dtype != x.dtype:
        raise ValueError(
            f"augment must keep shape and dtype, {list(x.shape)} {x.dtype.name}; it returned {list(changed.shape)} "
            f"{changed.dtype.name}."
        )
    return changed


def _integers(values: tf.Tensor) -> tf.Tensor:
    """Every integer as int32; floats and truth values as they are."""
    import tensorflow as tf

    return tf.cast(values, tf.int32) if values.dtype.is_integer else values


def _symbols(values: tf.Tensor) -> tf.Tensor:
    """Discrete data as int32; floats as they are."""
    import tensorflow as tf

    return values if values.dtype.is_floating else tf.cast(values, tf.int32)


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "biuf" or values.ndim == 0 or len(values) == 0:
        raise ValueError(
            f"{name} must be an array of numbers with at least one entry; got {values.dtype} {list(values.shape)}. "
            "Encode text and waveforms to symbols first (encode_text, head.encode)."
        )
    return values


def _check_range(name: str, value: int, lowest: int) -> None:
    if not lowest <= value < 2**63:
        raise ValueError(f"{name} must be an integer from {lowest} to 2**63 - 1; got {value!r}.")
