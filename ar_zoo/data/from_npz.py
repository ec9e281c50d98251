"""Images and sound from `.npz` files.

| layout | arrays |
|---|---|
| images in parts | `x_train` uint8 [N, H, W] or [N, H, W, C], perhaps `y_train` [N]; so valid, test; `classes` |
| sound in parts | `train_samples` int16 or float [samples], `train_lengths` [clips]; so valid, test; `sample_rate` |
| one array | uint8 images or one-dimensional samples under any name, perhaps `sample_rate`; "train" alone |
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
    "x_train (uint8 images), y_train, x_valid, …; or train_samples (int16), train_lengths, …, sample_rate; "
    "or one array of images or samples"
)


def read_npz(path: Path, split: str, kind: str | None = None) -> dataset.Data:
    """Reads one part of an `.npz` file in a layout of the module's table.

    Args:
        path: the file.
        split: "train", "valid" or "test".
        kind: "image" or "sound" where the file holds both; otherwise None.

    Raises:
        ValueError: if the file is truncated, is not an npz, has another layout, or does not have that part.

    Example: `read_npz(Path("mnist.npz"), "valid").values.shape`
    """
    arrays = _Arrays(path)
    image_parts = [name[len("x_") :] for name in arrays.names if name.startswith("x_")]
    sound_parts = [name[: -len("_samples")] for name in arrays.names if name.endswith("_samples")]
    if image_parts and sound_parts and kind is None:
        raise ValueError(f"{path} holds images and sound: pass kind='image' or kind='sound'.")
    if image_parts and not (sound_parts and kind == "sound"):
        return _images(arrays, splits.choose_part(image_parts, split, str(path)))
    if sound_parts:
        return _sound(arrays, splits.choose_part(sound_parts, split, str(path)))
    return _lone_array(arrays, split)


def _images(arrays: _Arrays, part: splits.Part) -> dataset.Data:
    values, labels = arrays[f"x_{part.name}"], arrays.get(f"y_{part.name}")
    if labels is not None and len(labels) != len(values):
        raise ValueError(
            f"{arrays.path}: y_{part.name} must have one label for each of the {len(values)} images of "
            f"x_{part.name}; got {len(labels)}."
        )
    some = part.slice(len(values))
    labels = None if labels is None else labels[some]
    return dataset.images(values[some], labels, arrays.get("classes"), source=str(arrays.path))


def _sound(arrays: _Arrays, part: splits.Part) -> dataset.Data:
    values, lengths = arrays[f"{part.name}_samples"], arrays.get(f"{part.name}_lengths")
    if lengths is None:
        return dataset.sound(values[part.slice(len(values))], None, _sample_rate(arrays), source=str(arrays.path))
    if int(lengths.sum()) != len(values):
        raise ValueError(
            f"{arrays.path}: {part.name}_lengths must add up to the {len(values)} samples; got {int(lengths.sum())}."
        )
    clips = part.slice(len(lengths))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    values = values[ends[clips.start] : ends[clips.stop]]
    return dataset.sound(values, lengths[clips], _sample_rate(arrays), source=str(arrays.path))


def _lone_array(arrays: _Arrays, split: str) -> dataset.Data:
    names = [name for name in arrays.names if name != "sample_rate"]
    if len(names) != 1:
        held = ", ".join(arrays.names) or "nothing"
        raise ValueError(f"{arrays.path} holds {held}; known are {_LAYOUTS}. Save it again under these names.")
    if split != "train":
        raise ValueError(
            f"split {split!r} is not in {arrays.path}, which holds one array without parts: pass split='train', or "
            "save the parts as x_train and x_valid (images), train_samples and valid_samples (sound)."
        )
    values = arrays[names[0]]
    if values.dtype == np.uint8 and values.ndim in (3, 4):
        return dataset.images(values, source=str(arrays.path))
    if values.dtype.kind in "if" and values.ndim == 1:
        return dataset.sound(values, None, _sample_rate(arrays), source=str(arrays.path))
    raise ValueError(
        f"{arrays.path}: the array {names[0]!r} is {values.dtype} {list(values.shape)}; it must be images, uint8 "
        "[N, H, W] or [N, H, W, C], or samples, one-dimensional int16 or float in [-1, 1]."
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
