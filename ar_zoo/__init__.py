"""ar_zoo: autoregressive generative models for Keras 3, from `fit` to the phone.

    import ar_zoo
    model = ar_zoo.load("gated_pixel_cnn.mnist")
    digits = model.sample(16, seed=0)

Importing the package loads neither TensorFlow nor Keras; the first call that needs them does.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOMES = {
    "register": "ar_zoo.core.registry",
    "create": "ar_zoo.core.registry",
    "list_models": "ar_zoo.core.registry",
    "num_weights": "ar_zoo.core.registry",
    "load": "ar_zoo.interop",
    "save": "ar_zoo.core.pretrained",
    "list_pretrained": "ar_zoo.core.pretrained",
    "export": "ar_zoo.export",
    "AutoregressiveModel": "ar_zoo.core.model",
    "DensityModel": "ar_zoo.core.density",
}
_ROOMS = (
    "coding",
    "core",
    "data",
    "export",
    "heads",
    "interop",
    "layers",
    "metrics",
    "models",
    "runtime",
    "sampling",
    "training",
    "uses",
)

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        # `ar_zoo.export` is a function that lives in the package of the same name: both are callable.
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"ar_zoo.{name}")
    raise AttributeError(f"module 'ar_zoo' has no attribute {name!r}; it has: {', '.join(sorted({*_HOMES, *_ROOMS}))}")


def __dir__():
    return sorted((*globals(), *_HOMES, *_ROOMS))
