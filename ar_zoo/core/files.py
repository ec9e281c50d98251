"""Files that are whole or absent: write to a temporary name in the same folder, then rename."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path; when the block ends well it becomes `path`, and when it raises nothing is left.

    The temporary name ends in the whole of the wanted name, so writers that look at the suffix (`.weights.h5`) are
    content. Missing parent folders are made. An older file at `path` stays readable until the rename.

    Args:
        path: the file to write.

    Yields:
        a `Path` in the same folder, which does not exist yet.

    Example: `with atomic_path("out.txt") as temporary: temporary.write_text("whole or absent")`
    """
    path = Path(path)
    temporary = _temporary_beside(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def own_folder(path: str | os.PathLike, mark: str = "manifest.json") -> Path:
    """The path of a folder that may be replaced: one that is not there yet, is empty, or holds the file `mark`, as what was
    written there before does. An error if it is no path, anything else, or a folder that one is in."""
    if not isinstance(path, (str, os.PathLike)) or Path.cwd().is_relative_to(Path(path).resolve()):
        raise ValueError(f"`folder` must be the path of a folder of its own, which is replaced; got {path!r}.")
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"`folder` must be a folder, or not exist yet; {path} is a file. Choose another name.")
    if path.is_dir() and any(path.iterdir()) and not (path / mark).is_file():
        raise ValueError(
            f"`folder` {path} holds something else (it has no {mark}), which would be lost. Choose another."
        )
    return path


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike, mark: str = "manifest.json") -> Iterator[Path]:
    """Yields an empty temporary folder; when the block ends well it replaces the folder `path` with all its contents.

    A folder cannot be replaced in one system call: for an instant between two renames `path` is absent and its older
    contents lie beside it under a hidden name. No reader ever sees a half-written folder.

    Args:
        path: the folder to write.
        mark: a file that is in every such folder; one that has other files without it is not replaced.

    Yields:
        a `Path` to an empty folder in the same parent.

    Raises:
        ValueError: if `path` is a file, no path at all, a folder of something else, or one that one is in.

    Example: `with atomic_folder("preset") as temporary: (temporary / "manifest.json").write_text("{}")`
    """
    path = own_folder(path, mark)
    temporary = _temporary_beside(path)
    older = _temporary_beside(path)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            os.replace(path, older)
        try:
            os.replace(temporary, path)
        except OSError:
            if older.exists():
                os.replace(older, path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Errors about what is in a file name the file, whatever is wrong with it.

    Example: `with naming("config.json"): int(config["units"])`
    """
    try:
        yield
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(
            str(error) if str(path) in str(error) else f"{path} (or what was given besides): {error}"
        ) from None


def sha256_of(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits. Example: `sha256_of("weights.safetensors")`"""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(folder: str | os.PathLike, name: str, sha256: str, size: int) -> None:
    """Raises `ValueError` unless `name` lies in `folder`, also where it is a link, with this hash and size."""
    path = Path(folder) / name
    if not path.is_file():
        raise ValueError(f"{path} is missing: the folder is not complete. Fetch it or make it again.")
    if not path.resolve().is_relative_to(Path(folder).resolve()):
        raise ValueError(f"{path} points outside its folder; it is not read.")
    found = path.stat().st_size
    if found != size:
        raise ValueError(f"{path} has {found} bytes, its manifest says {size}: it was cut short or changed.")
    if sha256_of(path) != sha256:
        raise ValueError(
            f"{path} does not match the sha256 in its manifest: it was changed or damaged. Fetch it again."
        )


def _temporary_beside(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        obstacle = next(parent for parent in path.parents if os.path.lexists(parent))
        raise ValueError(f"{path} cannot be written: {obstacle} is not a folder. Choose another name.") from None
    return path.parent / f".{uuid.uuid4().hex[:12]}.{path.name}"
