"""Which part of a data set a split means: one rule for every source.

"train", "valid" and "test" are the parts of these names. A data set without a validation part gives its test part for
"valid"; one that has only a train part is cut: the last 10 % are "valid", the rest is "train".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

SPLITS = ("train", "valid", "test")
_NAMES = {"train": ("train",), "valid": ("valid", "validation", "val", "dev"), "test": ("test",)}
_WORD = re.compile(r"(?<![a-z])(?:train|validation|valid|val|dev|test)(?![a-z])", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Part:
    """A named part of a data set, from `start` to `stop` per cent of its items."""

    name: str
    start: int = 0
    stop: int = 100

    @property
    def whole(self) -> bool:
        return (self.start, self.stop) == (0, 100)

    def slice(self, num_items: int) -> slice:
        """The items that belong to it."""
        return slice(num_items * self.start // 100, num_items * self.stop // 100)


def check_split(split: str) -> None:
    """Refuses a split that no source has."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(map(repr, SPLITS))}; got {split!r}.")


def choose_part(names: Iterable[str], split: str, source: str) -> Part:
    """The part that `split` means, of a data set whose parts are called `names`.

    Raises:
        ValueError: if there is no such part.

    Example: `choose_part(["train"], "valid", "my.txt")` is `Part("train", 90, 100)`
    """
    names = list(names)
    wanted = [name for name in names if name in _NAMES[split]]
    if wanted:
        whole = split != "train" or _has(names, "valid") or _has(names, "test")
        return Part(wanted[0]) if whole else Part(wanted[0], 0, 90)
    if split == "valid" and "test" in names:
        return Part("test")
    if split == "valid" and "train" in names:
        return Part("train", 90, 100)
    raise ValueError(
        f"split {split!r} is not in {source}: it has {', '.join(map(repr, names)) or 'no parts'}. "
        "Ask for another split, or give the data under a name of its own."
    )


def train_part(names: Iterable[str], source: str) -> Part:
    """The train part, by which tables and series are standardised whichever part is wanted."""
    names = list(names)
    if "train" not in names:
        raise ValueError(
            f"{source} has {', '.join(map(repr, names))} and no 'train': numbers are standardised by their train part."
        )
    return choose_part(names, "train", source)


def word_in(stem: str) -> re.Match | None:
    """The word for a part in a file's name, "valid" in `kjv_valid`, if there is one; "contest" holds none."""
    return _WORD.search(stem)


def is_word(name: str) -> bool:
    """Whether all of a name is such a word."""
    return _WORD.fullmatch(name) is not None


def part_called(word: str) -> str:
    """The split that a word names: "validation" is "valid"."""
    return next(split for split, words in _NAMES.items() if word.lower() in words)


def parts_beside(path: Path) -> dict[str, Path]:
    """A file and those beside it whose names differ only in the word for a part, by part; one without a word is "train".

    Example: `parts_beside(Path("kjv_valid.txt"))` is `{"train": Path("kjv_train.txt"), "valid": Path("kjv_valid.txt")}`
    """
    word = word_in(path.stem)
    if word is None:
        return {"train": path}
    before, after = path.stem[: word.start()], path.stem[word.end() :]
    names = {name: path.with_name(f"{before}{name}{after}{path.suffix}") for name in SPLITS}
    return {name: other for name, other in names.items() if other.is_file()} | {part_called(word.group()): path}


def _has(names: list[str], split: str) -> bool:
    return any(name in _NAMES[split] for name in names)
