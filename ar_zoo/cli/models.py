"""`list`, `train` and `plot`: what there is, more of it, and how that went."""

from __future__ import annotations

import argparse
from pathlib import Path

from ar_zoo.cli.start import start_tensorflow
from ar_zoo.core.paths import shipped_folder


def add_to(command):
    """Adds these commands; `command(name, run, summary, *examples)` gives the parser of one."""
    summary = "show the models, the pretrained presets or the recipes"
    add = command("list", _list, summary, "", "gpt", "--pretrained").add_argument
    add("pattern", nargs="?", default="", help="only models whose name contains this")
    add("--pretrained", action="store_true", help="presets with trained weights: weights, metrics, licence")
    add("--recipes", action="store_true", help="recipes: model and data")

    add = command(
        "train",
        _train,
        "train a recipe; everything after its name goes to the recipe, which has a --help of its own",
        "gated_pixel_cnn_mnist --smoke",
        "gpt_kjv --data my_text.txt --epochs 3 --out runs/my_text",
    ).add_argument
    add("name", help="a name of `ar-zoo list --recipes`, or a Python file that holds a RECIPE")
    add("arguments", nargs=argparse.REMAINDER, metavar="…", help="the recipe's options")

    add = command(
        "plot",
        _plot,
        "draw the curves of several runs into one PNG",
        "runs/my_text",
        "runs/adamw runs/lion --out optimizers.png",
    ).add_argument
    add("runs", nargs="+", metavar="RUN", help="a folder that `ar-zoo train` wrote")
    add("--out", default="curves.png", help="the picture (default curves.png)")


def _list(options):
    from ar_zoo.core.pretrained import list_pretrained, read_manifest

    if options.pretrained:
        for name in list_pretrained():
            manifest = read_manifest(shipped_folder("exported") / name)
            metrics = ", ".join(f"{key} {value}" for key, value in manifest.get("metrics", {}).items())
            licence = manifest.get("licence") or "not stated"
            print(f"{name:32}{manifest['num_weights']:>14,}  {metrics}; licence: {licence}")
        return
    start_tensorflow()
    import ar_zoo
    from ar_zoo.training import find_recipe, list_recipes

    if options.recipes:
        for recipe in map(find_recipe, list_recipes()):
            print(f"{recipe.name:32}{recipe.model:26}{recipe.source:20}{recipe.about}")
        return
    for name in ar_zoo.list_models(options.pattern):
        print(f"{name:32}{ar_zoo.num_weights(name):>14,}", flush=True)


def _train(options):
    start_tensorflow()
    from ar_zoo.training import find_recipe

    return find_recipe(options.name).main(options.arguments, options.name)


def _plot(options):
    start_tensorflow()
    from ar_zoo.training.curves import plot_curves

    plot_curves(options.runs, options.out)
    print(Path(options.out).resolve())
