"""Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598; of text Sanchez et al. 2023, arXiv:2306.17806).

    logits = log p(· | weak) + scale · (log p(· | prompt) - log p(· | weak))

with "weak" the same model that knows less: without its context, with another context, or after another prompt.
"""

from __future__ import annotations

import dataclasses

from keras import ops

from ar_zoo.core import arguments
from ar_zoo.sampling.prompts import rows_of


@dataclasses.dataclass(frozen=True)
class Guidance:
    """What `generate` and `stream` are guided by; each row costs as much as two.

    Args:
        scale: 1 is no guidance, more goes further away from what the weak rows say, 0 says what they say.
        prompts: of the weak rows, as many as rows, or one for all ("negative prompts"). `None`: where `context` guides, the
            prompts themselves; else only their last tokens, as transformers has it.
        context: of the weak rows; `None` for "unknown".

    Example:
        >>> generate(model, ["The king"], 64, guidance=Guidance(1.5, prompts="The servant"))
        >>> generate(wavenet, [[]], 8000, context=3, guidance=Guidance(2.0))
    """

    scale: float
    prompts: object = None
    context: object = None

    def __post_init__(self):
        arguments.number(", 1 for no guidance", scale=self.scale)

    def weak_prompts(self, model, rows):
        """The weak rows' prompts, for rows of symbols."""
        if self.prompts is None:
            return rows if model.context_spec else [row[-1:] for row in rows]
        weak = rows_of(model, self.prompts, "prompts of Guidance")
        if len(weak) not in (1, len(rows)):
            raise ValueError(
                f"`prompts` of Guidance must be one, or one for each of {len(rows)} rows; got {len(weak)}."
            )
        return weak * (len(rows) // len(weak))


def guided(logits, scale):
    """Logits of rows followed by those of as many weak rows, [2 · B, V] → [B, V]."""
    strong, weak = ops.split(ops.log_softmax(logits, axis=-1), 2, axis=0)
    return weak + scale * (strong - weak)
