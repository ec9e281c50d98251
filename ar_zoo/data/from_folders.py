"""Sound from a folder of WAV or FLAC files, images from a folder of PNG or JPEG files.

Folders `train`, `valid` (and `test`) are the parts. Without them every tenth file, by sorted name, is "valid".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ar_zoo.data import dataset, splits

SOUND_SUFFIXES = (".wav", ".flac")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def files_below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """All files of these suffixes in the folder and the folders inside it, sorted by their path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())


def read_sound_folder(folder: Path, split: str, sample_rate: int | None = None) -> dataset.Data:
    """Reads one part of a folder of sound files. Several channels are averaged.

    Args:
        folder: the folder; files may lie in folders inside it.
        split: "train", "valid" or "test".
        sample_rate: the rate that every file must have; None takes the first file's.

    Raises:
        ValueError: if a file cannot be read, or has another rate than `sample_rate` or than the first.

    Example: `read_sound_folder(Path("voices"), "train", sample_rate=16000)`
    """
    import soundfile

    clips = []
    for path in _files_of(folder, split, SOUND_SUFFIXES):
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path} cannot be read as sound: {error}. Remove or replace it.") from error
        sample_rate = sample_rate or rate
        if rate != sample_rate:
            raise ValueError(
                f"{path} has a sample_rate of {rate}, but {sample_rate} is wanted (the argument sample_rate, or the "
                f"first file's). Resample it, for example with `sox {path.name} -r {sample_rate} resampled.wav`."
            )
        clips.append(samples.mean(axis=1))
    lengths = [len(clip) for clip in clips]
    values = np.concatenate([np.zeros(0, np.float32), *clips])
    return dataset.sound(values, lengths, sample_rate, source=str(folder))


def read_image_folder(folder: Path, split: str) -> dataset.Data:
    """Reads one part of a folder of images; the folders inside it (or inside its parts) are the classes.

    If all files are grey the images have one channel, else three. What is transparent is laid on white.

    Args:
        folder: the folder.
        split: "train", "valid" or "test".

    Raises:
        ValueError: if an image cannot be read, has another size than the first, or lies beside the class folders.

    Example: `read_image_folder(Path("flowers"), "train").classes`
    """
    paths = _files_of(folder, split, IMAGE_SUFFIXES)
    pictures = [_open_image(path) for path in paths]
    mode = "L" if all(picture.mode == "L" for picture in pictures) else "RGB"
    for path, picture in zip(paths, pictures, strict=True):
        if picture.size != pictures[0].size:
            raise ValueError(
                f"images must all have one size: {path} is {picture.width}x{picture.height}, {paths[0]} is "
                f"{pictures[0].width}x{pictures[0].height}. Resize them, with `mogrify -resize 32x32! *.png`."
            )
    values = np.stack([np.asarray(picture.convert(mode)) for picture in pictures])
    return dataset.images(values, *_labels(folder, paths), source=str(folder))


def _open_image(path: Path):
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}. Remove or replace it.") from error
    if picture.mode.startswith(("I", "F")):
        raise ValueError(f"{path} has more than 8 bits a channel (mode {picture.mode}). Convert it to 8 bits.")
    if picture.mode in ("1", "L"):
        return picture.convert("L")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _labels(folder: Path, paths: list[Path]) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """The class of each file, numbered over all parts of the folder, so that the parts agree."""
    roots = list(_parts(folder, IMAGE_SUFFIXES).values()) or [folder]
    names = [_class_of(path, roots) for path in paths]
    if not any(names):
        return None, None
    if not all(names):
        lost = paths[names.index("")]
        raise ValueError(f"{lost} lies beside the class folders of {folder}: put every image into one, or none.")
    every = {_class_of(path, roots) for root in roots for path in files_below(root, IMAGE_SUFFIXES)} - {""}
    classes = tuple(sorted(every))
    return np.asarray([classes.index(name) for name in names], np.int32), classes


def _class_of(path: Path, roots: list[Path]) -> str:
    """The folder right inside the root that holds this file; "" for a file right inside the root."""
    root = next(root for root in roots if path.is_relative_to(root))
    inner = path.relative_to(root).parts
    return inner[0] if len(inner) > 1 else ""


def _parts(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The folders of the parts; none if other folders with such files lie beside them ("train" is then a class)."""
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and files_below(path, suffixes)]
    names = {path.name.lower(): path for path in inner}
    return names if all(splits.is_word(name) for name in names) else {}


def _files_of(folder: Path, split: str, suffixes: tuple[str, ...]) -> list[Path]:
    parts = _parts(folder, suffixes)
    part = splits.choose_part(parts or ["train"], split, str(folder))
    paths = files_below(parts.get(part.name, folder), suffixes)
    if not part.whole:
        paths = [path for index, path in enumerate(paths) if (index % 10 == 9) == (split == "valid")]
    if not paths:
        raise ValueError(
            f"{folder} holds no {' or '.join(suffixes)} files for split {split!r}. Put them into the folders train and "
            "valid inside it; without these every tenth file is 'valid'."
        )
    return paths
