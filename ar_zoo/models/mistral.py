"""Mistral 7B (Jiang et al. 2023, arXiv:2310.06825): Llama's decoder with grouped queries in a sliding window.

An entry sees the last `window` entries, and through the layers below it num_layers · (window - 1) more.
"""

from __future__ import annotations

from ar_zoo.core.registry import register
from ar_zoo.decoder import LlamaDecoder
from ar_zoo.heads import Categorical


@register("mistral")
class Mistral(LlamaDecoder):
    """Tokens or characters. Arguments as of `ar_zoo.decoder.LlamaDecoder`."""

    PRESETS = {
        "tiny": dict(
            head=Categorical(5),
            max_sites=12,
            num_layers=2,
            units=16,
            num_heads=4,
            num_kv_heads=2,
            hidden_units=24,
            window=3,
            num_sinks=2,
        ),
        "kjv": dict(
            head=Categorical(62),
            max_sites=256,
            num_layers=6,
            units=192,
            num_heads=6,
            num_kv_heads=3,
            hidden_units=512,
            window=64,
        ),
        "mistral_7b": dict(
            head=Categorical(32000),
            max_sites=32768,
            num_kv_heads=8,
            hidden_units=14336,
            window=4096,
            start_symbol=1,
        ),
    }
