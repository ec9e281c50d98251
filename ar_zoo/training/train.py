"""Runs a recipe: data → batches → `fit`, with logs, checkpoints and the best preset in one folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import keras
import tensorflow as tf

from ar_zoo.core import arguments
from ar_zoo.core.files import atomic_path
from ar_zoo.core.pretrained import load, save
from ar_zoo.core.quantization import rounded_weights
from ar_zoo.core.registry import create, find
from ar_zoo.data import read, shift_images
from ar_zoo.data.encoded import encode
from ar_zoo.training.callbacks import AveragedEvaluation, BestPreset, Checkpoint, TimeBudget
from ar_zoo.training.finetune import add_lora
from ar_zoo.training.finetune import freeze as freeze_weights
from ar_zoo.training.optimizers import make_optimizer
from ar_zoo.training.pace import Pace
from ar_zoo.training.patience import Patience
from ar_zoo.training.quantization import quantization_aware
from ar_zoo.training.recipe import Recipe
from ar_zoo.training.samples import Samples
from ar_zoo.training.step import check_step, policy_of, set_step

_SMOKE_STEPS = 4
_NO_END = 1_000_000  # epochs of a run that its time ends


def train(
    recipe: Recipe,
    data: str | None = None,
    out: str | Path | None = None,
    epochs: int | None = None,
    strategy: str = "one",
    smoke: bool = False,
    seed: int = 0,
    jit_compile: bool | str = "auto",
    verbose: int | str = "auto",
    qat: str | dict | None = None,
    start: str | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    clock: str = "wall",
    freeze: str | None = None,
    lora: int | None = None,
    profile: bool = False,
) -> keras.Model:
    """Trains a recipe's model, or goes on with a run that was interrupted.

    Args:
        recipe: what to train.
        data: path or name that takes the place of the recipe's public source.
        out: the run's folder: `log.csv` (its `data_wait` is the share of time
            that steps waited for data), `tensorboard/`, `checkpoint.safetensors`, `best/` (a preset that
            `ar_zoo.load` reads) and `recipe.json`.
        epochs: in place of the recipe's.
        strategy: `"one"`, or `"mirrored"` for all local devices.
        smoke: a few steps on the shipped subset.
        seed: of the weights, the order of the data and dropout.
        qat: train for a quantised export: `"int8"` or `"int4"`, or a dict, as in `ar_zoo.export(…, quantize=…)`. Steps
            and validation compute at the rounded weights, and the best preset holds those.
        start: a preset, as `ar_zoo.load` takes it, to go on from, at a tenth of the recipe's learning rate.
        minutes: in place of `epochs`: training ends when its steps have taken so long (tracing counts, validation does
            not), and the learning rate falls to that end. The last epoch is cut short, and validated.
        steps: in an epoch, in place of a pass over the data.
        freeze, lora: in place of the recipe's.
        profile: whether TensorBoard's profiler watches steps 3 to 12.
        clock: of `minutes`: `"wall"`, or `"cpu"` for those of all cores, which count the same on a machine that others use.

    Returns:
        The model, as the last epoch left it.
    """
    epochs = _epochs(recipe, epochs, smoke, minutes)
    if clock not in ("wall", "cpu"):
        raise ValueError(f"`clock` must be 'wall' or 'cpu'; got {clock!r}.")
    if steps is not None and steps < 1:
        raise ValueError(f"`steps` must be at least 1; got {steps}.")
    recipe = changed(recipe, start, freeze, lora)
    check_step(recipe, qat, minutes)
    source = data or (recipe.shipped if smoke else recipe.source)
    how = dict(sample_rate=recipe.sample_rate, binarize=recipe.binarize)
    sets = {split: read(source, split, **how) for split in ("train", "valid")}
    keras.utils.set_random_seed(seed)
    with _strategy(strategy).scope():
        model, sets, examples, grids = prepare(recipe, sets, qat)
        more = {"qat": qat, "from": start, "minutes": minutes, "steps": steps}
        more |= {"clock": clock if clock != "wall" else None, "freeze": recipe.freeze, "lora": recipe.lora}
        more = {name: value for name, value in more.items() if value is not None}
        steps = steps or max(1, len(examples["train"]) // recipe.batch_size)
        validation = examples["valid"].evaluation(recipe.batch_size)
        if smoke:
            steps, validation = _SMOKE_STEPS, validation.take(_SMOKE_STEPS)
        execution = min(recipe.steps_per_execution, steps)
        steps -= steps % execution
        total_steps = None if minutes else steps * epochs
        set_step(model, recipe, total_steps, seed)
        optimizer = make_optimizer(recipe, model, total_steps)
        model.compile(optimizer, jit_compile=jit_compile, steps_per_execution=execution)
        model._maybe_symbolic_build()
        out = Path(out or Path("runs") / recipe.name)
        _claim(out, recipe, source, epochs, seed, more)
        checkpoint = Checkpoint(out / "checkpoint.safetensors")
        done = checkpoint.restore(model)
    averaging, budget, patience = AveragedEvaluation(), [], Patience(recipe.patience, out / "best")
    epochs = done if patience.at_end(done) else epochs
    if minutes:
        rates = recipe.learning_rate, recipe.final_rate, recipe.warmup_steps, recipe.schedule
        budget = [TimeBudget(60 * minutes, checkpoint, clock, *rates)]
        epochs = done if budget[0].share == 1.0 else epochs

    def write(model, folder, epoch, bits):
        facts = {
            "name": recipe.model,
            "recipe": recipe.name,
            "epoch": epoch,
            "licence": recipe.licence,
            "about": recipe.about,
        }
        facts["metrics"] = {"valid_bits_per_dim": round(bits, 5)}
        if recipe.vocabulary:
            share = len(examples["valid"].x) / len(sets["valid"])
            facts["metrics"]["valid_bits_per_character"] = round(bits * share, 5)
        facts["data"] = {
            split: {"source": Path(part.source).name, "sha256": part.sha256} for split, part in sets.items()
        }
        if more:
            facts["training"] = more
        with rounded_weights(model, grids):
            save(model, folder, weights_dtype=recipe.weights_dtype, dtype="float32", **facts)

    augment = shift_images(recipe.shift) if recipe.shift else None
    batches = examples["train"].training(recipe.batch_size, seed, done * steps, augment)
    pace = Pace(recipe.batch_size * (recipe.window or model.num_sites))
    samples = [Samples.of(recipe, out, averaging, examples["valid"])] if recipe.samples else []
    model.fit(
        pace.timed(batches),
        shuffle=False,
        steps_per_epoch=steps,
        epochs=epochs,
        initial_epoch=done,
        validation_data=validation,
        verbose=verbose,
        callbacks=[
            averaging,
            pace,
            BestPreset(out / "best", checkpoint, averaging, write),
            checkpoint,
            patience,
            *budget,
            keras.callbacks.CSVLogger(str(out / "log.csv"), append=done > 0),
            keras.callbacks.TensorBoard(
                str(out / "tensorboard"), write_graph=False, profile_batch=(3, 12) if profile else 0
            ),
            *samples,
        ],
    )
    return model


def prepare(recipe: Recipe, sets: dict, qat=None) -> tuple:
    """A recipe's model, the parts of the data that it knows, these as examples, and the grids of its weights (`qat`)."""
    overrides = dict(recipe.overrides) | ({"dtype": policy_of(recipe)} if policy_of(recipe) else {})
    model = _create(recipe, overrides, sets["train"]) if recipe.start is None else _load(recipe)
    if recipe.start is not None:
        sets = {split: _known_characters(model, part) for split, part in sets.items()}
    model.sample_rate = sets["train"].sample_rate or model.sample_rate
    model.standard = sets["train"].standard
    if recipe.lora is not None:
        add_lora(model, recipe.lora, recipe.lora_on)
    if recipe.freeze is not None:
        freeze_weights(model, recipe.freeze)
    grids = quantization_aware(model, qat)
    examples = {split: encode(model, part, recipe.window, recipe.labels) for split, part in sets.items()}
    return model, sets, examples, grids


