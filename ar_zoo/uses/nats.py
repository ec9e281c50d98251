"""The negative log-likelihood of each event: what scores and comparisons are made of."""

from __future__ import annotations

import numpy as np

from ar_zoo.core import arguments
from ar_zoo.data import Examples


def event_nats(model, data, batch_size: int = 16, progress: bool = False) -> np.ndarray:
    """−log p of every event, in nats.

    Args:
        model: any model, flows included.
        data: symbols [N, *event_shape], or `Examples` of them, whose context is told and whose windows are events.
        batch_size: events at once.
        progress: show a bar over the batches.

    Returns:
        float64 [N].

    Example: `event_nats(model, model.head.encode(digits)).mean()`
    """
    arguments.whole(batch_size=batch_size)
    if not isinstance(data, Examples):
        from ar_zoo.core import checks

        checks.symbols(model, data, "data")  # refused here in one line, and not inside a compiled function
        data = Examples(data)
    batches = data.evaluation(batch_size)
    log_prob = compiled_log_prob(model)
    if progress:
        from tqdm import tqdm

        batches = tqdm(batches, desc="scoring", unit="batch")
    found = [-np.asarray(log_prob(batch), np.float64) for batch in batches]
    return np.concatenate(found)[: data.num_evaluation_rows]


def compiled_log_prob(model, reduce: str = "event"):
    """`log_prob` of a batch, a dict of `x` and what else there is, as a compiled function, which the model keeps: tracing
    takes longer than scoring a batch."""
    import tensorflow as tf

    kept = model.__dict__.get("_ar_zoo_log_prob")
    if kept is None:
        kept = {}
        object.__setattr__(model, "_ar_zoo_log_prob", kept)
    if reduce not in kept:
        more = {} if reduce == "event" else {"reduce": reduce}  # models without sites know no other

        @tf.function
        def log_prob(batch):
            given = {name: batch[name] for name in ("x", "context", "mask") if name in batch}
            return model.log_prob(**given, **more)

        kept[reduce] = log_prob
    return kept[reduce]
