"""What a source yields: one part of a data set, whole and in memory."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np

KINDS = ("image", "sound", "text")


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """One part (train, valid or test) of a data set.

    `len(data)` counts images, clips or characters.

    Attributes:
        kind: "image", "sound" or "text".
        values: images: uint8 [N, H, W, C]; sound: float32 [samples] in [-1, 1], all clips end to end; text: a str.
        labels: int32 [N], an index into `classes`, or None.
        classes: the labels' names, or None.
        lengths: sound: int32 [clips], the samples of each clip; otherwise None.
        sample_rate: sound: samples per second, where it is known; otherwise None.
        source: what was read, for people.

    Raises:
        ValueError: if the part is empty, or if the arrays do not fit together.

    Example: `Data("text", "In the beginning", source="my head").sha256`
    """

    kind: str
    values: np.ndarray | str
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    lengths: np.ndarray | None = None
    sample_rate: int | None = None
    source: str = ""

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {self.kind!r}.")
        if len(self) == 0 or len(self.values) == 0:
            raise ValueError(f"{self.source}: there is no {self.kind} in it. An empty data set cannot be used.")
        if self.labels is not None and len(self.labels) != len(self):
            raise ValueError(
                f"{self.source}: labels must be one for each of the {len(self)} items; got {len(self.labels)}."
            )
        if self.lengths is not None and int(self.lengths.sum()) != len(self.values):
            raise ValueError(
                f"{self.source}: the clips' lengths must add up to the {len(self.values)} samples; "
                f"they add up to {int(self.lengths.sum())}."
            )

    def __len__(self) -> int:
        return len(self.values if self.lengths is None else self.lengths)

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the values' bytes (of a text's UTF-8), as 64 hexadecimal digits: what a manifest records."""
        values = self.values.encode("utf-8") if isinstance(self.values, str) else np.ascontiguousarray(self.values)
        return hashlib.sha256(values).hexdigest()


def images(values, labels=None, classes=None, *, source: str) -> Data:
    """Data of images: uint8 [N, H, W] or [N, H, W, C]."""
    values = np.asarray(values)
    if values.dtype != np.uint8 or values.ndim not in (3, 4):
        raise ValueError(
            f"{source}: images must be uint8 [N, H, W] or [N, H, W, C]; "
            f"got {values.dtype} {list(values.shape)}. Convert them to 0..255 first."
        )
    values = values[..., np.newaxis] if values.ndim == 3 else values
    labels = None if labels is None else np.asarray(labels).astype(np.int32)
    classes = None if classes is None else tuple(str(name) for name in classes)
    return Data("image", values, labels=labels, classes=classes, source=source)


def sound(values, lengths, sample_rate: int | None, labels=None, classes=None, *, source: str) -> Data:
    """Data of sound: int16, or float in [-1, 1], one-dimensional, the clips end to end."""
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "if":
        raise ValueError(
            f"{source}: sound must be one-dimensional, int16 or float in [-1, 1]; "
            f"got {values.dtype} {list(values.shape)}."
        )
    values = (values / np.float32(32768.0) if values.dtype.kind == "i" else values).astype(np.float32)
    peak = float(np.max(np.abs(values), initial=0.0))
    if not peak <= 1.0:
        raise ValueError(f"{source}: samples must lie in [-1, 1] (or be int16); the largest is {peak:g}. Scale them.")
    lengths = np.asarray([len(values)] if lengths is None else lengths).astype(np.int32)
    labels = None if labels is None else np.asarray(labels).astype(np.int32)
    classes = None if classes is None else tuple(str(name) for name in classes)
    return Data(
        "sound", values, labels=labels, classes=classes, lengths=lengths, sample_rate=sample_rate, source=source
    )
