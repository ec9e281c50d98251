"""What a caller asks of a `Runtime`, checked where it comes in."""

from __future__ import annotations

import numpy as np

from ar_zoo.core import arguments, subwords
from ar_zoo.core.known import check_dtype, check_values, symbol_dtype


def num_sites(manifest, value) -> int:
    """The length to draw; delay lines and the like have no longest one."""
    exported, limit = manifest["num_sites"], manifest["max_sites"]
    if value is None:
        return exported
    if None not in manifest["event_shape"] and value != exported:
        raise ValueError(f"`num_sites` is fixed at {exported} for this model; got {value!r}. Leave it out.")
    arguments.whole(num_sites=value)
    if limit is not None and value > limit:
        raise ValueError(f"`num_sites` must be at most {limit}, which was exported; got {value}. Export with more.")
    return int(value)


def filters(head: dict, top_k, top_p) -> bool:
    """Whether symbols are drawn among the likeliest alone."""
    if top_k is None and top_p is None:
        return False
    if not head.get("logits"):
        raise ValueError(
            f"`top_k` and `top_p` need a head with logits, such as Categorical; this one is {head['class']}."
        )
    arguments.whole_or_none(top_k=top_k)
    if top_p is not None and (isinstance(top_p, bool) or not isinstance(top_p, (int, float)) or not 0 < top_p <= 1):
        raise ValueError(f"`top_p` must lie in (0, 1]; got {top_p!r}.")
    return True


def symbols(x, event_shape, num_symbols, limit) -> np.ndarray:
    """`x` as symbols [B, *event_shape]: int32, or float32 of continuous data."""
    x = np.asarray(x)
    check_dtype(x.dtype, num_symbols, "x")
    wanted = ", ".join("any" if size is None else str(size) for size in event_shape)
    fits = len(x.shape) == len(event_shape) + 1 and all(
        want in (None, size) for size, want in zip(x.shape[1:], event_shape, strict=True)
    )
    if not fits or not x.size:
        raise ValueError(f"`x` must have shape [batch, {wanted}]; got {list(x.shape)}.")
    if None in event_shape and limit is not None and x.shape[1] > limit:
        raise ValueError(f"`x` has {x.shape[1]} sites; {limit} were exported. Export with a larger `num_sites`.")
    check_values(x, num_symbols, "x")
    return x.astype(symbol_dtype(num_symbols))


def rows_of_context(spec: dict, context, rows: int) -> dict[str, np.ndarray]:
    """A value for each row and each name of the manifest's `context`: the null value where nothing is given."""
    if context is None:
        context = {}
    elif not isinstance(context, dict):
        if len(spec) != 1:
            allowed = f"a dict with the names {sorted(spec)}" if spec else "None, this model takes no context"
            raise ValueError(f"`context` must be {allowed}; got {type(context).__name__}.")
        context = {next(iter(spec)): context}
    unknown = sorted(set(context) - set(spec))
    if unknown:
        raise ValueError(f"`context` holds {unknown}; this model knows {sorted(spec) or 'none'}.")
    full = {}
    for name, described in spec.items():
        shape, dtype, classes = tuple(described["shape"]), described["dtype"], described["num_classes"]
        value = context.get(name)
        value = np.full(shape, described["null"]) if value is None else np.asarray(value)
        if classes is not None and (value.dtype.kind not in "iu" or not np.all((value >= 0) & (value <= classes))):
            raise ValueError(
                f"`context[{name!r}]` must hold integers in 0..{classes - 1} ({classes} for unknown); got "
                f"{value.dtype} {np.array2string(value, threshold=4)}."
            )
        if value.dtype.kind == "f" and not np.all(np.isfinite(value)):
            raise ValueError(f"`context[{name!r}]` must hold finite numbers; got {value[~np.isfinite(value)][0]}.")
        if value.shape not in (shape, (rows, *shape)):
            raise ValueError(
                f"`context[{name!r}]` must have shape {list(shape)} or {[rows, *shape]}; got {list(value.shape)}."
            )
        full[name] = np.broadcast_to(value, (rows, *shape)).astype(dtype)
    return full


def byte_symbols(head: dict) -> frozenset[int]:
    """Of a head of tokens those of single bytes."""
    return subwords.byte_symbols(head["config"]["tokenizer"]) if "tokenizer" in head["decode"] else frozenset()


def decode(symbols, head: dict):
    """Raw data for symbols, looked up in the manifest's `head`."""
    symbols, table = np.asarray(symbols), head["decode"]
    top = head["num_symbols"]
    if top is None:
        check_dtype(symbols.dtype, top, "symbols")
        return symbols
    if symbols.dtype.kind not in "iu" or (symbols.size and (symbols.min() < 0 or symbols.max() >= top)):
        raise ValueError(f"`symbols` must be integers in 0..{top - 1}; got {symbols.dtype} {symbols.ravel()[:3]}….")
    if "alphabet" in table or "tokenizer" in table:
        if symbols.ndim > 1:
            return [decode(row, head) for row in symbols]
        if "tokenizer" in table:
            return subwords.decode_subwords(np.atleast_1d(symbols), head["config"]["tokenizer"])
        return "".join(table["alphabet"][symbol] for symbol in np.atleast_1d(symbols).tolist())
    return np.asarray(table["table"], table["dtype"])[symbols] if "table" in table else symbols