def _epochs(recipe, epochs, smoke, minutes) -> int:
    if minutes is not None:
        arguments.positive(minutes=minutes)
        if epochs is not None:
            raise ValueError(f"`minutes` stands in the place of `epochs`; got {minutes} and {epochs}.")
        return _NO_END
    epochs = (1 if smoke else recipe.epochs) if epochs is None else epochs
    if epochs < 1:
        raise ValueError(f"`epochs` must be at least 1; got {epochs}.")
    return epochs


def _create(recipe, overrides, part):
    """The model; one for text takes its alphabet or its tokens from the training part, one with a palette as many colours,
    one for tables the number of columns."""
    preset = find(recipe.model)[1]
    head = (preset | overrides).get("head")
    if part.kind == "table" and "event_shape" in preset:
        overrides["event_shape"] = part.values.shape[1:]
    if part.kind == "text" and recipe.vocabulary:
        overrides["head"] = type(head).from_text(part.values, recipe.vocabulary)
    elif part.kind == "text" and hasattr(head, "from_text") and not hasattr(head, "tokenizer"):
        overrides["head"] = type(head).from_text(part.values)
    elif hasattr(head, "from_images"):
        overrides["head"] = type(head).from_images(part.values, head.num_symbols)
    return create(recipe.model, **overrides)


def changed(recipe, start, freeze, lora):
    """The recipe with what was given in the place of its own; one that starts from nothing has a rate for that."""
    slower = start is not None and recipe.start is None
    given = {
        "start": start,
        "freeze": freeze,
        "lora": lora,
        "learning_rate": recipe.learning_rate / 10 if slower else None,
        "overrides": {} if slower else None,
    }
    return dataclasses.replace(recipe, **{name: value for name, value in given.items() if value is not None})


def _load(recipe):
    model = load(recipe.start, dtype=policy_of(recipe), **recipe.overrides)
    family = recipe.model.partition(".")[0]
    if model.family != family:
        raise ValueError(
            f"`from` must be a preset of {family}, the recipe's family; {recipe.start} is of {model.family}."
        )
    return model


def _known_characters(model, part):
    """A text without the characters that the model it goes on from has never seen; says which."""
    alphabet = getattr(model.head, "alphabet", None)
    unknown = set(part.values) - set(alphabet) if part.kind == "text" and alphabet else None
    if not unknown:
        return part
    text = part.values.translate({ord(letter): None for letter in unknown})
    count, shown = len(part.values) - len(text), " ".join(map(repr, sorted(unknown)[:10]))
    print(
        f"{part.source}: {count:,} of {len(part.values):,} characters are left out, which the model does not know: {shown}"
    )
    return dataclasses.replace(part, values=text)


def _strategy(name):
    if name == "one":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    raise ValueError(f"`strategy` must be 'one' or 'mirrored'; got {name!r}.")


def _claim(out, recipe, source, epochs, seed, more):
    """Makes the run's folder, or checks that the one that is there is of the same run."""
    run = {"source": str(source), "epochs": epochs, "seed": seed, "recipe": dataclasses.asdict(recipe)} | more
    run = json.loads(json.dumps(run, default=repr))
    path = out / "recipe.json"
    if path.is_file() and json.loads(path.read_text()) != run:
        raise ValueError(f"`out` {out} holds a run of another recipe, data, epochs or seed. Choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(run, indent=1))
