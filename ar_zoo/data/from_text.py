"""Text from `.txt` files: one file, files in parts (`kjv_train.txt`, `kjv_valid.txt`), or a folder that holds them."""

from __future__ import annotations

from pathlib import Path

from ar_zoo.data import splits
from ar_zoo.data.dataset import Data


def read_text(path: Path, split: str) -> Data:
    """Reads one part of a text.

    A file whose name has the word "train", "valid" or "test" is that part, and files beside it whose names differ only
    in that word are the others. A file without such a word, or without such neighbours, is cut: its last 10 % of
    characters are "valid".

    Args:
        path: the file, UTF-8.
        split: "train", "valid" or "test".

    Raises:
        ValueError: if the file is not UTF-8, or does not have that part.

    Example: `read_text(Path("kjv_train.txt"), "valid").source` is "kjv_valid.txt"
    """
    return _read_part(splits.parts_beside(path), split, str(path))


def read_text_folder(folder: Path, split: str) -> Data:
    """Reads one part from a folder with one `*train*.txt` and, where there is one, `*valid*.txt` and `*test*.txt`.

    Raises:
        ValueError: if there are several files for one part, or none for this one.

    Example: `read_text_folder(Path("bible"), "train")`
    """
    parts: dict[str, Path] = {}
    for path in text_parts(folder):
        name = splits.part_called(splits.word_in(path.stem).group())
        if name in parts:
            raise ValueError(f"{folder} has two texts for {name!r}, {parts[name].name} and {path.name}: pass a file.")
        parts[name] = path
    return _read_part(parts, split, str(folder))


def text_parts(folder: Path) -> list[Path]:
    """The folder's texts that have "train", "valid" or "test" in their names."""
    return [path for path in sorted(folder.glob("*.txt")) if splits.word_in(path.stem)]


def _read_part(parts: dict[str, Path], split: str, source: str) -> Data:
    part = splits.choose_part(parts, split, source)
    path = parts[part.name]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}. Convert it, for example "
            f"with `iconv -f latin1 -t utf-8 {path.name}`."
        ) from error
    return Data("text", text[part.slice(len(text))], source=str(path))
