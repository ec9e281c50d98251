"""Several models on the same data: bits per dimension with their standard errors, and differences event by event."""

from __future__ import annotations

import math
import time

import numpy as np

from ar_zoo.core import arguments
from ar_zoo.data import Data
from ar_zoo.uses.nats import event_nats


def compare_models(
    models: dict, part, batch_size: int = 16, window=None, limit=None, labels=True, progress=False
) -> list[dict]:
    """Scores each model on the same events.

    An event is an image, a row of a table, or a window of sound, text or a series (nats are those of the standardised
    numbers). Events differ much more from each other than models do on one
    event, so the paired difference tells models apart that their own standard errors do not.

    Args:
        models: name → model, or name → a function that gives it, so that one at a time is in memory.
        part: what `ar_zoo.data.read` gives.
        batch_size: events at once.
        window: length of the pieces that sound and text are cut into, the same for all; by default the models' longest,
            or 4,000.
        limit: at most so many events, the first ones.
        labels: whether a model that takes labels is told those of the data.
        progress: show bars.

    Returns:
        The best first, dicts of `model`, `weights`, `events`, `bits_per_dim`, `standard_error` (`None` for one event),
        `difference` (to the best, mean of the events' own, bits per dimension), `difference_error` (its standard error),
        `nats` (of an event) and `seconds_per_event`.

    Raises:
        ValueError: the models' symbols differ (a palette, fewer levels), so that their bits cannot be compared.

    Example: `compare_models({name: ar_zoo.load(name) for name in names}, ar_zoo.data.read("shipped:digits", "valid"))`
    """
    from ar_zoo.data.encoded import scored

    arguments.whole_or_none(window=window, limit=limit)
    if not isinstance(models, dict) or not models:
        raise ValueError(f"`models` must be a dict, name → model, of at least one model; got {models!r}.")
    if not isinstance(part, Data):
        raise ValueError(f"`part` must be what `ar_zoo.data.read` gives; got {type(part).__name__}.")
    found, symbols = {}, {}
    for name, model in models.items():
        model = model if hasattr(model, "log_prob") else model()
        try:
            examples = scored(model, part, window, limit, labels)
        except ValueError as error:
            raise ValueError(f"{name} cannot take {part.source}. {error}") from None
        first = examples.x[: 4 * (examples.window or 1)]
        symbols[name] = (examples.window, model.head.decode(first) if hasattr(model, "head") else first)
        _check_same_symbols(symbols)
        event_nats(model, examples.first(batch_size), batch_size)
        start = time.perf_counter()
        nats = event_nats(model, examples, batch_size, progress)
        found[name] = (model.count_params(), nats, _dimensions(examples), (time.perf_counter() - start) / len(nats))
    return _rows(found)


def _dimensions(examples) -> np.ndarray:
    """How many symbols each event has; the last window of a stream may be shorter."""
    if examples.window is None:
        return np.full(len(examples.x), math.prod(examples.x.shape[1:]))
    starts = np.arange(examples.num_evaluation_rows) * examples.window
    return np.minimum(examples.window, len(examples.x) - starts)


def _check_same_symbols(symbols):
    (first, (window, raw)), *others = symbols.items()
    for name, (other_window, other) in others:
        if window != other_window:
            raise ValueError(
                f"`window`: {first} takes pieces of {window} symbols and {name} of {other_window}. Give one that fits both."
            )
        same = raw == other if isinstance(raw, str) else np.array_equal(np.ravel(raw), np.ravel(other))
        if not same:
            raise ValueError(
                f"`models` must score the same symbols; {first} and {name} keep the data with different levels, colours or units, "
                "and the bits of one are not those of the other."
            )


def _rows(found) -> list[dict]:
    def bits(name):
        return found[name][1].sum() / found[name][2].sum() / math.log(2)

    best = min(found, key=bits)
    rows = []
    for name, (weights, nats, dimensions, seconds) in found.items():
        of_best = found[best][1]
        difference, difference_error = ratio(nats - of_best, dimensions)
        rows.append(
            {
                "model": name,
                "weights": int(weights),
                "events": len(nats),
                "bits_per_dim": float(bits(name)),
                "standard_error": _bits_or_none(ratio(nats, dimensions)[1]),
                "difference": difference / math.log(2),
                "difference_error": _bits_or_none(difference_error),
                "nats": float(nats.mean()),
                "seconds_per_event": seconds,
            }
        )
    return sorted(rows, key=lambda row: row["bits_per_dim"])


def _bits_or_none(nats):
    """`None` where one event has no standard error; JSON has no NaN."""
    return None if math.isnan(nats) else nats / math.log(2)


def ratio(values, sizes) -> tuple[float, float]:
    """Σ values / Σ sizes over events, and its standard error over events drawn by lot (that of a ratio estimator).

    Where all sizes are one, these are the mean and its standard error. Example: `ratio([1.0, 3.0], [1, 1])` is (2.0, 1.0)
    """
    values, sizes = np.asarray(values, np.float64), np.asarray(sizes, np.float64)
    number, mean = len(values), values.sum() / sizes.sum()
    if number < 2:
        return float(mean), float("nan")
    rest = values - mean * sizes
    return float(mean), float(np.sqrt(number / (number - 1) * (rest**2).sum()) / sizes.sum())


def table(rows) -> str:
    """What `compare_models` gave, in Markdown."""
    lines = ["| model | weights | bits/dim | ± | behind the best | ± | nats/event | ms/event |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        errors = ["–" if row[name] is None else f"{row[name]:.4f}" for name in ("standard_error", "difference_error")]
        lines.append(
            "| `{model}` | {weights:,} | {bits_per_dim:.4f} | {0} | {difference:.4f} | {1} | {nats:,.2f} | "
            "{milliseconds:,.1f} |".format(*errors, **row, milliseconds=1000 * row["seconds_per_event"])
        )
    return "\n".join(lines)


def plot(rows, path, title: str) -> None:
    """Bits per dimension, and how far behind the best, with bars of two standard errors each way."""
    from ar_zoo.data.writers import figure_into

    panels = {
        "bits per dimension": ("bits_per_dim", "standard_error"),
        "behind the best, event by event": ("difference", "difference_error"),
    }
    places = range(len(rows))
    with figure_into(path, 9, 1.4 + 0.4 * len(rows)) as figure:
        figure.suptitle(title)
        for ax, (label, (value, error)) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
            values, errors = [row[value] for row in rows], [2 * (row[error] or 0.0) for row in rows]
            ax.errorbar(values, places, xerr=errors, fmt="o", color="#2d5d8b", capsize=3)
            ax.set_yticks(places, [row["model"] for row in rows])
            ax.set_xlabel(label)
            ax.grid(axis="x", color="#dddddd", linewidth=0.6)
            ax.spines[["top", "right"]].set_visible(False)
        ax.invert_yaxis()
