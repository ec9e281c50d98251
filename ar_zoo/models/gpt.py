"""GPT: a transformer decoder (Radford et al. 2018, 2019; Brown et al. 2020, arXiv:2005.14165).

    x += Attention(LayerNorm(x)),   x += W_2 gelu(W_1 LayerNorm(x)),   logits = LayerNorm(x) · embeddingᵀ

GPT-1 normalises after each sum. Deviations: without `start_symbol` the start has an embedding of its own (one row more
than the alphabet); GPT-3's sizes have full attention in all layers, where the paper's have windows in every other one.
"""

from __future__ import annotations

from ar_zoo.core.registry import register
from ar_zoo.decoder import Decoder
from ar_zoo.heads import Categorical

# Characters, with what Llama changed in GPT-2's blocks; 4.8 MB of float16.
_KJV = dict(
    head=Categorical(62),
    max_sites=256,
    num_layers=6,
    units=192,
    num_heads=6,
    num_kv_heads=2,
    hidden_units=512,
    positions="rotary",
    norm="rms",
    feed_forward="swiglu",
    use_bias=False,
)
_GPT2, _GPT3 = (
    dict(head=Categorical(50257), start_symbol=50256),
    dict(head=Categorical(50257), max_sites=2048, start_symbol=50256),
)


@register("gpt")
class GPT(Decoder):
    """Tokens or characters. Takes every argument of `ar_zoo.decoder.Decoder`, whose defaults are GPT-2's."""

    PRESETS = {
        "tiny": dict(
            head=Categorical(5), max_sites=12, num_layers=2, units=16, num_heads=4, num_kv_heads=2, positions="learned"
        ),
        "kjv": _KJV,
        "sums": dict(head=Categorical(13), max_sites=16, num_layers=3, units=64, num_heads=4, positions="rotary"),
        "benchmark": dict(head=Categorical(256), max_sites=512, num_layers=6, units=256, num_heads=8),
        # In their published sizes. GPT-1's vocabulary has no symbol to start with.
        "gpt1": dict(head=Categorical(40478), max_sites=512, order="post"),
        "gpt2_small": dict(_GPT2),
        "gpt2_medium": dict(_GPT2, num_layers=24, units=1024, num_heads=16),
        "gpt2_large": dict(_GPT2, num_layers=36, units=1280, num_heads=20),
        "gpt2_xl": dict(_GPT2, num_layers=48, units=1600, num_heads=25),
        "gpt3_small": dict(_GPT3),
        "gpt3_medium": dict(_GPT3, num_layers=24, units=1024, num_heads=16),
        "gpt3_large": dict(_GPT3, num_layers=24, units=1536, num_heads=16),
        "gpt3_xl": dict(_GPT3, num_layers=24, units=2048, num_heads=16),
        "gpt3_2b": dict(_GPT3, num_layers=32, units=2560, num_heads=32),
        "gpt3_6b": dict(_GPT3, num_layers=32, units=4096, num_heads=32),
        "gpt3_13b": dict(_GPT3, num_layers=40, units=5120, num_heads=40),
        "gpt3_175b": dict(_GPT3, num_layers=96, units=12288, num_heads=96),
    }
