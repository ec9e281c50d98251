"""How events, or the windows of one long stream, lie in batches of rows that are coded side by side."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ar_zoo.core import arguments, checks

WINDOW = 4000  # sites, where neither the caller nor the model says how many
_MAX_BATCH, _MAX_SITES, _MAX_BATCH_SITES = 1024, 1 << 22, 1 << 24


@dataclasses.dataclass(frozen=True)
class Rows:
    """The layout of a file's symbols.

    Attributes:
        count: rows in all.
        sites: of a row.
        last: sites of the last row, which may be shorter.
        site_shape: of the model's head.
        batch_size: rows that run side by side.
    """

    count: int
    sites: int
    last: int
    site_shape: tuple[int, ...]
    batch_size: int

    @property
    def firsts(self) -> range:
        """The first row of each batch."""
        return range(0, self.count, self.batch_size)

    @property
    def total(self) -> int:
        """Sites in all."""
        return (self.count - 1) * self.sites + self.last

    def batch(self, first: int, x: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Sites [B, S, …], those of `x` or zeros to be filled, and how many of each row count: 0 of rows beyond the last."""
        numbers = np.arange(first, first + self.batch_size)
        lengths = np.where(numbers < self.count - 1, self.sites, np.where(numbers < self.count, self.last, 0))
        sites = np.zeros((self.batch_size, self.sites, *self.site_shape), np.int32)
        if x is not None:
            size = self.sites * math.prod(self.site_shape)
            mine = x.reshape(-1)[first * size : (first + self.batch_size) * size]
            sites.reshape(-1)[: len(mine)] = mine
        return sites, lengths


def symbols_in(sites: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The symbols of a batch that count, in order."""
    return np.ascontiguousarray(sites[np.arange(sites.shape[1]) < lengths[:, None]])


def checked(model, x, window: int | None) -> tuple[np.ndarray, int | None]:
    """`x` as int32 symbols, and the window if it is a stream."""
    arguments.whole_or_none(window=window)
    x = np.asarray(x)
    if not x.size:
        raise ValueError(f"`x` must hold at least one symbol; got shape {list(x.shape)}.")
    if model.num_sites is not None or x.ndim != 1:
        if window is not None:
            raise ValueError(
                "`window` cuts a stream [T] of a model with free length into rows; got events. Leave it out."
            )
        return np.asarray(checks.symbols(model, x)), None
    window = min(window or model.max_sites or WINDOW, len(x))
    pieces = [x[None, first : first + window] for first in range(0, len(x), window)]
    return np.concatenate([np.asarray(checks.symbols(model, piece))[0] for piece in pieces]), window


def rows_of(model, shape, window: int | None, batch_size: int) -> Rows:
    """The rows of symbols of this shape; it is checked, for it may come from a file. Nothing is allocated.

    Raises:
        ValueError: the shape does not fit the model, or the batch is too large.
    """
    arguments.whole(batch_size=batch_size, **{f"shape[{axis}]": size for axis, size in enumerate(shape)})
    arguments.whole_or_none(window=window)
    wanted = model.event_shape if window is None else ()
    fits = len(shape) == len(wanted) + 1 and all(
        want in (None, size) for want, size in zip(wanted, shape[1:], strict=True)
    )
    if not fits or (window is not None and model.num_sites is not None):
        raise ValueError(f"Symbols of shape {list(shape)} are none of this {type(model).__name__}.")
    if window is None:
        count, sites = shape[0], model.num_sites or shape[1]
        last = sites
    else:
        count, sites = -(-shape[0] // window), window
        last = shape[0] - (count - 1) * window
    rows = Rows(count, sites, last, model.head.site_shape, min(batch_size, count))
    limit = min(model.max_sites or _MAX_SITES, _MAX_SITES)
    if rows.batch_size > _MAX_BATCH or sites > limit or rows.batch_size * sites > _MAX_BATCH_SITES:
        raise ValueError(
            f"`batch_size` must be at most {_MAX_BATCH:,}, with at most {limit:,} sites a row and {_MAX_BATCH_SITES:,} a "
            f"batch; got {rows.batch_size:,} rows of {sites:,}. Take fewer, or a smaller `window`."
        )
    return rows
