"""Llama (Touvron et al. 2023, arXiv:2302.13971, arXiv:2307.09288; Llama 3, arXiv:2407.21783), and what is built like it.

    x += Attention(RMSNorm(x)),   x += W_2 (silu(W_3 RMSNorm(x)) · W_1 RMSNorm(x)),   logits = W RMSNorm(x)

with rotary positions and no biases; TinyLlama, SmolLM2 (output tied to the embedding) and Qwen2 (biases of queries, keys
and values) too.
"""

from __future__ import annotations

from ar_zoo.core.registry import register
from ar_zoo.decoder import LlamaDecoder
from ar_zoo.heads import Categorical, Tokens

_TINY = dict(head=Categorical(5), max_sites=12, num_layers=2, units=16, num_heads=4, num_kv_heads=2, hidden_units=24)
_LLAMA = dict(head=Categorical(32000), start_symbol=1)
_LLAMA2 = dict(_LLAMA, max_sites=4096)
_LLAMA3 = dict(head=Categorical(128256), max_sites=8192, num_kv_heads=8, max_wavelength=500_000.0, start_symbol=128000)
_LLAMA31 = dict(
    _LLAMA3,
    max_sites=131072,
    rope_scaling=dict(
        rope_type="llama3",
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    ),
)
_LLAMA32 = dict(_LLAMA31, rope_scaling=dict(_LLAMA31["rope_scaling"], factor=32.0), hidden_units=8192, tied=True)
_SMOLLM2 = dict(head=Categorical(49152), max_sites=8192, max_wavelength=100_000.0, tied=True, start_symbol=1)
_QWEN2 = dict(
    head=Categorical(151936),
    max_sites=32768,
    max_wavelength=1_000_000.0,
    epsilon=1e-6,
    qkv_bias=True,
    start_symbol=151643,
)


@register("llama")
class Llama(LlamaDecoder):
    """Tokens or characters. Arguments as of `ar_zoo.decoder.LlamaDecoder`."""

    PRESETS = {
        "tiny": dict(_TINY, qkv_bias=True),
        # Its recipe learns pieces of words; until then they are bytes.
        "kjv": dict(
            head=Tokens.bytes(),
            max_sites=128,
            num_layers=6,
            units=192,
            num_heads=6,
            num_kv_heads=3,
            hidden_units=512,
            tied=True,
        ),
        "llama_7b": dict(_LLAMA, epsilon=1e-6),
        "llama_13b": dict(_LLAMA, epsilon=1e-6, num_layers=40, units=5120, num_heads=40, hidden_units=13824),
        "llama_33b": dict(_LLAMA, epsilon=1e-6, num_layers=60, units=6656, num_heads=52, hidden_units=17920),
        "llama_65b": dict(_LLAMA, epsilon=1e-5, num_layers=80, units=8192, num_heads=64, hidden_units=22016),
        "llama2_7b": dict(_LLAMA2),
        "llama2_13b": dict(_LLAMA2, num_layers=40, units=5120, num_heads=40, hidden_units=13824),
        "llama2_70b": dict(_LLAMA2, num_layers=80, units=8192, num_heads=64, num_kv_heads=8, hidden_units=28672),
        "llama3_8b": dict(_LLAMA3, hidden_units=14336),
        "llama3_70b": dict(_LLAMA3, num_layers=80, units=8192, num_heads=64, hidden_units=28672),
        "llama31_8b": dict(_LLAMA31, hidden_units=14336),
        "llama31_70b": dict(_LLAMA31, num_layers=80, units=8192, num_heads=64, hidden_units=28672),
        "llama31_405b": dict(_LLAMA31, num_layers=126, units=16384, num_heads=128, hidden_units=53248),
        "llama32_1b": dict(_LLAMA32, num_layers=16, units=2048),
        "llama32_3b": dict(_LLAMA32, num_layers=28, units=3072, num_heads=24),
        "tinyllama_1b": dict(_LLAMA, num_layers=22, units=2048, num_kv_heads=4, hidden_units=5632),
        "smollm2_135m": dict(_SMOLLM2, num_layers=30, units=576, num_heads=9, num_kv_heads=3, hidden_units=1536),
        "smollm2_360m": dict(_SMOLLM2, units=960, num_heads=15, num_kv_heads=5, hidden_units=2560),
        "smollm2_1b": dict(
            _SMOLLM2, num_layers=24, units=2048, num_heads=32, hidden_units=8192, max_wavelength=130_000.0
        ),
        "qwen2_0b": dict(_QWEN2, num_layers=24, units=896, num_heads=14, num_kv_heads=2, hidden_units=4864, tied=True),
        "qwen2_1b": dict(_QWEN2, num_layers=28, units=1536, num_heads=12, num_kv_heads=2, hidden_units=8960, tied=True),
        "qwen2_7b": dict(
            _QWEN2,
            head=Categorical(152064),
            num_layers=28,
            units=3584,
            num_heads=28,
            num_kv_heads=4,
            hidden_units=18944,
        ),
    }
