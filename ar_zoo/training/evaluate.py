"""How well a model predicts data that is read, in nats and in bits per dimension."""

from __future__ import annotations

import contextlib
import math
import sys

from ar_zoo.core.text import per_text
from ar_zoo.data.encoded import in_units_of, scored


def evaluate(model, part, batch_size=8, window=None, limit=None, labels=True, verbose=0) -> dict:
    """Scores one part of a data set.

    Args:
        model: what `ar_zoo.load` gives.
        part: what `ar_zoo.data.read` gives.
        batch_size: events at once.
        window: length of the pieces that sound and text are cut into; each starts knowing nothing. The model's
            `max_sites` by default, or 4,000.
        limit: at most so many images or windows, the first ones.
        labels: whether a model that takes labels is told those of the data.
        verbose: 1 shows a bar, on standard error.

    Returns:
        `events` (images, rows or windows), `dimensions`, `nats` (minus the log-likelihood of all of them),
        `bits_per_dim`; of text also `characters`, `bytes`, `bits_per_character` and `bits_per_byte`; of tables and
        series, which are standardised as those that the model was trained on (or,
        where it does not know, by their own train part), also `raw_nats`, in the data's own units.

    Example:
        >>> evaluate(ar_zoo.load("gated_pixel_cnn.mnist"), ar_zoo.data.read("shipped:digits", "valid"))["events"]
        200
    """
    part, examples = in_units_of(model, part), scored(model, part, window, limit, labels)
    model.compile(jit_compile=False)
    with contextlib.redirect_stdout(sys.stderr):
        found = model.evaluate(examples.evaluation(batch_size), verbose=verbose, return_dict=True)
    bits, dimensions = float(found["bits_per_dim"]), int(examples.x.size)
    nats = bits * math.log(2) * dimensions
    raw = {}
    if part.raw is not None:
        raw["raw_nats"] = nats + part.log_scale * (dimensions if part.kind == "series" else len(examples.x))
    if part.kind == "text":
        raw = per_text(nats, model.head.decode(examples.x))
    events = examples.num_evaluation_rows
    return {"events": events, "dimensions": dimensions, "nats": nats, "bits_per_dim": bits} | raw
