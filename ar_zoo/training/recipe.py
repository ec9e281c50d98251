"""A recipe: one typed literal that says which model learns what, and how."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import sys
from pathlib import Path

from ar_zoo.core.paths import shipped_folder
from ar_zoo.core.quantization import read_scheme
from ar_zoo.core.registry import unknown_name
from ar_zoo.training.token_objective import TokenObjective


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What `ar-zoo train` runs.

    Attributes:
        name: the recipe's, and its file's.
        model: `family.preset` that `ar_zoo.create` knows.
        source: public data, a TFDS name; `--data PATH` takes its place.
        shipped: the small real subset inside the package, for `--smoke` and for trying out.
        about: a sentence for `--help` and the model card.
        overrides: constructor arguments that take the place of the preset's; with `start` such as add weights and change
            none, `draft_heads` say.
        batch_size, epochs, learning_rate: as usual; the rate falls along a cosine to `final_rate` times itself.
        window: symbols in one example of sound or text.
        vocabulary: how many tokens text is cut into, pieces of words that are learnt from the training part; `None` for
            characters.
        labels: whether the data's labels are the context "label".
        sample_rate: what sound must have.
        warmup_steps: steps over which the rate rises from 0.
        weight_decay: of AdamW, on matrices and kernels; biases, gains and tables go without.
        beta_2: of AdamW, the decay of the mean of squared gradients.
        clip_norm: global norm that gradients are clipped to; `None` for as they are.
        average: decay of the running mean of the weights that is evaluated and saved; `None` for the weights as
            they are.
        weights_dtype: how the best preset stores its weights, `"float16"` for half the size; `None` for as they are.
        binarize: images are made black and white, as `ar_zoo.data.read` does it.
        shift: images are moved by up to this many pixels each way, at random.
        licence: of what is trained on the source.
        start: a preset to go on from, or a recipe, which is trained first; the start's alphabet and arguments stay, but for
            `overrides`. `--from` takes its place, and of a recipe without it leaves `overrides` out.
        freeze: a regular expression for the paths of weights that stay as they are.
        lora: rank of adapters (LoRA) that are trained in the place of the weights; `None` for none.
        lora_on: a regular expression for the layers that get one.
        objective: what is minimised in place of the negative log-likelihood, `Supervised()`, `DPO()`, …
    """

    name: str
    model: str
    source: str
    shipped: str
    about: str
    overrides: dict = dataclasses.field(default_factory=dict)
    batch_size: int = 32
    epochs: int = 10
    learning_rate: float = 1e-3
    final_rate: float = 0.01
    window: int | None = None
    vocabulary: int | None = None
    labels: bool = False
    sample_rate: int | None = None
    warmup_steps: int = 100
    weight_decay: float = 0.0
    beta_2: float = 0.99
    clip_norm: float | None = 1.0
    average: float | None = 0.999
    weights_dtype: str | None = None
    binarize: bool = False
    shift: int = 0
    licence: str = ""
    start: str | None = None
    freeze: str | None = None
    lora: int | None = None
    lora_on: str = ""
    objective: TokenObjective | None = None

    def main(self, arguments: list[str] | None = None) -> int:
        """The command line of one recipe."""
        options = _parser(self).parse_args(arguments)
        from ar_zoo.training.train import train

        try:
            train(
                self,
                data=options.data,
                out=options.out,
                epochs=options.epochs,
                strategy=options.strategy,
                smoke=options.smoke,
                seed=options.seed,
                jit_compile={"auto": "auto", "on": True, "off": False}[options.jit],
                qat=None if options.qat is None else read_scheme(options.qat),
                start=options.start,
                minutes=options.minutes,
                freeze=options.freeze,
                lora=options.lora,
            )
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0


def _parser(recipe: Recipe) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"ar-zoo train {recipe.name}",
        description=f"{recipe.about} Trains {recipe.model} on {recipe.source}.",
        epilog=f"Try it in a minute: ar-zoo train {recipe.name} --smoke. An interrupted run goes on when the same "
        "command is given again.",
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps on the shipped subset, to see that all works")
    parser.add_argument("--epochs", type=int, default=None, help=f"passes over the data (default {recipe.epochs})")
    parser.add_argument(
        "--minutes", type=float, help="train for so long, in place of epochs; the learning rate falls to that end"
    )
    parser.add_argument(
        "--strategy", choices=["one", "mirrored"], default="one", help="one device, or all local ones (default one)"
    )
    parser.add_argument(
        "--data",
        default=None,
        help=f"a file or folder, or `{recipe.shipped}` for the shipped subset, in place of {recipe.source}",
    )
    parser.add_argument("--out", default=None, help=f"the run's folder (default runs/{recipe.name})")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and dropout (default 0)")
    parser.add_argument("--jit", choices=["auto", "on", "off"], default="auto", help="XLA for the training step")
    parser.add_argument(
        "--qat",
        nargs="+",
        metavar="SCHEME",
        help="train for a quantised export: int8, int4, or PATTERN=SCHEME … as in `ar-zoo export --quantize`",
    )
    parser.add_argument(
        "--from", dest="start", metavar="PRESET", help="go on from a preset, at a tenth of the recipe's learning rate"
    )
    parser.add_argument(
        "--freeze", metavar="PATTERN", help="weights whose paths match this regular expression stay as they are"
    )
    parser.add_argument(
        "--lora",
        type=int,
        metavar="RANK",
        help="train adapters of this rank, and not the matrices; the result holds the sum",
    )
    return parser


def list_recipes() -> list[str]:
    """Names of the recipes that come with the zoo."""
    return sorted(path.stem for path in shipped_folder("recipes").glob("*.py") if path.stem != "__init__")


def find_recipe(name: str) -> Recipe:
    """The recipe of a name, or of a path to a Python file that holds a `RECIPE`."""
    path = Path(name) if name.endswith(".py") else shipped_folder("recipes") / f"{name}.py"
    if not path.is_file():
        raise ValueError(unknown_name("recipe", name, list_recipes(), f"There are: {', '.join(list_recipes())}."))
    spec = importlib.util.spec_from_file_location(f"ar_zoo_recipe_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise ValueError(f"{path} holds no RECIPE, which must be an ar_zoo.training.Recipe.")
    return recipe
