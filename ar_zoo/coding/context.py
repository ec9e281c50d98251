"""A context inside a compressed file: what the model was told of each event, so that the decoder can tell it again."""

from __future__ import annotations

import math
import zlib

import numpy as np

from ar_zoo.core import checks


def named(model, context, count: int) -> dict[str, np.ndarray]:
    """What was given, by name, with a row for each of `count` events."""
    given = checks.context(model, context)
    full = {name: np.asarray(value) for name, value in model.full_context(given, count).items()}
    return {name: full[name] for name in sorted(given)}


def stored(model, arrays: dict) -> tuple[dict, bytes]:
    """Name → dtype in the file, for the header, and the deflated bytes. Labels of few classes take one byte each."""
    small = {name: np.uint8 for name in arrays if 0 < (model.context_spec[name].num_classes or 0) < 256}
    arrays = {name: value.astype(small.get(name, value.dtype)) for name, value in arrays.items()}
    dtypes = {name: value.dtype.name for name, value in arrays.items()}
    return dtypes, zlib.compress(b"".join(value.tobytes() for value in arrays.values()), 9)


def restored(model, dtypes: dict, deflated: bytes, count: int) -> dict[str, np.ndarray]:
    """What `stored` was given. No more is inflated than that can be.

    Raises:
        ValueError: these bytes are no context of `count` events of this model.
    """
    try:
        kinds = {name: np.dtype(dtypes[name]) for name in sorted(dtypes)}
        shapes = {name: (count, *model.context_spec[name].shape) for name in kinds}
        size = sum(math.prod(shapes[name]) * kind.itemsize for name, kind in kinds.items())
        inflated = zlib.decompressobj().decompress(deflated, size + 1)
    except (zlib.error, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__} {error}") from None
    if len(inflated) != size or any(kind.kind not in "iuf" for kind in kinds.values()):
        raise ValueError(f"{len(inflated)} bytes of {dtypes} in place of {size}")
    arrays, place = {}, 0
    for name, kind in kinds.items():
        value = np.frombuffer(inflated, kind, math.prod(shapes[name]), place).reshape(shapes[name])
        arrays[name] = value.astype(model.context_spec[name].dtype)
        place += value.nbytes
    return named(model, arrays, count)


def of_batch(model, arrays: dict, numbers: np.ndarray) -> dict:
    """The full context of some rows, null where nothing was given."""
    return model.full_context({name: value[numbers] for name, value in arrays.items()}, len(numbers))
