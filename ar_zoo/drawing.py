"""From a model's symbols to pictures, sound and text, and back: what the command line and the tools share."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from ar_zoo.data import image_grid, plot_waveform, write_png, write_text, write_wav

_UNKNOWN_RATE = 8000  # samples a second of sound that does not say its own: telephones'


def data_kind(model) -> str:
    """What a model draws: `"image"`, `"text"`, `"sound"`, of numbers `"table"`, or `"series"` where the length is free, and
    `"symbols"` where nothing says more.

    Example: `data_kind(ar_zoo.load("gpt.kjv"))` is "text"
    """
    from ar_zoo.heads import MuLawCategorical

    if model.num_symbols is None:
        return "series" if None in model.event_shape else "table"
    if len(model.event_shape) > 1:
        return "image"
    if model.head.reads_text:
        return "text"
    return "sound" if isinstance(model.head, MuLawCategorical) else "symbols"


def sample_rate_of(model, given: int | None = None) -> int:
    """Samples of sound a second: those given, or the model's, or 8000. Example: `sample_rate_of(ar_zoo.load("gpt.kjv"))`"""
    return (model.sample_rate or _UNKNOWN_RATE) if given is None else given


def pixels(model, x) -> np.ndarray:
    """Symbols of images → uint8 [N, H, W, C], with the alphabet spread from black to white, or in its palette's colours.

    Example: `pixels(model, model.sample(16)).dtype` is uint8
    """
    return np.round(np.asarray(model.head.decode(x)) * (255 / top_level(model))).astype(np.uint8)


