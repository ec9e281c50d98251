"""Pictures, sound and text in files ↔ compressed files: what `ar-zoo compress` and `ar-zoo decompress` do.

| model of | read | written |
|---|---|---|
| images | `.png`; `.npy` and `.npz`, uint8 [N, H, W] or [N, H, W, C] | `.png` (of one image), `.npy` |
| sound | `.wav`, `.flac`; `.npy` and `.npz`: int16, floats in [-1, 1], or unsigned levels | `.wav`, `.npy` (levels) |
| text | any file, UTF-8 | any name |
| symbols | `.npy` and `.npz` of integers | `.npy` |

Images and text come back byte by byte. Of sound the model's levels do, which are all that it knows; a WAV that was made of
such levels comes back as it was.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ar_zoo import drawing
from ar_zoo.coding.codec import BATCH_SIZE, decompress, encode, model_of, opened
from ar_zoo.coding.container import parse
from ar_zoo.core.files import atomic_path
from ar_zoo.data import write_png, write_text, write_wav

ARRAYS = (".npy", ".npz")


def compress_file(
    model,
    source: str | os.PathLike,
    path: str | os.PathLike,
    array: str | None = None,
    window: int | None = None,
    batch_size: int = BATCH_SIZE,
    progress: bool = False,
) -> dict:
    """Compresses a file.

    Args:
        model: any model with a discrete head, or the name of a preset.
        source: a file of the module's table.
        path: the compressed file; it is whole or absent.
        array: which array of an `.npz`; not needed where there is one.
        window, batch_size, progress: as in `compress`.

    Returns:
        `bytes` of the compressed file, `dimensions` (symbols), `bits_per_dim`, `model_bits_per_dim` (the model's own code
        length) and `ratio`, to a byte a symbol (two, where the alphabet is larger than 256), or to the text's bytes.

    Raises:
        ValueError: the source cannot be read, or does not fit the model.
        OSError: it is not there.

    Example: `compress_file("wavenet.speech8k", "voice.wav", "voice.arz")["bits_per_dim"]`
    """
    model, facts = opened(model)
    x, more, plain = _read(model, Path(source), array)
    found = encode(model, x, facts | more, None, window, batch_size, progress)
    with atomic_path(path) as temporary:
        temporary.write_bytes(found.data)
    return {
        "bytes": len(found.data),
        "dimensions": found.dimensions,
        "bits_per_dim": 8 * len(found.data) / found.dimensions,
        "model_bits_per_dim": found.model_bits / found.dimensions,
        "ratio": plain / len(found.data),
    }


def decompress_file(
    source: str | os.PathLike, path: str | os.PathLike, model=None, progress: bool = False
) -> np.ndarray:
    """Decompresses a file that `compress_file` wrote.

    Args:
        source: the compressed file.
        path: what is written, a name of the module's table; it is whole or absent.
        model: as in `decompress`.
        progress: show a bar.

    Returns:
        the symbols.

    Raises:
        ValueError: as `decompress`; or what came out cannot be written under such a name.
        OSError: the source is not there.

    Example: `decompress_file("voice.arz", "again.wav")`
    """
    source, path = Path(source), Path(path)
    data = source.read_bytes()
    file = parse(data, str(source))
    model = model_of(model, file, str(source))
    _check_name(drawing.data_kind(model), file.header.get("shape"), path)
    x = decompress(model, data, progress, str(source))
    _write(model, x, path, file.header.get("sample_rate"))
    return x


def _read(model, source: Path, array: str | None) -> tuple[np.ndarray, dict, int]:
    """Symbols, what the header says of them, and the bytes that they take plainly."""
    kind = drawing.data_kind(model)
    if not source.is_file():
        raise ValueError(f"{source} is no file. `compress` takes one file, {_taken(kind)}.")
    suffix = source.suffix.lower()
    if kind == "text":
        data = source.read_bytes()
        return _from_text(model, _text(data, source), source), {"kind": kind}, len(data)
    facts = {"kind": kind}
    if suffix in ARRAYS:
        values = _array(source, array)
        x = _from_array(model, kind, values, source)
    elif kind == "image" and suffix == ".png":
        x = _from_picture(model, source)
    elif kind == "sound" and suffix in (".wav", ".flac"):
        x, facts["sample_rate"] = _from_sound(model, source)
    else:
        raise ValueError(f"{source}: a model of {kind} compresses {_taken(kind)}; got {suffix or 'no suffix'}.")
    return x, facts, x.size * np.min_scalar_type(model.head.num_symbols - 1).itemsize


def _taken(kind: str) -> str:
    own = {"image": "a .png, or ", "sound": "a .wav, a .flac, or ", "text": "a text in UTF-8"}.get(kind, "")
    return own if kind == "text" else own + "an array in a .npy or .npz"


def _text(data: bytes, source: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not UTF-8: byte {error.start} is {data[error.start]:#04x}.") from None


def _from_text(model, text: str, source: Path) -> np.ndarray:
    """The symbols of a text, which must come back as it is: some tokenizers change spaces or accents."""
    x = model.head.encode(text)
    if model.head.decode(x) != text:
        raise ValueError(f"{source} would come back changed, by the model's tokenizer. Take another model.")
    return x


def _array(source: Path, name: str | None) -> np.ndarray:
    try:
        with source.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            names = list(loaded.files)
            name = names[0] if name is None and len(names) == 1 else name
            if name not in names:
                raise ValueError(f"it holds {', '.join(names)}; name one with `array`, not {name!r}")
            return loaded[name]
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{source} gives no array: {error}.") from None


def _from_array(model, kind: str, values: np.ndarray, source: Path) -> np.ndarray:
    if kind == "image":
        values = values[None] if values.shape in (model.event_shape, model.event_shape[:2]) else values
        return _unchanged(model, values[..., None] if values.ndim == 3 else values, source)
    if kind == "sound" and values.dtype.kind in "if":
        if values.dtype.kind == "i" and values.dtype != np.int16:
            raise ValueError(
                f"{source} must hold sound as int16, as floats in [-1, 1], or as unsigned levels; got {values.dtype}. Save "
                "levels with `.astype('uint8')`."
            )
        values = values / np.float32(32768) if values.dtype.kind == "i" else values
        return model.head.encode(values)
    return values if values.dtype.kind not in "iu" else values.astype(np.int64)


def _from_picture(model, source: Path) -> np.ndarray:
    from PIL import Image

    mode = "L" if model.event_shape[-1] == 1 else "RGB"
    try:
        with Image.open(source) as picture:
            found, values = picture.mode, np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{source} cannot be read as an image: {error}.") from None
    if found != mode:
        raise ValueError(f"{source} has the colours {found!r}; the model takes {mode!r}, 8 bits a channel. Convert it.")
    top = drawing.top_level(model)
    raw = np.round(values.reshape(1, *values.shape[:2], -1) * (top / 255)).astype(np.int32)
    if not np.array_equal(np.round(raw * (255 / top)), values.reshape(raw.shape)):
        raise ValueError(f"{source} has shades between the {top + 1} that the model knows. Reduce them first.")
    return _unchanged(model, raw, source)


def _unchanged(model, values: np.ndarray, source: Path) -> np.ndarray:
    """The symbols of values, which must come back as they are."""
    x = model.head.encode(values)
    if not np.array_equal(model.head.decode(x), values):
        raise ValueError(
            f"{source} has levels that the model's {model.head.num_symbols} do not tell apart, so they would not come back. "
            "Take `model.head.decode(model.head.encode(values))` of it first."
        )
    return x


def _from_sound(model, source: Path) -> tuple[np.ndarray, int]:
    import soundfile

    try:
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{source} cannot be read as sound: {error}") from None
    if samples.shape[1] != 1:
        raise ValueError(f"{source} has {samples.shape[1]} channels; one is wanted. Mix it down first.")
    return model.head.encode(np.clip(samples[:, 0], -1.0, 1.0)), int(rate)


def _check_name(kind: str, shape, path: Path):
    """Refuses a name before the minutes that decoding takes."""
    one = isinstance(shape, list) and shape[:1] == [1]
    allowed = {"image": [".png"] * one + [".npy"], "sound": [".wav", ".npy"], "text": None}.get(kind, [".npy"])
    if allowed and path.suffix.lower() not in allowed:
        raise ValueError(f"{path}: what is in the file, {kind} of shape {shape}, is written as {' or '.join(allowed)}.")


def _write(model, x: np.ndarray, path: Path, sample_rate):
    kind, suffix = drawing.data_kind(model), path.suffix.lower()
    if kind == "text":
        write_text(path, model.head.decode(x))
    elif suffix == ".png":
        write_png(path, drawing.pixels(model, x)[0])
    elif suffix == ".wav":
        write_wav(path, model.head.decode(x), drawing.sample_rate_of(model, sample_rate))
    else:
        values, top = x, model.head.num_symbols - 1
        if kind == "image":
            values, top = model.head.decode(x), drawing.top_level(model)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, values.astype(np.min_scalar_type(top)))
