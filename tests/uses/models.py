"""Tiny models whose weights are all random: with some of them zero, as they start, mistakes would not show."""

from __future__ import annotations

import numpy as np

import ar_zoo


def randomised(name, seed=0, scale=0.5, **overrides):
    model = ar_zoo.create(name, **overrides)
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.dtype.startswith("float"):
            weight.assign(random.normal(scale=scale, size=weight.shape))
    return model
