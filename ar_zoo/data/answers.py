"""Prompts and answers as a model's symbols. Apart from the rest of the package because it needs the model."""

from __future__ import annotations

import numpy as np

from ar_zoo.core.text import prompt_symbols


def encode_answers(model, part, end: str, column: str = "answer") -> list[tuple[np.ndarray, np.ndarray]]:
    """The symbols of each prompt, and of its answer with the end behind it.

    Args:
        model: whose head reads text.
        part: what `ar_zoo.data.read` gives of a `.jsonl` file.
        end: the text that ends an answer.
        column: "answer" or "rejected".

    Raises:
        ValueError: the part holds something else, has no such column, or a text that the model does not know.

    Example: `encode_answers(model, ar_zoo.data.read("shipped:sums"), "\\n")[0]`
    """
    if part.kind != "answers":
        raise ValueError(f"{part.source} holds {part.kind}; wanted are prompts and answers, a `.jsonl` file.")
    if column not in part.columns:
        raise ValueError(
            f"{part.source} must have {column!r} in every line; it has {', '.join(part.columns)}. Preferences are learnt from "
            "pairs of an answer and one that is rejected."
        )
    rows = []
    for number, (prompt, *answers) in enumerate(part.values, 1):
        try:
            answer = model.head.encode(answers[part.columns.index(column) - 1] + end)
            rows.append((prompt_symbols(model, prompt), answer))
        except ValueError as error:
            raise ValueError(f"{part.source}, row {number}: {error}") from None
    return rows


def lay_out(model, rows, window: int | None = None, pack: bool = False) -> tuple[np.ndarray, ...]:
    """Rows of one length: a prompt, its answer, and zeros up to the longest.

    Args:
        model: refuses what is longer than its `max_sites`.
        rows: what `encode_answers` gives.
        window: the rows' length, in place of that of the longest.
        pack: fill each row with as many prompts and answers, one after the other, as fit.

    Returns:
        (x int32 [N, S], scored bool [N, S], texts int32 [N, S]): `scored` is True on answers and their ends; `texts` counts the
        prompts and their answers in a row from 1, and is 0 where nothing is left.

    Example: `x, scored, texts = lay_out(model, encode_answers(model, part, "\\n"))`
    """
    sizes = [len(prompt) + len(answer) for prompt, answer in rows]
    most = min(size for size in (window, model.max_sites, np.inf) if size is not None)
    if max(sizes) > most:
        number = int(np.argmax(sizes))
        raise ValueError(
            f"A prompt and its answer must fit into {most} symbols, the window or what the model takes at most; row "
            f"{number + 1} has {sizes[number]}. Shorten it or leave it out."
        )
    length = window or (min(most, max(sizes) * 8) if pack else max(sizes))
    lines = []
    for pair, size in zip(rows, sizes, strict=True):
        if not pack or not lines or lines[-1][0] + size > length:
            lines.append([0, []])
        lines[-1][0] += size
        lines[-1][1] += [(symbols, scored) for symbols, scored in zip(pair, (False, True), strict=True)]
    x, scored, texts = (np.zeros((len(lines), int(length)), dtype) for dtype in (np.int32, bool, np.int32))
    for row, (_, pieces) in enumerate(lines):
        at = 0
        for number, (symbols, is_answer) in enumerate(pieces):
            here = (row, slice(at, at + len(symbols)))
            x[here], scored[here], texts[here] = symbols, is_answer, 1 + number // 2
            at += len(symbols)
    return x, scored, texts
