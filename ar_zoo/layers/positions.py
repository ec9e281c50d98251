"""Position schemes. Each has one method, `call(x, positions)`, and may be applied to embeddings or to queries and keys."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.config import Configurable
from ar_zoo.layers.rotary import RotaryPositions, angles_of, rotary_frequencies


@keras.saving.register_keras_serializable(package="ar_zoo")
class NoPositions(Configurable, keras.layers.Layer):
    """Leaves everything as it is: causality alone tells a transformer some order."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def call(self, x, positions):
        return x


@keras.saving.register_keras_serializable(package="ar_zoo")
class LearnedPositions(Configurable, keras.layers.Layer):
    """Adds a learned vector for each position (GPT).

    Args:
        max_positions: size of the table.
    """

    def __init__(self, max_positions, **kwargs):
        super().__init__(**kwargs)
        self.max_positions = max_positions

    def build(self, input_shape):
        shape = (self.max_positions, input_shape[-1])
        self.table = self.add_weight(
            name="table", shape=shape, initializer=keras.initializers.RandomNormal(stddev=0.02)
        )

    def call(self, x, positions):
        return x + _like(ops.take(ops.cast(self.table, self.compute_dtype), positions, axis=0), x)


@keras.saving.register_keras_serializable(package="ar_zoo")
class SinusoidalPositions(Configurable, keras.layers.Layer):
    """Adds sines and cosines of geometrically spaced wavelengths (Vaswani et al. 2017, section 3.5).

    Args:
        max_wavelength: the longest, in positions, over 2π.
    """

    def __init__(self, max_wavelength=10_000, **kwargs):
        super().__init__(**kwargs)
        self.max_wavelength = max_wavelength

    def build(self, input_shape):
        if input_shape[-1] % 2:
            raise ValueError(f"Sinusoidal positions need an even number of channels; the input has {input_shape[-1]}.")

    def call(self, x, positions):
        frequencies, _ = rotary_frequencies(x.shape[-1], self.max_wavelength)
        angles = angles_of(positions, frequencies, self.compute_dtype)
        return x + _like(ops.cast(ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1), self.compute_dtype), x)


_SCHEMES = {
    "none": NoPositions,
    "learned": LearnedPositions,
    "sinusoidal": SinusoidalPositions,
    "rotary": RotaryPositions,
}


def get_positions(scheme, max_positions=None, **kwargs):
    """A scheme by name, or the layer itself."""
    if isinstance(scheme, keras.layers.Layer):
        return scheme
    if scheme not in _SCHEMES:
        raise ValueError(f"`positions` must be one of {', '.join(map(repr, _SCHEMES))} or a layer; got {scheme!r}.")
    if scheme == "learned":
        if max_positions is None:
            raise ValueError("`max_positions` must be given with learned positions.")
        return LearnedPositions(max_positions, **kwargs)
    return _SCHEMES[scheme](**kwargs)


def _like(table, x):
    """Puts the axis of heads, if `x` is [B, T, heads, D], into a table of [T, D] or [B, T, D]."""
    return ops.expand_dims(table, -2) if len(x.shape) == 4 else table
