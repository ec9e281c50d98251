"""Tables in Markdown and plots of what was measured."""

from __future__ import annotations

from pathlib import Path

from ar_zoo.core.files import atomic_path

_OURS, _THEIRS, _NAIVE = "#2d5d8b", "#c0803a", "#8a8a8a"


def _shown(key, form, times=1.0):
    """A cell: a row's figure, a dash where there is none."""
    return lambda row: "–" if row.get(key) is None else form.format(row[key] * times)


FIGURES = {  # heading → how a row fills it, in both tables
    "sites/s": _shown("sites_per_s", "{:,.0f}"),
    "µs a step": _shown("site_us", "{:,.1f}"),
    "known sites/s": _shown("prefill_sites_per_s", "{:,.0f}"),
    "first site, s": _shown("first_site_s", "{:.2f}"),
    "memory, MB": _shown("memory_mb", "{:,.0f}"),
    "files, MB": _shown("files_mb", "{:,.2f}"),
    "times its products": lambda row: _times(row.get("site_us"), row.get("limit_us")),
    "share of the machine's limit": _shown("share_of_bound", "{:.0f} %", 100),
}


def _times(value, limit):
    return f"{value / limit:.2f}" if value and limit else "–"


def _markdown(columns: dict, rows, words=1) -> str:
    """`words`: how many columns at the left are words."""
    lines = [" | ".join(columns), " | ".join(["---"] * words + ["---:"] * (len(columns) - words))]
    lines += [" | ".join(cell(row) for cell in columns.values()) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def table(rows) -> str:
    """What `bench` gave, in Markdown."""
    return _markdown({"engine": lambda row: row["engine"]} | FIGURES, rows)


def comparison(results) -> str:
    """What `compare` gave, case by case, in Markdown."""
    rows = []
    for result in results:
        naive = result["measured"]["naive"]["sites_per_s"]
        for name, entry in result["measured"].items():
            rate = entry.get("sites_per_s")
            more = {"case": result["title"], "name": name, "times": rate and rate / naive}
            rows.append(entry | more | {"events_per_s": rate and rate / result["sites"]})
    columns = {
        "model": lambda row: row["case"],
        "drawn by": _drawn_by,
        "events/s": _shown("events_per_s", "{:.3g}"),
        "times naive": _shown("times", "{:,.1f}"),
    }
    return _markdown(columns | FIGURES, rows, words=2)


def _drawn_by(row) -> str:
    if "left_out" in row:
        return f"{row['name']} (left out: {row['left_out']})"
    if "compared" in row:
        return f"{row['name']} ({row['compared'] - row['different']} of {row['compared']} symbols as naive)"
    more = row.get("version") or row.get("estimate")
    return f"{row['name']} ({more})" if more else row["name"]


def bars(verdicts) -> str:
    """What `verdicts` gave, in Markdown; a bar that was missed is bold."""
    columns = {
        "model": lambda row: row["case"],
        "drawn by": lambda row: row["of"],
        "against": lambda row: f"{row['than']} ({row['note']})" if row["note"] else row["than"],
        "times as fast": lambda row: _figure(row, "at_least"),
        "times as long a site": lambda row: _figure(row, "at_most"),
        "bar": _bar,
        "": lambda row: {True: "met", False: "**missed**", None: "not measured"}[row["met"]],
    }
    return _markdown(columns, verdicts, words=3)


def _figure(row, kind):
    if row[kind] is None or row["figure"] is None:
        return "–"
    return f"{row['figure']:,.1f}" if row["figure"] >= 100 else f"{row['figure']:.2f}"


def _bar(row):
    return f"at least {row['at_least']:g}" if row["at_most"] is None else f"at most {row['at_most']:g}"


def plot(rows, path, title: str) -> Path:
    """Sites a second of each engine, as bars in a PNG."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(6, 0.8 + 0.5 * len(rows)), layout="constrained")
    bars = axes.barh([row["engine"] for row in rows], [row["sites_per_s"] for row in rows], color=_OURS)
    axes.bar_label(bars, fmt="{:,.0f}", padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set(title=title, xlabel="sites a second")
    axes.spines[["top", "right"]].set_visible(False)
    return _saved(figure, path)


def plot_comparison(results, path) -> Path:
    """Sites a second, on a logarithmic axis: a panel for each case, a bar for each who drew."""
    pyplot = _pyplot()
    panels = [
        (result, {name: entry for name, entry in result["measured"].items() if "sites_per_s" in entry})
        for result in results
    ]
    heights = [len(measured) + 1.5 for _, measured in panels]
    figure, axes = pyplot.subplots(
        len(panels), figsize=(8, 0.3 * sum(heights) + 0.6), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for ax, (result, measured) in zip(axes[:, 0], panels, strict=True):
        names = [f"{name} (estimate)" if "estimate" in entry else name for name, entry in measured.items()]
        rates = [entry["sites_per_s"] for entry in measured.values()]
        drawn = ax.barh(names, rates, color=[_colour(name, entry) for name, entry in measured.items()])
        ax.bar_label(drawn, [f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}" for rate in rates], padding=4)
        ax.set_xscale("log")
        ax.set_xlim(min(rates) / 3, max(rates) * 6)
        ax.invert_yaxis()
        ax.set_title(result["title"], loc="left", fontsize=10, fontweight="bold")
        ax.spines[["top", "right"]].set_visible(False)
    colours = "grey: naive, blue: ours, brown: other libraries"
    figure.supxlabel(f"sites (pixels, samples, tokens) a second; {colours}", fontsize=10)
    return _saved(figure, path)


def _colour(name, entry):
    if name == "naive":
        return _NAIVE
    return _THEIRS if "version" in entry or "estimate" in entry else _OURS


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _saved(figure, path) -> Path:
    from matplotlib import pyplot

    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    pyplot.close(figure)
    return Path(path)
