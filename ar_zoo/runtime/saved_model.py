"""One endpoint of an exported SavedModel, as arrays to fill, a `run`, and arrays to read. The one engine that is TensorFlow."""

from __future__ import annotations

import functools

import numpy as np


class Graph:
    """A signature of a SavedModel behind the same names as `litert.Graph`.

    Args:
        path: the SavedModel's folder.
        endpoint: its entry in the manifest, with its name.
    """

    def __init__(self, path, endpoint: dict):
        self._signature = _loaded(str(path)).signatures[endpoint["name"]]
        described = {slot["name"]: (tuple(slot["shape"]), slot["dtype"]) for slot in endpoint["inputs"]}
        found = {
            name: (tuple(spec.shape), spec.dtype.name)
            for name, spec in self._signature.structured_input_signature[1].items()
        }
        if described != found:
            raise ValueError(f"{path} has tensors {found}; its manifest describes {described}. Export it again.")
        self.inputs = {slot["name"]: np.zeros(slot["shape"], slot["dtype"]) for slot in endpoint["inputs"]}
        self.outputs = {slot["name"]: np.zeros(slot["shape"], slot["dtype"]) for slot in endpoint["outputs"]}

    def run(self):
        import tensorflow as tf

        outputs = self._signature(**{name: tf.constant(value) for name, value in self.inputs.items()})
        for name, value in outputs.items():
            self.outputs[name][...] = value


@functools.lru_cache(maxsize=2)
def _loaded(path):
    """A SavedModel, once for all of its endpoints."""
    try:
        import tensorflow as tf
    except ImportError:
        raise ImportError("The engine 'saved_model' is not installed: `pip install tensorflow`.") from None
    return tf.saved_model.load(path)
