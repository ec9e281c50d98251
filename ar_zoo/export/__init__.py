"""Exported models: SavedModel and TFLite files made from the contract, which `ar_zoo.runtime` and other hosts run.

    ar_zoo.export(model, "my_digits_export")

The package is callable: `ar_zoo.export(…)` and `from ar_zoo.export import export` are the same function.
"""

from __future__ import annotations

import sys
import types

from ar_zoo.export.artifact import export

__all__ = ["export"]


class _CallableModule(types.ModuleType):
    """Importing this package puts it at `ar_zoo.export`, where users expect the function: so it is both."""

    __call__ = staticmethod(export)


sys.modules[__name__].__class__ = _CallableModule
