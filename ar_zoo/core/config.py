"""One rule for configurations: every constructor argument is kept under its own name."""

from __future__ import annotations

import inspect

import keras


def _plain(value):
    """Lists and dicts without Keras's tracking wrappers; layers as configurations, so that a copy gets its own."""
    if isinstance(value, keras.layers.Layer):
        return keras.saving.serialize_keras_object(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _object(value):
    """A serialised object as the object; anything else as it is."""
    if isinstance(value, dict) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    return value


class Configurable:
    """Derives `get_config` and `from_config` from the constructor's signature.

    A class that stores each argument `a` of its constructor as `self.a` needs to write nothing else
    to be saved, copied and loaded.
    """

    @classmethod
    def argument_names(cls) -> list[str]:
        parameters = inspect.signature(cls.__init__).parameters.values()
        return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]

    def constructor_arguments(self) -> dict:
        return {name: _plain(getattr(self, name)) for name in self.argument_names()}

    def get_config(self) -> dict:
        base = {}
        if isinstance(self, keras.layers.Layer):
            base = {"name": self.name, "dtype": self.dtype_policy, "trainable": self.trainable}
        return base | self.constructor_arguments()

    @classmethod
    def from_config(cls, config, custom_objects=None):
        with keras.saving.custom_object_scope(custom_objects or {}):
            arguments = {name: _object(value) for name, value in config.items()}
        trainable = arguments.pop("trainable", True)
        made = cls(**arguments)
        if not trainable:
            made.trainable = False
        return made
