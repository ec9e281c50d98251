"""Tables and series of numbers from `.csv` files, with or without a line of names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ar_zoo.data import dataset, splits

_SEPARATORS = ",;\t"


def read_csv(path: Path, split: str, kind: str | None = None) -> dataset.Data:
    """Reads one part of a table, an event a row, or of a series, a number a row, in their order.

    Parts are found as those of a text are: `wine_train.csv` has `wine_valid.csv` beside it, and the last 10 % of the rows
    of a lone file are "valid". Shuffle the rows of a table first if they are sorted.

    Args:
        path: the file, UTF-8; numbers are separated by commas, semicolons or tabs. A first line that is not all numbers
            names the columns.
        split: "train", "valid" or "test".
        kind: "table" or "series"; by default one column is a series and several are a table.

    Raises:
        ValueError: if a cell is no finite number, rows differ in length, or the file does not have that part.

    Example: `read_csv(Path("wine.csv"), "valid").values.shape`
    """
    paths = splits.parts_beside(path)
    part, train = splits.choose_part(paths, split, str(path)), splits.train_part(paths, str(path))
    columns, rows = _read(paths[part.name])
    whole = rows if train.name == part.name else _read(paths[train.name])[1]
    rows, whole, source = rows[part.slice(len(rows))], whole[train.slice(len(whole))], str(paths[part.name])
    if (kind or ("series" if rows.shape[1] == 1 else "table")) != "series":
        return dataset.table(rows, whole, columns=columns, source=source)
    if rows.shape[1] != 1:
        raise ValueError(f"{source}: a series must be one column; it has {rows.shape[1]}. Keep the one that is wanted.")
    return dataset.series(rows[:, 0], None, whole[:, 0], source=source)


def _read(path: Path) -> tuple[list[str] | None, np.ndarray]:
    """The columns' names, where the first line holds any, and the numbers, float64 [rows, columns]."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}.") from error
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    try:
        lines = [row for row in csv.reader(text.splitlines(), delimiter=separator) if row]
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as comma-separated values: {error}.") from error
    names = lines.pop(0) if lines and not all(_is_number(cell) for cell in lines[0]) else None
    width = len(names or (lines or [[]])[0])
    for number, row in enumerate(lines, 1):
        if len(row) != width:
            raise ValueError(f"{path}: every row must have {width} cells, as the first; row {number} has {len(row)}.")
        for column, cell in enumerate(row, 1):
            if not _is_number(cell):
                raise ValueError(
                    f"{path}: every cell must be a number; row {number}, column {column} is {cell!r}. Leave out "
                    "columns of words, and fill in what is missing."
                )
    return names and [name.strip() for name in names], np.array(lines, np.float64).reshape(len(lines), width)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
