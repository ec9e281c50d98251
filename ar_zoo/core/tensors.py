"""Files of tensors (safetensors), read one tensor at a time."""

from __future__ import annotations

import contextlib


class TensorFile:
    """A safetensors file. It is opened anew for each tensor: what was read of a mapped file stays resident while it is open.

    Attributes:
        shapes: of each tensor, by name.

    Raises:
        ValueError: if the file is damaged.
    """

    def __init__(self, path):
        self.path = path
        with self._opened() as stored:
            self.shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118

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
