"""`ar-zoo bench`: how fast a model draws, on each engine, beside the least time that its matrix products take."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ar_zoo.core import arguments
from ar_zoo.core.files import atomic_path
from ar_zoo.runtime.runtime import ENGINES
from ar_zoo.runtime.speed import measure

COLUMNS = {  # of the table: heading → how a row fills it
    "engine": lambda row: row["engine"],
    "sites/s": lambda row: f"{row['sites_per_s']:,.0f}",
    "µs a step": lambda row: f"{row['site_us']:,.1f}",
    "times its products": lambda row: _or_dash(row["limit_us"], lambda limit: f"{row['site_us'] / limit:.2f}"),
    "known sites/s": lambda row: _or_dash(row["prefill_sites_per_s"], lambda rate: f"{rate:,.0f}"),
    "first site, s": lambda row: _or_dash(row["first_site_s"], lambda seconds: f"{seconds:.2f}"),
    "memory, MB": lambda row: _or_dash(row["memory_mb"], lambda size: f"{size:,.0f}"),
    "files, MB": lambda row: _or_dash(row["files_mb"], lambda size: f"{size:,.2f}"),
}


def bench(model, engines=("tensorflow", "litert"), batch_size: int = 1, num_sites: int | None = None, repeats: int = 3):
    """Exports a model, and measures how fast each engine draws from it. Leave the machine otherwise idle.

    Args:
        model: an `AutoregressiveModel`, or the folder of an export.
        engines: which of `"tensorflow"` (`model.sample`; left out for an export), `"litert"`, `"onnx"` and `"saved_model"`.
        batch_size: rows drawn at once.
        num_sites: length of an event, where it is free.
        repeats: how often each time is taken; the best counts.

    Returns:
        a dict for each engine, as `ar_zoo.runtime.speed.measure` gives it; what was not measured is `None`.

    Example:
        >>> print(table(bench(ar_zoo.load("gated_pixel_cnn.mnist"))))
    """
    known = ("tensorflow", *ENGINES)
    unknown = [name for name in engines if name not in known]
    if unknown or not engines:
        raise ValueError(f"`engines` must hold one or more of {', '.join(map(repr, known))}; got {list(engines)}.")
    arguments.whole(repeats=repeats)
    if isinstance(model, (str, Path)):
        engines = [name for name in engines if name != "tensorflow"]
        if not engines:
            raise ValueError("`engines` must hold more than 'tensorflow' for an export, which draws without it.")
        return [measure(model, name, num_sites, repeats) for name in engines]
    import ar_zoo

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        formats = {ENGINES[name][1] for name in engines if name != "tensorflow"}
        if formats:
            ar_zoo.export(model, folder, tuple(formats), batch_size, num_sites)
        for name in engines:
            if name == "tensorflow":
                rows.append(_in_tensorflow(model, batch_size, num_sites, repeats))
            else:
                rows.append(measure(folder, name, repeats=repeats))
    return rows


def _in_tensorflow(model, batch_size, num_sites, repeats):
    best, x = float("inf"), model.sample(batch_size, seed=0, num_sites=num_sites)  # compiles
    for _ in range(repeats):
        start = time.perf_counter()
        model.sample(batch_size, seed=0, num_sites=num_sites)
        best = min(best, time.perf_counter() - start)
    sites = model.num_sites or x.shape[1]
    row = dict.fromkeys(("first_site_s", "prefill_sites_per_s", "memory_mb", "files_mb", "limit_us"))
    rates = {"sites_per_s": batch_size * sites / best, "site_us": best / sites * 1e6}
    return row | {"engine": "tensorflow", "batch_size": batch_size, "num_sites": sites} | rates


def table(rows) -> str:
    """What `bench` gave, in Markdown."""
    lines = [" | ".join(COLUMNS), " | ".join(["---"] + ["---:"] * (len(COLUMNS) - 1))]
    lines += [" | ".join(cell(row) for cell in COLUMNS.values()) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def plot(rows, path, title: str) -> Path:
    """Sites a second of each engine, as bars in a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 0.8 + 0.5 * len(rows)), layout="constrained")
    bars = axes.barh([row["engine"] for row in rows], [row["sites_per_s"] for row in rows], color="#2d5d8b")
    axes.bar_label(bars, fmt="{:,.0f}", padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set(title=title, xlabel="sites a second")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot.close(figure)
    return Path(path)


def _or_dash(value, text):
    return "–" if value is None else text(value)
