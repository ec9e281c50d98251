"""Forecasts by scenarios: many continuations of a series or a sound, drawn from the model, and their quantiles.

A fan chart shows, for each step, between which bounds a share of the scenarios lies. What is known after the fact tells how
good they were: how many truths lie within the bounds, and the CRPS, in the data's own units, 0 at best: for one number the
absolute error (Gneiting & Raftery 2007, equation 21).
"""

from __future__ import annotations

import numpy as np

from ar_zoo.core import arguments

_BLUE = "#1f5c99"


def scenarios(
    model,
    history,
    steps: int,
    num: int = 100,
    seed: int = 0,
    temperature=1.0,
    context=None,
    batch_size=None,
    progress=False,
) -> np.ndarray:
    """Continuations, drawn from the model.

    Args:
        model: of events of any length, such as `WaveNet`.
        history: what is known, symbols (or values of continuous data) [T]. Where the model takes events of a limited
            length, its last part counts.
        steps: how many sites are drawn.
        num: how many continuations.
        seed, temperature, context, batch_size, progress: as in `sample`.

    Returns:
        [num, steps], symbols or values.

    Raises:
        ValueError: the model's events have a fixed length, or leave no room for so many steps and one known value.

    Example: `scenarios(model, model.head.encode(sound), steps=800).shape` is (100, 800)
    """
    history = np.asarray(history)
    arguments.whole(steps=steps, num=num)
    if model.num_sites is not None or model.head.site_shape:
        raise ValueError(f"`model` must take events [T] of any length; its events are {list(model.event_shape)}.")
    if history.ndim != 1 or not len(history):
        raise ValueError(f"`history` must be at least one value, [T]; got shape {list(history.shape)}.")
    if model.max_sites is not None:
        if steps >= model.max_sites:
            raise ValueError(
                f"`steps` must be less than the {model.max_sites} sites of the model's events; got {steps}."
            )
        history = history[-(model.max_sites - steps) :]
    how = dict(temperature=temperature, batch_size=batch_size, progress=progress)
    x = model.sample(num, seed, context, prefix=history, num_sites=len(history) + steps, **how)
    return x[:, len(history) :]


def bands(values, levels) -> dict[float, np.ndarray]:
    """Between which bounds a share `level` of scenarios [num, steps] lies, as many above as below: level → [2, steps].

    Example: `bands(values, [0.5])[0.5]` has the lower and the upper quartiles
    """
    for level in levels:
        if not isinstance(level, (int, float)) or not 0 < level < 1:
            raise ValueError(f"`levels` must lie between 0 and 1; got {level}.")
    return {level: np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0) for level in levels}


def crps(values, truth) -> np.ndarray:
    """The continuous ranked probability score of scenarios [num, steps] for what happened [steps], at each step.

    Example: `crps(np.array([[1.0], [3.0]]), np.array([2.0]))` is [0.5]
    """
    if np.ndim(values) != 2 or np.shape(truth) != np.shape(values)[1:]:
        raise ValueError(
            f"`values` must be scenarios [num, steps] and `truth` [steps]; got {list(np.shape(values))}, {list(np.shape(truth))}."
        )
    values, number = np.sort(values, axis=0), len(values)
    weights = 2 * np.arange(1, number + 1) - number - 1
    spread = (weights[:, None] * values).sum(axis=0) / number**2  # half the mean distance of two scenarios
    return np.abs(values - truth).mean(axis=0) - spread


def report(values, levels, truth=None) -> dict:
    """What the scenarios say, as JSON can hold it; with what happened (as far as it is known), how right they were.

    Example: `report(values, [0.5, 0.9])["median"]`
    """
    found = {
        "steps": values.shape[1],
        "scenarios": len(values),
        "median": np.median(values, axis=0).tolist(),
        "levels": {},
    }
    known = 0 if truth is None else min(len(truth), values.shape[1])
    for level, (low, high) in bands(values, levels).items():
        found["levels"][str(level)] = {"low": low.tolist(), "high": high.tolist()}
        if known:
            inside = (low[:known] <= truth[:known]) & (truth[:known] <= high[:known])
            found["levels"][str(level)]["coverage"] = float(inside.mean())
    if known:
        found |= {
            "truth": np.asarray(truth[:known]).tolist(),
            "crps": float(crps(values[:, :known], truth[:known]).mean()),
        }
    return found


def table(report: dict, rows: int = 12) -> str:
    """What `report` gave, in Markdown, at so many steps."""
    levels = sorted(report["levels"], key=float)
    lines = [f"| step | median |{''.join(f' {float(level):.0%} |' for level in levels)} happened |"]
    lines += ["|---:|---:|" + "---|" * len(levels) + "---:|"]
    truth = report.get("truth", [])
    for step in np.unique(np.linspace(0, report["steps"] - 1, rows).round().astype(int)):
        each = [report["levels"][level] for level in levels]
        cells = [f"{step + 1}", f"{report['median'][step]:.4g}"]
        cells += [f"{bounds['low'][step]:.4g} … {bounds['high'][step]:.4g}" for bounds in each]
        lines.append(f"| {' | '.join([*cells, f'{truth[step]:.4g}' if step < len(truth) else '–'])} |")
    if truth:
        shares = [f"{report['levels'][level]['coverage']:.0%} within {float(level):.0%}" for level in levels]
        lines += ["", f"Of {len(truth)} that happened: {', '.join(shares)}; CRPS {report['crps']:.4g}."]
    return "\n".join(lines)


def plot_fan(path, history, values, levels, truth=None, title: str = "", unit: str = "") -> None:
    """The last of what was known, the bands of the scenarios, their median, three of them, and what happened.

    Args:
        path: the file, `.png`.
        history, values, truth: in the data's own units: [T], [num, steps], [at most steps] or None.
        levels: shares, a band each.
        title, unit: above, and beside the vertical axis.

    Example: `plot_fan("fan.png", history, values, [0.5, 0.9])`
    """
    from ar_zoo.data.writers import figure_into

    steps = np.arange(1, values.shape[1] + 1)
    shown = np.asarray(history)[-3 * values.shape[1] :]
    with figure_into(path, 9.6, 4.0) as figure:
        axes = figure.add_subplot()
        axes.plot(np.arange(1 - len(shown), 1), shown, color="#333333", linewidth=1.2, label="known")
        for level, (low, high) in sorted(bands(values, levels).items(), reverse=True):
            axes.fill_between(steps, low, high, color=_BLUE, alpha=0.22, linewidth=0, label=f"{level:.0%}")
        for number, one in enumerate(values[:3]):
            axes.plot(steps, one, color=_BLUE, alpha=0.5, linewidth=0.6, label="scenarios" if number == 0 else None)
        axes.plot(steps, np.median(values, axis=0), color=_BLUE, linewidth=1.4, label="median")
        if truth is not None and len(truth):
            happened = np.asarray(truth)[: len(steps)]
            axes.plot(steps[: len(happened)], happened, color="#c0803a", linewidth=1.4, label="happened")
        axes.axvline(0.5, color="#888888", linewidth=0.6)
        axes.set(title=title, xlabel="steps", ylabel=unit)
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
