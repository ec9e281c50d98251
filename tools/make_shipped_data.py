"""Makes the small data sets that travel inside the package, `ar_zoo/data/shipped/`, from the full ones.

    python tools/make_shipped_data.py --from ../shared/data

The same input gives the same bytes. What is shipped for validation is taken from the validation parts alone.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np

from ar_zoo.core.files import sha256_of
from ar_zoo.data import alphabet_of, write_npz, write_text

SHIPPED = pathlib.Path(__file__).resolve().parents[1] / "ar_zoo" / "data" / "shipped"


def make_digits(source: pathlib.Path, target: pathlib.Path, num_train: int, num_valid: int) -> None:
    """The first digits of each class, equally many of each, in their order."""
    arrays = {}
    with np.load(source, allow_pickle=False) as full:
        for part, number in (("train", num_train), ("valid", num_valid)):
            labels = full[f"y_{part}"]
            each = [np.flatnonzero(labels == digit)[: number // 10] for digit in range(10)]
            chosen = np.sort(np.concatenate(each))
            if len(chosen) != number:
                raise ValueError(f"{source} has too few digits of a class for {number} in {part}.")
            arrays |= {f"x_{part}": full[f"x_{part}"][chosen], f"y_{part}": labels[chosen]}
    write_npz(target, arrays)


def make_speech(source: pathlib.Path, target: pathlib.Path, train_seconds: float, valid_seconds: float) -> None:
    """Whole clips in their order, without those that no longer fit."""
    with np.load(source, allow_pickle=False) as full:
        arrays = {"sample_rate": full["sample_rate"]}
        for part, seconds in (("train", train_seconds), ("valid", valid_seconds)):
            samples, lengths, names = (full[f"{part}_{key}"] for key in ("samples", "lengths", "names"))
            room, chosen = int(seconds * full["sample_rate"]), []
            for clip, length in enumerate(lengths):
                if length <= room:
                    chosen.append(clip)
                    room -= length
            ends = np.cumsum(lengths)
            clips = [samples[ends[clip] - lengths[clip] : ends[clip]] for clip in chosen]
            arrays[f"{part}_samples"] = np.concatenate(clips)
            arrays |= {f"{part}_lengths": lengths[chosen], f"{part}_names": names[chosen]}
    write_npz(target, arrays)


def make_text(source: pathlib.Path, target: pathlib.Path, num_characters: int) -> None:
    """Whole chapters from all over the book, and the first chapters that hold what else is in its alphabet."""
    text = source.read_text(encoding="utf-8")
    chapters = text.strip("\n").split("\n\n")
    chosen = set(range(0, len(chapters), -(-len(text) // num_characters)))
    for letter in sorted(set(text) - set("\n\n".join(chapters[place] for place in chosen))):
        chosen.add(next(place for place, chapter in enumerate(chapters) if letter in chapter))
    shipped = "\n\n".join(chapters[place] for place in sorted(chosen)) + "\n"
    if alphabet_of(shipped) != alphabet_of(text):
        raise ValueError(f"{target.name} lacks characters of {source}.")
    write_text(target, shipped)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="Example: python tools/make_shipped_data.py --from ../shared/data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=pathlib.Path,
        required=True,
        metavar="FOLDER",
        help="folder with mnist.npz, speech8k.npz, kjv_train.txt and kjv_valid.txt",
    )
    parser.add_argument("--to", type=pathlib.Path, default=SHIPPED, metavar="FOLDER", help="folder to write")
    arguments = parser.parse_args()
    source, target = arguments.source, arguments.to
    wanted = ("mnist.npz", "speech8k.npz", "kjv_train.txt", "kjv_valid.txt")
    missing = [name for name in wanted if not (source / name).is_file()]
    if missing:
        parser.error(f"--from {source}: {', '.join(missing)} not found there; it must hold {', '.join(wanted)}")

    make_digits(source / "mnist.npz", target / "digits.npz", num_train=1800, num_valid=200)
    make_speech(source / "speech8k.npz", target / "speech.npz", train_seconds=50, valid_seconds=10)
    make_text(source / "kjv_train.txt", target / "text_train.txt", num_characters=270_000)
    make_text(source / "kjv_valid.txt", target / "text_valid.txt", num_characters=30_000)
    for name in ("digits.npz", "speech.npz", "text_train.txt", "text_valid.txt"):
        print(f"{sha256_of(target / name)}  {(target / name).stat().st_size:7d}  {name}")


if __name__ == "__main__":
    main()
