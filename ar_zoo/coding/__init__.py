"""Lossless compression: range coding of a model's symbols under the probabilities of its cached step.

    from ar_zoo import coding
    data = coding.compress("gated_pixel_cnn.mnist", digits)
    digits = coding.decompress(None, data)

Importing this package does not import TensorFlow. It needs `constriction`: `pip install 'ar_zoo[coding]'`.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "compress": "ar_zoo.coding.codec",
    "decompress": "ar_zoo.coding.codec",
    "compress_file": "ar_zoo.coding.files",
    "decompress_file": "ar_zoo.coding.files",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'ar_zoo.coding' has no attribute {name!r}; it has: {', '.join(_HOMES)}")
    return getattr(importlib.import_module(_HOMES[name]), name)
