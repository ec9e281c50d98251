"""Post-training over several seeds: the measure of each kind on data held out, before and after, as a table and a plot.

    python tools/post_train.py sft dpo rlvr distil --seeds 0 1 2 --out runs/post --plot post.png

Every seed has a model of its own, which the recipe gpt_sums_sft trains and `dpo` and `rlvr` go on from. `distil` trains the
student of gpt_kjv_distil twice, from its teacher and from the text alone, for as many steps from the same weights.
A run that was interrupted goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
from pathlib import Path

import numpy as np

#: kind → (recipe, what of the log is its measure, what that is, figures after the point)
KINDS = {
    "sft": ("gpt_sums_sft", "val_reward", "right sums, greedy", 3),
    "dpo": ("gpt_sums_dpo", "val_preferred", "pairs of which the right answer is the likelier", 3),
    "rlvr": ("gpt_sums_rlvr", "val_reward", "right sums, greedy", 3),
    "distil": ("gpt_kjv_distil", "val_bits_per_dim", "bits a character", 3),
}


def main(words=None) -> int:
    options = _parser().parse_args(words)
    from ar_zoo.cli.start import start_tensorflow

    start_tensorflow()
    try:
        curves = {kind: [curve(kind, seed, options) for seed in options.seeds] for kind in options.kinds}
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(curves, options.seeds))
    if options.plot:
        plot(curves, options.seeds, options.plot)
    return 0


def curve(kind: str, seed: int, options) -> dict[str, list[float]]:
    """The measure before training and after every epoch; of `distil` also that of the student without its teacher."""
    from ar_zoo.training import find_recipe

    name, measure, _, _ = KINDS[kind]
    recipe = find_recipe(name)
    out = options.out / f"{kind}_{seed}"
    if kind == "distil":
        alone = dataclasses.replace(recipe, objective=dataclasses.replace(recipe.objective, share=0.0))
        lines = {"alone": alone, "taught": recipe}
        return {
            line: _run(each, measure, out.with_name(f"{out.name}_{line}"), seed, options)
            for line, each in lines.items()
        }
    values = _run(recipe, measure, out, seed, options)
    return {kind: [before(recipe, out, measure, seed), *values]}


def before(recipe, out: Path, measure: str, seed: int) -> float:
    """The measure of what a run in `out` started from: another recipe's weights, or its own at random."""
    import keras

    import ar_zoo
    from ar_zoo.data import read
    from ar_zoo.training.prepare import create_for

    sets = {split: read(recipe.source, split) for split in ("train", "valid")}
    keras.utils.set_random_seed(seed)
    started = recipe.start is not None
    model = ar_zoo.load(out / "start" / "best") if started else create_for(recipe, {}, sets["train"], recipe.objective)
    stage = recipe.objective.stage(model, sets, recipe, seed)
    if measure == "val_reward":
        return stage.callbacks[-1].score(model)
    model.objective = stage.objective
    model.compile("sgd")
    held_out = stage.examples["valid"].evaluation(recipe.batch_size)
    return float(model.evaluate(held_out, verbose=0, return_dict=True)[measure.removeprefix("val_")])


def _run(recipe, measure, out, seed, options) -> list[float]:
    from ar_zoo.training import train

    print(f"{out}: {recipe.name}", file=sys.stderr, flush=True)
    train(recipe, out=out, seed=seed, epochs=options.epochs, smoke=options.smoke, verbose=0)
    with open(out / "log.csv") as file:
        return [float(row[measure]) for row in csv.DictReader(file)]


def table(curves, seeds) -> str:
    """Markdown: a row a kind, the mean over the seeds and each of them."""
    rows = [
        f"| kind | measure, held out | before | after, seeds {', '.join(map(str, seeds))} | mean before | mean after |",
        "|---|---|---|---|---:|---:|",
    ]
    for kind, runs in curves.items():
        _, _, what, digits = KINDS[kind]
        first, last = ([_ends(run)[end] for run in runs] for end in (0, 1))
        listed = [", ".join(f"{value:.{digits}f}" for value in values) for values in (first, last)]
        means = [f"{np.mean(values):.{digits}f}" for values in (first, last)]
        against = " (student alone against taught)" if kind == "distil" else ""
        rows.append(f"| {kind} | {what}{against} | {' | '.join(listed)} | {' | '.join(means)} |")
    return "\n".join(rows)


def _ends(run) -> tuple[float, float]:
    """What was there before, and what came of it: the first and the last of a curve, or the last of both."""
    if "taught" in run:
        return run["alone"][-1], run["taught"][-1]
    (values,) = run.values()
    return values[0], values[-1]


def plot(curves, seeds, path):
    """A picture with the measure's curve of every seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3.2), squeeze=False, layout="constrained")
    for axis, (kind, runs) in zip(axes[0], curves.items(), strict=True):
        for seed, run in zip(seeds, runs, strict=True):
            for (line, values), style in zip(run.items(), ("-", "--"), strict=False):
                first = 1 if "taught" in run else 0
                label = f"{line}, seed {seed}" if len(run) > 1 else f"seed {seed}"
                axis.plot(range(first, first + len(values)), values, style, color=f"C{seed % 10}", label=label)
        axis.set(title=f"{kind}: {KINDS[kind][2]}", xlabel="epoch")
        axis.title.set_fontsize(9)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="+", choices=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default 0 1 2")
    parser.add_argument("--out", type=Path, default=Path("runs/post"), help="the runs' folder (default runs/post)")
    parser.add_argument("--epochs", type=int, help="in place of the recipes'")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that all works")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="where to draw the curves")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
