"""NADE: neural autoregressive distribution estimation (Larochelle & Murray 2011), shallow, deep and orderless.

"The Neural Autoregressive Distribution Estimator", AISTATS 2011; "A Deep and Tractable Density Estimator" (Uria, Murray
& Larochelle 2014, arXiv:1310.1757) for the deep, orderless form (DeepNADE, EoNADE).

    a_t = c + Σ_{sites s before t} W_s x_s,   h = f(a_t),   params_t = V_t h + b_t

The sums are shared: a_{t+1} = a_t + W_t x_t, so that a whole event costs O(S · H), and a cached step O(H). With more
hidden layers h passes through them too, once a site.

Orderless, the same network is trained to give each site's parameters from any set of known sites: a step shows a random
set and scores the others. Then it draws in any order, `order` may be a permutation, `log_prob(x, order="ensemble")` is
EoNADE's, and inpainting draws after the known sites, wherever they are.

Of continuous data (RNADE: Uria, Murray & Larochelle 2013, arXiv:1306.0186) a value enters as itself, orderless with the
mask of known sites beside it.

Deviations: a symbol enters as indicators of symbols 1, 2, … (a pixel of 0 or 1 as itself), orderless of all symbols,
which gives the network the mask of known sites without inputs of its own. RNADE's scale of the sums at each site, ρ_t,
is left out.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import State, site_by_site
from ar_zoo.core.lookup import entries
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.orders import make_orders, sites_at
from ar_zoo.core.registry import register
from ar_zoo.heads import Bernoulli, Categorical, ContinuousMixture, Normal
from ar_zoo.layers import MaskedDense, indicators
from ar_zoo.layers.activation import get_activation


@register("nade")
class NADE(AutoregressiveModel):
    """Vectors, or images as vectors, in one, several, or all orders, of symbols or of continuous data.

    Args:
        event_shape: any fixed shape, (784,) or (28, 28, 1).
        head: draws one symbol a site, `Bernoulli` or `Categorical`; of continuous data `Normal` or `ContinuousMixture`.
        units: of the hidden layers; the first is the one whose sums are shared.
        activation: of the hidden layers, a name that Keras knows.
        orderless: whether it is trained for all orders at once.
        num_orders: how many orders, all random but perhaps the first. Training draws one for each batch, unless it is orderless.
        raster: whether the first order is raster; exports know that one alone.
        order_seed: of the random orders.
    """

    CONTINUOUS = True

    def __init__(
        self,
        event_shape,
        head,
        units=(500,),
        activation="sigmoid",
        orderless=False,
        num_orders=1,
        raster=True,
        order_seed=0,
        **kwargs,
    ):
        arguments.event(event_shape)
        arguments.one_symbol(head)
        arguments.widths(units)
        arguments.whole(num_orders=num_orders)
        arguments.whole(0, order_seed=order_seed)
        super().__init__(head, event_shape, **kwargs)
        self.units, self.activation, self._orderless = tuple(units), activation, orderless
        self.num_orders, self.raster, self.order_seed = num_orders, raster, order_seed
        self._activate = get_activation(activation)
        self._orders = make_orders(num_orders, self.num_sites, order_seed, raster)
        self._first_symbol = 0 if orderless else 1
        features = 1 + orderless if head.num_symbols is None else head.num_symbols - self._first_symbol  # of a site
        self.hide_seed = keras.random.SeedGenerator() if orderless else None
        self._draw = keras.random.SeedGenerator() if num_orders > 1 and not orderless else None
        policy = {"dtype": self.dtype_policy}
        self._input = MaskedDense(units[0], name="input", **policy)
        self._deeper = [keras.layers.Dense(size, name=f"hidden_{i}", **policy) for i, size in enumerate(units[1:])]
        self._output = MaskedDense(self.num_sites * head.params_size, by_output=True, name="output", **policy)
        self._input.build((None, self.num_sites * features))
        for layer, size in zip((*self._deeper, self._output), units, strict=True):
            layer.build((None, size))
        self.build()

    @property
    def orders(self):
        return self._orders

    @property
    def orderless(self):
        return self._orderless

    def _features(self, symbols):
        """[..., features] of known sites."""
        if self.head.num_symbols is None:
            values = ops.expand_dims(ops.cast(symbols, self.compute_dtype), -1)
            return ops.concatenate([values, ops.ones_like(values)], axis=-1) if self._orderless else values
        return indicators(symbols, self._first_symbol, self.head.num_symbols, self.compute_dtype)

    def _hidden(self, sums):
        """The last hidden layer, from the first one's sums [..., H]."""
        h = ops.cast(sums, self.compute_dtype) + ops.cast(self._input.bias, self.compute_dtype)
        for layer in self._deeper:
            h = layer(self._activate(h))
        return self._activate(h)

    def call(self, x, context=None, training=False, order=None, known=None):
        x = ops.reshape(x, (-1, self.num_sites))
        params = self._given(x, known) if known is not None else self._in_order(x, self._chosen(order, training))
        return ops.reshape(params, (-1, *self.event_shape, self.head.params_size))

    def _chosen(self, order, training):
        if order is None and training and self._draw:
            order = keras.random.randint((), 0, self.num_orders, seed=self._draw)
        return self.permutation(0 if order is None else order)

    def _given(self, x, known):
        """Parameters of all sites, given the known ones."""
        features = self._features(x) * ops.expand_dims(ops.cast(known, self.compute_dtype), -1)
        features = ops.reshape(features, (-1, self._input.kernel.shape[0]))
        sums = ops.matmul(features, ops.cast(self._input.kernel, self.compute_dtype))
        return self._output(self._hidden(sums))

    def _in_order(self, x, permutation):
        """Teacher-forced: the sites in chunks of about √S, the sums before each by one product, and then all chunks in
        step, a place at a time. (No more than one place of all chunks is held at once, but for gradients.)"""
        sites, size = self.num_sites, int(np.ceil(self.num_sites**0.5))
        chunks = -(-sites // size)
        fill = chunks * size - sites

        def cut(values, axis):
            values = ops.take(values, permutation, axis=axis)
            values = ops.pad(values, [(0, fill if i == axis else 0) for i in range(len(values.shape))])
            shape = (*values.shape[:axis], chunks, size, *values.shape[axis + 1 :])
            return ops.reshape(values, [-1 if length is None else length for length in shape])

        x = ops.transpose(cut(self._features(x), 1), (2, 1, 0, 3))  # [size, chunks, B, features]
        kernel = ops.reshape(self._input.kernel, (sites, x.shape[-1], -1))
        rows = ops.moveaxis(cut(ops.cast(kernel, x.dtype), 0), 1, 0)  # [size, chunks, features, H]
        outputs = ops.reshape(self._output.kernel, (sites, -1, self.units[-1]))
        outputs = ops.transpose(cut(ops.cast(outputs, x.dtype), 0), (1, 0, 3, 2))  # [size, chunks, H, params]
        sums = self._before_chunks(x, rows)
        params = []
        for i in range(size):
            params.append(ops.matmul(self._hidden(sums), outputs[i]))
            sums = sums + ops.cast(ops.matmul(x[i], rows[i]), sums.dtype)
        params = ops.transpose(ops.stack(params), (2, 1, 0, 3))
        params = ops.reshape(params, (-1, chunks * size, self.head.params_size))
        params = ops.take(params, ops.argsort(permutation), axis=1)
        return params + ops.reshape(ops.cast(self._output.bias, x.dtype), params.shape[1:])

    def _before_chunks(self, x, rows):
        """What all sites before a chunk add, [chunks, B, H]."""
        whole = ops.reshape(ops.transpose(x, (1, 2, 0, 3)), (x.shape[1], -1, x.shape[0] * x.shape[3]))
        chunks = ops.matmul(whole, ops.reshape(ops.moveaxis(rows, 1, 0), (x.shape[1], whole.shape[2], -1)))
        chunks = ops.cast(chunks, self._sums_dtype)
        earlier = ops.cast(np.tri(x.shape[1], k=-1), chunks.dtype)
        return ops.reshape(ops.matmul(earlier, ops.reshape(chunks, (x.shape[1], -1))), ops.shape(chunks))

    @property
    def _sums_dtype(self):
        return "float64" if self.compute_dtype == "float64" else "float32"

    # Cached: the sums of the first layer.

    def cache_spec(self, max_sites):
        return {"sums": State((self.units[0],), self._sums_dtype)}

    @site_by_site
    def step(self, prev, cache, index, context=None, order=0):
        site, before = self._site(order, index), self._site(order, ops.maximum(index - 1, 0))
        x = self._features(ops.reshape(prev, (-1,)))  # none at place 0, where no symbol is indicated
        if self.head.num_symbols is None:
            x = x * ops.expand_dims(ops.cast(index > 0, x.dtype), -1)
        added = self._input.added(x, self._input.rows(before, x.shape[-1]))
        sums = cache["sums"] + ops.cast(added, cache["sums"].dtype)
        params = self._output.outputs(self._hidden(sums), site, self.head.params_size)
        return ops.expand_dims(params, 1), {"sums": sums}

    def _site(self, order, place):
        """The sites at places, one for all rows or [B], of an order: a number, a permutation [S], or one a row [B, S]."""
        rank = len(getattr(order, "shape", ()))
        if rank == 2:
            place = ops.broadcast_to(place, (order.shape[0],))
            return ops.squeeze(ops.take_along_axis(order, ops.expand_dims(place, 1), axis=1), 1)
        if rank == 1:
            return entries(order, place)
        return sites_at(self._orders, order, place)

    HEAVY = True
    SMALL = (
        dict(event_shape=(2, 3), head=Categorical(3), units=(7, 8)),
        dict(event_shape=(9,), head=Bernoulli(), units=(12,), orderless=False),
        dict(event_shape=(3,), head=Normal(), units=(8, 9), num_orders=1),
        dict(event_shape=(2,), head=ContinuousMixture(2), units=(6,), orderless=False, num_orders=1),
    )

    PRESETS = {
        "tiny": dict(event_shape=(2, 3, 1), head=Categorical(4), units=(32, 33), orderless=True, num_orders=2),
        # Binarised MNIST: the papers' 500 hidden units; EoNADE of two layers, with 128 orders to take the mean over.
        "mnist": dict(event_shape=(28, 28, 1), head=Bernoulli(), units=(500,)),
        "mnist_orderless": dict(
            event_shape=(28, 28, 1),
            head=Bernoulli(),
            units=(500, 500),
            activation="relu",
            orderless=True,
            num_orders=128,
        ),
    }
