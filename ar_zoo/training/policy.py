"""Policy gradient with a verifiable reward: GRPO (Shao et al. 2024, DeepSeekMath, arXiv:2402.03300)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.objective import columns
from ar_zoo.core.pretrained import named_weights
from ar_zoo.core.text import prompt_symbols
from ar_zoo.data.answers import encode_answers
from ar_zoo.data.examples import Examples
from ar_zoo.training.answers import completed, exact, rewards_of
from ar_zoo.training.token_objective import (
    Stage,
    TokenObjective,
    answers_of,
    likelihood,
    log_probs_of,
    scored_batch,
)


@dataclasses.dataclass(frozen=True)
class PolicyGradient(TokenObjective):
    """What raises the reward of the model's own answers. For token t of answer i of a group, all to one prompt,

        loss = −min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) + β (r − log r − 1),

    with ρ = π(t)/π_old(t) against the model that drew the answers, r = π_ref(t)/π(t) against the model before training (an
    estimate of the Kullback-Leibler divergence that is never negative, Schulman 2020), and A = (reward − the group's mean) /
    the group's standard deviation; 0 where all of a group have one reward. The mean over an answer's tokens, then over answers.

    A round draws `group` answers to each of `prompts` prompts, at temperature 1, and learns from all of them `updates` times, in
    batches of the recipe's size; an epoch has `rounds` of them. Validation scores the right answers, as `Supervised`; `val_reward`
    is the mean reward of the most likely answers.

    Attributes:
        reward: a function of (prompt, completion, answer), texts, that gives a number; `exact` by default.
        group: answers to a prompt.
        prompts: in a round.
        updates: passes over a round's answers.
        rounds: in an epoch.
        clip: ε.
        kl: β; 0 for no reference.
        num_tokens: where an answer is cut off; `None` for as many as the longest of the data's.
        end: the text that ends an answer.

    Example:
        >>> recipe = dataclasses.replace(find_recipe("gpt_sums_rlvr"), objective=PolicyGradient(my_reward, group=4))
    """

    reward: Callable[[str, str, str], float] = exact
    group: int = 8
    prompts: int = 32
    updates: int = 2
    rounds: int = 10
    clip: float = 0.2
    kl: float = 0.02
    num_tokens: int | None = None
    rollouts: Any = dataclasses.field(default=None, repr=False, compare=False)
    measures = ("loss", "reward", "kl", "clipped")
    held_out = ("loss", "bits_per_dim")
    falls = False
    best: ClassVar[tuple[str, bool]] = ("val_reward", True)

    def __post_init__(self):
        if not callable(self.reward):
            raise ValueError(f"`reward` must be a function of (prompt, completion, answer); got {self.reward!r}.")
        arguments.whole(2, group=self.group)
        arguments.whole(prompts=self.prompts, updates=self.updates, rounds=self.rounds)
        arguments.whole_or_none(num_tokens=self.num_tokens)
        arguments.positive(clip=self.clip)
        if self.kl != 0:
            arguments.positive(kl=self.kl)

    def batch(self, model, data, training):
        if not training:
            return scored_batch(model, data)
        rows = ops.reshape(columns(data, ("x",))["x"], (-1,))
        return {name: tf.gather(values, rows) for name, values in self.rollouts.items()}

    def measure(self, model, batch, training):
        log_probs = log_probs_of(model, batch["x"], training)[1]
        if not training:
            return likelihood(log_probs, batch["weights"])
        old, reference, weights = (ops.cast(batch[name], log_probs.dtype) for name in ("old", "reference", "weights"))
        advantage = ops.expand_dims(ops.cast(batch["advantage"], log_probs.dtype), 1)
        ratio = ops.exp((log_probs - old) * weights)
        gain = ops.minimum(ratio * advantage, ops.clip(ratio, 1 - self.clip, 1 + self.clip) * advantage)
        apart = (reference - log_probs) * weights
        kl = ops.exp(apart) - apart - 1
        clipped = ops.cast(ops.abs(ratio - 1) > self.clip, log_probs.dtype)
        answers = ops.cast(ops.shape(log_probs)[0], "float32")
        mean = lambda each: ops.sum(ops.sum(each * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1))  # noqa: E731
        return {
            "loss": (mean(self.kl * kl - gain), answers),
            "reward": (ops.sum(batch["reward"]), answers),
            "kl": (mean(kl), answers),
            "clipped": (mean(clipped), answers),
        }

    def stage(self, model, sets, recipe, seed):
        if self.prompts * self.group % recipe.batch_size:
            raise ValueError(
                f"`batch_size` must divide the {self.prompts * self.group} answers of a round, `prompts` times `group`; got "
                f"{recipe.batch_size}."
            )
        if model.weight_grids:
            raise ValueError(
                "`qat` must be None with a policy gradient: answers are drawn at weights that are not rounded."
            )
        examples = {split: answers_of(model, part, self.end, recipe.window) for split, part in sets.items()}
        rows = encode_answers(model, sets["train"], self.end)
        num_tokens = self.num_tokens or max(len(answer) for _, answer in rows)
        width = max(len(prompt) for prompt, _ in rows) + num_tokens
        if model.max_sites is not None and width > model.max_sites:
            raise ValueError(
                f"`num_tokens` must leave room for prompts of {width - num_tokens} symbols in the {model.max_sites} that the "
                f"model takes; got {num_tokens}."
            )
        rollouts = empty_rollouts(self.prompts * self.group, width)
        ready = dataclasses.replace(self, num_tokens=num_tokens, rollouts=rollouts)
        reference = frozen_copy(model) if self.kl else None
        sampler = Rollouts(ready, sets["train"], reference, seed, recipe.batch_size)
        callbacks = (sampler, self.greedy(model, sets["valid"], self.reward))
        return Stage(ready, examples | {"train": _Rows(self, self.rounds)}, callbacks)


def advantages(rewards, group: int) -> np.ndarray:
    """float32 [n]: rewards [n], the answers to a prompt in a row, less the mean of their group, in its standard deviations."""
    groups = np.asarray(rewards, np.float64).reshape(-1, group)
    spread = groups.std(axis=1, keepdims=True)
    centred = groups - groups.mean(axis=1, keepdims=True)
    return (centred / np.where(spread > 1e-8, spread, np.inf)).reshape(-1).astype(np.float32)


def frozen_copy(model):
    """A model of its own with the same weights; adapters that have learnt nothing yet are left out."""
    copy = type(model).from_config(model.get_config())
    values = named_weights(model)
    for path, weight in named_weights(copy).items():
        weight.assign(values[path])
    copy.trainable = False
    return copy


def empty_rollouts(rows: int, width: int) -> dict:
    """The variables that steps read answers from."""
    each, row = ((rows, width), tf.float32), ((rows,), tf.float32)
    shapes = {
        "x": ((rows, width), tf.int32),
        "weights": each,
        "old": each,
        "reference": each,
        "advantage": row,
        "reward": row,
    }
    return {name: tf.Variable(tf.zeros(*shape), trainable=False) for name, shape in shapes.items()}


class Rollouts(keras.callbacks.Callback):
    """Draws a round's answers from the model as it is, before the first of the steps that learn from them.

    Prompts and noise depend on the seed and the round's number alone.
    """

    def __init__(self, objective: PolicyGradient, part, reference, seed: int, batch_size: int):
        super().__init__()
        self.objective, self.reference, self.seed = objective, reference, seed
        self.prompts, self.answers = (list(part.values[:, column]) for column in (0, 1))
        self.steps = objective.prompts * objective.group * objective.updates // batch_size
        self.drawn = False

    def chosen(self, number: int) -> list[int]:
        """The prompts of a round: all of them once, in an order of its own for each time through."""
        size, count = len(self.prompts), self.objective.prompts
        order = {}
        rows = []
        for place in range(number * count, (number + 1) * count):
            time, at = divmod(place, size)
            if time not in order:
                order[time] = np.random.default_rng([self.seed, time]).permutation(size)
            rows.append(int(order[time][at]))
        return rows

    def on_train_begin(self, logs=None):
        if self.steps % self.model.steps_per_execution:
            raise ValueError(
                f"`steps_per_execution` must divide the {self.steps} steps of a round; got {self.model.steps_per_execution}."
            )
        if self.params["epochs"] > 1 and self.params["steps"] % self.steps:
            raise ValueError(
                f"`steps` must be a multiple of the {self.steps} steps of a round; got {self.params['steps']}."
            )
        self.drawn = False

    def on_epoch_begin(self, epoch, logs=None):
        self.before = epoch * self.params["steps"]

    def on_train_batch_begin(self, batch, logs=None):
        step = self.before + batch  # those that float16 skips count too, as they do for the data
        if not self.drawn or step % self.steps == 0:
            self.draw(step // self.steps)

    def draw(self, number: int):
        objective, model = self.objective, self.model
        rows = np.repeat(self.chosen(number), objective.group)
        prompts, answers = ([texts[row] for row in rows] for texts in (self.prompts, self.answers))
        noise = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        completions, drawn = completed(model, prompts, objective.num_tokens, objective.end, seed=noise, log_probs=True)
        rewards = rewards_of(objective.reward, prompts, completions, answers)
        values = {
            name: np.zeros(variable.shape, variable.dtype.as_numpy_dtype)
            for name, variable in objective.rollouts.items()
        }
        for place, (prompt, tokens, log_probs) in enumerate(zip(prompts, drawn.tokens, drawn.log_probs, strict=True)):
            first = len(symbols := prompt_symbols(model, prompt))
            here = slice(first, first + len(tokens))
            values["x"][place, :first], values["x"][place, here] = symbols, tokens
            values["weights"][place, here], values["old"][place, here] = 1, log_probs
        if self.reference is not None:
            values["reference"] = self.reference.log_prob(values["x"], reduce="site").numpy()
        values["reward"], values["advantage"] = rewards, advantages(rewards, objective.group)
        for name, variable in objective.rollouts.items():
            variable.assign(values[name])
        self.drawn = True


class _Rows:
    """The numbers of a round's answers in batches, in place of data: every pass goes through all of them once."""

    def __init__(self, objective, rounds):
        self._rows = Examples(np.arange(objective.prompts * objective.group)[:, None])
        self._passes = objective.updates * rounds

    def __len__(self):
        return len(self._rows) * self._passes

    def training(self, batch_size, seed, start_step=0):
        return self._rows.training(batch_size, seed, start_step)
