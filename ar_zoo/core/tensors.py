"""Files of tensors (safetensors), read one tensor at a time."""

from __future__ import annotations

import contextlib


class TensorFile:
    """A safetensors file. It is opened anew for each tensor: what was read of a mapped file stays resident while it is open.

    Attributes:
        shapes, dtypes: of each tensor, by name; a dtype as the file spells it, "BF16" say.

    Raises:
        ValueError: if the file is damaged.
    """

    def __init__(self, path):
        self.path = path
        with self._opened() as stored:
            slices = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118
            self.shapes = {name: tuple(found.get_shape()) for name, found in slices.items()}
            self.dtypes = {name: found.get_dtype() for name, found in slices.items()}

    def read(self, name: str, start: int | None = None, stop: int | None = None):
        """A tensor, or a stretch of its last axis. Example: `TensorFile("model.safetensors").read("norm.weight")`"""
        with self._opened() as stored:
            return stored.get_tensor(name) if start is None else stored.get_slice(name)[..., start:stop]

    @contextlib.contextmanager
    def _opened(self):
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="numpy") as stored:
                yield stored
        except SafetensorError as error:
            raise ValueError(
                f"{self.path} cannot be read as safetensors ({error}): it was cut short or damaged."
            ) from None
