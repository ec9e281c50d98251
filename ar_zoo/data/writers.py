"""What was drawn, into files: PNG, WAV, a picture of a waveform, text. A file is whole or absent, never half."""

from __future__ import annotations

import contextlib
import math
import os

import numpy as np

from ar_zoo.core.files import atomic_path


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes one image as PNG.

    Args:
        path: the file, `.png`.
        image: uint8 [H, W], [H, W, 1] (grey), [H, W, 3] (RGB) or [H, W, 4] (RGBA).

    Raises:
        ValueError: if the image has another dtype or shape, or the path another suffix.

    Example: `write_png("black.png", np.zeros((28, 28, 1), np.uint8))`
    """
    from PIL import Image

    image = np.asarray(image)
    _check_suffix(path, ".png")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,), (4,)):
        raise ValueError(
            f"image must be uint8 [H, W] or [H, W, C] with 1, 3 or 4 channels; got {image.dtype} {list(image.shape)}. "
            "Decode symbols with the head first; make a grid of several images."
        )
    picture = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    with atomic_path(path) as temporary:
        picture.save(temporary)


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Lays images out in rows, with white gutters of 2 pixels between and around them.

    Args:
        images: uint8 [N, H, W, C] or [N, H, W].
        columns: images in a row; None makes the grid as square as it goes.

    Returns:
        uint8 [H', W', C]; cells that are left over are white.

    Raises:
        ValueError: if the images have another dtype or rank, or are none, or `columns` is not positive.

    Example: `write_png("digits.png", image_grid(digits.values[:16], columns=8))`
    """
    images = np.asarray(images)
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images must be uint8 [N, H, W, C], N at least 1; got {images.dtype} {list(images.shape)}.")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, or None; got {columns}.")
    gutter = 2
    number, height, width, channels = images.shape
    columns = min(columns or math.ceil(math.sqrt(number)), number)
    rows = math.ceil(number / columns)
    cells = np.full((rows * columns, height + gutter, width + gutter, channels), 255, np.uint8)
    cells[:number, gutter:, gutter:] = images
    sheet = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(rows * (height + gutter), columns * (width + gutter), channels)
    return np.pad(sheet, ((0, gutter), (0, gutter), (0, 0)), constant_values=255)


def write_wav(path: str | os.PathLike, samples: np.ndarray, sample_rate: int) -> None:
    """Writes mono sound as 16-bit WAV; what was read from 16 bits is written as the same 16 bits.

    Args:
        path: the file, `.wav`.
        samples: float [samples], in [-1, 1].
        sample_rate: samples per second.

    Raises:
        ValueError: if the samples have another dtype or rank, leave [-1, 1] or are not numbers.

    Example: `write_wav("silence.wav", np.zeros(8000, np.float32), sample_rate=8000)`
    """
    import soundfile

    _check_suffix(path, ".wav")
    samples = _checked_samples(samples)
    _check_rate(sample_rate)
    values = np.clip(np.round(samples.astype(np.float64) * 32768.0), -32768, 32767).astype(np.int16)
    with atomic_path(path) as temporary:
        soundfile.write(temporary, values, sample_rate, subtype="PCM_16", format="WAV")


def plot_waveform(path: str | os.PathLike, samples: np.ndarray, sample_rate: int) -> None:
    """Draws sound over time as a PNG of 960 by 240 pixels: the range of the samples behind each column of pixels.

    Args:
        path: the file, `.png`.
        samples: float [samples], in [-1, 1].
        sample_rate: samples per second.

    Raises:
        ValueError: as `write_wav`.

    Example: `plot_waveform("tone.png", np.sin(np.arange(8000) / 9), sample_rate=8000)`
    """
    samples = _checked_samples(samples)
    _check_rate(sample_rate)
    with figure_into(path, 9.6, 2.4) as figure:
        axes = figure.add_subplot()
        seconds = np.arange(len(samples)) / sample_rate
        if len(samples) <= 2000:
            axes.plot(seconds, samples, color="#1f5c99", linewidth=1.0)
        else:
            starts = np.linspace(0, len(samples), 1000, endpoint=False).astype(int)
            lowest, highest = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
            axes.fill_between(seconds[starts], lowest, highest, color="#1f5c99", linewidth=0.6)
        axes.axhline(0.0, color="#888888", linewidth=0.5)
        axes.set(xlim=(0.0, len(samples) / sample_rate), ylim=(-1.0, 1.0), xlabel="seconds", yticks=(-1, 0, 1))
        axes.spines[["top", "right"]].set_visible(False)


@contextlib.contextmanager
def figure_into(path: str | os.PathLike, width: float, height: float):
    """A matplotlib figure that is written as PNG when the block ends well.

    Args:
        path: the file, `.png`.
        width, height: inches, of 100 pixels.

    Raises:
        ValueError: if the path has another suffix.

    Example: `with figure_into("line.png", 4, 3) as figure: figure.add_subplot().plot([0, 1])`
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    _check_suffix(path, ".png")
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def write_npz(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays by name, compressed. The same arrays give the same bytes.

    Example: `write_npz("digits.npz", {"x_train": images})`
    """
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text as UTF-8, line ends as they are. Example: `write_text("verse.txt", "In the beginning")`"""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _checked_samples(samples: np.ndarray) -> np.ndarray:
    samples = np.asarray(samples)
    if samples.dtype.kind != "f" or samples.ndim != 1 or len(samples) == 0:
        raise ValueError(
            f"samples must be float [samples] in [-1, 1], at least one; got {samples.dtype} {list(samples.shape)}. "
            "Decode symbols with the head first; write one clip a file."
        )
    peak = float(np.max(np.abs(samples)))
    if not peak <= 1.0:
        raise ValueError(f"samples must be numbers in [-1, 1]; the largest is {peak:g}. Scale or clip them.")
    return samples


def _check_rate(sample_rate: int) -> None:
    if sample_rate < 1:
        raise ValueError(f"sample_rate must be a positive number of samples per second; got {sample_rate!r}.")


def _check_suffix(path: str | os.PathLike, suffix: str) -> None:
    if not os.fspath(path).lower().endswith(suffix):
        raise ValueError(f"path must end in {suffix}; got {os.fspath(path)!r}.")
