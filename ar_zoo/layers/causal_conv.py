"""Dilated causal convolution over sequences (WaveNet, van den Oord et al. 2016, arXiv:1609.03499)."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.cache import DelayLine
from ar_zoo.core.config import Configurable


@keras.saving.register_keras_serializable(package="ar_zoo")
class DilatedCausalConv1D(Configurable, keras.layers.Layer):
    """y[t] = b + Σ_j W_j x[t - (kernel_size - 1 - j)·dilation]: the present and the past, never the future.

    Args:
        filters: channels out.
        kernel_size: number of taps.
        dilation: distance between neighbouring taps.
        use_bias: whether a bias is added.

    Shapes:
        [B, T, channels] → [B, T, filters].

    Example:
        >>> DilatedCausalConv1D(8, 2, dilation=4)(np.zeros((1, 16, 3), "float32")).shape
        TensorShape([1, 16, 8])
    """

    def __init__(self, filters, kernel_size=2, dilation=1, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("filters", filters), ("kernel_size", kernel_size), ("dilation", dilation)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1; got {value}.")
        self.filters, self.kernel_size, self.dilation, self.use_bias = filters, kernel_size, dilation, use_bias

    def build(self, input_shape):
        self._channels = input_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(self.kernel_size, self._channels, self.filters))
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    @property
    def lookback(self) -> int:
        """How far back the oldest tap lies."""
        return (self.kernel_size - 1) * self.dilation

    def _mix(self, taps):
        """The output from its taps, oldest first, each [B, T, channels]: one matrix product, on every device."""
        kernel = ops.reshape(ops.cast(self.kernel, self.compute_dtype), (-1, self.filters))
        y = ops.matmul(ops.concatenate(taps, axis=-1), kernel)
        return y + ops.cast(self.bias, y.dtype) if self.use_bias else y

    def _valid(self, x):
        length = ops.shape(x)[1] - self.lookback
        return self._mix([x[:, j * self.dilation : j * self.dilation + length] for j in range(self.kernel_size)])

    def call(self, x):
        return self._valid(ops.pad(x, ((0, 0), (self.lookback, 0), (0, 0))))

    def cache_spec(self) -> DelayLine | None:
        """The queue of inputs; a kernel of one tap needs none."""
        taps = tuple(self.dilation * j for j in range(self.kernel_size - 1, 0, -1))
        return DelayLine((self._channels,), taps, self.compute_dtype) if taps else None

    def step(self, x, line, index):
        """The outputs of the next K inputs.

        Args:
            x: [B, K, channels].
            line: the queue, as `cache_spec` describes it.
            index: number of inputs seen before; a scalar, or [B].

        Returns:
            ([B, K, filters], the new queue).
        """
        spec = self.cache_spec()
        if spec is None:
            return self._mix([x]), line
        if x.shape[1] > 1:
            seen = ops.concatenate([spec.history(line, index), x], axis=1)
            return self._valid(seen), spec.extend(line, x, index)
        taps = [ops.expand_dims(tap, 1) for tap in spec.read(line, index)]
        return self._mix([*taps, x]), spec.push(line, ops.squeeze(x, 1), index)
