"""Runs a recipe: data → batches → `fit`, with logs, checkpoints and the best preset in one folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import keras
import tensorflow as tf

from ar_zoo.core import arguments
from ar_zoo.core.files import atomic_path
from ar_zoo.core.pretrained import save
from ar_zoo.core.quantization import rounded_weights
from ar_zoo.data import read, shift_images
from ar_zoo.training.callbacks import AveragedEvaluation, BestPreset, TimeBudget
from ar_zoo.training.checkpoint import Checkpoint
from ar_zoo.training.optimizers import make_optimizer
from ar_zoo.training.pace import Pace
from ar_zoo.training.patience import Patience
from ar_zoo.training.prepare import prepare
from ar_zoo.training.recipe import Recipe, find_recipe, is_recipe
from ar_zoo.training.samples import Samples
from ar_zoo.training.status import Interrupted, WorkersLeft
from ar_zoo.training.step import check_step, jit_of, set_step
from ar_zoo.training.strategies import is_chief, make_strategy, wait_for_all
from ar_zoo.training.survival import StopWhenAsked, StopWhenDiverged

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
    tpu: str | None = None,
    save_minutes: float = 5.0,
    profile: bool = False,
    licence: str | None = None,
) -> keras.Model:
    """Trains a recipe's model, or goes on with a run that was interrupted.

    Args:
        recipe: what to train.
        data: path or name that takes the place of the recipe's public source.
        out: the run's folder: `log.csv` (its `data_wait` is the share of time that steps waited for data), `tensorboard/`,
            `checkpoints/`, `best/` (a preset that `ar_zoo.load` reads), `recipe.json`, and `start/`, the run of the recipe that it
            goes on from, if that is one. Several hosts must all see it.
        epochs: in place of the recipe's.
        strategy: `"one"` device, `"mirrored"` for all local ones, `"multiworker"` for the hosts of the environment's TF_CONFIG,
            or `"tpu"`. The batch is the recipe's in every case, shared by the replicas: the weights come out the same.
        smoke: a few steps on the shipped subset.
        seed: of the weights, the order of the data and dropout.
        qat: train for a quantised export: `"int8"` or `"int4"`, or a dict, as in `ar_zoo.export(…, quantize=…)`. Steps
            and validation compute at the rounded weights, and the best preset holds those.
        start: a preset, as `ar_zoo.load` takes it, to go on from, at a tenth of the recipe's learning rate.
        minutes: in place of `epochs`: training ends when its steps have taken so long (tracing counts, validation does
            not), and the learning rate falls to that end. The last epoch is cut short, and validated.
        steps: in an epoch, in place of a pass over the data.
        freeze, lora: in place of the recipe's.
        tpu: its name, for `strategy` `"tpu"`; `None` for the local one.
        save_minutes: between checkpoints, of which each epoch ends with one too.
        profile: whether TensorBoard's profiler watches steps 3 to 12.
        licence: of what is trained, for its card; by default the recipe's, where its data are.
        clock: of `minutes`: `"wall"`, or `"cpu"` for those of all cores, which count the same on a machine that others use.

    Returns:
        The model, as the last epoch left it.

    Raises:
        Interrupted: at SIGTERM, with a checkpoint from which the same call goes on; a `SystemExit` of status 75.
        WorkersLeft: another worker is gone.
        ValueError: bad input; or the loss is no number any more, or explodes.
    """
    epochs = _epochs(recipe, epochs, smoke, minutes)
    arguments.positive(save_minutes=save_minutes)
    if clock not in ("wall", "cpu"):
        raise ValueError(f"`clock` must be 'wall' or 'cpu'; got {clock!r}.")
    if steps is not None and steps < 1:
        raise ValueError(f"`steps` must be at least 1; got {steps}.")
    recipe = changed(recipe, start, freeze, lora)
    check_step(recipe, qat, minutes, strategy)
    devices = make_strategy(strategy, tpu)
    replicas = devices.num_replicas_in_sync
    if recipe.batch_size % replicas:
        raise ValueError(
            f"The recipe's `batch_size` must be a multiple of the {replicas} replicas of `strategy` {strategy!r}; got "
            f"{recipe.batch_size}."
        )
    source = data or (recipe.shipped if smoke else recipe.source)
    how = dict(sample_rate=recipe.sample_rate, binarize=recipe.binarize)
    sets = {split: read(source, split, **how) for split in ("train", "valid")}
    out = Path(out or recipe.folder(smoke))
    licence = licence or licence_of(recipe, source)
    begun = _begun(recipe, devices, out, dict(smoke=smoke, seed=seed, jit_compile=jit_compile, verbose=verbose))
    keras.utils.set_random_seed(seed)
    with devices.scope():
        model, sets, stage, grids = prepare(recipe, sets, qat, seed, begun)
        examples, objective = stage.examples, stage.objective
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
        jit = jit_of(model, jit_compile, smoke)
        model.compile(optimizer, jit_compile=jit, steps_per_execution=execution)
        model._maybe_symbolic_build()
        if is_chief(devices):
            _claim(out, recipe, source, epochs, seed, more)
        # What a stage does at the start of an epoch is not done again in its middle.
        every = float("inf") if stage.callbacks else 60 * save_minutes
        checkpoint = Checkpoint(out / "checkpoints", every, is_chief(devices))
        checkpoint.restore(model)
    averaging, asked, budget = AveragedEvaluation(), StopWhenAsked(checkpoint, between_epochs=bool(stage.callbacks)), []
    patience = Patience(recipe.patience, checkpoint)
    for callback in stage.callbacks:
        callback.averaging = averaging
    if minutes:
        rates = recipe.learning_rate, recipe.final_rate, recipe.warmup_steps, recipe.schedule
        budget = [TimeBudget(60 * minutes, checkpoint, clock, *rates)]

    best = ("val_bits_per_dim", False) if objective is None else objective.best

    def write(model, folder, epoch, value):
        facts = {
            "name": recipe.model,
            "recipe": recipe.name,
            "epoch": epoch,
            "licence": licence,
            "about": recipe.about,
        }
        facts["metrics"] = {best[0].replace("val_", "valid_"): round(value, 5)}
        if recipe.vocabulary and sets["valid"].kind == "text":
            share = len(examples["valid"].x) / len(sets["valid"])
            facts["metrics"]["valid_bits_per_character"] = round(value * share, 5)
        facts["data"] = {
            split: {"source": Path(part.source).name, "sha256": part.sha256} for split, part in sets.items()
        }
        if more:
            facts["training"] = more
        with rounded_weights(model, grids):
            save(model, folder, weights_dtype=recipe.weights_dtype, dtype="float32", **facts)

    augment = {"augment": shift_images(recipe.shift)} if recipe.shift else {}

    def data_from(step):
        return examples["train"].training(recipe.batch_size, seed, step, **augment)

    def fit(until, steps_per_epoch):
        """From where the checkpoint stands."""
        keeper, logs, table = BestPreset(out / "best", checkpoint, averaging, write, *best), [], None
        if is_chief(devices):
            table = keras.callbacks.CSVLogger(str(out / "log.csv"), append=checkpoint.epochs_done > 0)
            watched = (3, 12) if profile else 0
            board = keras.callbacks.TensorBoard(str(out / "tensorboard"), write_graph=False, profile_batch=watched)
            logs = [table, board]
            logs += [Samples.of(recipe, out, averaging, examples["valid"])] if recipe.samples else []
        pace = Pace(recipe.batch_size * (recipe.window or model.num_sites or model.max_sites or 1))
        batches = data_from(checkpoint.steps)
        diverged = StopWhenDiverged(checkpoint, lambda step: next(iter(data_from(step))))
        try:
            model.fit(
                pace.timed(batches) if strategy in ("one", "mirrored") else batches,
                shuffle=False,
                steps_per_epoch=steps_per_epoch,
                epochs=until,
                initial_epoch=checkpoint.epochs_done,
                validation_data=validation,
                verbose=verbose if is_chief(devices) else 0,
                callbacks=[
                    averaging,
                    *stage.callbacks,
                    pace,
                    keeper,
                    diverged,
                    checkpoint,
                    patience,
                    *budget,
                    *logs,
                    asked,  # the last: what it ends has been written down by the others
                ],
            )
        finally:
            if table is not None and table.csv_file is not None:
                table.csv_file.close()

    def spent():
        return patience.at_end or (budget and budget[0].share == 1.0)

    with asked.listening(), _fellows(strategy, asked):
        if checkpoint.steps_in_epoch and not spent():
            fit(checkpoint.epochs_done + 1, steps - checkpoint.steps_in_epoch)
            wait_for_all(devices)  # until the chief has written what all of them read now
            checkpoint.restore(model)  # `fit` leaves the averaged weights in the place of the weights
        fit(checkpoint.epochs_done if spent() else epochs, steps)
        wait_for_all(devices)  # one that left before would seem to have died
    return model


@contextlib.contextmanager
def _fellows(strategy, asked):
    """Where another worker is gone, what TensorFlow says of it becomes one error."""
    try:
        yield
    except tf.errors.OpError as error:
        if strategy != "multiworker":
            raise
        if asked.asked:
            raise Interrupted from None
        lines = str(error).strip().splitlines()
        said = next((line for line in lines if "aborted by" in line), lines[0]).strip()
        raise WorkersLeft(f"Another worker is gone. Start all of them again. TensorFlow says: {said[:200]}") from None


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


def licence_of(recipe, source) -> str:
    """Of what a recipe makes of data: its own knows but its own data."""
    return recipe.licence if source in (recipe.source, recipe.shipped) else "not stated: see the data's"


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


def _begun(recipe, devices, out, how) -> str | None:
    """The preset to go on from; where `start` names a recipe, that one is trained first, in a folder of this run's."""
    if not is_recipe(recipe.start):
        return recipe.start
    if is_chief(devices):
        train(find_recipe(recipe.start), out=out / "start", **how)
    wait_for_all(devices)
    return str(out / "start" / "best")


def _claim(out, recipe, source, epochs, seed, more):
    """Makes the run's folder, or checks that the one that is there is of the same run."""
    run = {"source": str(source), "epochs": epochs, "seed": seed, "recipe": dataclasses.asdict(recipe)} | more
    run = json.loads(json.dumps(run, default=lambda value: getattr(value, "__qualname__", repr(value))))
    path = out / "recipe.json"
    if path.is_file() and (differ := differences(json.loads(path.read_text()), run)):
        raise ValueError(
            f"`out` {out} holds a run of another recipe, data, epochs or seed: {'; '.join(differ[:5])}. Choose another folder."
        )
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(run, indent=1))


def differences(old, new, name="") -> list[str]:
    """What two nested dicts have not in common, `name: old → new` each.

    Example:
        >>> differences({"seed": 0, "recipe": {"window": 64}}, {"seed": 0, "recipe": {"window": 32}})
        ['recipe.window: 64 → 32']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted({*old, *new})
        return [line for key in names for line in differences(old.get(key), new.get(key), f"{name}.{key}".strip("."))]
    return [] if old == new else [f"{name}: {old!r:.60} → {new!r:.60}"]
