"""PixelSNAIL (Chen et al. 2017, arXiv:1712.09763): causal attention among gated convolutions.

    gated residual:  h ← h + a · σ(b),   (a, b) = W_2 ∗ elu(W_1 ∗ elu(h) + V elu(m))      (V m: of what was attended to)
    one block:       h ← gated residual, several times, with masked 3x3 kernels
                     q_i = Q(h_i, p_i),   k_j, v_j = K(x_j, h_j, p_j),   m_i = Σ_{j<i} softmax_j(q_i · k_j) v_j
                     h ← gated residual of h and m, pixel by pixel

where p is where a pixel lies, x the pixel itself, and Q and K are pixel-by-pixel gated residuals followed by dense maps.
`h_j` knows only the pixels before j, and the keys add pixel j itself, so that attention is to strictly earlier pixels.
It reaches all of them: the kernels' blind spot does not matter.

A pixel is one site: draw images of several channels with a head of whole pixels.

Deviations: entry i of the keys is made of pixel i - 1, and entry 0 of zeros, so that the first pixel, which in the paper
attends to nothing, attends to that; 3x3 kernels where the paper has 2x2 ones (the same rows and columns and one more);
no weight normalisation, but small last kernels at first.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import KeyValue, State, numbers, site_by_site
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Categorical, DiscretizedLogisticMixture
from ar_zoo.layers import CausalSelfAttention, GatedActivation, MaskedConv2D, PixelFeatures

_LAST_SCALE = 0.1  # of what a residual adds at first, so that dozens of them do not blow up


@register("pixel_snail")
class PixelSNAIL(AutoregressiveModel):
    """Images, pixel by pixel in raster order.

    Args:
        image_shape: (height, width, channels).
        head: `Categorical` or `Bernoulli` for images of one channel, a `DiscretizedLogisticMixture` for one or three.
        num_blocks: blocks, each with one attention.
        num_layers: gated residual layers of a block, before its attention.
        units: channels.
        key_units, value_units: channels of keys and of values, all heads together.
        num_heads: of each attention.
        input_kernel_size, kernel_size: of the first layer and of the others.
        dropout: rate inside the gated residual layers.
    """

    HEAVY = True

    def __init__(
        self,
        image_shape,
        head,
        num_blocks=12,
        num_layers=5,
        units=256,
        key_units=16,
        value_units=128,
        num_heads=1,
        input_kernel_size=3,
        kernel_size=3,
        dropout=0.0,
        **kwargs,
    ):
        arguments.image(image_shape, head)
        _check_whole_pixels(image_shape, head)
        arguments.whole(num_blocks=num_blocks, units=units, num_heads=num_heads)
        arguments.whole(key_units=key_units, value_units=value_units)
        arguments.whole(0, num_layers=num_layers)
        arguments.multiples(num_heads, "the number of heads", key_units=key_units, value_units=value_units)
        arguments.kernels(input_kernel_size=input_kernel_size, kernel_size=kernel_size)
        arguments.rates(dropout=dropout)
        super().__init__(head, image_shape, **kwargs)
        self.image_shape, self.num_blocks, self.num_layers = tuple(image_shape), num_blocks, num_layers
        self.units, self.key_units, self.value_units, self.num_heads = units, key_units, value_units, num_heads
        self.input_kernel_size, self.kernel_size, self.dropout = input_kernel_size, kernel_size, dropout
        policy = {"dtype": self.dtype_policy}
        self._features = PixelFeatures(head.num_symbols, name="features", **policy)
        self._input = MaskedConv2D(units, input_kernel_size, "A", name="input", **policy)
        attention = dict(num_heads=num_heads, key_units=key_units, value_units=value_units)
        self._blocks = [
            _Block(num_layers, units, kernel_size, dropout, attention, name=f"block_{i}", **policy)
            for i in range(num_blocks)
        ]
        self._output = keras.layers.Dense(head.params_size, name="output", **policy)
        self._places = _places(*self.image_shape[:2])
        self.build()

    def _network(self, h, attend, convolve, training=False):
        """From the first layer's output to the parameters, with 3x3 layers applied by `convolve(conv, x)` and the
        attention of a block by `attend(block, h)`."""
        for block in self._blocks:
            for layer in block.layers_before:
                h = layer(h, convolve=convolve, training=training)
            h = block.merge(h, side=attend(block, h), training=training)
        return self._output(ops.elu(h))

    def call(self, x, context=None, training=False):
        height, width, _ = self.image_shape
        sites = height * width
        places = ops.convert_to_tensor(self._places, dtype=self.compute_dtype)
        features = self._features(x)
        flat = lambda y: ops.reshape(y, (-1, sites, y.shape[-1]))  # noqa: E731
        before = ops.pad(flat(features), ((0, 0), (1, 0), (0, 0)))[:, :-1]  # entry i is pixel i - 1

        def attend(block, h):
            known = ops.pad(flat(h), ((0, 0), (1, 0), (0, 0)))[:, :-1]
            source = block.source(before, known, places[:-1], training=training)
            mixed = block.attention(block.query(flat(h), places[1:], training=training), source)
            return ops.reshape(mixed, (-1, height, width, self.value_units))

        y = self._network(self._input(features), attend, lambda conv, y: conv(y), training)
        return y if self.head.site_shape else ops.expand_dims(y, -2)

    # Cached: convolutions by queues in raster order, attention by keys and values.

    def _convolutions(self):
        """(path in the cache, layer) of all that keep a queue."""
        yield ("input",), self._input
        for block in self._blocks:
            for layer in block.layers_before:
                for conv in layer.convs:
                    yield (block.name, layer.name, conv.name), conv

    def cache_spec(self, max_sites):
        spec = {block.name: block.attention.cache_spec(max_sites) for block in self._blocks}
        for block in self._blocks:
            spec[block.name]["last"] = State((1, self.units), self.compute_dtype)
        for path, conv in self._convolutions():
            line = conv.line_spec(self.image_shape[1])
            if line is not None:
                _put(spec, path, line)
        return spec

    @site_by_site(chunks=True)
    def step(self, prev, cache, index, context=None):
        width, length = self.image_shape[1], prev.shape[1]
        at = numbers(index, length)
        paths = {id(conv): path for path, conv in self._convolutions()}
        inside, new = {}, {}  # kernels of one kind have their taps in the same places

        def convolve(conv, y):
            path, kind = paths[id(conv)], conv is self._input
            inside[kind] = conv.inside(at % width, width) if kind not in inside else inside[kind]
            y, line = conv.step_raster(y, _get(cache, path), index, inside[kind], width)
            if line is not None:
                _put(new, path, line)
            return y

        places = ops.convert_to_tensor(self._places, dtype=self.compute_dtype)
        place_before, place = (ops.take(places, at + shift, axis=0) for shift in (0, 1))
        features = self._features(ops.reshape(prev, (-1, length, self.image_shape[2])))

        def attend(block, h):
            old = cache[block.name]
            known = old["last"] if length == 1 else ops.concatenate([old["last"], h[:, :-1]], axis=1)
            slots = KeyValue(()).read(old["key"]).shape[2]
            mixed, kept = block.attention.step(
                block.query(h, place), old, index, at, ops.arange(slots), block.source(features, known, place_before)
            )
            new.setdefault(block.name, {}).update(kept, last=h if length == 1 else h[:, -1:])
            return mixed

        return self._network(convolve(self._input, features), attend, convolve), new

    SMALL = (
        dict(image_shape=(2, 2, 1), head=Categorical(3)),
        dict(image_shape=(1, 2, 3), head=DiscretizedLogisticMixture(2, 3, 3)),
    )

    PRESETS = {
        "tiny": dict(
            image_shape=(3, 4, 1),
            head=Categorical(4),
            num_blocks=2,
            num_layers=1,
            units=8,
            key_units=4,
            value_units=6,
            num_heads=2,
        ),
        "mnist": dict(
            image_shape=(28, 28, 1), head=Categorical(256), num_blocks=3, num_layers=2, units=48, value_units=48
        ),
        "benchmark": dict(
            image_shape=(28, 28, 1), head=Categorical(256), num_blocks=4, num_layers=2, units=64, value_units=64
        ),
        # The paper's CIFAR-10 model: 12 blocks of 5 layers of 256 channels, keys of 16 and values of 128 channels.
        "cifar10": dict(image_shape=(32, 32, 3), head=DiscretizedLogisticMixture(10, 256, 3), dropout=0.5),
    }


def _check_whole_pixels(image_shape, head):
    if not head.site_shape and image_shape[-1] != 1:
        raise ValueError(
            f"`head` must draw whole pixels of {image_shape[-1]} channels, as DiscretizedLogisticMixture does, or "
            f"`image_shape` must have one channel; got {head!r}."
        )


def _places(height, width):
    """Where each pixel lies, its row and column in [-1, 1], [1 + H·W, 2]; entry 0 is "before the first", zeros."""
    rows, columns = (np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in (height, width))
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.concatenate([np.zeros((1, 2)), grid])


def _get(nested, path):
    for name in path:
        nested = nested.get(name, {})
    return nested or None


def _put(nested, path, value):
    for name in path[:-1]:
        nested = nested.setdefault(name, {})
    nested[path[-1]] = value


class _Gated(keras.layers.Layer):
    """A gated residual; `kernel_size` 1 is pixel by pixel."""

    def __init__(self, kernel_size, dropout, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size, self._dropout = kernel_size, dropout

    def build(self, x_shape, side_shape=None):
        policy, units = {"dtype": self.dtype_policy}, x_shape[-1]

        def layer(filters, scale, name):
            if self.kernel_size == 1:
                initializer = keras.initializers.VarianceScaling(scale**2, distribution="untruncated_normal")
                made = keras.layers.Dense(filters, kernel_initializer=initializer, name=name, **policy)
            else:
                made = MaskedConv2D(filters, self.kernel_size, "B", initial_scale=scale, name=name, **policy)
            made.build((*x_shape[:-1], units))
            return made

        self.convs = [layer(units, 1.0, "conv_1"), layer(2 * units, _LAST_SCALE, "conv_2")]
        self._drop = keras.layers.Dropout(self._dropout, name="dropout", **policy)
        self._gate = GatedActivation("linear", name="gate", **policy)
        if side_shape is not None:
            self._side = keras.layers.Dense(units, name="side", **policy)
            self._side.build(side_shape)

    def call(self, x, side=None, convolve=None, training=False):
        convolve = convolve or (lambda layer, y: layer(y))
        first, last = self.convs
        y = convolve(first, ops.elu(x))
        if side is not None:
            y = y + self._side(ops.elu(side))
        y = self._drop(ops.elu(y), training=training)
        return x + self._gate(convolve(last, y))


class _Block(keras.layers.Layer):
    """Gated residual layers, an attention, and the layer that takes in what was attended to."""

    def __init__(self, num_layers, units, kernel_size, dropout, attention, **kwargs):
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}
        self.layers_before = [_Gated(kernel_size, dropout, name=f"layer_{i}", **policy) for i in range(num_layers)]
        self._to_source = _Gated(1, dropout, name="source", **policy)
        self._to_query = _Gated(1, dropout, name="query", **policy)
        self.attention = CausalSelfAttention(**attention, mix_heads=False, name="attention", **policy)
        self.merge = _Gated(1, dropout, name="merge", **policy)

    def source(self, features, h, places, training=False):
        return self._to_source(_side_by_side(features, h, places), training=training)

    def query(self, h, places, training=False):
        return self._to_query(_side_by_side(h, places), training=training)


def _side_by_side(*parts):
    """Parts [B, T, …] next to each other; places may come without a batch."""
    *parts, places = parts
    places = ops.broadcast_to(places, (*ops.shape(parts[0])[:2], places.shape[-1]))
    return ops.concatenate([*parts, places], axis=-1)
