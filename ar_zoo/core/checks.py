"""Bad input is refused where it enters: each check names the argument, what came, what is allowed and what to do."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ar_zoo.core.arguments import array
from ar_zoo.core.known import check_dtype, check_values


def head(model, value):
    if value.num_symbols is None and not model.CONTINUOUS:
        raise ValueError(
            f"`head` must be of symbols, such as Categorical: {type(model).__name__} takes no continuous data; got {value!r}."
        )


def symbols(model, x, name="x"):
    """`x` as a tensor of symbols [B, *event_shape], int32; of continuous data floats."""
    return tf.cast(_checked_symbols(model, x, name), model.symbol_dtype)


def _checked_symbols(model, x, name="x"):
    x = x if tf.is_tensor(x) else array(x, name)
    check_dtype(np.dtype(x.dtype.as_numpy_dtype if tf.is_tensor(x) else x.dtype), model.num_symbols, name)
    shape, wanted = tuple(x.shape), model.event_shape
    if len(shape) != len(wanted) + 1 or any(w is not None and s != w for s, w in zip(shape[1:], wanted, strict=False)):
        raise ValueError(f"`{name}` must have shape [batch, {_text(wanted)}]; got {list(shape)}.")
    _length(model, shape[1], name)
    if not isinstance(x, tf.Tensor) or tf.executing_eagerly():
        check_values(np.asarray(x), model.num_symbols, name)
    return x


def has_steps(model) -> bool:
    """Whether a model draws site by site. What does not is a `DensityModel`, or refused."""
    if not hasattr(model, "log_prob"):
        raise ValueError(
            "`model` must be an AutoregressiveModel or another DensityModel, such as `ar_zoo.load` gives; got "
            f"{type(model).__name__}."
        )
    return hasattr(model, "step")


def steps(model):
    """Refuses what does not draw site by site."""
    if not hasattr(model, "step"):
        without = ", which has no step" if hasattr(model, "log_prob") else ""
        raise ValueError(
            "`model` must be an AutoregressiveModel, such as `ar_zoo.load` gives, that draws site by site; got "
            f"{type(model).__name__}{without}."
        )


def mask(model, x, value):
    if value is None:
        return None
    if model.num_sites is not None:
        raise ValueError(
            f"`mask` marks padding, and events of {type(model).__name__} have the fixed shape [{_text(model.event_shape)}]. "
            "Leave it out."
        )
    value = tf.convert_to_tensor(value)
    if value.dtype != tf.bool or tuple(value.shape) != tuple(x.shape[:2]):
        raise ValueError(
            f"`mask` must be bool of shape {list(x.shape[:2])}, one entry a site; got {value.dtype.name} {list(value.shape)}."
        )
    return value


def texts(x, value):
    """`value` as integers, one a site of `x`."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_integer or not value.shape.is_compatible_with(x.shape):
        raise ValueError(
            f"`texts` must be integers of shape {list(x.shape)}, the text that each site of `x` belongs to; got "
            f"{value.dtype.name} {list(value.shape)}."
        )
    return value


def context(model, value) -> dict:
    """The context as a dict; only names and labels are checked here."""
    spec = model.context_spec
    if value is None:
        return {}
    if not isinstance(value, dict):
        if len(spec) != 1:
            raise ValueError(
                f"`context` must be None or a dict with the names {sorted(spec)}; got {type(value).__name__}."
                if spec
                else f"`context` was given, but this {type(model).__name__} takes none."
                + (" Create it with `num_classes=…`." if "num_classes" in model.argument_names() else "")
            )
        value = {next(iter(spec)): value}
    unknown = sorted(set(value) - set(spec))
    if unknown:
        raise ValueError(f"`context` holds {unknown}; this {type(model).__name__} knows {sorted(spec) or 'none'}.")
    value = {name: item for name, item in value.items() if item is not None}
    for name, item in value.items():
        classes = spec[name].num_classes
        if classes is not None and not _symbolic(item):
            labels = np.asarray(item)
            whole = labels.dtype.kind in "iu"
            if not whole or (labels.size and (labels.min() < 0 or labels.max() > classes)):
                raise ValueError(
                    f"`context[{name!r}]` must hold integers in 0..{classes - 1} ({classes} for unknown); got "
                    + (f"{labels.min()}..{labels.max()}." if whole else f"dtype {labels.dtype}.")
                )
        elif not _symbolic(item):
            numbers = np.asarray(item)
            if numbers.dtype.kind == "f" and not np.all(np.isfinite(numbers)):
                raise ValueError(
                    f"`context[{name!r}]` must hold finite numbers; got {numbers[~np.isfinite(numbers)][0]}."
                )
    return value


def rows_of_context(name, spec, value, batch_size):
    """A context's tensor with a row for each event: one value serves all."""
    shape = tuple(value.shape)
    if len(shape) == len(spec.shape):
        return tf.broadcast_to(value, (batch_size, *shape))
    known = isinstance(batch_size, int) and shape[0] is not None
    if len(shape) != len(spec.shape) + 1 or (known and shape[0] != batch_size):
        raise ValueError(
            f"`context[{name!r}]` must have shape [{_text(spec.shape)}], or [{_text(('batch', *spec.shape))}] with a row "
            f"for each of {batch_size if known else 'the'} events; got {list(shape)}."
        )
    return value


