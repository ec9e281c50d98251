"""AEM: autoregressive energy machines (Nash & Durkan 2019, arXiv:1904.05626), on a masked residual network (ResMADE).

    h_0 = (W ⊙ M) x + b,   h_l = h_{l-1} + (V_l ⊙ N) f((U_l ⊙ N) f(h_{l-1}) + c_l) + d_l,   params = (O ⊙ M') f(h_L) + e

The head turns each site's parameters into an energy of its symbol: `Energy` on continuous data, normalised by importance
sampling, `CategoricalEnergy` on levels, normalised exactly. Masks are MADE's (`MaskedDense`): the units of all layers
have the same degrees, so that a block adds to a unit what may reach it.

Deviations: what the network emits for a site, in the paper a context vector for one energy network that all sites share,
is the energy's own parameters here (see `ar_zoo.heads.Energy`); degrees are spread evenly; no dropout.
"""

from __future__ import annotations

from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import State, site_by_site
from ar_zoo.core.lookup import entries
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import CategoricalEnergy, Energy
from ar_zoo.layers import MaskedDense, indicators
from ar_zoo.layers.activation import get_activation
from ar_zoo.layers.masked_dense import reached, spread_degrees, units_of_degree


@register("aem")
class AEM(AutoregressiveModel):
    """Vectors of symbols or of continuous data, in raster order, with an energy a site.

    Args:
        event_shape: any fixed shape, (30,) or (8, 8, 1).
        head: draws one symbol a site: `Energy` of continuous data, `CategoricalEnergy` of levels, or any other.
        units: of each hidden layer, at least one less than the sites.
        num_blocks: residual blocks, of two layers each.
        activation: of the hidden layers, a name that Keras knows.
    """

    CONTINUOUS = True
    HEAVY = True

    def __init__(self, event_shape, head, units=256, num_blocks=2, activation="relu", **kwargs):
        arguments.event(event_shape)
        arguments.one_symbol(head)
        arguments.whole(units=units, num_blocks=num_blocks)
        super().__init__(head, event_shape, **kwargs)
        if units < self.num_sites - 1:
            raise ValueError(
                f"`units` must be at least {self.num_sites - 1}, one less than the sites, so that each sees all before "
                f"it; got {units}."
            )
        self.units, self.num_blocks, self.activation = units, num_blocks, activation
        self._activate = get_activation(activation)
        self._features = 1 if head.num_symbols is None else head.num_symbols - 1  # of a site
        self._degrees = spread_degrees(units, self.num_sites)
        self._finished = units_of_degree(self._degrees[None], self.num_sites)
        policy = {"dtype": self.dtype_policy}
        self._input = MaskedDense(units, name="input", **policy)
        self._inner = [MaskedDense(units, name=f"inner_{i}", **policy) for i in range(num_blocks)]
        self._outer = [MaskedDense(units, initial_scale=0.3, name=f"outer_{i}", **policy) for i in range(num_blocks)]
        outputs = self.num_sites * head.params_size
        self._output = MaskedDense(outputs, True, by_output=True, initial_scale=0.3, name="output", **policy)
        self.build()

    def _inputs(self, symbols):
        """[..., features]: zeros where nothing came before."""
        if self.head.num_symbols is None:
            return ops.expand_dims(ops.cast(symbols, self.compute_dtype), -1)
        return indicators(symbols, 1, self.head.num_symbols, self.compute_dtype)

    def call(self, x, context=None, training=False):
        places, degrees = ops.arange(self.num_sites) + 1, self._degrees
        x = ops.reshape(self._inputs(x), (-1, self.num_sites * self._features))
        h = self._input(x, ops.repeat(places, self._features), degrees)
        for inner, outer in zip(self._inner, self._outer, strict=True):
            added = inner(self._activate(h), degrees, degrees)
            h = h + outer(self._activate(added), degrees, degrees)
        params = self._output(self._activate(h), degrees, ops.repeat(places, self.head.params_size))
        return ops.reshape(params, (-1, *self.event_shape, self.head.params_size))

    # Cached: each layer's sums so far. A site completes the units of one degree, of every layer, and these alone add
    # their rows to the next layer's sums. A whole event costs as much as one `call`.

    def cache_spec(self, max_sites):
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        return {layer.name: State((self.units,), dtype) for layer in (self._input, *self._inner, *self._outer)}

    @site_by_site
    def step(self, prev, cache, index, context=None):
        degrees, at = ops.expand_dims(self._degrees, 0), ops.expand_dims(index, -1)
        x, new = self._inputs(ops.reshape(prev, (-1,))), {}
        finished = entries(self._finished, index)
        chosen = indicators(finished, 0, self.units, x.dtype)
        rows = ops.minimum(finished, self.units - 1)

        def after(layer, added):
            sums = cache[layer.name]
            new[layer.name] = sums = sums + ops.cast(added, sums.dtype) * reached(degrees, at, sums.dtype)
            return ops.cast(sums, x.dtype) + ops.cast(layer.bias, x.dtype)

        def fed(layer, h):
            newest = ops.sum(chosen * ops.expand_dims(self._activate(h), 1), axis=-1)
            return after(layer, layer.added(newest, layer.rows(rows)))

        before = ops.maximum(index - 1, 0)  # at place 0 nothing is added
        h = after(self._input, self._input.added(x, self._input.rows(before, self._features)))
        for inner, outer in zip(self._inner, self._outer, strict=True):
            h = h + fed(outer, fed(inner, h))
        h = self._activate(h) * reached(at, degrees, h.dtype)
        return ops.expand_dims(self._output.outputs(h, index, self.head.params_size), 1), new

    SMALL = (
        dict(event_shape=(2,), head=Energy(2, 32), units=5),
        dict(event_shape=(2, 2), head=CategoricalEnergy(5, 3), units=7),
    )

    PRESETS = {
        "tiny": dict(event_shape=(2, 3, 1), head=Energy(3, 32), units=30, num_blocks=2),
        # Measurements of biopsies, `shipped:cancer`.
        "cancer": dict(event_shape=(30,), head=Energy(16), units=64, num_blocks=2),
    }
