"""Rotary positions (RoFormer, arXiv:2104.09864), and the ways to stretch them over longer texts.

    (a, b) ← (a cos φ - b sin φ, b cos φ + a sin φ),   φ = position · frequency,   frequency_i = base^(-2i/D)

of the channel pairs (i, i + D/2), the layout of GPT-NeoX and Llama.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from ar_zoo.core.config import Configurable


@keras.saving.register_keras_serializable(package="ar_zoo")
class RotaryPositions(Configurable, keras.layers.Layer):
    """Turns pairs of channels by an angle proportional to the position.

    Args:
        max_wavelength: the base of the geometric series of frequencies.
        scaling: how a model goes beyond the lengths that it was trained on, as in the `rope_scaling` of a Hugging Face
            configuration: `{"rope_type": "linear", "factor": 4.0}`. Types: `"linear"` (arXiv:2306.15595), `"ntk"` (another
            base), `"yarn"` (arXiv:2309.00071), `"llama3"`, and `"factors"`, which has a divisor for each frequency in
            `"factors"`. `None` or `"default"` for none.
    """

    def __init__(self, max_wavelength=10_000, scaling=None, **kwargs):
        super().__init__(**kwargs)
        check_scaling(scaling)
        self.max_wavelength, self.scaling = max_wavelength, scaling and dict(scaling)

    def build(self, input_shape):
        if input_shape[-1] % 2:
            raise ValueError(f"Rotary positions need an even number of channels; the input has {input_shape[-1]}.")

    def call(self, x, positions):
        frequencies, magnitude = rotary_frequencies(x.shape[-1], self.max_wavelength, self.scaling)
        angles = angles_of(positions, frequencies, self.compute_dtype)
        if len(x.shape) == 4:  # [B, T, heads, D]
            angles = ops.expand_dims(angles, -2)
        cos, sin = ops.cos(angles), ops.sin(angles)
        if magnitude != 1.0:
            cos, sin = cos * magnitude, sin * magnitude
        # Both halves in one product: an exported graph's step is paid by its operations, and these two it makes once.
        cos = ops.cast(ops.concatenate([cos, cos], axis=-1), self.compute_dtype)
        sin = ops.cast(ops.concatenate([-sin, sin], axis=-1), self.compute_dtype)
        a, b = ops.split(x, 2, axis=-1)
        return x * cos + ops.concatenate([b, a], axis=-1) * sin


def angles_of(positions, frequencies, compute_dtype):
    """Positions [...] → angles [..., frequencies]."""
    # At least in float32: a bfloat16 angle is wrong by whole turns after a few hundred positions.
    dtype = "float64" if compute_dtype == "float64" else "float32"
    return ops.expand_dims(ops.cast(positions, dtype), -1) * ops.convert_to_tensor(frequencies, dtype)


def rotary_frequencies(units: int, base: float, scaling: dict | None = None) -> tuple[np.ndarray, float]:
    """The frequencies of the D/2 pairs, in radians a position, and what sines and cosines are multiplied by."""
    exponents = np.arange(0, units, 2) / units
    kind = _type(scaling)
    if kind == "ntk":
        base = base * scaling["factor"] ** (units / (units - 2))
    frequencies = base**-exponents
    return _SCALINGS[kind].change(frequencies, base, scaling)


def check_scaling(scaling: dict | None) -> None:
    """Raises where `rope_scaling` is none that is known, or lacks what its type needs."""
    if scaling is not None and not isinstance(scaling, dict):
        raise ValueError(f"`rope_scaling` must be a dict with a 'rope_type', or None; got {scaling!r}.")
    kind = _type(scaling)
    if kind not in _SCALINGS:
        known = ", ".join(map(repr, _SCALINGS))
        raise ValueError(f"`rope_scaling` must have a 'rope_type' of {known}; got {kind!r}.")
    for name in _SCALINGS[kind].needs:
        value = scaling.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise ValueError(f"`rope_scaling` of type {kind!r} needs a number {name!r} above 0; got {value!r}.")


def _type(scaling):
    return "default" if scaling is None else scaling.get("rope_type", scaling.get("type", "default"))


def _unchanged(frequencies, base, scaling):
    return frequencies, 1.0


def _linear(frequencies, base, scaling):
    return frequencies / scaling["factor"], 1.0


def _yarn(frequencies, base, scaling):
    """Pairs that turn often within the old length stay, those that turn less than once are stretched, between is a ramp."""
    count, factor, length = len(frequencies), scaling["factor"], scaling["original_max_position_embeddings"]

    def pair_that_turns(times):
        return count * math.log(length / (times * 2 * math.pi)) / math.log(base)

    low = pair_that_turns(scaling.get("beta_fast") or 32)
    high = pair_that_turns(scaling.get("beta_slow") or 1)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * count - 1)
    stretched = np.clip((np.arange(count) - low) / max(high - low, 0.001), 0, 1)
    return frequencies * (1 - stretched + stretched / factor), _yarn_magnitude(factor, scaling)


def _yarn_magnitude(factor, scaling):
    if scaling.get("attention_factor") is not None:
        return float(scaling["attention_factor"])
    grown = lambda weight: 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0  # noqa: E731
    if scaling.get("mscale") and scaling.get("mscale_all_dim"):
        return grown(scaling["mscale"]) / grown(scaling["mscale_all_dim"])
    return grown(1.0)


def _llama3(frequencies, base, scaling):
    """The same idea with a ramp along the frequencies (Llama 3.1)."""
    turns = scaling["original_max_position_embeddings"] * frequencies / (2 * np.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return frequencies * (kept + (1 - kept) / scaling["factor"]), 1.0


def _factors(frequencies, base, scaling):
    factors = np.asarray(scaling.get("factors", ()), np.float64)
    if factors.shape != frequencies.shape or not (factors > 0).all():
        raise ValueError(f"`rope_scaling` of type 'factors' needs {len(frequencies)} numbers above 0 in 'factors'.")
    return frequencies / factors, 1.0


class _Scaling:
    def __init__(self, change, *needs: str):
        self.change, self.needs = change, needs


_SCALINGS = {
    "default": _Scaling(_unchanged),
    "linear": _Scaling(_linear, "factor"),
    "factors": _Scaling(_factors),
    "ntk": _Scaling(_unchanged, "factor"),
    "yarn": _Scaling(_yarn, "factor", "original_max_position_embeddings"),
    "llama3": _Scaling(_llama3, "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
