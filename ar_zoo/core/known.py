"""What events are made of, and what is known of them before they are drawn. NumPy only: runtimes share it."""

from __future__ import annotations

import numpy as np

from ar_zoo.core.arguments import array


def symbol_dtype(num_symbols: int | None) -> str:
    """What the symbols of an alphabet are held as; of continuous data, which has none (`None`), its values."""
    return "float32" if num_symbols is None else "int32"


def nothing(dtype) -> int:
    """What `prev` holds before the first site: -1, or 0 of continuous data, where each number may be a value.

    So a model of continuous data tells the start by `index` and `positions`, unless a 0 adds nothing to what it sums.
    """
    return 0 if np.dtype(dtype).kind == "f" else -1


def known_sites(num_samples, sites, event_shape, site_shape, num_symbols, prefix=None, given=None, mask=None):
    """`prefix`, or `given` and `mask`, as symbols and which of them count.

    Args:
        num_samples: how many events will be drawn.
        sites: how many sites each has.
        event_shape: shape of one event, with `None` where the length is free.
        site_shape: the part of it, at its end, that is one site.
        num_symbols: size of the alphabet; `None` for continuous data.
        prefix, given, mask: as in `AutoregressiveModel.sample`.

    Returns:
        (int32, or float32 of continuous data, [num_samples, sites, *site_shape], zero where nothing is known; bool
        [num_samples, sites]).

    Raises:
        ValueError: what was given has another shape or dtype, is too long, leaves the alphabet, or is not finite.

    Example:
        >>> known_sites(2, 4, (None,), (), 9, prefix=[7, 8])[0]
        array([[7, 8, 0, 0],
               [7, 8, 0, 0]], dtype=int32)
    """
    values = np.zeros((num_samples, sites, *site_shape), np.int64 if num_symbols else np.float32)
    known = np.zeros((num_samples, sites), bool)
    if (given is None) != (mask is None):
        raise ValueError("`given` and `mask` go together: the symbols, and which of them are known.")
    if prefix is not None and given is not None:
        raise ValueError("`prefix` and `given` exclude each other: mark the prefix in `mask`.")
    if prefix is not None:
        prefix = _numbers(prefix, "prefix", num_symbols)
        rows, length = _split_prefix(prefix, num_samples, event_shape, site_shape)
        if length > sites:
            raise ValueError(f"`prefix` has {length} sites, more than the {sites} of an event. Shorten it.")
        values[:, :length] = np.reshape(prefix, (rows, length, *site_shape))
        known[:, :length] = True
    if given is not None:
        given, mask = _numbers(given, "given", num_symbols), np.asarray(mask)
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
    check_values(values[known], num_symbols, "prefix" if prefix is not None else "given")
    values = np.where(known.reshape(known.shape + (1,) * len(site_shape)), values, 0)
    return values.astype(symbol_dtype(num_symbols)), known


def check_values(values, num_symbols, name):
    """Refuses symbols that leave the alphabet; of continuous data, values that are not finite."""
    if num_symbols is None:
        wrong = values[~np.isfinite(values)]
        if wrong.size:
            raise ValueError(f"`{name}` must hold finite values; got {wrong[0]}.")
    elif values.size and (values.min() < 0 or values.max() >= num_symbols):
        raise ValueError(f"`{name}` must hold symbols in 0..{num_symbols - 1}; got {values.min()}..{values.max()}.")


def check_dtype(dtype, num_symbols, name):
    """Refuses what are no symbols; of continuous data, what are no floats."""
    if num_symbols is None:
        if dtype.kind != "f":
            raise ValueError(
                f"`{name}` must hold floats, values of continuous data; got dtype {dtype}. Cast them: `.astype('float32')`."
            )
    elif dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must hold integer symbols; got dtype {dtype}. Encode raw data first: `model.head.encode(values)`."
        )


def first_unknown(known) -> int:
    """The first site that some row does not know; the number of sites if all are known."""
    return known.shape[1] if known.all() else int(np.argmin(known.all(axis=0)))


def _numbers(value, name, num_symbols):
    value = array(value, name)
    check_dtype(value.dtype, num_symbols, name)
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
