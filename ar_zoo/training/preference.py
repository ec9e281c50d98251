"""Preferences learnt directly: DPO (Rafailov et al. 2023, arXiv:2305.18290)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
from keras import ops

from ar_zoo.core import arguments, checks
from ar_zoo.core.objective import columns
from ar_zoo.data.answers import encode_answers, lay_out
from ar_zoo.data.examples import Examples
from ar_zoo.sampling.prompts import drawable
from ar_zoo.training.token_objective import Stage, TokenObjective, log_probs_of

_ROWS = 128  # scored at once by the reference
_PAIR = ("x", "scored", "rejected", "rejected_scored", "reference")


@dataclasses.dataclass(frozen=True)
class DPO(TokenObjective):
    """−(1 − ε) log σ(β m) − ε log σ(−β m), a pair, with the margin
    m = log π(chosen)/π(rejected) − log π_ref(chosen)/π_ref(rejected), of whole answers given their prompts.

    ε > 0 says that so large a share of the preferences may be wrong (Mitchell 2023, "A note on DPO with noisy preferences").
    The reference is the model before training: its half of the margin is a number a pair, computed once. `likelihood` adds so
    many times −log π(chosen) a token: without it the right answer may become less likely as well, as long as the wrong one does
    more so (Pang et al. 2024, arXiv:2404.19733).

    Batches: `x` and `rejected` int [B, S], `scored` and `rejected_scored` bool [B, S], `reference` float [B], as `pairs_of`
    makes them. Measured: `accuracy`, the share of pairs with m > 0; `preferred`, that with π(chosen) > π(rejected); `margin`, β m.

    Attributes:
        beta: how strongly the model is held to the reference.
        label_smoothing: ε.
        likelihood: of the chosen answers; 0 for the preferences alone.
        end: the text that ends an answer.

    Example:
        >>> pairs = pairs_of(model, ar_zoo.data.read("shipped:sums"), "\\n")
        >>> model.objective = DPO(beta=0.1)
    """

    beta: float = 0.1
    label_smoothing: float = 0.0
    likelihood: float = 0.0
    measures = ("loss", "accuracy", "preferred", "margin")
    best: ClassVar[tuple[str, bool]] = ("val_loss", False)

    def __post_init__(self):
        arguments.positive(beta=self.beta)
        arguments.rates(label_smoothing=self.label_smoothing)
        if self.likelihood != 0:
            arguments.positive(likelihood=self.likelihood)

    def batch(self, model, data, training):
        batch = columns(data, _PAIR)
        for name in ("x", "rejected"):
            batch[name] = checks.symbols(model, batch[name], name)
        for name, of in (("scored", "x"), ("rejected_scored", "rejected")):
            batch[name] = checks.mask(model, batch[of], ops.cast(batch[name], "bool"))
        return batch

    def measure(self, model, batch, training):
        x = ops.concatenate([batch["x"], batch["rejected"]], axis=0)
        scored = ops.concatenate([batch["scored"], batch["rejected_scored"]], axis=0)
        log_probs = log_probs_of(model, x, training)[1]
        chosen, rejected = ops.split(ops.sum(log_probs * ops.cast(scored, log_probs.dtype), axis=1), 2)
        ratio = chosen - rejected
        margin = self.beta * (ratio - ops.cast(batch["reference"], ratio.dtype))
        loss = (1 - self.label_smoothing) * ops.softplus(-margin) + self.label_smoothing * ops.softplus(margin)
        lengths = ops.sum(ops.cast(batch["scored"], loss.dtype), axis=1)
        loss = loss - self.likelihood * chosen / ops.maximum(lengths, 1)
        weights = ops.cast(batch.get("sample_weight", ops.ones_like(loss)), loss.dtype)
        each = {"loss": loss, "accuracy": margin > 0, "preferred": ratio > 0, "margin": margin}
        return {
            name: (ops.sum(ops.cast(value, loss.dtype) * weights), ops.sum(weights)) for name, value in each.items()
        }

    def stage(self, model, sets, recipe, seed):
        examples = {split: pairs_of(model, part, self.end, recipe.window) for split, part in sets.items()}
        return Stage(self, examples, (self.greedy(model, sets["valid"]),))


def pairs_of(model, part, end: str = "\n", window: int | None = None) -> Examples:
    """A part's pairs, and what the reference, `model` as it is now, says of them; ready to be cut into batches.

    Raises:
        ValueError: the part has no rejected answers, or a prompt and an answer are too long.
    """
    drawable(model)
    both = [encode_answers(model, part, end, column) for column in ("answer", "rejected")]
    x, scored, _ = lay_out(model, both[0] + both[1], window)
    rows = [slice(start, start + _ROWS) for start in range(0, len(x), _ROWS)]
    whole = [np.sum(model.log_prob(x[row], reduce="site") * scored[row], axis=1) for row in rows]
    chosen, rejected = np.split(np.concatenate(whole).astype(np.float32), 2)
    half = len(x) // 2
    more = {
        "scored": scored[:half],
        "rejected": x[half:],
        "rejected_scored": scored[half:],
        "reference": chosen - rejected,
    }
    return Examples(x[:half], more)
