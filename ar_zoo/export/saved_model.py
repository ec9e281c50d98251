"""Endpoints as a SavedModel, for TF Serving and `tf.saved_model.load`."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf


def write_saved_model(endpoints: dict, folder) -> Path:
    """Writes one SavedModel with a signature for each endpoint and the weights as variables.

    Args:
        endpoints: name → `Endpoint`, as `signatures.endpoints` makes them.
        folder: where; made if it does not exist.

    Example:
        >>> write_saved_model(endpoints(model, 1, 12), "out")
        >>> tf.saved_model.load("out").signatures["score"](x=x)["log_prob"]
    """
    module = tf.Module()
    # The variables alone: a module that holds the Keras model itself cannot be saved.
    variables = {variable.ref(): variable for end in endpoints.values() for variable in end.function.variables}
    module.weights = list(variables.values())
    tf.saved_model.save(module, str(folder), signatures={name: end.function for name, end in endpoints.items()})
    return Path(folder)
