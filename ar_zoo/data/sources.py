"""`read`: one door to all data. It looks at what the source is and passes it to the reader of that form."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ar_zoo.data import from_csv, from_folders, from_jsonl, from_npz, from_sklearn, from_text, from_tfds, splits
from ar_zoo.data.binarize import binarized
from ar_zoo.data.dataset import KINDS, Data

#: Small real data sets that travel inside the package; see `shipped/README.md` for their sources and licences.
SHIPPED = {
    "digits": "digits.npz",
    "emoji": "emoji.npz",
    "speech": "speech.npz",
    "text": "text_train.txt",
    "cancer": "cancer.npz",
    "sunspots": "sunspots.npz",
    "sums": "sums_train.jsonl",
}
_SUFFIXES = (".npz", ".txt", ".csv", ".jsonl", *from_folders.SOUND_SUFFIXES, *from_folders.IMAGE_SUFFIXES)
_FOLDER = Path(__file__).parent / "shipped"


def read(
    source: str | os.PathLike,
    split: str = "train",
    *,
    kind: str | None = None,
    sample_rate: int | None = None,
    binarize: bool = False,
) -> Data:
    """Reads one part of a data set into memory.

    | source | read as |
    |---|---|
    | "shipped:digits", and so emoji, speech, text, cancer, sunspots, sums | small real data inside the package |
    | an `.npz` file | images, sound, a table or series; the layouts are in `from_npz.py` |
    | a `.csv` file | a table, or of one column a series; `X_train.csv` finds `X_valid.csv` |
    | a `.jsonl` file | prompts and answers, `{"prompt": …, "answer": …, "rejected": …}` a line; `X_train.jsonl` finds the others |
    | a `.txt` file | text; `X_train.txt` finds `X_valid.txt` |
    | a folder | of `*train*.txt`, `*valid*.txt`; of WAV or FLAC files; or of PNG or JPEG files, folders are classes |
    | "sklearn:NAME" | a table that scikit-learn ships, in an order drawn from seed 0; it must be installed |
    | any other name, or "tfds:NAME" | TensorFlow Datasets; downloaded the first time |

    What exists as a file or folder is read as such; "tfds:mnist" is meant for a data set whatever lies here.

    Args:
        source: what to read.
        split: "train", "valid" or "test". Without a validation part "valid" is the test part, and without either, the
            last 10 % of the train part (every tenth file of a folder), which "train" then leaves out.
        kind: "image", "sound", "text", "table", "series" or "answers": which to take of a source that has several, and a
            check on the others.
        sample_rate: samples per second that sound must have, and that sound has which does not tell. Nothing is
            resampled.
        binarize: images become black and white, at random from one seed, through the parts in the order train, valid,
            test: always the same.

    Returns:
        a `Data`. Tables and series are standardised by their train part; `Data` says how.

    Raises:
        ValueError: if the source is not found, damaged, empty, or not of that kind, split or rate.

    Example: `read("shipped:digits", "valid").values.shape` is (200, 28, 28, 1)
    """
    splits.check_split(split)
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, or None; got {kind!r}.")
    if sample_rate is not None and sample_rate < 1:
        raise ValueError(f"sample_rate must be a positive number of samples per second; got {sample_rate!r}.")
    data = _read(source, split, kind, sample_rate)
    if kind is not None and data.kind != kind:
        raise ValueError(f"kind: {source} holds {data.kind}, but {kind!r} is wanted. Pass another source or kind.")
    if binarize:
        earlier = splits.SPLITS[: splits.SPLITS.index(split)]
        return binarized(data, (_read(source, part, "image", None) for part in earlier))
    return data if sample_rate is None else _rated(data, sample_rate)


def _read(source: str | os.PathLike, split: str, kind: str | None, sample_rate: int | None) -> Data:
    name = os.fspath(source)
    if name.startswith("shipped:"):
        return _read_path(_shipped(name), split, kind, sample_rate)
    if name.startswith("tfds:"):
        return from_tfds.read_tfds(name.removeprefix("tfds:"), split, kind)
    if name.startswith("sklearn:"):
        return from_sklearn.read_sklearn(name.removeprefix("sklearn:"), split)
    path = Path(name).expanduser()
    if name and path.exists():
        return _read_path(path, split, kind, sample_rate)
    if isinstance(source, os.PathLike) or name[:1] in ("", "/", ".", "~") or path.suffix.lower() in _SUFFIXES:
        raise ValueError(f"source {name!r}: there is no such file or folder. Accepted: {from_tfds.FORMS}.")
    return from_tfds.read_tfds(name, split, kind)


def _shipped(name: str) -> Path:
    wanted = name.removeprefix("shipped:")
    if wanted not in SHIPPED:
        raise ValueError(
            f"source {name!r} is not shipped; shipped are {', '.join(f'shipped:{key}' for key in SHIPPED)}."
        )
    return _FOLDER / SHIPPED[wanted]


def _read_path(path: Path, split: str, kind: str | None, sample_rate: int | None) -> Data:
    if path.is_dir():
        return _read_folder(path, split, kind, sample_rate)
    if path.suffix.lower() == ".npz":
        return from_npz.read_npz(path, split, kind)
    if path.suffix.lower() == ".txt":
        return from_text.read_text(path, split)
    if path.suffix.lower() == ".csv":
        return from_csv.read_csv(path, split, kind)
    if path.suffix.lower() == ".jsonl":
        return from_jsonl.read_jsonl(path, split)
    raise ValueError(
        f"source {path}: a file must be .npz, .csv, .jsonl or .txt (sound and images come as a folder of files); got "
        f"{path.suffix or 'no suffix'}. Accepted: {from_tfds.FORMS}."
    )


def _read_folder(folder: Path, split: str, kind: str | None, sample_rate: int | None) -> Data:
    found = {
        "image": from_folders.files_below(folder, from_folders.IMAGE_SUFFIXES),
        "sound": from_folders.files_below(folder, from_folders.SOUND_SUFFIXES),
        "text": from_text.text_parts(folder),
    }
    held = [name for name, files in found.items() if files]
    if kind is None and len(held) > 1:
        raise ValueError(f"source {folder} holds {' and '.join(held)}: pass kind, one of these.")
    if not held or kind not in (None, *held):
        raise ValueError(
            f"source {folder} holds no {kind or 'image, sound or text'} files. Wanted are PNG or JPEG, WAV or "
            "FLAC files, or texts that are called *train*.txt and *valid*.txt."
        )
    wanted = kind or held[0]
    if wanted == "text":
        return from_text.read_text_folder(folder, split)
    if wanted == "image":
        return from_folders.read_image_folder(folder, split)
    return from_folders.read_sound_folder(folder, split, sample_rate)


def _rated(data: Data, sample_rate: int) -> Data:
    """The data with the wanted sample rate: checked where it tells its own, set where it does not."""
    if data.kind != "sound":
        raise ValueError(f"sample_rate is for sound; {data.source} holds {data.kind}. Leave it out.")
    if data.sample_rate not in (None, sample_rate):
        raise ValueError(
            f"sample_rate: {data.source} has {data.sample_rate} samples per second, but {sample_rate} is wanted. "
            f"Resample it first (scipy.signal.resample_poly, or `sox`), or pass sample_rate={data.sample_rate}."
        )
    return dataclasses.replace(data, sample_rate=sample_rate)
