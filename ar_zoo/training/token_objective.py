"""What the objectives for token models have in common: batches of tokens of which some are scored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

from keras import ops

from ar_zoo.core import checks
from ar_zoo.core.objective import Objective, columns
from ar_zoo.data.answers import encode_answers, lay_out
from ar_zoo.data.examples import Examples
from ar_zoo.sampling.prompts import drawable
from ar_zoo.training.answers import GreedyAnswers


@dataclasses.dataclass
class Stage:
    """What `train` runs: the objective as it is minimised, its data by split, and what happens around the steps."""

    objective: Objective
    examples: dict
    callbacks: tuple = ()


@dataclasses.dataclass(frozen=True)
class TokenObjective(Objective):
    """Attributes:
    end: the text that ends an answer: a line end, or what the model's chat template ends a turn with.
    """

    end: str = dataclasses.field(default="\n", kw_only=True)
    #: What the best weights are told by, and whether the largest are; of the columns of `log.csv`.
    best: ClassVar[tuple[str, bool]] = ("val_bits_per_dim", False)
    #: Whether its loss falls as a model learns.
    falls: ClassVar[bool] = True

    def loaded(self) -> TokenObjective:
        """With the models that it names."""
        return self

    @property
    def head(self):
        """The head that a model which starts from nothing must have; `None` for one of its data's."""
        return None

    def stage(self, model, sets, recipe, seed: int) -> Stage:
        """Data and callbacks, with the model as it is before training."""
        raise TypeError(f"{type(self).__name__} must define `stage`.")

    def greedy(self, model, part, reward: Callable | None = None) -> GreedyAnswers:
        """The callback that answers a part's prompts after every epoch."""
        return GreedyAnswers(
            part, self.end, max(len(answer) for _, answer in encode_answers(model, part, self.end)), reward
        )


def answers_of(model, part, end, window=None, pack=False) -> Examples:
    """A part's prompts and answers, ready to be cut into batches of `x` and `scored`."""
    drawable(model)
    x, scored, texts = lay_out(model, encode_answers(model, part, end), window, pack)
    return Examples(x, {"scored": scored} | ({"texts": texts} if pack else {}))


def scored_batch(model, data, more=(), optional=()) -> dict:
    """A batch of `x` and the weight of each of its tokens, float [B, S]: 0 for padding, prompts and rows of weight 0.

    `more` are the other columns that it must have, `optional` those that it may.
    """
    batch = columns(data, ("x", *more), ("scored", "mask", *optional))
    more = [*more, *(name for name in optional if name in batch)]
    x = checks.symbols(model, batch["x"])
    weights = ops.ones_like(x, dtype="float32")
    for name in ("scored", "mask"):
        if name in batch:
            weights = weights * ops.cast(checks.mask(model, x, ops.cast(batch[name], "bool")), "float32")
    if "sample_weight" in batch:
        weights = weights * ops.reshape(ops.cast(batch["sample_weight"], "float32"), (-1, 1))
    return {name: batch[name] for name in more} | {"x": x, "weights": weights}


def log_probs_of(model, x, training, **given) -> tuple:
    """Logits [B, S, num_symbols], and the log-probabilities [B, S] of the tokens that are there, in nats.

    `given` are more arguments of the model's `call`.
    """
    params = model(x, training=training, **given)
    return model.head.logits(params), model.log_likelihoods(x, params)[0]


def likelihood(log_probs, weights) -> dict:
    """Negative log-likelihood of what is scored, in nats and in bits a token."""
    total, count = -ops.sum(log_probs * ops.cast(weights, log_probs.dtype)), ops.sum(weights)
    return {"loss": (total, count), "bits_per_dim": (total / math.log(2.0), count)}
