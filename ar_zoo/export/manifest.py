"""manifest.json of an export: all that a host has to know to run it, and the proof that the files are whole."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ar_zoo import __version__
from ar_zoo.core import checks
from ar_zoo.core.cache import DelayLine, KeyValue, Link
from ar_zoo.core.files import sha256_of
from ar_zoo.export.signatures import states

FORMAT_VERSION = 1


def describe(model, endpoints: dict, batch_size: int, num_sites: int, folder, parity: dict, litert_lm: dict) -> dict:
    """The manifest of the files in `folder`.

    Args:
        model: what was exported.
        endpoints: name → what `endpoint` says of it.
        batch_size, num_sites: what the endpoints were traced with.
        folder: holds the finished files, and nothing else.
        parity: format → endpoint → largest absolute difference between that file and the model.
        litert_lm: what `ar_zoo.export.litert_lm.write` says of that file, if there is one.
    """
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {
        "format_version": FORMAT_VERSION,
        "kind": "autoregressive" if checks.has_steps(model) else "density",
        "name": model.name,
        "family": getattr(model, "family", type(model).__name__),
        "config": keras.saving.serialize_keras_object(model),
        "event_shape": list(model.event_shape),
        "num_symbols": model.num_symbols,
        "batch_size": batch_size,
        "num_sites": num_sites,
        "sample_rate": model.sample_rate,
        "standard": model.standard,
        "context": {name: dataclasses.asdict(context) for name, context in model.context_spec.items()},
        **(_steps(model, num_sites) if checks.has_steps(model) else {}),
        "endpoints": endpoints,
        "parity": parity,
        "litert_lm": litert_lm or None,
        "versions": {"ar_zoo": __version__, "keras": keras.__version__, "tensorflow": tf.__version__},
        "files": {
            path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "size": os.path.getsize(path)}
            for path in files
        },
    }


def _steps(model, num_sites) -> dict:
    """What a host has to know to draw site by site."""
    spec, free = model.cache_spec(num_sites), model.num_sites is None
    # Delay lines and the like serve events of any length; a state that grows with the event does not.
    bounded = not free or model.max_sites is not None or model.cache_spec(num_sites + 1) != spec
    return {
        "head": _head(model.head),
        "site_shape": list(model.head.site_shape),
        "grid": [num_sites] if free else list(model.grid_shape),
        "max_sites": num_sites if bounded else None,
        "block_sizes": list(model.block_sizes) if model.block_sizes else None,
        "states": {name: _state(kind) for name, kind in states(spec).items()},
    }


def file_of(endpoint: str, format: str) -> str:
    """Where an export keeps an endpoint."""
    return "saved_model" if format == "saved_model" else f"{endpoint}.{format}"


def endpoint(endpoint, formats) -> dict:
    """An endpoint's inputs and outputs, and where each format keeps it."""
    slots = lambda group: [dataclasses.asdict(slot) for slot in group]  # noqa: E731
    described = {"inputs": slots(endpoint.inputs), "outputs": slots(endpoint.outputs)}
    described["products"] = _products(endpoint.function.graph)
    return described | {format: file_of(endpoint.name, format) for format in formats}


def _products(graph) -> list[list[int]]:
    """Rows, inner size and columns of each matrix product of a graph: what a step cannot do without."""
    found = []
    for operation in graph.get_operations():
        if operation.type in ("MatMul", "BatchMatMulV2"):
            a, b = (list(tensor.shape) for tensor in operation.inputs)
            names = ("transpose_a", "transpose_b") if operation.type == "MatMul" else ("adj_x", "adj_y")
            a, b = (x[::-1] if operation.get_attr(name) else x for x, name in ((a[-2:], names[0]), (b[-2:], names[1])))
            count = int(np.prod(operation.inputs[0].shape[:-2], dtype=int))
            found += [[a[0], a[1], b[1]]] * count
        elif operation.type == "Conv2D":
            height, width, channels, filters = operation.inputs[1].shape
            rows = int(np.prod(operation.outputs[0].shape[:3]))
            found.append([rows, height * width * channels, filters])
    return found


def _state(kind) -> dict:
    described = {"kind": type(kind).__name__, "shape": list(kind.shape), "dtype": kind.dtype}
    if isinstance(kind, DelayLine):
        return described | {"fill": 0, "taps": list(kind.taps)}
    if isinstance(kind, Link):
        return described | {"fill": 0, "size": kind.size}
    return described | {"fill": kind.fill} | ({"axis": kind.axis} if isinstance(kind, KeyValue) else {})


def _head(head) -> dict:
    return {
        "class": type(head).__name__,
        "config": head.get_config(),
        "num_symbols": head.num_symbols,
        "params_size": head.params_size,
        "noise_shape": list(head.noise_shape),
        "logits": hasattr(head, "logits"),
        "decode": _decode(head),
    }


def _decode(head) -> dict:
    """What each symbol stands for, so that a host decodes by looking it up: a text or a table, or nothing to do. Tokens are
    not looked up one by one: their tokenizer.json is in the head's configuration."""
    if head.num_symbols is None:
        return {}
    if "tokenizer" in head.argument_names():
        return {"tokenizer": True}
    raw = head.decode(np.arange(head.num_symbols))
    if isinstance(raw, str):
        return {"alphabet": raw}
    if np.array_equal(raw, np.arange(head.num_symbols)):
        return {}
    return {"table": raw.tolist(), "dtype": raw.dtype.name}
