"""Families by name. Those in `ar_zoo/models` are found by themselves; others register with the same decorator."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re

_FAMILIES: dict[str, type] = {}


def register(name_or_class):
    """Class decorator: makes a family known to `create`, the CLI, the laws and the export.

    Use it bare (`@ar_zoo.register`: the name is the class's in snake case) or with a name
    (`@ar_zoo.register("wavenet")`).

    Raises:
        ValueError: the name is taken by another class, or the class has no `tiny` preset.
    """
    if isinstance(name_or_class, str):
        return lambda cls: _register(cls, name_or_class)
    return _register(
        name_or_class, re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name_or_class.__name__).lower()
    )


def _register(cls, name):
    import keras

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"`name` must be snake case (letters, digits, _), as its file is; got {name!r}.")
    if "tiny" not in getattr(cls, "PRESETS", {}):
        raise ValueError(f"{cls.__name__}.PRESETS must hold a preset 'tiny': the laws are tested on it.")
    for what, taken in (
        (f"name {name!r}", _FAMILIES.get(name)),
        (f"class name {cls.__name__!r}", keras.saving.get_registered_object(f"ar_zoo>{cls.__name__}")),
    ):
        # The same class again is a module that was loaded twice.
        if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"The {what} is taken by {taken.__module__}.{taken.__qualname__}. Choose another.")
    cls.family = name
    _FAMILIES[name] = cls
    return keras.saving.register_keras_serializable(package="ar_zoo", name=cls.__name__)(cls)


def families() -> dict[str, type]:
    """All registered families by name, sorted."""
    package = importlib.import_module("ar_zoo.models")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"ar_zoo.models.{module.name}")
    return dict(sorted(_FAMILIES.items()))


def list_models(pattern: str = "") -> list[str]:
    """Names that `create` takes, `family.preset`, of those that contain `pattern`."""
    names = [f"{family}.{preset}" for family, cls in families().items() for preset in cls.PRESETS]
    return [name for name in names if pattern in name]


def find(name: str) -> tuple[type, dict]:
    """The class and the constructor arguments of `family.preset`."""
    if not isinstance(name, str):
        raise ValueError(f"`name` must be a string like 'gpt.tiny'; got {type(name).__name__}.")
    family, _, preset = name.partition(".")
    known = families()
    if family not in known or preset not in known[family].PRESETS:
        raise ValueError(unknown_name("name", name, list_models(), "`ar_zoo.list_models()` shows all."))
    cls = known[family]
    return cls, dict(cls.PRESETS[preset])


def unknown_name(argument: str, name: str, known: list[str], more: str) -> str:
    """The message for a name that is not known, with the nearest that are."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    near = near or [other for other in known if other.split(".")[0] == name.split(".")[0]][:3]
    hint = f" Nearest: {', '.join(near)}." if near else ""
    return f"`{argument}` {name!r} is not known.{hint} {more}"


def create(name: str, /, **overrides):
    """A new model with random weights.

    Args:
        name: `family.preset`, one of `list_models()`.
        **overrides: constructor arguments that take the place of the preset's.

    Example:
        >>> ar_zoo.create("gated_pixel_cnn.tiny", num_layers=3)
    """
    cls, arguments = find(name)
    try:
        return cls(**(arguments | overrides))
    except (TypeError, ValueError) as error:
        if "nrecognized keyword argument" not in str(error) and "unexpected keyword argument" not in str(error):
            raise
        raise ValueError(
            f"`create({name!r}, …)` was given an argument that {cls.__name__} does not have: {error}. "
            f"It takes {', '.join(sorted(arguments))}, name, dtype and what its docstring lists."
        ) from None


def num_weights(name: str, /, **overrides) -> int:
    """How many weights a preset has, counted from shapes: nothing is allocated, so that any size can be asked for."""
    from ar_zoo.core.filling import put_off

    with put_off():
        return create(name, **overrides).count_params()
