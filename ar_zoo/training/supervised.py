"""Supervised fine-tuning: answers are learnt, their prompts are only read."""

from __future__ import annotations

import dataclasses
import inspect

from ar_zoo.training.token_objective import Stage, TokenObjective, answers_of, likelihood, log_probs_of, scored_batch


@dataclasses.dataclass(frozen=True)
class Supervised(TokenObjective):
    """The mean negative log-likelihood of answers, given their prompts: −log p(answer, end | prompt) a token.

    Batches: `x` int [B, S], and `scored` bool [B, S], True on what is learnt; perhaps `texts` int [B, S], which of a row's
    texts a token belongs to.

    Attributes:
        pack: fill rows with several prompts and answers, one after the other: fewer steps for the same. None sees another.
        end: the text that ends an answer.

    Example:
        >>> model.objective = Supervised()
        >>> model.compile("adam")
        >>> model.fit(answers_of(model, ar_zoo.data.read("shipped:sums"), "\\n").training(32, seed=0), steps_per_epoch=100)
    """

    pack: bool = False
    measures = ("loss", "bits_per_dim")

    def batch(self, model, data, training):
        return scored_batch(model, data, optional=("texts",))

    def measure(self, model, batch, training):
        packed = {"texts": batch["texts"]} if "texts" in batch else {}
        return likelihood(log_probs_of(model, batch["x"], training, **packed)[1], batch["weights"])

    def stage(self, model, sets, recipe, seed):
        if self.pack and "texts" not in inspect.signature(model.call).parameters:
            raise ValueError(
                f"`pack` must be False for {type(model).__name__}, which cannot keep the texts of a row apart: transformers can."
            )
        examples = {split: answers_of(model, part, self.end, recipe.window, self.pack) for split, part in sets.items()}
        return Stage(self, examples, (self.greedy(model, sets["valid"]),))
