"""What likelihoods and samplers are used for: anomalies, comparisons, completing, colouring and enlarging images, forecasts.

    from ar_zoo import uses
    nats = uses.event_nats(model, model.head.encode(digits))

Importing this package does not import TensorFlow.
"""

from __future__ import annotations

from ar_zoo.uses.anomaly import auroc, compressed_bits, roc_curve, scores_of
from ar_zoo.uses.compare import compare_models
from ar_zoo.uses.forecast import crps, scenarios
from ar_zoo.uses.from_known import draw_from_known
from ar_zoo.uses.inpaint import complete, known_pixels
from ar_zoo.uses.look_alikes import LOOK_ALIKES, look_alike
from ar_zoo.uses.nats import event_nats
from ar_zoo.uses.scoring import continuations, perplexity, token_log_probs

__all__ = [
    "LOOK_ALIKES",
    "auroc",
    "compare_models",
    "complete",
    "compressed_bits",
    "continuations",
    "crps",
    "draw_from_known",
    "event_nats",
    "known_pixels",
    "look_alike",
    "perplexity",
    "roc_curve",
    "scenarios",
    "scores_of",
    "token_log_probs",
]