def context_of_samples(model, value, num_samples) -> dict:
    """The whole context as arrays with a row for each sample: one value serves all."""
    full = {}
    for name, item in context(model, value).items():
        spec = model.context_spec[name]
        item = np.asarray(item).astype(spec.dtype)
        if item.shape not in (spec.shape, (num_samples, *spec.shape)):
            raise ValueError(
                f"`context[{name!r}]` must have shape {list(spec.shape)} or {[num_samples, *spec.shape]}; "
                f"got {list(item.shape)}."
            )
        full[name] = np.broadcast_to(item, (num_samples, *spec.shape))
    for name, spec in model.context_spec.items():
        full.setdefault(name, np.full((num_samples, *spec.shape), spec.null, spec.dtype))
    return full


def num_sites(model, value) -> int:
    if model.num_sites is not None:
        if value not in (None, model.num_sites):
            raise ValueError(f"`num_sites` is fixed at {model.num_sites} for this model; got {value}. Leave it out.")
        return model.num_sites
    if value is None:
        value = model.max_sites
    if value is None:
        raise ValueError("`num_sites` must be given: the model's events have no fixed length.")
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"`num_sites` must be an integer of at least 1; got {value!r}.")
    _length(model, value, "num_sites")
    return int(value)


def order(model, value) -> dict:
    """`order` as `call` and `step` of the model take it: nothing, of families that draw in raster order alone."""
    count = 1 if model.orders is None else len(model.orders)
    if model.orderless and np.ndim(value):
        permutation = np.asarray(value)
        if not np.array_equal(np.sort(permutation), np.arange(model.num_sites)):
            raise ValueError(
                f"`order` must be a permutation of 0..{model.num_sites - 1}, or a number; got {permutation.tolist()}."
            )
        return {"order": permutation.astype(np.int32)}
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < count:
        more = "or 'ensemble' in `log_prob`" if count > 1 else f"since this {type(model).__name__} draws in one order"
        raise ValueError(f"`order` must be an integer in 0..{count - 1}, {more}; got {value!r}.")
    return {} if model.orders is None else {"order": int(value)}


def training_data(model, x, y=None, sample_weight=None):
    """What `fit`, `evaluate` and `predict` are given, checked as far as it is there, with the weights beside `x`.

    (Keras drops the weights where there is no `y`.) Data sets and generators are checked batch by batch, in `batch`.
    """
    if y is not None:
        raise ValueError(_NO_TARGETS)
    if isinstance(x, (tuple, list)):
        raise ValueError(
            "`x` must be an array, a dict with the keys x, context, mask, sample_weight, or a data set; got a "
            f"{type(x).__name__}. Make it one array: `np.asarray(x)`."
        )
    if not isinstance(x, (dict, np.ndarray, tf.Tensor)):
        return x
    data = dict(x) if isinstance(x, dict) else {"x": x}
    if sample_weight is not None:
        data["sample_weight"] = sample_weight
    _keys(data)
    values = _checked_symbols(model, data["x"])
    mask(model, values, data.get("mask"))
    rows = [(f"context[{name!r}]", value, spec.shape) for name, value, spec in _named(model, data.get("context"))]
    for name, value, shape in (*rows, ("sample_weight", data.get("sample_weight"), ())):
        if value is not None and np.shape(value) != (len(values), *shape):
            raise ValueError(
                f"`{name}` must have shape {[len(values), *shape]}, a row for each event; got {list(np.shape(value))}."
            )
    return {name: value for name, value in data.items() if value is not None}


def batch(model, data) -> dict:
    """What `fit` hands over: an array, or a dict of x, context, mask and sample_weight, or a tuple of it and weights."""
    sample_weight = None
    if isinstance(data, tuple):
        extra = data[1:]
        data = data[0]
        if extra and extra[0] is not None:
            raise ValueError(_NO_TARGETS)
        sample_weight = extra[1] if len(extra) > 1 else None
    if not isinstance(data, dict):
        data = {"x": data}
    _keys(data)
    inputs = {"context": None, "mask": None, "sample_weight": sample_weight} | data
    inputs["x"] = symbols(model, inputs["x"])
    inputs["mask"] = mask(model, inputs["x"], inputs["mask"])
    return inputs


_NO_TARGETS = (
    "`y` must be None: a density model learns `x` itself. Pass labels as `fit({'x': x, 'context': {'label': y}})`."
)


def _keys(data):
    if not {"x"} <= set(data) <= {"x", "context", "mask", "sample_weight"}:
        raise ValueError(
            f"A batch must have the keys x, context, mask, sample_weight (x at least); got {sorted(data)}."
        )


def _named(model, value):
    return [(name, item, model.context_spec[name]) for name, item in context(model, value).items()]


def _length(model, length, name):
    limit = model.max_sites if model.num_sites is None else None
    if limit is not None and length is not None and length > limit:
        raise ValueError(f"`{name}` has {length} sites; this model takes at most {limit} (its `max_sites`).")


def _symbolic(value) -> bool:
    import keras

    return isinstance(value, keras.KerasTensor) or (isinstance(value, tf.Tensor) and not hasattr(value, "numpy"))


def _text(shape) -> str:
    return ", ".join("any" if size is None else str(size) for size in shape)
