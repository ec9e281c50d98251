"""Knowledge distillation (Hinton, Vinyals and Dean 2015, arXiv:1503.02531): a small model learns what a larger one says."""

from __future__ import annotations

import dataclasses

import keras
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.pretrained import load
from ar_zoo.data.encoded import encode
from ar_zoo.training.token_objective import (
    Stage,
    TokenObjective,
    answers_of,
    likelihood,
    log_probs_of,
    scored_batch,
)


@dataclasses.dataclass(frozen=True)
class Distill(TokenObjective):
    """share · T² KL(teacher_T ‖ student_T) + (1 − share) · (−log student(x)), a token.

    p_T is softmax(logits / T); T² keeps the gradients of the first term as large as those of the second. The teacher is
    not changed, and drops nothing out.

    Batches: `x` int [B, S], perhaps `scored` and `mask` bool [B, S].

    Attributes:
        teacher: a model with the student's symbols, or the preset that it is loaded from.
        temperature: T.
        share: of the teacher, from 0 to 1.
        end: the text that ends an answer, of data that are prompts and answers.

    Example:
        >>> student.objective = Distill(ar_zoo.load("gpt.kjv"), temperature=2.0)
    """

    teacher: str | keras.Model
    temperature: float = 1.0
    share: float = 0.5
    measures = ("loss", "bits_per_dim", "kl")

    def __post_init__(self):
        arguments.positive(temperature=self.temperature)
        arguments.rates(share=self.share)

    def loaded(self):
        teacher = load(self.teacher) if isinstance(self.teacher, str) else self.teacher
        teacher.trainable = False
        return dataclasses.replace(self, teacher=teacher)

    @property
    def head(self):
        return self.teacher.head

    def batch(self, model, data, training):
        if self.teacher.num_symbols != model.num_symbols:
            raise ValueError(
                f"`teacher` must have the model's {model.num_symbols} symbols; it has {self.teacher.num_symbols}."
            )
        return scored_batch(model, data)

    def measure(self, model, batch, training):
        logits, log_probs = log_probs_of(model, batch["x"], training)
        taught = ops.stop_gradient(log_probs_of(self.teacher, batch["x"], False)[0])
        measured = likelihood(log_probs, batch["weights"])
        (nll, count), kl = measured["loss"], self._divergence(taught, logits, log_probs.dtype)
        kl = ops.sum(kl * ops.cast(batch["weights"], kl.dtype))
        loss = self.share * self.temperature**2 * kl + (1 - self.share) * nll
        return measured | {"loss": (loss, count), "kl": (kl, count)}

    def _divergence(self, taught, logits, dtype):
        """KL of the softened distributions in nats, [B, S]."""
        of, to = (ops.log_softmax(ops.cast(each, dtype) / self.temperature, axis=-1) for each in (taught, logits))
        return ops.sum(ops.exp(of) * (of - to), axis=-1)

    def stage(self, model, sets, recipe, seed):
        if sets["train"].kind == "answers":
            examples = {split: answers_of(model, part, self.end, recipe.window) for split, part in sets.items()}
            return Stage(self, examples, (self.greedy(model, sets["valid"]),))
        return Stage(self, {split: encode(model, part, recipe.window) for split, part in sets.items()})
