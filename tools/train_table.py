"""Trains image models with one budget each, and prints one table of how well they do on validation.

    python tools/train_table.py --data ../shared/data/emoji32.npz --minutes 15 --out runs/emoji \\
        pixel_cnn_pp.mnist gated_pixel_cnn.mnist:units=60,head=mixture pixel_snail.mnist:learning_rate=2e-3
    python tools/train_table.py --data ../shared/data/mnist.npz --binarize --epochs 2 --schedule constant --at 1 \\
        --out runs/binary gated_pixel_cnn.mnist:num_layers=4,units=32,dropout=0,batch_size=64

A MODEL is a name of `ar-zoo list`, with arguments of its constructor after a colon. Image size, channels and alphabet come
from the data. `head` is a word: `categorical`, `bernoulli`, `mixture10` (discretised logistics), `predictive` (a mixture
that starts from the pixels around), `categorical16` (levels), `palette512` (colours; bits are then of colours, and not to be
compared with the others'). Models are unconditional unless `num_classes` is given. `batch_size`, `learning_rate`,
`weight_decay`, `warmup_steps`, `average` and `shift` go to training.

Every row trains in a process of its own, one after the other, and is validated after every epoch; validation does not count
in its minutes, compiling does. The table gives the figure at the end and the best. A row that is finished is kept in the
folder and not run again, one that was cut short goes on after its last epoch, and one that fails is an error in its place:
so the same command can be given again, and commands with other models or budgets may share a folder and its table.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np

from ar_zoo.core.files import atomic_path

SCHEDULES = {
    "cosine": dict(warmup_steps=200, weight_decay=0.01, average=0.998),
    "constant": dict(warmup_steps=0, final_rate=1.0, average=None, clip_norm=None, beta_2=0.999),
}
TRAINING = ("batch_size", "learning_rate", "weight_decay", "warmup_steps", "average", "shift")
_BLUE, _GREY = "#2d5d8b", "#b9c4cf"


def main(words=None) -> int:
    options = _parser().parse_args(words)
    if options.row:
        return _run_row(options.row)
    try:
        rows = [row_of(spec, options) for spec in options.models]
        if not rows and not options.out.is_dir():
            raise ValueError(f"`--out` {options.out} holds no table: name at least one MODEL.")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = 0
    for number, row in enumerate(rows, 1):
        folder = options.out / row["name"]
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "result.json").is_file():
            print(f"{number} of {len(rows)}: {row['name']}", file=sys.stderr, flush=True)
            failed += _in_a_process(folder, row) != 0
            write_table(options.out, options.at)
    write_table(options.out, options.at)
    print((options.out / "table.md").read_text(), end="")
    return 1 if failed else 0


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="*", metavar="MODEL[:key=value,…]", help="see above; none prints the table again"
    )
    parser.add_argument("--data", help="shipped:digits, an .npz of images, a folder, or a name of TensorFlow Datasets")
    parser.add_argument("--binarize", action="store_true", help="black and white pixels, drawn once from a fixed seed")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="of training for each row, on the cores that the process has")
    budget.add_argument("--cpu-minutes", type=float, help="the same, of all cores: fair on a machine that others use")
    budget.add_argument("--epochs", type=int, help="passes over the data for each row")
    budget.add_argument("--steps", type=int, help="batches for each row, validated at the end alone")
    help = (
        "cosine: AdamW, warm-up, a rate that falls to the end of the budget, a running mean of the weights; constant: Adam "
        "as it is, without all that (default cosine)"
    )
    parser.add_argument("--schedule", choices=list(SCHEDULES), default="cosine", help=help)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="the highest (default 0.001)")
    parser.add_argument("--batch-size", type=int, default=64, help="default 64")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and dropout (default 0)")
    parser.add_argument("--at", type=int, nargs="*", default=[], help="also show validation after these epochs")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/table"), help="folder of rows and table (default %(default)s)"
    )
    parser.add_argument("--row", type=Path, help=argparse.SUPPRESS)  # what the process of a row is started with
    return parser


# What a row is.


def row_of(spec: str, options) -> dict:
    """One model with its budget, as JSON can hold it; its name is its own, so that it is found again."""
    budget = {name.replace("_", " "): getattr(options, name) for name in ("minutes", "cpu_minutes", "epochs", "steps")}
    budget = {name: amount for name, amount in budget.items() if amount is not None}
    if not options.data or not budget:
        raise ValueError("`--data` and one of `--minutes`, `--cpu-minutes`, `--epochs` and `--steps` must be given.")
    if next(iter(budget.values())) <= 0:
        name = next(iter(budget)).replace(" ", "-")
        raise ValueError(f"`--{name}` must be more than 0; got {next(iter(budget.values()))}.")
    model, overrides = read_spec(spec)
    training = SCHEDULES[options.schedule] | dict(learning_rate=options.learning_rate, batch_size=options.batch_size)
    training |= {name: overrides.pop(name) for name in TRAINING if name in overrides}
    row = dict(spec=spec, model=model, overrides=overrides, training=training, budget=budget, schedule=options.schedule)
    row |= dict(data=str(options.data), binarize=options.binarize, seed=options.seed)
    facts = {name: value for name, value in row.items() if name != "data"} | {"data": Path(options.data).name}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    return row | {"name": f"{re.sub(r'[^A-Za-z0-9.=]+', '_', spec)[:60].strip('_')}.{digest}"}


def read_spec(spec: str) -> tuple[str, dict]:
    """`family.preset:key=value,…` → the name, and the values as Python literals, or words. Commas in brackets are values'."""
    model, _, rest = spec.partition(":")
    overrides = {}
    for part in _split(rest):
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ValueError(f"MODEL must be family.preset:key=value,…; got {part!r} in {spec!r}.")
        try:
            overrides[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            overrides[key.strip()] = value.strip()
    return model, overrides


def _split(text: str) -> list[str]:
    """At commas that no bracket holds."""
    parts, depth = [""] if text else [], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


# One row, in its own process.


def _in_a_process(folder: Path, row: dict) -> int:
    with atomic_path(folder / "row.json") as temporary:
        temporary.write_text(json.dumps(row, indent=1))
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2"} | os.environ
    status = subprocess.run([sys.executable, __file__, "--row", folder], env=environment, check=False).returncode
    if status < 0:  # killed, by the system for memory say: it could not write its own error
        _write_error(folder, f"killed by signal {-status}")
    return status


def _write_error(folder: Path, text: str) -> None:
    with atomic_path(folder / "error.txt") as temporary:
        temporary.write_text(f"{text}\n")


def _run_row(folder: Path) -> int:
    (folder / "error.txt").unlink(missing_ok=True)
    try:
        result = _trained(folder, json.loads((folder / "row.json").read_text()))
    except Exception as error:  # whatever it is, it is this row's
        traceback.print_exc()
        _write_error(folder, f"{type(error).__name__}: {' '.join(str(error).split())}")
        return 1
    with atomic_path(folder / "result.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1))
    return 0


def _trained(folder: Path, row: dict) -> dict:
    from ar_zoo.cli import start_tensorflow

    start_tensorflow()
    import ar_zoo
    from ar_zoo.data import read
    from ar_zoo.training import Recipe, train
    from ar_zoo.training.checkpoint import Checkpoint
    from ar_zoo.training.evaluate import evaluate

    parts = {split: read(row["data"], split, kind="image", binarize=row["binarize"]) for split in ("train", "valid")}
    overrides = fitted(row["model"], row["overrides"], parts["train"], row["binarize"])
    recipe = Recipe(
        name="train_table",
        model=row["model"],
        source=row["data"],
        shipped=row["data"],
        about=f"{row['spec']}, trained by tools/train_table.py.",
        overrides=overrides,
        binarize=row["binarize"],
        labels=bool(overrides.get("num_classes")),
        **row["training"],
    )
    (kind, amount), clock = next(iter(row["budget"].items())), "cpu" if "cpu minutes" in row["budget"] else "wall"
    budget = {"steps": amount, "epochs": 1} if kind == "steps" else {kind.removeprefix("cpu "): amount, "clock": clock}
    model = train(recipe, out=folder / "run", seed=row["seed"], verbose=2, **budget)
    checkpoint = Checkpoint(folder / "run" / "checkpoints")
    checkpoint.restore(model)
    best = ar_zoo.load(folder / "run" / "best")
    seen = evaluate(best, parts["train"], 64, limit=len(parts["valid"]), labels=recipe.labels)
    dimensions = seen["dimensions"] // seen["events"]
    with open(folder / "run" / "log.csv") as file:
        bits = [float(line["val_bits_per_dim"]) for line in csv.DictReader(file)]
    return row | {
        "family": model.family,
        "head": repr(best.head) if len(repr(best.head)) < 200 else type(best.head).__name__,
        "weights": int(sum(math.prod(weight.shape) for weight in model.weights)),
        "steps": int(model.optimizer.iterations),
        "seconds": checkpoint.seconds,
        "cpu_minutes": checkpoint.cpu_seconds / 60,
        "train_bits_per_dim": seen["bits_per_dim"],
        "valid_bits_per_dim_by_epoch": bits,
        "dimensions": dimensions,
        "comparable": dimensions == math.prod(parts["valid"].values.shape[1:]) and not _loses(best, parts["valid"]),
        "valid_images": len(parts["valid"]),
    }


def _loses(model, part) -> bool:
    """Whether the model's symbols are less than the data: fewer levels, or a palette that leaves colours out."""
    images = part.values
    return bool((model.head.decode(model.head.encode(images)).reshape(images.shape) != images).any())


def fitted(name: str, given: dict, part, binarized: bool) -> dict:
    """Constructor arguments that fit a model to images: their shape, a head for their levels, no classes unless asked for."""
    from ar_zoo.core.registry import find

    cls, preset = find(name)
    wanted, names = dict(given), cls.argument_names()
    shape, head = part.values.shape[1:], preset["head"]
    for argument in ("image_shape", "event_shape"):
        if argument in names and argument in preset and len(preset[argument]) > 1:
            wanted.setdefault(argument, shape[: len(preset[argument])])
            break
    else:
        raise ValueError(f"MODEL must be of images; {name} takes {', '.join(names)}.")
    word = wanted.pop("head", None) or _word(head, shape[-1], binarized)
    wanted["head"] = head if word == "own" else make_head(word, part.values, binarized)
    if "num_classes" in names:
        wanted.setdefault("num_classes", None)
    return wanted


def _word(head, channels: int, binarized: bool) -> str:
    """A preset's head, as a word: `own` where it fits as it is."""
    kind = type(head).__name__
    if hasattr(head, "num_components"):
        if (head.channels, head.num_levels, binarized) == (channels, 256, False):
            return "own"
        return "predictive" if getattr(head, "predicts", False) else f"mixture{head.num_components}"
    return f"palette{head.num_symbols}" if kind == "PaletteCategorical" else "levels"


def make_head(word: str, images, binarized: bool):
    """A head of a word and a number; `levels` is the plain one for what the pixels are."""
    from ar_zoo import heads

    channels = images.shape[-1]
    kind, number = re.fullmatch(r"([a-z]*)(\d*)", word).groups()
    number, levels = int(number or 0), 2 if binarized else 256
    if kind == "bernoulli" or (binarized and kind in ("levels", "mixture", "predictive")):
        return heads.Bernoulli()
    if kind in ("levels", "categorical"):
        number = number or levels
        return heads.Categorical(number, source_levels=None if number == levels else levels)
    if kind == "mixture":
        return heads.DiscretizedLogisticMixture(number or 10, levels, channels)
    if kind == "predictive":
        outside = int(np.median(images[:, 0]))  # the background, of which the first row mostly is
        return heads.PredictiveLogisticMixture(levels, channels, outside, **({"num_free": number} if number else {}))
    if kind == "palette":  # of grey pixels, all their levels; of colours k-means on the data finds the best
        even = heads.PaletteCategorical.even
        return even(levels, 1) if channels == 1 else even(round((number or 512) ** (1 / channels)), channels)
    raise ValueError(
        f"`head` must be bernoulli, categorical, mixture, predictive or palette, with or without a number; got {word!r}."
    )


# The table.


def write_table(out: Path, at=()) -> None:
    """table.json, table.md and table.png of all rows of a folder, the best first and those that failed last."""
    found = [json.loads(path.read_text()) for path in sorted(out.glob("*/result.json"))]
    found.sort(key=lambda row: (not row["comparable"], min(row["valid_bits_per_dim_by_epoch"])))
    errors = [(path.parent.name, path.read_text().strip()) for path in sorted(out.glob("*/error.txt"))]
    with atomic_path(out / "table.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1))
    with atomic_path(out / "table.md") as temporary:
        temporary.write_text(table(found, errors, at))
    if found:
        _plot(found, out / "table.png")


def table(found: list[dict], errors=(), at=()) -> str:
    """In Markdown."""
    heads = [
        "model",
        "budget",
        "data",
        "weights",
        "steps",
        "minutes",
        "CPU minutes",
        "train",
        "valid, end",
        "valid, best",
    ]
    heads += [f"valid, epoch {epoch}" for epoch in at] + ["nats, end", "nats, best"]
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|" + "---:|" * (len(heads) - 3)]
    lines += [f"| {' | '.join(_cells(row, at))} |" for row in found]
    lines += [f"| `{name}` | failed: {error} |" + " |" * (len(heads) - 2) for name, error in errors]
    lines += ["", "train, valid: bits per dimension; nats: of one image; best: of all epochs, which epoch in brackets."]
    if not all(row["comparable"] for row in found):
        lines += ["\\* of its own, coarser symbols: not to be compared with the others."]
    return "\n".join(lines) + "\n"


def _cells(row, at) -> list[str]:
    bits = row["valid_bits_per_dim_by_epoch"]
    best = min(range(len(bits)), key=bits.__getitem__)
    nats = math.log(2) * row["dimensions"]
    (budget, amount), star = next(iter(row["budget"].items())), "" if row["comparable"] else " \\*"
    name = Path(row["data"]).name + (", binarised" if row["binarize"] else "")
    cells = [f"`{row['spec']}`{star}", f"{amount:g} {budget}, {row['schedule']}", name, f"{row['weights']:,}"]
    cells += [f"{row['steps']:,}", f"{row['seconds'] / 60:.1f}", f"{row['cpu_minutes']:.1f}"]
    cells += [f"{row['train_bits_per_dim']:.4f}", f"{bits[-1]:.4f}", f"{bits[best]:.4f} ({best + 1})"]
    cells += [f"{bits[epoch - 1]:.4f}" if 0 < epoch <= len(bits) else "–" for epoch in at]
    return [*cells, f"{bits[-1] * nats:,.2f}", f"{bits[best] * nats:,.2f}"]


def _plot(found, path):
    from ar_zoo.data.writers import figure_into

    names = [f"{row['spec']}{'' if row['comparable'] else ' *'}\n{_cells(row, ())[1]}" for row in found]
    best = [min(row["valid_bits_per_dim_by_epoch"]) for row in found]
    places = range(len(found))
    with figure_into(path, 8, 1.2 + 0.4 * len(found)) as figure:
        axes = figure.add_subplot()
        axes.barh(places, [row["train_bits_per_dim"] for row in found], height=0.75, color=_GREY, label="train")
        bars = axes.barh(places, best, height=0.4, color=_BLUE, label="validation")
        axes.bar_label(bars, fmt="{:.4f}", padding=4)
        axes.set_yticks(places, names, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set(xlabel="bits per dimension")
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
