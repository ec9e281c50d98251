"""A recipe: one typed literal that says which model learns what, and how."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import importlib.util
import os
import sys
from pathlib import Path

from ar_zoo.core.paths import shipped_folder
from ar_zoo.core.quantization import read_scheme
from ar_zoo.core.registry import unknown_name
from ar_zoo.training.optimizers import OPTIMIZERS, SCHEDULES
from ar_zoo.training.status import INTERRUPTED, LEFT, REFUSED, STRATEGIES, WorkersLeft
from ar_zoo.training.step import PRECISIONS
from ar_zoo.training.token_objective import TokenObjective

# Fields of a recipe that its command line may change, and how they are told.
_FIELDS = {
    "batch_size": dict(type=int, help="rows of a batch, over all devices"),
    "learning_rate": dict(type=float, help="the highest, after the warm-up"),
    "weight_decay": dict(type=float, help="on matrices and kernels"),
    "optimizer": dict(choices=OPTIMIZERS, help="what moves the weights"),
    "average": dict(type=float, help="decay of the running mean of the weights that is kept; short runs want less"),
    "schedule": dict(choices=SCHEDULES, help="how the learning rate falls after the warm-up"),
    "precision": dict(choices=PRECISIONS, help="what layers compute in; weights and the best preset are float32"),
    "accumulate": dict(type=int, help="parts that a batch is cut into, one after another, to save memory"),
    "remat": dict(
        action=argparse.BooleanOptionalAction, help="compute again what the gradient needs, to save more memory"
    ),
    "steps_per_execution": dict(type=int, help="steps that TensorFlow takes before Python sees them"),
    "label_smoothing": dict(type=float, help="share of the target that is spread over the alphabet"),
    "weight_noise": dict(type=float, help="standard deviation of noise on the weights in training"),
    "scheduled_sampling": dict(type=float, help="share of known symbols that the model draws itself in the end"),
    "patience": dict(type=int, help="end after so many epochs without better validation"),
    "samples": dict(type=int, help="how many events are drawn for TensorBoard after each epoch"),
}


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
        batch_size, epochs, learning_rate: as usual.
        optimizer: `"adamw"`, `"adafactor"`, `"lion"` (which wants a third to a tenth of AdamW's rate),
            `"muon"` (which bears two to five times AdamW's) or `"sgd"` with momentum 0.9.
        schedule: how the rate falls after the warm-up: along a `"cosine"` or a `"linear"` line to `final_rate` times itself,
            `"inverse_sqrt"`, as one over the root of the step (the Transformer's), or not at all, `"constant"`.
        window: symbols in one example of sound or text.
        vocabulary: how many tokens text is cut into, pieces of words that are learnt from the training part; `None` for
            characters.
        labels: whether the data's labels are the context "label".
        sample_rate: what sound must have.
        warmup_steps: steps over which the rate rises from 0.
        weight_decay: on matrices and kernels; biases, gains and tables go without.
        beta_2: of AdamW, the decay of the mean of squared gradients; of Lion, of the mean of gradients.
        clip_norm: global norm that gradients are clipped to; `None` for as they are.
        accumulate: parts that a batch is cut into, whose gradients are added up one after another before the weights move:
            less memory, and otherwise the same.
        precision: what layers compute in: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`, with weights, likelihoods and
            the best preset in float32. Of float16 the loss is scaled (Micikevicius et al. 2017, arXiv:1710.03740).
        remat: whether the blocks of a model compute again what the gradient needs, in the place of keeping it.
        steps_per_execution: steps that TensorFlow takes before Python sees them. Of an epoch's steps those are left out that
            are over.
        label_smoothing: share of the target that is spread over the alphabet, of heads with logits. Validation is exact.
        weight_noise: standard deviation of noise on the weights that each step computes at.
        scheduled_sampling: share of the symbols before a site that the model draws itself, reached at the end of training; of
            text, tokens and sound. A step then takes two passes, and its bits are those given such symbols.
        patience: epochs without better validation after which training ends; `None` for none.
        samples: how many events are drawn for TensorBoard after each epoch.
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
    optimizer: str = "adamw"
    schedule: str = "cosine"
    final_rate: float = 0.01
    window: int | None = None
    vocabulary: int | None = None
    labels: bool = False
    sample_rate: int | None = None
    warmup_steps: int = 100
    weight_decay: float = 0.0
    beta_2: float = 0.99
    clip_norm: float | None = 1.0
    accumulate: int = 1
    precision: str = "float32"
    remat: bool = False
    steps_per_execution: int = 1
    label_smoothing: float = 0.0
    weight_noise: float = 0.0
    scheduled_sampling: float = 0.0
    patience: int | None = None
    samples: int = 0
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

    def folder(self, smoke: bool = False) -> Path:
        """Where its runs go, unless they are told."""
        return Path("runs") / (f"{self.name}_smoke" if smoke else self.name)

    def main(self, arguments: list[str] | None = None, known_as: str | None = None) -> int:
        """The command line of one recipe, which `ar-zoo train` knows as `known_as`, its name or its file."""
        arguments = sys.argv[1:] if arguments is None else arguments
        options = _parser(self).parse_args(arguments)
        try:
            return _run(self, options, arguments, known_as or getattr(sys.modules["__main__"], "__file__", self.name))
        except (ValueError, OSError) as error:
            full = getattr(error, "errno", None) == errno.ENOSPC
            where = f"; make room where {options.out or 'runs'} lies, and give the same command again" if full else ""
            print(f"error: {error}{where}", file=sys.stderr)
            return REFUSED
        except WorkersLeft as error:
            print(f"error: {error}", file=sys.stderr)
            return LEFT


def _run(recipe, options, arguments, known_as) -> int:
    if options.workers is not None or options.hosts is not None:
        if options.strategy != "multiworker":
            raise ValueError(
                f"--workers and --hosts go with --strategy multiworker; got --strategy {options.strategy}."
            )
        if options.workers is not None and (options.hosts is not None or options.index is not None):
            raise ValueError(
                "--workers starts all workers on this host; --hosts and --index one of several. Give either."
            )
    if options.workers is not None:
        from ar_zoo.training.launcher import launch

        place = arguments.index("--workers") if "--workers" in arguments else None
        rest = [*arguments[:place], *arguments[place + 2 :]] if place is not None else arguments
        rest = [word for word in rest if not word.startswith("--workers=")]
        return launch(
            [sys.executable, "-m", "ar_zoo", "train", known_as, *rest],
            options.workers,
            options.out or recipe.folder(options.smoke),
        )
    if options.hosts is not None:
        from ar_zoo.training.strategies import cluster

        if options.index is None:
            raise ValueError(f"--index must say which of the {len(options.hosts.split(','))} --hosts this one is.")
        os.environ["TF_CONFIG"] = cluster(options.hosts.split(","), options.index)
    from ar_zoo.training.train import train

    given = {name: getattr(options, name) for name in _FIELDS if getattr(options, name) is not None}
    recipe, jit_compile = dataclasses.replace(recipe, **given), {"auto": "auto", "on": True, "off": False}[options.jit]
    if options.find_rate:
        given = {"--strategy": options.strategy != "one", "--qat": options.qat, "--epochs": options.epochs}
        if ignored := [name for name, value in (given | {"--minutes": options.minutes}).items() if value]:
            raise ValueError(f"--find-rate trains nothing that is kept: leave out {', '.join(ignored)}.")
        _find_rate(recipe, options, jit_compile)
        return 0
    train(
        recipe,
        data=options.data,
        out=options.out,
        epochs=options.epochs,
        strategy=options.strategy,
        smoke=options.smoke,
        seed=options.seed,
        jit_compile=jit_compile,
        qat=None if options.qat is None else read_scheme(options.qat),
        start=options.start,
        minutes=options.minutes,
        freeze=options.freeze,
        lora=options.lora,
        tpu=options.tpu,
        save_minutes=options.save_minutes,
        profile=options.profile,
        licence=options.licence,
    )
    return 0


def _find_rate(recipe, options, jit_compile):
    from ar_zoo.training.find_rate import find_rate
    from ar_zoo.training.train import changed

    recipe = changed(recipe, options.start, options.freeze, options.lora)
    sweep = find_rate(
        recipe, options.data or (recipe.shipped if options.smoke else None), options.seed, jit_compile=jit_compile
    )
    out = Path(options.out or recipe.folder(options.smoke))
    picture = out.parent / f"{out.name}_rates.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    sweep.plot(picture)
    print(f"learning rate {sweep.suggestion:.2g} (the recipe's: {recipe.learning_rate:.2g}); {picture.resolve()}")


def _parser(recipe: Recipe) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"ar-zoo train {recipe.name}",
        allow_abbrev=False,
        description=f"{recipe.about} Trains {recipe.model} on {recipe.source}.",
        epilog=f"Try it in a minute: ar-zoo train {recipe.name} --smoke. An interrupted run goes on when the same "
        f"command is given again. SIGTERM saves and ends with status {INTERRUPTED}; several hosts share the folder --out.",
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps on the shipped subset, to see that all works")
    parser.add_argument("--epochs", type=int, default=None, help=f"passes over the data (default {recipe.epochs})")
    parser.add_argument(
        "--minutes", type=float, help="train for so long, in place of epochs; the learning rate falls to that end"
    )
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="one",
        help="one device, all of this host (mirrored), several hosts or processes (multiworker), or a TPU (default one)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        help="of multiworker: start so many on this host, and all again from the checkpoint if one dies",
    )
    parser.add_argument(
        "--hosts",
        metavar="HOST:PORT,…",
        help="of multiworker: all workers, the same on each; by default what TF_CONFIG says",
    )
    parser.add_argument("--index", type=int, help="of multiworker: which of --hosts this one is, from 0")
    parser.add_argument("--tpu", metavar="NAME", help="of tpu: its name or address (default the local one)")
    parser.add_argument(
        "--save-minutes", type=float, default=5.0, help="between checkpoints, besides those of each epoch (default 5)"
    )
    parser.add_argument(
        "--data",
        default=None,
        help=f"a file or folder, or `{recipe.shipped}` for the shipped subset, in place of {recipe.source}",
    )
    parser.add_argument(
        "--out", default=None, help=f"the run's folder (default {recipe.folder()}, with --smoke {recipe.folder(True)})"
    )
    parser.add_argument(
        "--licence", help=f"of what is trained, for its card (default, without --data: {recipe.licence})"
    )
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
    parser.add_argument(
        "--find-rate",
        action="store_true",
        help="train nothing: sweep the learning rate over a few steps, suggest one, and draw loss against rate (OUT_rates.png)",
    )
    parser.add_argument("--profile", action="store_true", help="have TensorBoard's profiler watch steps 3 to 12")
    for name, how in _FIELDS.items():
        about = f"{how['help']} (default {getattr(recipe, name)})"
        parser.add_argument(f"--{name.replace('_', '-')}", **how | {"help": about})
    return parser


def list_recipes() -> list[str]:
    """Names of the recipes that come with the zoo."""
    return sorted(path.stem for path in shipped_folder("recipes").glob("*.py") if path.stem != "__init__")


def is_recipe(name: str | None) -> bool:
    """Whether a name is a recipe's, and not a path's."""
    return name in list_recipes() and not Path(name).exists()


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
