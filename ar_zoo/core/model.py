"""The contract: a model says how each site depends on those before it; everything else is derived here."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from keras import ops

from ar_zoo.core import cache as caches
from ar_zoo.core import checks, orders
from ar_zoo.core.density import DensityModel
from ar_zoo.core.generate import generate
from ar_zoo.core.likelihood import likelihood_dtype


class AutoregressiveModel(DensityModel):
    """A distribution over `x`, factorised site by site.

    A family writes its constructor (every argument kept under its own name, `self.build()` last), `call`,
    `cache_spec`, `step` and `receptive_field`. It gets `log_prob`, `sample` and export from here; `fit` and `save`, and
    what a class says about itself (`PRESETS`, …), from `DensityModel`.

    Attributes:
        head: turns parameters into a distribution over one site.
    """

    CONTINUOUS: bool = False

    def __init__(self, head, event_shape, **kwargs):
        checks.head(self, head)
        super().__init__(event_shape, **kwargs)
        self.head = head

    # What a family may say about itself.

    @property
    def num_symbols(self) -> int | None:
        return self.head.num_symbols

    @property
    def symbol_dtype(self) -> str:
        return self.head.symbol_dtype

    @property
    def grid_shape(self) -> tuple:
        """`event_shape` without what belongs to one site."""
        return self.event_shape[: len(self.event_shape) - len(self.head.site_shape)]

    @property
    def num_sites(self) -> int | None:
        return None if None in self.grid_shape else int(np.prod(self.grid_shape))

    @property
    def orders(self) -> np.ndarray | None:
        """int32 [orders, S]: permutations of the sites in which events can be drawn; `None` for raster alone.

        `call`, `step` and `receptive_field` of a family that has them take `order`, a number (or a scalar tensor).
        Several numbers may share a permutation and differ in what the network does with it.
        """
        return None

    @property
    def orderless(self) -> bool:
        """Whether any permutation [S], for `step` also one a row [B, S], may stand in the place of an order's number.

        `call` of such a family also takes `known`, bool [B, S]: then each site's parameters are those given these sites.
        It is trained so, on known sites drawn at random from its `hide_seed`, a `keras.random.SeedGenerator`.
        """
        return False

    @property
    def block_sizes(self) -> tuple[int, ...] | None:
        """Numbers of sites that share the work of `begin_block`; `None` if the family has no such work."""
        return None

    def call(self, x, context=None, training=False):
        """Teacher-forced parameters `[B, *grid, params_size]`; `params[i]` describes `x[i]` given the sites before it."""
        raise TypeError(f"{type(self).__name__} must define `call`.")

    def encode(self, values):
        return self.head.encode(values)

    def receptive_field(self, num_sites: int | None = None, order=0) -> np.ndarray:
        """Boolean [S, S]: whether site j may, and does, reach the parameters of site i. By default all earlier ones."""
        sites = num_sites or self.num_sites
        if self.orders is None:
            return np.tri(sites, sites, -1, dtype=bool)
        place = orders.places(self.permutation(order))
        return place[:, None] > place[None]

    def permutation(self, order=0):
        """int32 [S]: the sites in the order in which they are drawn; a permutation as it is."""
        if len(getattr(order, "shape", ())):
            return order
        if self.orders is None:
            return np.arange(self.num_sites, dtype=np.int32)
        return ops.take(self.orders, order, axis=0) if tf.is_tensor(order) else self.orders[order]

    def cache_spec(self, max_sites: int) -> dict:
        """Kinds of state by name. The default keeps the symbols seen so far."""
        return {"seen": caches.State((max_sites, *self.head.site_shape), self.head.symbol_dtype)}

    def begin_block(self, prev, cache, index, context=None):
        """Work shared by the sites of the block that starts at site `index`; `prev` [B, n, …] is the block before."""
        return cache

    @caches.site_by_site
    def step(self, prev, cache, index, context=None, **order):
        """Parameters of the next K sites, and the new cache. This default runs `call` on all that was seen: slow, right.

        Args:
            prev: int32 [B, K, *site_shape], the sites before `index … index + K - 1`; -1 is "nothing yet". Of continuous
                data float32, and 0.
            cache: as `init_cache` made it or the last step returned it. With blocks, a chunk stays inside one block,
                and `begin_block` has been called for it.
            index: scalar, the slot of the first site. Without blocks also [B], each row's own first site, which then is
                its slot, too.
            context: as in `call`.
            positions: int32 [B, K], for ragged rows: each row's own site numbers; -1 holds the row as it is.
            order: as in `call`, of families that have several. `prev`, `index` and `positions` count the sites as they are drawn.

        Returns:
            (params [B, K, params_size], cache).
        """
        seen = cache["seen"]
        sites = seen.shape[1]
        before = ops.equal(ops.arange(sites), ops.expand_dims(index - 1, -1))
        before = ops.reshape(before, (-1, sites) + (1,) * len(self.head.site_shape))
        seen = ops.where(before, prev, seen)
        x, permutation = seen, None
        if order:
            permutation = ops.convert_to_tensor(self.permutation(**order))
            x = ops.take(seen, ops.argsort(permutation), axis=1)
        params = self._flat(self(self._unflat(x), context=context, **order))
        params = params if permutation is None else ops.take(params, permutation, axis=1)
        spec = caches.Link(sites, ())
        return ops.expand_dims(spec.read({"block": params}, index), 1), {"seen": seen}

    # Derived.

    def init_cache(self, batch_size: int, max_sites: int | None = None) -> dict:
        """A cache that has seen nothing, for up to `max_sites` sites."""
        max_sites = checks.num_sites(self, max_sites)
        return caches.init_cache(self.cache_spec(max_sites), batch_size)

    def __call__(self, x, context=None, mask=None, training=None, **order):
        """`call`, with padding: `mask` [B, S] is False where a site is padding, anywhere in a row.

        The real sites are moved to the front, where causality keeps the padding behind them out of sight, and the
        parameters are moved back. No family has to know about masks. `order` and `known` are handed through to the
        families that take them.
        """
        if mask is None:
            return super().__call__(x, context=context, training=training, **order)
        front = ops.argsort(ops.cast(ops.logical_not(mask), "int32"), axis=1)
        back = ops.argsort(front, axis=1)
        spread = lambda index, rank: ops.reshape(index, (*ops.shape(index), *([1] * (rank - 2))))  # noqa: E731
        x = ops.take_along_axis(ops.convert_to_tensor(x), spread(front, len(x.shape)), axis=1)
        params = super().__call__(x, context=context, training=training, **order)
        return ops.take_along_axis(params, spread(back, len(params.shape)), axis=1)

    def log_prob(self, x, context=None, mask=None, reduce="event", order=0):
        """Log-probability in nats; of continuous data the logarithm of the density.

        Args:
            x: int symbols [B, *event_shape]; of continuous data floats.
            context: value of the only input of `context_spec`, or a dict of them; `None` for "unknown".
            mask: bool [B, S], False where a site is padding; padding is not scored (0). For free lengths.
            reduce: `"event"` → [B]; `"site"` → [B, *grid]; `"coordinate"` → [B, *event_shape].
            order: of families with several: which; or `"ensemble"`, the mean of the probabilities over all of them, of
                whole events.

        Example:
            >>> model.log_prob(np.zeros((2, 28, 28, 1), "int32")).shape
            TensorShape([2])
        """
        if reduce not in ("event", "site", "coordinate"):
            raise ValueError(f"`reduce` must be 'event', 'site' or 'coordinate'; got {reduce!r}.")
        if isinstance(order, str) and order == "ensemble":
            return self._ensemble_log_prob(x, context, reduce)
        order = checks.order(self, order)
        x, mask = checks.symbols(self, x), checks.mask(self, x, mask)
        params = ops.cast(self(x, context=context, mask=mask, **order), likelihood_dtype(self))
        x = self._values(x, params)
        if reduce == "coordinate" and self.head.site_shape:
            each = [
                ops.take_along_axis(self.head.coordinate_log_probs(params, x, c), x[..., c : c + 1], axis=-1)
                for c in range(self.head.site_shape[-1])
            ]
            site = ops.concatenate(each, axis=-1)
        else:
            site = self.head.distribution(params).log_prob(x)
        if mask is not None:
            site = ops.where(ops.reshape(mask, (*ops.shape(mask), *([1] * (len(site.shape) - 2)))), site, 0.0)
        return ops.sum(site, axis=list(range(1, len(site.shape)))) if reduce == "event" else site

    def _ensemble_log_prob(self, x, context, reduce):
        if reduce != "event":
            raise ValueError(f"`reduce` must be 'event' with `order='ensemble'`, which has no sites; got {reduce!r}.")
        count = 1 if self.orders is None else len(self.orders)
        each = ops.stack([self.log_prob(x, context, order=number) for number in range(count)])
        return ops.logsumexp(each, axis=0) - float(np.log(count))

    def sample(
        self,
        num_samples: int = 1,
        seed: int = 0,
        context=None,
        prefix=None,
        given=None,
        mask=None,
        temperature: float = 1.0,
        num_sites: int | None = None,
        batch_size: int | None = None,
        progress: bool = False,
        order=0,
    ) -> np.ndarray:
        """Draws events. The same seed gives the same sample, in any batch and on any engine.

        Args:
            num_samples: how many.
            seed: an integer of at least 0.
            context: one value for all, or one for each sample.
            prefix: the first sites that are drawn: `[P, *site_shape]` for all samples or `[num_samples, P, *site_shape]`
                (images: rows of pixels may be given as `[rows, W, C]` or `[num_samples, rows, W, C]`).
            given, mask: an event (or one for each sample), and which of its sites are known: those are kept and the
                others drawn in order. A known site informs the sites after it, not those before; with an orderless
                model known sites come first, and inform all that is drawn.
            temperature: divides the logits; 0 takes the most likely symbol at each site.
            num_sites: the length, where it is free.
            batch_size: how many rows run at once; all by default.
            progress: show a bar over the batches.
            order: of families with several, the number of one; of orderless models also a permutation of the sites.

        Returns:
            int32 [num_samples, *event_shape]; of continuous data float32.

        Example:
            >>> model.sample(4, seed=1).shape
            (4, 28, 28, 1)
        """
        return generate(
            self, num_samples, seed, context, prefix, given, mask, temperature, num_sites, batch_size, progress, order
        )

    # Training.

    def log_likelihoods(self, x, params):
        """Those of the sites."""
        params = ops.cast(params, likelihood_dtype(self))
        site = self.head.distribution(params).log_prob(self._values(x, params))
        return site, int(np.prod(self.head.site_shape, dtype=int))

    def _batch_of(self, data, training):
        inputs = super()._batch_of(data, training)
        if training and self.orderless:  # has no padding: the weights of hidden sites take the mask's place
            known, weights = orders.hide(ops.shape(inputs["x"])[0], self.num_sites, self.hide_seed)
            return inputs | {"known": known, "mask": weights}
        return inputs

    def _arguments_of(self, inputs):
        more = {"known": inputs["known"]} if "known" in inputs else {"mask": inputs["mask"]}
        return super()._arguments_of(inputs) | more

    def _values(self, x, params):
        """Symbols as they are; values of continuous data in the dtype of their distribution."""
        return x if self.num_symbols else ops.cast(x, params.dtype)

    # Sites in a row ↔ events in their own shape.

    def _flat(self, params):
        return ops.reshape(params, (-1, int(np.prod(params.shape[1:-1])), params.shape[-1]))

    def _unflat(self, sites):
        grid = self.grid_shape if None not in self.grid_shape else (sites.shape[1],)
        return ops.reshape(sites, (-1, *grid, *self.head.site_shape))
