"""Prompts and their answers from `.jsonl` files: a JSON object a line, which fine-tuning and preferences are learnt from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ar_zoo.data import splits
from ar_zoo.data.dataset import Data

_COLUMNS = ("prompt", "answer", "rejected")


def read_jsonl(path: Path, split: str) -> Data:
    """Reads one part of a file whose lines are like `{"prompt": "3+4=", "answer": "7", "rejected": "8"}`.

    `rejected`, an answer that is worse, is there in all lines or in none; `answer` may be called `chosen`. Parts are found as
    those of a text are: `sums_train.jsonl` has `sums_valid.jsonl` beside it, and the last 10 % of the lines of a lone file
    are "valid". Shuffle the lines first if they are sorted.

    Args:
        path: the file, UTF-8.
        split: "train", "valid" or "test".

    Raises:
        ValueError: if a line is not such an object, or the file does not have that part.

    Example: `read_jsonl(Path("sums.jsonl"), "valid").columns` is `("prompt", "answer", "rejected")`
    """
    paths = splits.parts_beside(path)
    part = splits.choose_part(paths, split, str(path))
    path = paths[part.name]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}.") from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    rows = [_row(line, f"{path}, line {number}") for number, line in lines]
    columns = [name for name in _COLUMNS if rows and name in rows[0]]
    for (number, _), row in zip(lines, rows, strict=True):
        if set(row) != set(columns):
            raise ValueError(f"{path}: every line must have {', '.join(columns)}, as the first; line {number} has not.")
    values = np.empty((len(rows), len(columns)), object)
    for place, row in enumerate(rows):
        values[place] = [row[name] for name in columns]
    return Data("answers", values[part.slice(len(values))], columns=tuple(columns), source=str(path))


def _row(line: str, place: str) -> dict[str, str]:
    """A line by column."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place} is no JSON: {error}.") from None
    if isinstance(row, dict) and "answer" not in row and "chosen" in row:
        row["answer"] = row.pop("chosen")
    if not isinstance(row, dict) or not {"prompt", "answer"} <= set(row) <= set(_COLUMNS):
        held = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
        raise ValueError(f"{place} must be an object with prompt, answer and perhaps rejected; it has {held}.")
    for name, value in row.items():
        if not isinstance(value, str) or (name == "prompt" and not value):
            raise ValueError(
                f"{place}: {name} must be a text{' that is not empty' if value == '' else ''}; got {value!r}."
            )
    return row
