"""Images, sound, tables and series from `.npz` files.

| layout | arrays |
|---|---|
| images in parts | `x_train` uint8 [N, H, W] or [N, H, W, C], perhaps `y_train` [N]; so valid, test; `classes` |
| sound in parts | `train_samples` int16 or float [samples], `train_lengths` [clips]; so valid, test; `sample_rate` |
| tables in parts | `x_train` numbers [N, D], perhaps `y_train` [N]; so valid, test; `classes`, `columns` |
| series in parts | `train_series` numbers [T], `train_lengths` [series]; so valid, test |
| one array | uint8 images, float rows [N, D], or one-dimensional samples under any name, perhaps `sample_rate`; "train" alone |
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ar_zoo.data import dataset, splits

_LAYOUTS = (
    "x_train (uint8 images, or rows of numbers), y_train, x_valid, …; or train_samples (int16), train_lengths, …, "
    "sample_rate; or train_series, train_lengths, …; or one array of images, rows or samples"
)
_KEPT = {"image": "images", "table": "images", "sound": "sound", "series": "series"}  # kind → where it is looked for


def read_npz(path: Path, split: str, kind: str | None = None) -> dataset.Data:
    """Reads one part of an `.npz` file in a layout of the module's table.

    Args:
        path: the file.
        split: "train", "valid" or "test".
        kind: "image", "table", "sound" or "series" where the file holds several; otherwise None. One array [T] is
            sound unless this says "series".

    Raises:
        ValueError: if the file is truncated, is not an npz, has another layout, or does not have that part.

    Example: `read_npz(Path("mnist.npz"), "valid").values.shape`
    """
    arrays = _Arrays(path)
    found = {
        "images": [name[len("x_") :] for name in arrays.names if name.startswith("x_")],
        "sound": [name[: -len("_samples")] for name in arrays.names if name.endswith("_samples")],
        "series": [name[: -len("_series")] for name in arrays.names if name.endswith("_series")],
    }
    held = [name for name, parts in found.items() if parts]
    if not held:
        return _lone_array(arrays, split, kind)
    if len(held) > 1 and kind is None:
        kinds = " or ".join(f"kind={kind!r}" for kind in ("image", "sound", "series") if _KEPT[kind] in held)
        raise ValueError(f"{path} holds {' and '.join(held)}: pass {kinds}.")
    wanted = _KEPT.get(kind)
    wanted = wanted if wanted in held else held[0]
    read = {"images": _rows, "sound": _sound, "series": _series}[wanted]
    return read(arrays, found[wanted], split)


def _rows(arrays: _Arrays, names: list[str], split: str) -> dataset.Data:
    """Images, or the rows of a table."""
    part = splits.choose_part(names, split, str(arrays.path))
    values, labels = arrays[f"x_{part.name}"], arrays.get(f"y_{part.name}")
    if labels is not None and len(labels) != len(values):
        what = "rows" if values.ndim == 2 else "images"
        raise ValueError(
            f"{arrays.path}: y_{part.name} must have one label for each of the {len(values)} {what} of "
            f"x_{part.name}; got {len(labels)}."
        )
    some = part.slice(len(values))
    labels, classes = None if labels is None else labels[some], arrays.get("classes")
    if values.ndim != 2:
        return dataset.images(values[some], labels, classes, source=str(arrays.path))
    train = splits.train_part(names, str(arrays.path))
    whole = arrays[f"x_{train.name}"]
    whole = whole[train.slice(len(whole))]
    return dataset.table(values[some], whole, labels, classes, arrays.get("columns"), source=str(arrays.path))


def _sound(arrays: _Arrays, names: list[str], split: str) -> dataset.Data:
    values, lengths = _clips(arrays, splits.choose_part(names, split, str(arrays.path)), "samples")
    return dataset.sound(values, lengths, _sample_rate(arrays), source=str(arrays.path))


def _series(arrays: _Arrays, names: list[str], split: str) -> dataset.Data:
    values, lengths = _clips(arrays, splits.choose_part(names, split, str(arrays.path)), "series")
    train = _clips(arrays, splits.train_part(names, str(arrays.path)), "series")[0]
    return dataset.series(values, lengths, train, source=str(arrays.path))


def _clips(arrays: _Arrays, part: splits.Part, what: str) -> tuple[np.ndarray, np.ndarray | None]:
    """A part's numbers end to end, and how long each clip is: whole clips, or a stretch of what has no clips."""
    values, lengths = arrays[f"{part.name}_{what}"], arrays.get(f"{part.name}_lengths")
    if lengths is None:
        return values[part.slice(len(values))], None
    if int(lengths.sum()) != len(values):
        raise ValueError(
            f"{arrays.path}: {part.name}_lengths must add up to the {len(values)} {what}; got {int(lengths.sum())}."
        )
    clips = part.slice(len(lengths))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return values[ends[clips.start] : ends[clips.stop]], lengths[clips]


def _lone_array(arrays: _Arrays, split: str, kind: str | None) -> dataset.Data:
    names = [name for name in arrays.names if name != "sample_rate"]
    if len(names) != 1:
        held = ", ".join(arrays.names) or "nothing"
        raise ValueError(f"{arrays.path} holds {held}; known are {_LAYOUTS}. Save it again under these names.")
    if split != "train":
        raise ValueError(
            f"split {split!r} is not in {arrays.path}, which holds one array without parts: pass split='train', or "
            "save the parts as x_train and x_valid (images, tables), train_samples and valid_samples (sound), or "
            "train_series and valid_series."
        )
    values = arrays[names[0]]
    if values.dtype.kind == "f" and values.ndim == 2:
        return dataset.table(values, values, source=str(arrays.path))
    if kind == "series":
        return dataset.series(values, None, values, source=str(arrays.path))
    if values.dtype == np.uint8 and values.ndim in (3, 4):
        return dataset.images(values, source=str(arrays.path))
    if values.dtype.kind in "if" and values.ndim == 1:
        return dataset.sound(values, None, _sample_rate(arrays), source=str(arrays.path))
    raise ValueError(
        f"{arrays.path}: the array {names[0]!r} is {values.dtype} {list(values.shape)}; it must be images, uint8 "
        "[N, H, W] or [N, H, W, C], or rows of floats [N, D], or samples, one-dimensional int16 or float in [-1, 1]."
    )


def _sample_rate(arrays: _Arrays) -> int | None:
    rate = arrays.get("sample_rate")
    return None if rate is None else int(rate)


class _Arrays:
    """The arrays of an npz file by name, each read when it is asked for; a damaged file is one clear error."""

    def __init__(self, path: Path):
        self.path = path
        with self._opened() as archive:
            self.names = list(archive.files)

    def __getitem__(self, name: str) -> np.ndarray:
        with self._opened() as archive:
            return archive[name]

    def get(self, name: str) -> np.ndarray | None:
        return self[name] if name in self.names else None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[np.lib.npyio.NpzFile]:
        with self.path.open("rb") as file:
            try:
                if not zipfile.is_zipfile(file):
                    raise zipfile.BadZipFile("its end is missing, or it never was a zip file")
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:
                    yield archive
            # All that zip, deflate and npy headers raise on bytes that are not theirs.
            except (ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                raise ValueError(
                    f"{self.path} cannot be read as an npz file of plain arrays: {error}. It may be truncated, "
                    "damaged, or hold Python objects; copy or save it again."
                ) from error
