"""What every head offers."""

from __future__ import annotations

import numpy as np
from keras import ops

from ar_zoo.core.arguments import array
from ar_zoo.core.config import Configurable
from ar_zoo.core.known import check_values, nothing, symbol_dtype


class Head(Configurable):
    """Parameters → the distribution of one site. Stateless; a model owns one.

    Attributes:
        site_shape: shape of one site of `x`: `()` for a symbol, `(3,)` for a pixel whose channels are one site.
        num_symbols: size of the alphabet of one coordinate; `None` for continuous data: then all that is called a symbol
            here and in the models is a value, and probabilities are densities.
        params_size: how many channels the network emits for a site.
        noise_shape: shape of the uniform noise that draws one site.
        predicts: whether its parameters start from the pixels around a site; the model then hands what the network
            says through `around(params, neighbours)`, with the colours of `ar_zoo.layers.PixelNeighbours`.
        reads_text: whether raw data is text.
    """

    site_shape: tuple[int, ...] = ()
    num_symbols: int | None
    params_size: int
    noise_shape: tuple[int, ...] = (1,)
    predicts: bool = False
    reads_text: bool = False

    @property
    def symbol_dtype(self) -> str:
        """dtype of symbols, `x` and `prev`: int32; float32 of continuous data."""
        return symbol_dtype(self.num_symbols)

    @property
    def nothing(self) -> int:
        """What `prev` holds before the first site: -1, or 0 of continuous data (`ar_zoo.core.known.nothing`)."""
        return nothing(self.symbol_dtype)

    def distribution(self, params, temperature=1.0):
        """A TFP distribution over one site, batched like `params` without its last axis."""
        raise TypeError(f"{type(self).__name__} must define `distribution`.")

    def coordinate_log_probs(self, params, known=None, coordinate: int = 0):
        """Log-probabilities `[..., num_symbols]` (nats) of one coordinate of a site, given the site's earlier ones.

        Of discrete heads: continuous data has no alphabet to go through.

        Args:
            params: `[..., params_size]`.
            known: the site's symbols, of which those before `coordinate` are read. Not needed for scalar sites.
            coordinate: which coordinate of the site.
        """
        raise TypeError(f"{type(self).__name__} must define `coordinate_log_probs`.")

    def sample(self, params, noise, temperature=1.0):
        """Symbols from noise: the same noise gives the same symbols on every engine.

        Args:
            params: float `[..., params_size]`.
            noise: float32 uniforms in (0, 1), `[..., *noise_shape]`.
            temperature: a float or scalar tensor; 0 takes the most likely symbol.

        Returns:
            `[..., *site_shape]`: int32, or float32 of continuous data.
        """
        raise TypeError(f"{type(self).__name__} must define `sample`.")

    def encode(self, values) -> np.ndarray:
        """Raw data → symbols. By default the raw data are the symbols; they are checked."""
        return self._numbers(values, "values")

    def decode(self, symbols) -> np.ndarray:
        """Symbols → raw data."""
        return self._numbers(symbols, "symbols")

    def _numbers(self, values, name):
        return self._integers(values, name) if self.num_symbols else self._finite(values, name)

    def _finite(self, values, name):
        """float32 from an array of numbers, or an error that names the argument."""
        values = array(values, name)
        if values.dtype.kind not in "iuf":
            raise ValueError(f"`{name}` must hold numbers; got dtype {values.dtype}.")
        with np.errstate(over="ignore"):  # what is too large is infinite, and refused
            values = values.astype(np.float32)
        check_values(values, None, name)
        return values

    def _integers(self, values, name, top=None):
        """int32 from an array of integers below `top` (`num_symbols` by default), or an error that names the argument."""
        values, top = array(values, name), top or self.num_symbols
        if values.dtype.kind not in "iub":
            raise ValueError(
                f"`{name}` must hold integers from 0 to {top - 1}; got dtype {values.dtype}. "
                "Cast them (`.astype('int32')`) if they are whole numbers."
            )
        if values.size and (values.min() < 0 or values.max() >= top):
            raise ValueError(f"`{name}` must lie in 0..{top - 1}; got {values.min()}..{values.max()}.")
        return values.astype(np.int32)

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.constructor_arguments().items())
        return f"{type(self).__name__}({arguments})"

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash(repr(self))


def positive(temperature):
    """A divisor that is safe where the temperature is 0; `greedy_or` then picks the other branch."""
    temperature = ops.cast(temperature, "float32")
    return ops.where(temperature > 0, temperature, ops.ones_like(temperature))


def greedy_or(temperature, greedy, drawn):
    return ops.where(ops.cast(temperature, "float32") > 0, drawn, greedy)


def draw_index(logits, uniform):
    """One uniform `[...]` through the inverse CDF of `softmax(logits)`: int32 `[...]`."""
    return draw_weighted(ops.exp(logits - ops.max(logits, axis=-1, keepdims=True)), uniform)


def draw_weighted(weights, uniform):
    """One uniform `[...]` through the inverse CDF of weights that are not normalised: int32 `[...]`."""
    cumulative = ops.cumsum(weights, axis=-1)
    threshold = ops.expand_dims(uniform, -1) * cumulative[..., -1:]
    return ops.sum(ops.cast(cumulative[..., :-1] < threshold, "int32"), axis=-1)


def most_likely(logits):
    """The index of the largest logit, the first of several: int32 `[...]`. (`ops.argmax` does not convert to TFLite.)"""
    is_largest = logits >= ops.max(logits, axis=-1, keepdims=True)
    return ops.min(ops.where(is_largest, ops.arange(logits.shape[-1]), logits.shape[-1]), axis=-1)


def softplus(x):
    """log(1 + e^x), also where e^x overflows (`ops.softplus` does not, but its conversion to TFLite does)."""
    return 0.5 * (x + ops.abs(x)) + ops.log1p(ops.exp(-ops.abs(x)))
