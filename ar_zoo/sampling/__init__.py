"""Decoding: what bends logits before a token is drawn, and the ways to draw.

    from ar_zoo import sampling
    sampling.generate(model, ["In the beginning"], 64, [sampling.top_k(50), sampling.top_p(0.9)], seed=1)

Importing this package does not import TensorFlow; the first name that is used does.
"""

from __future__ import annotations

import importlib

_NAMES = {
    "beam": ("Beams", "beam_search"),
    "contrastive": ("contrastive_search",),
    "loop": ("Generated", "generate", "stream"),
    "guidance": ("Guidance",),
    "processors": (
        "chain",
        "force",
        "frequency_penalty",
        "min_new_tokens",
        "min_p",
        "no_repeat_ngram",
        "presence_penalty",
        "repetition_penalty",
        "suppress",
        "temperature",
        "top_k",
        "top_p",
        "typical",
    ),
    "drafts": ("Jacobi", "ModelDraft", "OwnHeads", "PromptLookup"),
    "speculative": ("Report", "speculate"),
    "watermark": ("Watermark",),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"ar_zoo.sampling.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ar_zoo.sampling' has no attribute {name!r}; it has: {', '.join(__all__)}")


def __dir__():
    return sorted((*globals(), *_HOMES))