def sheet(model, x, columns: int | None = None) -> np.ndarray:
    """A grid of images to look at, uint8 [H', W', C]: those of less than 64 pixels are enlarged, without smoothing.

    Example: `write_png("digits.png", sheet(model, model.sample(50), columns=10))`
    """
    images = pixels(model, x)
    times = max(1, 96 // max(images.shape[1:3]))
    return image_grid(images.repeat(times, axis=1).repeat(times, axis=2), columns)


def draw_text(model, num_sites, num_samples=1, seed=0, temperature=1.0, prefix="", context=None) -> list[str]:
    """Texts of any length: beyond `max_sites` each window goes on from the last half of the one before.

    Args:
        model: one whose head reads text.
        num_sites: symbols (characters, or tokens) of each text, those of `prefix` included.
        num_samples, seed, temperature, context: as in `AutoregressiveModel.sample`; window w takes the seed `seed + w`.
        prefix: how all of them begin.

    Raises:
        ValueError: as `sample` and `head.encode`, and for a `prefix` that is as long as the text.

    Example:
        >>> draw_text(ar_zoo.load("gpt.kjv"), 1000, prefix="And it came to pass")[0][:20]
        'And it came to pass,'
    """
    known = model.head.encode(prefix)
    if num_sites <= len(known):
        unit = "characters" if len(known) == len(prefix) else "tokens"
        raise ValueError(
            f"`prefix` has {len(known)} {unit}, `num_sites` is {num_sites} with it included. Ask for more."
        )
    text, turn = np.tile(known, (num_samples, 1)), 0
    window = model.max_sites or num_sites
    overlap = min(window // 2 + 1, window - 1)
    while text.shape[1] < num_sites:
        length = text.shape[1]
        start = length - overlap if length >= window else 0
        text, known = text[:, :start], text[:, start:]
        drawn = model.sample(
            num_samples,
            seed + turn,
            context,
            prefix=known if known.size else None,
            temperature=temperature,
            # Later windows are drawn whole and cut at the end: one shape, one compilation.
            num_sites=window if turn else min(window, num_sites - start),
        )
        text, turn = np.concatenate([text, drawn], axis=1), turn + 1
    return [model.head.decode(row) for row in text[:, :num_sites]]


def read_prefix(model, file, sample_rate: int | None = None) -> np.ndarray:
    """A file as the beginning of an event, for `sample(prefix=…)`.

    Args:
        model: of images or sound.
        file: a picture as wide as the model's images, of which all rows count, or the top half if it is as high as they
            are; or a sound file.
        sample_rate: what a sound file must have; by default the model's.

    Returns:
        int32 symbols, [rows, W, C] or [samples].

    Raises:
        ValueError: the file does not fit the model.
        OSError: it is not there, or is no picture.

    Example: `model.sample(8, prefix=read_prefix(model, "digit.png"))`
    """
    kind = data_kind(model)
    if kind == "image":
        return _picture_rows(model, file)
    if kind == "sound":
        return _sound(model, file, sample_rate_of(model, sample_rate))
    raise ValueError(f"`prefix` as a file needs a model of images or sound; this one draws {kind}.")


def _picture_rows(model, file):
    height, width = model.event_shape[:2]
    values = _picture(model, file)
    if values.shape[1] != width:
        raise ValueError(f"`prefix` must be a picture {width} pixels wide; {file} is {values.shape[1]}. Resize it.")
    rows = height // 2 if len(values) >= height else len(values)
    return symbols_of(model, values[:rows])


def _picture(model, file):
    from PIL import Image

    channels = getattr(model.head, "channels", None) or model.event_shape[-1]  # a palette's colour is one symbol
    with Image.open(file) as picture:
        values = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return values.reshape(*values.shape[:2], -1)


def symbols_of(model, values) -> np.ndarray:
    """uint8 images of 0 … 255, [..., W, C], as symbols: `pixels` the other way round. Grey ones for two symbols are split at half.

    Example: `symbols_of(model, digits.values[:3])`
    """
    return model.head.encode(np.round(np.asarray(values) * (top_level(model) / 255)).astype(np.int32))


def read_image(model, source: str, split: str = "valid", smaller=None) -> tuple[np.ndarray, int | None]:
    """One image as symbols, and its class where the data say it.

    Args:
        model: of images.
        source: a picture of the size of the model's images, or DATA:INDEX, image number INDEX (from 0) of what
            `ar_zoo.data.read` takes.
        split: of DATA.
        smaller: (height, width) that a picture may also have; each of its pixels then becomes a square.

    Returns:
        (int32 [*event_shape], the label or None).

    Raises:
        ValueError: there is no such image, or it does not fit the model.

    Example: `read_image(model, "shipped:digits:3")`
    """
    from ar_zoo.data import read

    data, _, index = source.rpartition(":")
    label = None
    if data and index.isdigit() and not Path(source).is_file():
        part = read(data, split, kind="image")
        if int(index) >= len(part):
            raise ValueError(f"`image` {source!r}: {data} has {len(part)} images in its {split} part, from 0.")
        values = part.values[int(index)]
        label = None if part.labels is None else int(part.labels[int(index)])
    else:
        values = _picture(model, source)
    channels = getattr(model.head, "channels", None) or model.event_shape[-1]
    wanted = (*model.event_shape[:2], channels)
    if smaller is not None and values.shape[:2] == tuple(smaller):
        values = values.repeat(wanted[0] // smaller[0], axis=0).repeat(wanted[1] // smaller[1], axis=1)
    if values.shape != wanted:
        shapes = ["x".join(map(str, shape)) for shape in (wanted, values.shape)]
        raise ValueError(f"`image` must be {shapes[0]} (height, width, channels); {source} is {shapes[1]}. Resize it.")
    return symbols_of(model, values), label


def _sound(model, file, sample_rate):
    import soundfile

    with open(file, "rb") as opened:
        try:
            samples, rate = soundfile.read(opened, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"`prefix`: {file} cannot be read as sound. {error}") from None
    if rate != sample_rate:
        raise ValueError(f"`prefix`: {file} has {rate} samples per second; {sample_rate} are wanted. Resample it.")
    return model.head.encode(samples.mean(axis=1))


def write_drawn(model, x, out, sample_rate: int | None = None, columns: int | None = None) -> list[Path]:
    """Writes what a model drew, and returns the paths of the files.

    Args:
        model: what drew it.
        x: int symbols [N, *event_shape], as `sample` returns them.
        out: for images one `.png`, a grid; for sound a `.wav` each (numbered, if several) and a picture of its waveform
            beside it; for numbers a `.csv`, a row for each event, in the units of what the model was trained on where
            it knows them; otherwise one text file.
        sample_rate: of sound; by default the model's.
        columns: of the grid.

    Example: `write_drawn(model, model.sample(16), "digits.png")`
    """
    kind, out = data_kind(model), Path(out)
    if kind == "image":
        write_png(out, sheet(model, x, columns))
        return [out]
    if kind == "sound":
        written, rate = [], sample_rate_of(model, sample_rate)
        for number, samples in enumerate(model.head.decode(x), 1):
            wav = out if len(x) == 1 else out.with_stem(f"{out.stem}_{number}")
            write_wav(wav, samples, rate)
            plot_waveform(wav.with_suffix(".png"), samples, rate)
            written += [wav, wav.with_suffix(".png")]
        return written
    rows = x.reshape(len(x), -1)
    if kind in ("table", "series"):
        standard = model.standard or {"mean": 0.0, "scale": 1.0}
        rows = rows * np.asarray(standard["scale"]) + np.asarray(standard["mean"])
        written = io.StringIO()
        lines = csv.writer(written, lineterminator="\n")
        lines.writerows([standard["columns"]] if "columns" in standard else [])
        lines.writerows([f"{number:.9g}" for number in row] for row in rows)
        write_text(out, written.getvalue())
        return [out]
    lines = [model.head.decode(row) if kind == "text" else " ".join(map(str, row.tolist())) for row in rows]
    write_text(out, "\n".join(lines) + "\n")
    return [out]


def text_or_file(given: str | None) -> str:
    """What is in the file of that name, where there is one; otherwise the text itself. What is one word and ends in .txt is
    a file's name, and refused where there is none."""
    if given and "\n" not in given and len(given) < 256 and Path(given).is_file():
        return read_text(given)
    if given and given.endswith(".txt") and len(given.split()) == 1:
        raise ValueError(f"{given} is no file here.")
    return given or ""


def read_text(file) -> str:
    """A file's text, without the mark that some editors begin it with. Example: `read_text("notes.txt")`"""
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}.") from None


def top_level(model) -> int:
    """The highest raw value of an image, its white: 255, or 1 for two colours."""
    from ar_zoo.data.encoded import image_levels

    return image_levels(model) - 1
