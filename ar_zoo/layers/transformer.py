"""The block that transformer decoders are stacks of: attention and a feed-forward network, each normalised and added."""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core.config import Configurable
from ar_zoo.layers.attention import CausalSelfAttention


def _gelu(x):
    return ops.gelu(x, approximate=True)


def _gelu_exact(x):
    return ops.gelu(x, approximate=False)


# name → activation, and whether it gates a second map.
FEED_FORWARD = {
    "gelu": (_gelu, False),
    "gelu_exact": (_gelu_exact, False),
    "relu": (ops.relu, False),
    "swiglu": (ops.silu, True),
    "geglu": (_gelu, True),
}
ORDERS = ("pre", "post", "parallel")


@keras.saving.register_keras_serializable(package="ar_zoo")
class RMSNorm(keras.layers.RMSNormalization):
    """Keras's, but that the gain is multiplied with the factor, and x with both: a converter would multiply a constant that
    comes last into the weights after it, which then leave the grid of their quantisation."""

    def call(self, x):
        dtype = "float64" if x.dtype == "float64" else "float32"
        x = ops.cast(x, dtype)
        factor = ops.rsqrt(ops.mean(ops.square(x), axis=self.axis, keepdims=True) + self.epsilon)
        return ops.cast(x * (factor * ops.cast(self.scale, dtype)), self.compute_dtype)


NORMS = {"layer": keras.layers.LayerNormalization, "rms": RMSNorm}


def make_norm(kind: str, epsilon: float, **kwargs):
    """`"layer"`: mean 0 and deviation 1, then a gain and a shift; `"rms"`: root mean square 1, then a gain."""
    if kind not in NORMS:
        raise ValueError(f"`norm` must be one of {', '.join(map(repr, NORMS))}; got {kind!r}.")
    return NORMS[kind](epsilon=epsilon, **kwargs)


@keras.saving.register_keras_serializable(package="ar_zoo")
class TransformerBlock(Configurable, keras.layers.Layer):
    """x += Attention(norm(x)), then x += FeedForward(norm(x)).

    Args:
        num_heads, num_kv_heads, positions, window, num_sinks: of the `CausalSelfAttention`.
        head_size: channels of a head; `None` for the input's channels over `num_heads`.
        norm, epsilon: `"layer"` or `"rms"`, and what is added to the variance.
        order: `"pre"`, as above; `"post"`, x = norm(x + Attention(x)) (GPT-1); `"parallel"`, both branches side by side after
            one norm (GPT-J).
        feed_forward: W_2 f(W_1 x), `"gelu"` (tanh), `"gelu_exact"` or `"relu"`; or W_2 (f(W_3 x) · W_1 x), `"swiglu"` or
            `"geglu"`.
        hidden_units: channels in between; `None` for four times the input's.
        use_bias: whether maps have biases.
        qkv_bias: whether those to queries, keys and values have; `None` for as `use_bias`.
        attention_cap: the attention's `logit_cap`.
        dropout: rate on attention weights and both branches.

    Shapes:
        [B, T, units] → [B, T, units]; `at` and `texts` as in `CausalSelfAttention`.

    Example:
        >>> TransformerBlock(4)(np.zeros((1, 16, 32), "float32")).shape
        TensorShape([1, 16, 32])
    """

    def __init__(
        self,
        num_heads,
        num_kv_heads=None,
        positions="none",
        window=None,
        dropout=0.0,
        num_sinks=0,
        head_size=None,
        norm="layer",
        epsilon=1e-5,
        order="pre",
        feed_forward="gelu",
        hidden_units=None,
        use_bias=True,
        qkv_bias=None,
        attention_cap=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value, known in (("order", order, ORDERS), ("feed_forward", feed_forward, FEED_FORWARD)):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(map(repr, known))}; got {value!r}.")
        self.num_heads, self.num_kv_heads, self.positions = num_heads, num_kv_heads, positions
        self.window, self.num_sinks, self.head_size, self.dropout = window, num_sinks, head_size, dropout
        self.norm, self.epsilon, self.order, self.feed_forward = norm, epsilon, order, feed_forward
        self.hidden_units, self.use_bias, self.qkv_bias = hidden_units, use_bias, qkv_bias
        self.attention_cap = attention_cap
        policy = {"dtype": self.dtype_policy}
        self._norm_1 = make_norm(norm, epsilon, name="norm_1", **policy)
        wide = head_size and num_heads * head_size
        self.attention = CausalSelfAttention(
            num_heads,
            num_kv_heads,
            positions,
            window=window,
            num_sinks=num_sinks,
            key_units=wide,
            value_units=wide,
            use_bias=use_bias if qkv_bias is None else qkv_bias,
            out_bias=use_bias,
            logit_cap=attention_cap,
            dropout=dropout,
            name="attention",
            **policy,
        )
        self._norm_2 = None if order == "parallel" else make_norm(norm, epsilon, name="norm_2", **policy)
        self._drop = keras.layers.Dropout(dropout, name="dropout", **policy)

    def build(self, input_shape):
        units = input_shape[-1]
        hidden = self.hidden_units or 4 * units

        def dense(name, channels, size):
            layer = keras.layers.Dense(size, use_bias=self.use_bias, name=name, dtype=self.dtype_policy)
            layer.build((None, None, channels))
            return layer

        self._activate, gated = FEED_FORWARD[self.feed_forward]
        self._gate = dense("gate", units, hidden) if gated else None
        self._expand, self._reduce = dense("expand", units, hidden), dense("reduce", hidden, units)
        for layer in filter(None, (self._norm_1, self.attention, self._norm_2)):
            layer.build((None, None, units))

    def _feed_forward(self, x):
        if self._gate is None:
            return self._reduce(self._activate(self._expand(x)))
        return self._reduce(self._activate(self._gate(x)) * self._expand(x))

    def _through(self, x, attend, training=False):
        """The block around `attend`, which takes what the attention is given to what it gives."""
        drop = lambda y: self._drop(y, training=training)  # noqa: E731
        if self.order == "parallel":
            y = self._norm_1(x)
            return x + drop(attend(y)) + drop(self._feed_forward(y))
        if self.order == "post":
            x = self._norm_1(x + drop(attend(x)))
            return self._norm_2(x + drop(self._feed_forward(x)))
        x = x + drop(attend(self._norm_1(x)))
        return x + drop(self._feed_forward(self._norm_2(x)))

    def call(self, x, at=None, texts=None, training=False):
        return self._through(x, lambda y: self.attention(y, at=at, texts=texts, training=training), training)

    def cache_spec(self, max_entries: int) -> dict:
        """What its attention keeps."""
        return self.attention.cache_spec(max_entries)

    def step(self, x, cache, index, query_at, key_at):
        """The outputs of the next K entries, and the new cache; arguments as in `CausalSelfAttention.step`."""
        kept = []

        def attend(y):
            mixed, new = self.attention.step(y, cache, index, query_at, key_at)
            kept.append(new)
            return mixed

        return self._through(x, attend), kept[0]
