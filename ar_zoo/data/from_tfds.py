"""Any TensorFlow Datasets name, as NumPy: the first image, sound or text feature, with its class label."""

from __future__ import annotations

import contextlib
import difflib
import os
import socket
import urllib.request
from collections.abc import Iterator

import numpy as np

from ar_zoo.data import dataset, splits

FORMS = (
    "shipped:digits, shipped:emoji, shipped:speech, shipped:text, shipped:cancer, shipped:sunspots or shipped:sums; a "
    "path to an .npz, .csv, .jsonl or .txt file; a path to a folder of WAV or PNG files; sklearn:breast_cancer; a TensorFlow "
    "Datasets name such as mnist, cifar10 or tfds:ljspeech"
)


def read_tfds(name: str, split: str, kind: str | None = None) -> dataset.Data:
    """Loads a data set by its name; downloads and prepares it the first time (into `TFDS_DATA_DIR`).

    Args:
        name: "mnist", "mnist:3.0.1", "glue/cola".
        split: "train", "valid" or "test".
        kind: "image", "sound" or "text" for a data set that has several; None takes the first in this order.

    Raises:
        ValueError: if there is no such data set, it cannot be downloaded, or it has no feature of that kind.

    Example: `read_tfds("mnist", "valid").values.shape` is (10000, 28, 28, 1)
    """
    builder = find_builder(name)
    prepare(builder)
    return read_builder(builder, split, kind)


def find_builder(name: str):
    """The TFDS builder of that name (its files, `data_dir`, need not be there yet)."""
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name)
    except tfds.core.registered.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name.partition(":")[0].partition("/")[0], tfds.list_builders(), n=5)
        hint = f" Near names: {', '.join(near)}." if near else ""
        raise ValueError(
            f"source {name!r} is neither a file or folder here nor a data set of TensorFlow Datasets.{hint} "
            f"Accepted: {FORMS}."
        ) from error
    # A malformed name, or a version or configuration that it does not have, of which TFDS tells in its own words.
    except (ValueError, AssertionError) as error:
        raise ValueError(f"source {name!r} is no data set that TensorFlow Datasets can build: {error}") from error


def prepare(builder) -> None:
    """Downloads and prepares the builder's data where that has not been done."""
    if builder.is_prepared():
        return
    with _explained(builder):
        _check_network()
        builder.download_and_prepare()


def read_builder(builder, split: str, kind: str | None = None) -> dataset.Data:
    """Maps a prepared builder's features and splits to `Data`; arguments as in `read_tfds`."""
    import tensorflow_datasets as tfds

    source = f"tfds:{builder.info.full_name}"
    part = splits.choose_part([str(name) for name in builder.info.splits], split, source)
    instruction = part.name if part.whole else f"{part.name}[{part.start}%:{part.stop}%]"
    kind, key = _feature(builder, kind, source)
    label = _first(builder, (tfds.features.ClassLabel,)) if kind != "text" else None
    if builder.info.splits[instruction].num_examples == 0:
        raise ValueError(f"{source}: split {split!r} ({instruction}) is empty. Ask for another split.")
    examples = list(tfds.as_numpy(builder.as_dataset(split=instruction, shuffle_files=False)))

    values = [example[key] for example in examples]
    labels = None if label is None else np.asarray([example[label] for example in examples])
    classes = None if label is None else builder.info.features[label].names
    if kind == "text":
        return dataset.Data("text", "\n".join(value.decode("utf-8") for value in values), source=source)
    if kind == "image":
        sizes = sorted({value.shape for value in values})
        if len(sizes) > 1:
            raise ValueError(
                f"{source}: images must all have one size; it has {sizes[0]} and {sizes[-1]}, for example."
            )
        return dataset.images(np.stack(values), labels, classes, source=source)
    clips = [_mono(value) for value in values]
    rate = builder.info.features[key].sample_rate or None
    return dataset.sound(np.concatenate(clips), [len(clip) for clip in clips], rate, labels, classes, source=source)


def _feature(builder, kind: str | None, source: str) -> tuple[str, str]:
    """The kind to read and the name of its feature."""
    import tensorflow_datasets as tfds

    types = {
        "image": (tfds.features.Image,),
        "sound": (tfds.features.Audio,),
        "text": (tfds.features.Text,),
    }
    for candidate in types if kind is None else (kind,):
        key = _first(builder, types.get(candidate, ()))
        if key is not None:
            return candidate, key
    raise ValueError(
        f"{source} has no {kind or 'image, sound or text'} feature at its top level; it has "
        f"{', '.join(f'{name} ({type(feature).__name__})' for name, feature in builder.info.features.items())}."
    )


def _first(builder, types: tuple[type, ...]) -> str | None:
    """The first feature of these types: that which the data set names as input or target, else the first by name."""
    named = [key for key in builder.info.supervised_keys or () if isinstance(key, str)]
    features = builder.info.features
    return next((key for key in (*named, *features) if isinstance(features[key], types)), None)


def _mono(samples: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1]. TFDS hands 16-bit samples out in any integer type."""
    values = samples.astype(np.float32) / (32768.0 if samples.dtype.kind == "i" else 1.0)
    return values if values.ndim == 1 else values.mean(axis=1)


def _check_network() -> None:
    """Without a network TFDS retries for minutes; ask first. Behind a proxy names need not resolve here."""
    if not urllib.request.getproxies():
        socket.getaddrinfo("storage.googleapis.com", 443)


@contextlib.contextmanager
def _explained(builder) -> Iterator[None]:
    """Tells what to do where a download fails."""
    import tensorflow_datasets as tfds

    wrong_file = tfds.download.download_manager.NonMatchingChecksumError
    try:
        yield
    # requests' and urllib's failures are OSErrors. AssertionError: TFDS wants files that are fetched by hand.
    except (OSError, AssertionError, tfds.download.DownloadError, wrong_file) as error:
        raise ValueError(
            f"the data set {builder.name!r} is not in {os.fspath(builder.data_dir)} and cannot be downloaded or "
            f"prepared: {error}. With a network, try again; without one, pass the path of a file or folder that you "
            "have (--data PATH), or one that is shipped (shipped:digits, …)."
        ) from error
