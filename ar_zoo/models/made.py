"""MADE: masked autoencoder for distribution estimation (Germain et al. 2015, arXiv:1502.03509).

    h = f((W ⊙ M) x + b),   params = (V ⊙ M') h + (D ⊙ M'') x + c

An input at place t of an order has degree t + 1, a hidden unit a degree from 1 to S - 1, and masks let each unit see
degrees up to its own, each output lower ones only. Orders and degrees are numbered: with `num_orders` and `num_masks`
there are num_orders · num_masks networks that share all weights. Training draws one for each batch; `log_prob` takes
one (`order=`), or the mean of all ("ensemble").

Deviations: hidden degrees are spread evenly and, for each further mask, dealt to other units, where the paper draws
them. So no place is lost for want of a unit: hidden layers of at least S - 1 units let each output see all of its past,
through any number of layers. Narrower ones lose the latest sites of some (`receptive_field` says which), unless
`direct` connections add them. A symbol enters as indicators of symbols 1, 2, …: a pixel of 0 or 1 as itself, and so does
a value of continuous data.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import State, site_by_site
from ar_zoo.core.lookup import entries
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.orders import make_orders, places, shuffled, sites_at
from ar_zoo.core.registry import register
from ar_zoo.heads import Bernoulli, Categorical, ContinuousMixture, Normal
from ar_zoo.layers import MaskedDense, indicators
from ar_zoo.layers.activation import get_activation
from ar_zoo.layers.masked_conv import compose_reach
from ar_zoo.layers.masked_dense import reached, spread_degrees, units_of_degree

_MASKS = 1  # tells the random numbers of masks from those of orders


@register("made")
class MADE(AutoregressiveModel):
    """Vectors, or images as vectors, in one or several orders, of symbols or of continuous data.

    Args:
        event_shape: any fixed shape, (784,) or (28, 28, 1).
        head: draws one symbol a site, `Bernoulli` or `Categorical`; of continuous data `Normal` or `ContinuousMixture`.
        units: of the hidden layers.
        activation: of the hidden layers, a name that Keras knows.
        direct: whether outputs also see earlier inputs directly.
        num_orders: how many orders, all random but perhaps the first.
        num_masks: ways to deal the degrees to hidden units.
        raster: whether the first order is raster; exports know that one alone.
        order_seed: of the random orders and masks.
    """

    HEAVY = True

    CONTINUOUS = True

    def __init__(
        self,
        event_shape,
        head,
        units=(500,),
        activation="relu",
        direct=False,
        num_orders=1,
        num_masks=1,
        raster=True,
        order_seed=0,
        **kwargs,
    ):
        arguments.event(event_shape)
        arguments.one_symbol(head)
        arguments.widths(units)
        arguments.whole(num_orders=num_orders, num_masks=num_masks)
        arguments.whole(0, order_seed=order_seed)
        super().__init__(head, event_shape, **kwargs)
        self.units, self.activation, self.direct = tuple(units), activation, direct
        self.num_orders, self.num_masks, self.raster, self.order_seed = num_orders, num_masks, raster, order_seed
        self._activate = get_activation(activation)
        self._features = 1 if head.num_symbols is None else head.num_symbols - 1  # of a site
        self._orders = np.repeat(make_orders(num_orders, self.num_sites, order_seed, raster), num_masks, axis=0)
        self._places = places(self._orders)
        self._degrees = [self._hidden_degrees(layer, size) for layer, size in enumerate(self.units)]
        self._finished = [units_of_degree(degrees, self.num_sites) for degrees in self._degrees]
        self._draw = keras.random.SeedGenerator() if len(self._orders) > 1 else None
        policy = {"dtype": self.dtype_policy}
        self._hidden = [MaskedDense(size, name=f"hidden_{i}", **policy) for i, size in enumerate(self.units)]
        outputs = self.num_sites * head.params_size
        self._output = MaskedDense(outputs, strict=True, by_output=True, name="output", **policy)
        if direct:
            self._direct = MaskedDense(outputs, True, use_bias=False, by_output=True, name="direct", **policy)
        self.build()

    @property
    def orders(self):
        return self._orders

    def _hidden_degrees(self, layer, size):
        """int32 [orders, size]: degrees from 1 to S - 1, each as often as any other, or nearly."""
        spread = spread_degrees(size, self.num_sites)
        dealt = [spread] + [spread[shuffled(size, self.order_seed, _MASKS, m, layer)] for m in range(1, self.num_masks)]
        return np.tile(np.stack(dealt), (self.num_orders, 1)).astype(np.int32)

    def _inputs(self, symbols):
        """[..., features]: zeros where nothing came before."""
        if self.head.num_symbols is None:
            return ops.expand_dims(ops.cast(symbols, self.compute_dtype), -1)
        return indicators(symbols, 1, self.head.num_symbols, self.compute_dtype)

    def call(self, x, context=None, training=False, order=None):
        if order is None:
            order = keras.random.randint((), 0, len(self._orders), seed=self._draw) if training and self._draw else 0
        count, features = self.head.params_size, self._features
        sites = _of(self._places, order) + 1
        inputs, outputs = ops.repeat(sites, features), ops.repeat(sites, count)
        x = ops.reshape(self._inputs(x), (-1, self.num_sites * features))
        h, degrees = x, inputs
        for layer, own in zip(self._hidden, self._degrees, strict=True):
            h = self._activate(layer(h, degrees, _of(own, order)))
            degrees = _of(own, order)
        params = self._output(h, degrees, outputs)
        if self.direct:
            params = params + self._direct(x, inputs, outputs)
        return ops.reshape(params, (-1, *self.event_shape, count))

    def receptive_field(self, num_sites=None, order=0):
        place = self._places[order]
        seen, below = np.eye(len(place), dtype=bool), place + 1
        for degrees in self._degrees:
            seen = compose_reach(below[None] <= degrees[order][:, None], seen)
            below = degrees[order]
        seen = compose_reach(below[None] < place[:, None] + 1, seen)
        return seen | (place[None] < place[:, None]) if self.direct else seen

    # Cached: each layer's sums so far. A site adds its row of the first kernel; the units that are complete with it, of
    # one degree, add theirs of the next. A whole event costs as much as one `call`.

    def cache_spec(self, max_sites):
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        spec = {layer.name: State((layer.units,), dtype) for layer in self._hidden}
        if self.direct:
            spec["seen"] = State((self.num_sites * self._features,), self.compute_dtype)
        return spec

    @site_by_site
    def step(self, prev, cache, index, context=None, order=0):
        site = sites_at(self._orders, order, index)
        before = sites_at(self._orders, order, ops.maximum(index - 1, 0))  # at place 0 nothing is added
        x, new = self._inputs(ops.reshape(prev, (-1,))), {}
        added = self._hidden[0].added(x, self._hidden[0].rows(before, x.shape[-1]))
        at = ops.expand_dims(index, -1)
        for i, layer in enumerate(self._hidden):
            degrees = ops.expand_dims(_of(self._degrees[i], order), 0)
            sums = cache[layer.name]
            new[layer.name] = sums = sums + ops.cast(added, sums.dtype) * reached(degrees, at, sums.dtype)
            h = self._activate(ops.cast(sums, self.compute_dtype) + ops.cast(layer.bias, self.compute_dtype))
            if i + 1 < len(self._hidden):
                units = entries(self._finished[i], order * self.num_sites + index)
                chosen = indicators(units, 0, layer.units, h.dtype)
                rows = self._hidden[i + 1].rows(ops.minimum(units, layer.units - 1))
                added = self._hidden[i + 1].added(ops.sum(chosen * ops.expand_dims(h, 1), axis=-1), rows)
        params = self._output.outputs(h * reached(at, degrees, h.dtype), site, self.head.params_size)
        if self.direct:
            here = ops.expand_dims(indicators(before, 0, self.num_sites, x.dtype), -1) * ops.expand_dims(x, 1)
            new["seen"] = cache["seen"] + ops.reshape(here, (-1, cache["seen"].shape[1]))
            params = params + self._direct.outputs(new["seen"], site, self.head.params_size)
        return ops.expand_dims(params, 1), new

    SMALL = (
        dict(event_shape=(2, 3), head=Categorical(3), units=(7, 9)),
        dict(event_shape=(9,), head=Bernoulli(), units=(20,), direct=True),
        dict(event_shape=(3,), head=Normal(), units=(8, 9), activation="tanh", num_orders=1, num_masks=1),
        dict(event_shape=(2,), head=ContinuousMixture(2, "logistic"), units=(4,), num_masks=1, direct=True),
    )

    PRESETS = {
        "tiny": dict(
            event_shape=(2, 3, 1), head=Categorical(4), units=(24, 25), num_orders=2, num_masks=2, direct=False
        ),
        # Binarised MNIST in the paper's sizes: one hidden layer of 500; two of 8,000 with 32 masks. With fewer units than
        # sites a random order does better: in raster order the latest pixels, which tell most, are what few units see.
        "mnist": dict(event_shape=(28, 28, 1), head=Bernoulli(), units=(500,), raster=False),
        "mnist_raster": dict(event_shape=(28, 28, 1), head=Bernoulli(), units=(500,), direct=True),
        "mnist_deep": dict(event_shape=(28, 28, 1), head=Bernoulli(), units=(8000, 8000), num_orders=32, direct=True),
    }


def _of(table, order):
    return table[order] if isinstance(order, int) else ops.take(table, order, axis=0)
