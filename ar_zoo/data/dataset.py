"""What a source yields: one part of a data set, whole and in memory."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np

KINDS = ("image", "sound", "text", "table", "series", "answers")


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """One part (train, valid or test) of a data set.

    `len(data)` counts images, clips, characters, rows of a table, series, or prompts.

    Tables and series are standardised: `values = (raw - mean) / scale`, with the mean and the standard deviation of the
    train part, whichever part this is. Log-likelihoods of `values` are nats in units of `scale`; in the units of `raw`
    an event of a table has `log_scale` nats less, and so has each number of a series.

    Attributes:
        kind: "image", "sound", "text", "table", "series" or "answers".
        values: images: uint8 [N, H, W, C]; sound: float32 [samples] in [-1, 1], all clips end to end; text: a str;
            tables: float32 [N, D], an event a row; series: float32 [numbers], all series end to end; answers: texts [N, C],
            of `columns`: "prompt", "answer" and perhaps "rejected".
        labels: int32 [N], an index into `classes`, or None.
        classes: the labels' names, or None.
        lengths: sound and series: int32 [clips], how long each is; otherwise None.
        sample_rate: sound: samples per second, where it is known; otherwise None.
        raw: tables and series: the numbers as they were read, float64; otherwise None.
        mean, scale: tables: float64 [D]; series: float64 []; otherwise None.
        columns: tables: the columns' names, where they have any; answers: what the texts of a row are; otherwise None.
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
    raw: np.ndarray | None = None
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    columns: tuple[str, ...] | None = None
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

    @property
    def standard(self) -> dict | None:
        """How a table or series is standardised, in plain numbers for a model to keep: `mean`, `scale`, `columns`."""
        if self.raw is None:
            return None
        columns = {} if self.columns is None else {"columns": list(self.columns)}
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()} | columns

    def standardised(self, standard: dict) -> Data:
        """The same numbers, standardised as others were: those that a model was trained on."""
        mean, scale = (np.asarray(standard[name], np.float64) for name in ("mean", "scale"))
        if mean.shape != self.mean.shape:
            raise ValueError(
                f"{self.source} has means of shape {list(self.mean.shape)}; the model's are of {list(mean.shape)}."
            )
        wanted = standard.get("columns")
        if wanted and self.columns and list(self.columns) != list(wanted):
            raise ValueError(
                f"{self.source} has the columns {', '.join(self.columns)}; the model was trained on {', '.join(wanted)}. Put them "
                "into that order."
            )
        values = ((self.raw - mean) / scale).astype(np.float32)
        return dataclasses.replace(self, values=values, mean=mean, scale=scale)

    @property
    def log_scale(self) -> float:
        """Nats to take off the log-likelihood of a row of a table, or of a number of a series, for that in raw units."""
        return float(np.sum(np.log(self.scale)))

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the values' bytes (of a text's UTF-8; of a table's or series' raw numbers), as 64 hexadecimal
        digits: what a manifest records."""
        values = self.values if self.raw is None else self.raw
        values = "\0".join(values.ravel()) if self.kind == "answers" else values
        values = values.encode("utf-8") if isinstance(values, str) else np.ascontiguousarray(values)
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


def table(raw, train, labels=None, classes=None, columns=None, *, source: str) -> Data:
    """Data of a table: numbers [N, D], standardised by those of the train part, `train`."""
    columns = None if columns is None else tuple(str(name) for name in columns)
    raw, train = (_finite(rows, 2, "a table must be numbers [N, D]", columns, source) for rows in (raw, train))
    if raw.shape[1] != train.shape[1]:
        raise ValueError(f"{source} has {raw.shape[1]} columns, and its train part {train.shape[1]}.")
    mean, scale = train.mean(axis=0), train.std(axis=0)
    constant = [_column(place, columns) for place in np.flatnonzero(scale <= 1e-9 * np.abs(mean))]
    if constant:
        raise ValueError(
            f"{source}: {', '.join(constant)} of the train part holds one number throughout, which has no density. "
            "Leave it out."
        )
    labels = None if labels is None else np.asarray(labels).astype(np.int32)
    classes = None if classes is None else tuple(str(name) for name in classes)
    values = ((raw - mean) / scale).astype(np.float32)
    how = dict(raw=raw, mean=mean, scale=scale, columns=columns, source=source)
    return Data("table", values, labels=labels, classes=classes, **how)


def series(raw, lengths, train, *, source: str) -> Data:
    """Data of series: numbers [T], end to end, standardised by those of the train part, `train`."""
    raw, train = (_finite(numbers, 1, "series must be numbers [T]", None, source) for numbers in (raw, train))
    mean, scale = train.mean(), train.std()
    if not scale > 1e-9 * abs(mean):
        raise ValueError(f"{source}: the train part holds one number throughout, which has no density.")
    lengths = np.asarray([len(raw)] if lengths is None else lengths).astype(np.int32)
    values = ((raw - mean) / scale).astype(np.float32)
    return Data("series", values, lengths=lengths, raw=raw, mean=mean, scale=scale, source=source)


def _finite(values, rank: int, wanted: str, columns: tuple[str, ...] | None, source: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != rank or values.dtype.kind not in "iuf":
        raise ValueError(f"{source}: {wanted}; got {values.dtype} {list(values.shape)}.")
    if values.size == 0:
        raise ValueError(f"{source}: there is nothing in it. An empty data set cannot be used.")
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, *column = wrong[0]
        place = f"row {row + 1}" + "".join(f", {_column(number, columns)}" for number in column)
        raise ValueError(
            f"{source}: all numbers must be finite; {place} is {values[tuple(wrong[0])]}. "
            "Leave such rows out, or fill them in."
        )
    return values.astype(np.float64)


def _column(place: int, columns: tuple[str, ...] | None) -> str:
    return f"column {place + 1}" + ("" if columns is None else f" ({columns[place]})")
