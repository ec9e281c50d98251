"""Answers that a model gives to prompts, and whether they are right."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import keras
import numpy as np

from ar_zoo.core.text import prompt_symbols
from ar_zoo.sampling.loop import Generated, generate

_MOST_PROMPTS = 500


def exact(prompt: str, completion: str, answer: str) -> float:
    """1 where the completion is the answer, and 0 elsewhere."""
    return float(completion == answer)


def completed(model, prompts: list[str], num_tokens: int, end: str, **how) -> tuple[list[str], Generated]:
    """The texts that a model goes on with, without the end, and their tokens; one that does not end is cut off.

    Args:
        how: `temperature`, `seed` and `log_probs`, as `ar_zoo.sampling.generate` takes them.

    Example: `completed(model, ["3+4="], 4, "\\n", temperature=0)[0]` is `["7"]`
    """
    rows = [prompt_symbols(model, prompt) for prompt in prompts]
    drawn = generate(model, rows, num_tokens, stop=[end], **how)
    return [model.head.decode(tokens).removesuffix(end) for tokens in drawn.tokens], drawn


def rewards_of(reward: Callable, prompts, completions, answers) -> np.ndarray:
    """float32 [n]: what a function of (prompt, completion, answer) says, checked."""
    rewards = [reward(*texts) for texts in zip(prompts, completions, answers, strict=True)]
    for texts, value in zip(zip(prompts, completions, strict=True), rewards, strict=True):
        if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
            raise ValueError(f"`reward` must give a finite number; for {texts} it gave {value!r}.")
    return np.array(rewards, np.float32)


class GreedyAnswers(keras.callbacks.Callback):
    """After each epoch: `val_reward` in the logs, the mean reward of the most likely answers to prompts that are held out.

    Runs before what reads it, `BestPreset` and `CSVLogger`.

    Args:
        part: prompts and answers, the first 500 of which are taken.
        end: the text that ends an answer.
        num_tokens: where an answer is cut off.
        reward: a function of (prompt, completion, answer); `exact` by default.
        averaging: the run's `AveragedEvaluation`, where weights are averaged.
    """

    def __init__(self, part, end: str, num_tokens: int, reward: Callable | None = None):
        super().__init__()
        self.prompts, self.answers = (list(part.values[:_MOST_PROMPTS, column]) for column in (0, 1))
        self.end, self.num_tokens, self.reward, self.averaging = end, num_tokens, reward or exact, None

    def score(self, model) -> float:
        texts, _ = completed(model, self.prompts, self.num_tokens, self.end, temperature=0)
        return float(np.mean(rewards_of(self.reward, self.prompts, texts, self.answers)))

    def on_epoch_end(self, epoch, logs=None):
        with self.averaging.averaged() if self.averaging else contextlib.nullcontext():
            logs["val_reward"] = self.score(self.model)
