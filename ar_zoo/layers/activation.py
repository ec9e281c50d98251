"""Activations by name."""

from __future__ import annotations

import keras


def get_activation(name):
    """The function of a name that Keras knows, or an error that says what was wrong.

    Example: `get_activation("relu")`
    """
    try:
        return keras.activations.get(name)
    except (ValueError, TypeError):
        raise ValueError(f"`activation` must be a name that Keras knows, 'relu' or 'tanh' say; got {name!r}.") from None
