"""Models whose sites depend on a fixed number of those before them, and what follows from that alone."""

from __future__ import annotations

import numpy as np
from keras import ops

from ar_zoo.core.cache import State, site_by_site
from ar_zoo.core.model import AutoregressiveModel


class MarkovModel(AutoregressiveModel):
    """Events of any length, each site given the `order - 1` before it. A family writes its constructor and `params_after`.

    Attributes:
        order: sites of a window: that which is predicted, and those that it depends on. Set before `build`.
    """

    order: int

    def params_after(self, seen, sites):
        """Parameters of each site that follows on `order - 1` others.

        Args:
            seen: symbols [B, order - 2 + S], the head's `nothing` where there is none.
            sites: int [S] or [B, S], the numbers of the sites that follow.

        Returns:
            [B, S, params_size].
        """
        raise TypeError(f"{type(self).__name__} must define `params_after`.")

    def call(self, x, context=None, training=False):
        seen = ops.pad(x, ((0, 0), (self.order - 1, 0)), constant_values=self.head.nothing)[:, :-1]
        return self.params_after(seen, ops.arange(ops.shape(x)[1]))

    def receptive_field(self, num_sites=None):
        distance = np.arange(num_sites)[:, None] - np.arange(num_sites)[None]
        return (distance >= 1) & (distance < self.order)

    def cache_spec(self, max_sites):
        return {"seen": State((self.order - 1,), self.head.symbol_dtype, fill=self.head.nothing)}

    @site_by_site(chunks=True)
    def step(self, prev, cache, index, context=None):
        seen = ops.concatenate([cache["seen"], prev], axis=1)
        sites = ops.expand_dims(index, -1) + ops.arange(prev.shape[1])
        return self.params_after(seen[:, 1:], sites), {"seen": seen[:, prev.shape[1] :]}
