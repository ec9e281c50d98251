"""`forecast`: how a series or a sound may go on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from ar_zoo.cli.start import MODEL_HELP, load
from ar_zoo.core import arguments


def add_to(command):
    """Adds the command; `command(name, run, summary, *examples)` gives its parser."""
    examples = (
        "wavenet.speech8k --data shipped:speech --steps 400 --num 100",
        "runs/ar_p_sunspots/best --data shipped:sunspots --steps 11 --num 1000 --level 0.5 0.9 --out sunspots.png",
    )
    summary = "draw scenarios of how a series or a sound goes on, with a fan chart of their quantiles"
    add = command("forecast", _forecast, summary, *examples).add_argument
    add("model", help=f"of series or sound: {MODEL_HELP}")
    add("--data", required=True, help="as in `score`; of a series in parts, the earlier parts come first, as in time")
    add("--split", default="valid", help="train, valid or test (default valid)")
    add("--index", type=int, default=0, help="which clip of sound, from 0 (default 0)")
    help = (
        "how many numbers of it are known; the rest shows how right the forecast is (default all but the last --steps)"
    )
    add("--start", type=int, help=help)
    add("--steps", type=int, required=True, help="how far")
    add("--num", type=int, default=200, help="scenarios (default 200)")
    add("--level", type=float, nargs="+", default=[0.5, 0.9], help="shares within the bands (default 0.5 0.9)")
    add("--seed", type=int, default=0, help="the same seed draws the same (default 0)")
    add(
        "--temperature", type=float, default=1.0, help="below 1 the bands are narrower than the model means (default 1)"
    )
    add("--history", type=int, default=4000, help="at most so many of the numbers before are read (default 4000)")
    add("--batch-size", type=int, help="how many are drawn at once (default all)")
    add("--json", action="store_true", help="JSON in place of a table")
    add("--out", default="forecast.png", help="the fan chart (default forecast.png)")


def _forecast(options):
    arguments.whole(history=options.history)
    if Path(options.out).suffix.lower() != ".png":
        raise ValueError(f"`--out` must end in .png; got {options.out}.")
    model = load(options.model)
    from ar_zoo import drawing
    from ar_zoo.uses import forecast

    kind = drawing.data_kind(model)
    if kind not in ("sound", "series"):
        raise ValueError(f"`forecast` needs a model of series or sound; {options.model} draws {kind}.")
    known, truth, to_raw = _known_and_truth(model, kind, options)
    progress = options.batch_size is not None and sys.stderr.isatty()
    how = dict(temperature=options.temperature, batch_size=options.batch_size, progress=progress)
    forecast.bands(np.zeros((1, 1)), options.level)  # refuses levels before anything is drawn
    drawn = to_raw(forecast.scenarios(model, known, options.steps, options.num, options.seed, **how))
    title = f"{options.num} scenarios of {Path(options.model).name}"
    forecast.plot_fan(options.out, to_raw(known), drawn, options.level, truth, title)
    found = forecast.report(drawn, options.level, truth)
    print(json.dumps(found, indent=1) if options.json else forecast.table(found))
    print(Path(options.out).resolve(), file=sys.stderr if options.json else sys.stdout)


def _known_and_truth(model, kind, options):
    """Symbols (or values) that are known, what happened then, in the data's units, and the way from one to the other."""
    from ar_zoo.data import read
    from ar_zoo.data.encoded import in_units_of
    from ar_zoo.drawing import sample_rate_of

    arguments.whole(steps=options.steps)
    rate = sample_rate_of(model) if kind == "sound" else None
    part = in_units_of(model, read(options.data, options.split, kind=kind, sample_rate=rate))
    number = len(part)
    if not 0 <= options.index < number:
        raise ValueError(f"`--index` must be from 0 to {number - 1}; got {options.index}.")
    stop = int(np.sum(part.lengths[: options.index + 1]))
    own = part.values[stop - int(part.lengths[options.index]) : stop]
    start = len(own) - options.steps if options.start is None else options.start
    if not 0 <= start <= len(own):
        raise ValueError(
            f"`--start` must be from 0 to {len(own)}, the numbers there are (by default so many less `--steps`); got {start}."
        )
    known = own[:start]
    if kind == "series" and number == 1:
        earlier = [in_units_of(model, read(options.data, split, kind=kind)) for split in _before(options.split)]
        # Without a validation part "valid" is the test part: that is not earlier.
        earlier = [one.values for one in earlier if len(one) == 1 and one.sha256 != part.sha256]
        known = np.concatenate([*earlier, known])
    if not len(known):
        raise ValueError("`--start` 0 leaves nothing that is known: give at least 1.")

    def to_raw(x):
        values = np.asarray(model.head.decode(x), np.float64)
        return values if part.scale is None else values * part.scale + part.mean

    encoded = model.head.encode(known[-options.history :])
    return encoded, to_raw(model.head.encode(own[start : start + options.steps])), to_raw


def _before(split):
    return {"train": (), "valid": ("train",), "test": ("train", "valid")}[split]
