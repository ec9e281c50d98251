"""Recurrent layers: a vanilla cell (Elman 1990), a gated recurrent unit (Cho et al. 2014, arXiv:1406.1078) and long
short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    rnn    h' = tanh(Wx + Uh)
    gru    r, u = σ(Wx + Uh),        n = tanh(W_n x + r ⊙ U_n h),   h' = u ⊙ h + (1 - u) ⊙ n
    lstm   i, f, o = σ(Wx + Uh),     n = tanh(W_n x + U_n h),       c' = f ⊙ c + i ⊙ n,   h' = o ⊙ tanh(c')

Deviation: the reset gate r acts after the product with U_n, as in cuDNN, so that a step has one product with the state.
"""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.cache import State
from ar_zoo.core.config import Configurable

# A cell makes its next states, of which the first is its output, from what its gates get from the input and from the
# state (however those two are made: by matrices here, by convolutions over a row of pixels elsewhere) and its states.


def rnn(from_input, from_state, hidden):
    return (ops.tanh(from_input + from_state),)


def gru(from_input, from_state, hidden):
    *inputs, new = ops.split(from_input, 3, axis=-1)
    *states, kept = ops.split(from_state, 3, axis=-1)
    reset, update = (ops.sigmoid(one + other) for one, other in zip(inputs, states, strict=True))
    new = ops.tanh(new + reset * kept)
    return (new + update * (hidden - new),)


def lstm(from_input, from_state, hidden, memory):
    *gates, new = ops.split(from_input + from_state, 4, axis=-1)
    take, keep, show = (ops.sigmoid(gate) for gate in gates)
    memory = keep * memory + take * ops.tanh(new)
    return show * ops.tanh(memory), memory


def check_of_images(layer, units, groups):
    """What the layers over images ask of their arguments, and of what they are called on."""
    if not isinstance(units, int) or not isinstance(groups, int) or units < 1 or groups < 1 or units % groups:
        raise ValueError(f"`units` must be a multiple of `groups`, both at least 1; got {units!r} and {groups!r}.")
    layer.input_spec = keras.layers.InputSpec(ndim=4)


# name → (cell, its gates, its states)
CELLS = {"rnn": (rnn, 1, ("hidden",)), "gru": (gru, 3, ("hidden",)), "lstm": (lstm, 4, ("hidden", "memory"))}


@keras.saving.register_keras_serializable(package="ar_zoo")
class Recurrent(Configurable, keras.layers.Layer):
    """A recurrent layer over sequences: one product for the inputs of all sites, then a loop over the sites.

    Args:
        units: size of the state, and of the output.
        cell: `"rnn"`, `"gru"` or `"lstm"`.

    Shapes:
        [B, T, channels] → [B, T, units]. Nothing is remembered before the first site: the states are zeros.

    Example:
        >>> Recurrent(8, "gru")(np.zeros((1, 16, 3), "float32")).shape
        TensorShape([1, 16, 8])
    """

    def __init__(self, units, cell="lstm", **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` must be at least 1; got {units}.")
        if cell not in CELLS:
            raise ValueError(f"`cell` must be one of {', '.join(map(repr, CELLS))}; got {cell!r}.")
        self.units, self.cell = units, cell
        self._states = CELLS[cell][2]
        # `fit` leaves XLA out, with which the loop's gradients take twice the time on a CPU.
        self.supports_jit = False

    def build(self, input_shape):
        gates = CELLS[self.cell][1]
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], gates * self.units))
        first = lstm_bias if self.cell == "lstm" else "zeros"
        self.bias = self.add_weight(name="bias", shape=(gates * self.units,), initializer=first)
        state = _Cell(self.units, self.cell, name="state", dtype=self.dtype_policy)
        state.build((None, gates * self.units))
        self._loop = keras.layers.RNN(
            state, return_sequences=True, return_state=True, name="loop", dtype=self.dtype_policy
        )
        self._loop.build((None, None, gates * self.units))

    def _from_input(self, x):
        y = ops.matmul(x, ops.cast(self.kernel, self.compute_dtype))
        return y + ops.cast(self.bias, y.dtype)

    def call(self, x):
        return self._loop(self._from_input(x))[0]

    def cache_spec(self) -> dict[str, State]:
        """The cell's states."""
        return {name: State((self.units,), self.compute_dtype) for name in self._states}

    def step(self, x, cache):
        """The outputs of the next K inputs.

        Args:
            x: [B, K, channels].
            cache: the states after the inputs before, as `cache_spec` describes them.

        Returns:
            ([B, K, units], the new states).
        """
        states = [cache[name] for name in self._states]
        if x.shape[1] > 1:
            y, *states = self._loop(self._from_input(x), initial_state=states)
        else:
            y, states = self._loop.cell(ops.squeeze(self._from_input(x), 1), states)
            y = ops.expand_dims(y, 1)
        return y, dict(zip(self._states, states, strict=True))


class _Cell(keras.layers.Layer):
    """One site: what the gates get from the input, and the states → the output and the new states."""

    def __init__(self, units, cell, **kwargs):
        super().__init__(**kwargs)
        self._cell, gates, states = CELLS[cell]
        self._gates, self.state_size, self.output_size = gates, [units] * len(states), units

    def build(self, input_shape):
        shape = (self.output_size, self._gates * self.output_size)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=orthogonal)

    def call(self, from_input, states):
        from_state = ops.matmul(states[0], ops.cast(self.kernel, self.compute_dtype))
        states = self._cell(from_input, from_state, *states)
        return states[0], list(states)


def lstm_bias(shape, dtype=None):
    """Zeros; the forget gate of an LSTM starts open (Jozefowicz et al. 2015)."""
    take, keep, show, new = (ops.zeros((shape[0] // 4,), dtype) for _ in range(4))
    return ops.concatenate([take, keep + 1, show, new])


def orthogonal(shape, dtype=None):
    """In float32 whatever is stored: LAPACK knows no bfloat16."""
    return ops.cast(keras.initializers.Orthogonal()(shape, "float32"), dtype)
