"""Batches for `fit` and `evaluate`: random access, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ar_zoo.data import ordering

if TYPE_CHECKING:
    import tensorflow as tf

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]


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
                raise ValueError(f"context[{name!r}] must have one entry for each of {len(self.x)} rows; got {len(values)}.")

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

    def training_batch(self, step: int, batch_size: int, seed: int, augment: Augment | None = None) -> dict:
        """Batch number `step` as NumPy arrays: `{"x": [B, …]}`, and `"context": {name: [B, …]}` if there is one.

        Arguments and errors are those of `training`. Example: `Examples(x).training_batch(0, batch_size=8, seed=0)`
        """
        positions = step * batch_size + np.arange(batch_size, dtype=np.int64)
        rows, epochs = ordering.rows_of(positions, len(self), seed)
        if self.window is None:
            batch = self._rows(rows)
        else:
            slack = len(self.x) - len(self) * self.window
            offsets = {epoch: ordering.offset(slack, seed, epoch) for epoch in set(epochs.tolist())}
            starts = rows * self.window + np.asarray([offsets[epoch] for epoch in epochs.tolist()])
            batch = {"x": _plain(self.x[starts[:, np.newaxis] + np.arange(self.window)])}
        if augment is not None:
            changed = np.asarray(augment(batch["x"], ordering.generator(seed, step)))
            if (changed.shape, changed.dtype) != (batch["x"].shape, batch["x"].dtype):
                raise ValueError(
                    f"augment must keep shape and dtype, {list(batch['x'].shape)} {batch['x'].dtype}; it returned "
                    f"{list(changed.shape)} {changed.dtype}."
                )
            batch["x"] = changed
        return batch

    def training(
        self, batch_size: int, seed: int, start_step: int = 0, augment: Augment | None = None
    ) -> tf.data.Dataset:
        """An endless `tf.data.Dataset` of batches, from number `start_step` on.

        Under a `tf.distribute` strategy `batch_size` is the global batch, which the replicas share.

        Args:
            batch_size: rows in a batch, over all replicas.
            seed: 0 … 2**63 - 1; decides the order, the offsets and the augmentation.
            start_step: the number of the first batch.
            augment: a function of (x [B, …], a NumPy generator that depends on seed and batch number alone) that gives
                a changed x of the same shape and dtype; `shift_images` makes one.

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

        def batch_at(step: int) -> dict:
            return self.training_batch(step, batch_size, seed, augment)

        return _dataset(batch_at, start_step, None)

    def evaluation_batch(self, index: int, batch_size: int) -> dict:
        """Batch number `index` of `evaluation` as NumPy arrays. Example: `Examples(x).evaluation_batch(0, 8)`"""
        places = index * batch_size + np.arange(batch_size, dtype=np.int64)
        rows = np.minimum(places, self.num_evaluation_rows - 1)
        if self.window is None:
            batch = self._rows(rows)
        else:
            sites = rows[:, np.newaxis] * self.window + np.arange(self.window)
            inside = sites < len(self.x)
            x = _plain(self.x[np.minimum(sites, len(self.x) - 1)])
            batch = {"x": np.where(inside, x, x.dtype.type(0))}
            if len(self.x) % self.window:
                batch["mask"] = inside
        return batch | {"sample_weight": (places < self.num_evaluation_rows).astype(np.float32)}

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        """Every row once, in order, in batches that all have one shape and the same keys.

        The last batch is filled up with copies of the last row, whose `sample_weight` is 0. A stream's tail that is
        shorter than a window is filled up with zeros, where `mask` is False.

        Args:
            batch_size: rows in a batch.

        Returns:
            a finite data set of `{"x": [B, …], "context": {…}, "mask": bool [B, window], "sample_weight": float32 [B]}`;
            "context" only if there is one, "mask" only if the stream has such a tail.

        Raises:
            ValueError: if `batch_size` is not positive.

        Example: `model.evaluate(Examples(x).evaluation(64))`
        """
        _check_range("batch_size", batch_size, 1)
        num_batches = -(-self.num_evaluation_rows // batch_size)
        return _dataset(lambda index: self.evaluation_batch(index, batch_size), 0, num_batches)

    def _rows(self, rows: np.ndarray) -> dict:
        batch = {"x": _plain(self.x[rows])}
        if self.context:
            batch["context"] = {name: _plain(values[rows]) for name, values in self.context.items()}
        return batch


def shift_images(max_pixels: int, background: int = 0) -> Augment:
    """Augmentation that moves each image by up to `max_pixels` pixels, down or up and right or left, at random.

    Args:
        max_pixels: the largest shift along an axis.
        background: the symbol of the pixels that come in.

    Returns:
        a function of (x [B, H, W, C], generator) for `Examples.training`.

    Raises:
        ValueError: if `max_pixels` is negative; the function, if x is no batch of images.

    Example: `Examples(digits.values).training(64, seed=0, augment=shift_images(2))`
    """
    _check_range("max_pixels", max_pixels, 0)

    def augment(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if x.ndim != 4:
            raise ValueError(f"shift_images is for images [B, H, W, C]; x is {list(x.shape)}.")
        number, height, width, _ = x.shape
        border = (max_pixels, max_pixels)
        padded = np.pad(x, ((0, 0), border, border, (0, 0)), constant_values=background)
        down, right = generator.integers(-max_pixels, max_pixels, size=(2, number, 1), endpoint=True)
        rows = np.arange(height) + max_pixels - down
        columns = np.arange(width) + max_pixels - right
        return padded[np.arange(number)[:, np.newaxis, np.newaxis], rows[:, :, np.newaxis], columns[:, np.newaxis, :]]

    return augment


def _dataset(batch_at: Callable[[int], dict], start: int, stop: int | None) -> tf.data.Dataset:
    """A data set of `batch_at(start), batch_at(start + 1), …`, of which all batches have the first one's shapes."""
    import tensorflow as tf

    first = batch_at(start)
    shapes = [value.shape for value in tf.nest.flatten(first)]
    dtypes = [value.dtype for value in tf.nest.flatten(first)]

    def tensors(step):
        flat = tf.numpy_function(lambda number: tf.nest.flatten(batch_at(int(number))), [step], dtypes, stateful=False)
        for tensor, shape in zip(flat, shapes, strict=True):
            tensor.set_shape(shape)
        return tf.nest.pack_sequence_as(first, flat)

    steps = tf.data.Dataset.counter(start) if stop is None else tf.data.Dataset.range(start, stop)
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return steps.map(tensors).prefetch(tf.data.AUTOTUNE).with_options(options)


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "biuf" or values.ndim == 0 or len(values) == 0:
        raise ValueError(
            f"{name} must be an array of numbers with at least one entry; got {values.dtype} {list(values.shape)}. "
            "Encode text and waveforms to symbols first (encode_text, head.encode)."
        )
    return values


def _plain(values: np.ndarray) -> np.ndarray:
    """Symbols as int32; everything else, and truth values in a context, as they are."""
    return values.astype(np.int32) if values.dtype.kind in "iu" else values


def _check_range(name: str, value: int, lowest: int) -> None:
    if not lowest <= value < 2**63:
        raise ValueError(f"{name} must be an integer from {lowest} to 2**63 - 1; got {value!r}.")
