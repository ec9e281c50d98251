"""What is known of events before they are drawn: a beginning, or any of their sites. NumPy only: runtimes share it."""

from __future__ import annotations

import numpy as np


def known_sites(num_samples, sites, event_shape, site_shape, num_symbols, prefix=None, given=None, mask=None):
    """`prefix`, or `given` and `mask`, as symbols and which of them count.

    Args:
        num_samples: how many events will be drawn.
        sites: how many sites each has.
        event_shape: shape of one event, with `None` where the length is free.
        site_shape: the part of it, at its end, that is one site.
        num_symbols: size of the alphabet.
        prefix, given, mask: as in `AutoregressiveModel.sample`.

    Returns:
        (int32 [num_samples, sites, *site_shape], zero where nothing is known; bool [num_samples, sites]).

    Raises:
        ValueError: what was given has another shape or dtype, is too long, or leaves the alphabet.

    Example:
        >>> known_sites(2, 4, (None,), (), 9, prefix=[7, 8])[0]
        array([[7, 8, 0, 0],
               [7, 8, 0, 0]], dtype=int32)
    """
    values = np.zeros((num_samples, sites, *site_shape), np.int64)
    known = np.zeros((num_samples, sites), bool)
    if (given is None) != (mask is None):
        raise ValueError("`given` and `mask` go together: the symbols, and which of them are known.")
    if prefix is not None and given is not None:
        raise ValueError("`prefix` and `given` exclude each other: mark the prefix in `mask`.")
    if prefix is not None:
        prefix = _integers(prefix, "prefix")
        rows, length = _split_prefix(prefix, num_samples, event_shape, site_shape)
        if length > sites:
            raise ValueError(f"`prefix` has {length} sites, more than the {sites} of an event. Shorten it.")
        values[:, :length] = np.reshape(prefix, (rows, length, *site_shape))
        known[:, :length] = True
    if given is not None:
        given, mask = _integers(given, "given"), np.asarray(mask)
        grid = (sites,) if None in event_shape else tuple(event_shape[: len(event_shape) - len(site_shape)])
        for name, value, shape in (("given", given, (*grid, *site_shape)), ("mask", mask, grid)):
            if value.shape not in (shape, (num_samples, *shape)):
                raise ValueError(
                    f"`{name}` must have shape {list(shape)} or {[num_samples, *shape]}; got {list(value.shape)}."
                )
        if mask.dtype != bool:
            raise ValueError(f"`mask` must be bool, True where `given` is known; got dtype {mask.dtype}.")
        values[:] = np.broadcast_to(given, (num_samples, *grid, *site_shape)).reshape(values.shape)
        known[:] = np.broadcast_to(mask, (num_samples, *grid)).reshape(known.shape)
    inside = values[known]
    if inside.size and (inside.min() < 0 or inside.max() >= num_symbols):
        name = "prefix" if prefix is not None else "given"
        raise ValueError(f"`{name}` must hold symbols in 0..{num_symbols - 1}; got {inside.min()}..{inside.max()}.")
    return np.where(known.reshape(known.shape + (1,) * len(site_shape)), values, 0).astype(np.int32), known


def first_unknown(known) -> int:
    """The first site that some row does not know; the number of sites if all are known."""
    return known.shape[1] if known.all() else int(np.argmin(known.all(axis=0)))


def _integers(value, name):
    value = np.asarray(value)
    if value.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must hold integer symbols; got dtype {value.dtype}. Use `model.head.encode`.")
    return value


def _split_prefix(prefix, num_samples, event_shape, site_shape):
    """(rows, sites a row) of a prefix: whole rows of an event, or sites, for all samples or for each; read in that order."""
    for tail in (tuple(event_shape[1:]), tuple(site_shape)):
        sites = int(np.prod(tail[: len(tail) - len(site_shape)], dtype=int))
        if prefix.ndim == len(tail) + 1 and prefix.shape[1:] == tail:
            return 1, prefix.shape[0] * sites
        if prefix.ndim == len(tail) + 2 and prefix.shape[2:] == tail and prefix.shape[0] == num_samples:
            return num_samples, prefix.shape[1] * sites
    each = ", ".join(["sites", *map(str, site_shape)])
    raise ValueError(
        f"`prefix` must be [{each}] or [{num_samples}, {each}] (or whole rows of an event of shape "
        f"{list(event_shape)}); got shape {list(prefix.shape)}."
    )
