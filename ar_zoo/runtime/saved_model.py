"""One endpoint of an exported SavedModel, as arrays to fill, a `run`, and arrays to read. The one engine that is TensorFlow."""

from __future__ import annotations

import numpy as np


class Graph:
    """A signature of a SavedModel behind the same names as `litert.Graph`.

    Args:
        path: the SavedModel's folder.
        endpoint: its entry in the manifest, with its name.
        opened: path → what was loaded from it, for the endpoints of one export to share.
    """

    def __init__(self, path, endpoint: dict, opened: dict | None = None):
        opened = {} if opened is None else opened
        if path not in opened:
            opened[path] = _loaded(str(path))
        self._signature = opened[path].signatures[endpoint["name"]]
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


def _loaded(path):
    try:
        import tensorflow as tf
    except ImportError:
        raise ImportError("The engine 'saved_model' is not installed: `pip install tensorflow`.") from None
    return tf.saved_model.load(path)
