"""The contract: a model says how each site depends on those before it; everything else is derived here."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.src import backend  # `compute_output_spec` has no public name

from ar_zoo.core import arguments, checks, orders
from ar_zoo.core import cache as caches
from ar_zoo.core.config import Configurable
from ar_zoo.core.context import ContextSpec
from ar_zoo.core.likelihood import BitsPerDimension
from ar_zoo.core.quantization import at_rounded_weights


class AutoregressiveModel(Configurable, keras.Model):
    """A distribution over `x`, factorised site by site.

    A family writes its constructor (every argument kept under its own name, `self.build()` last), `call`,
    `cache_spec`, `step` and `receptive_field`. It gets `log_prob`, `sample`, `fit`, `save` and export from here.

    Attributes:
        head: turns parameters into a distribution over one site.
        event_shape: shape of one `x`; `(None,)` where the length is free.
        sample_rate: samples of sound a second, of what it was trained on; `None` where that is not known, and for all
            but sound. Presets and exports keep it.
        PRESETS: name → constructor arguments; `tiny` holds every mechanism at least twice.
        SMALL: constructor arguments that, on top of `tiny`, give models whose events can all be listed.
        EXEMPT: law number → reason, for laws (6 and 10; 7 of a family that has nothing to train) that it cannot obey.
        CONTINUOUS: whether it takes heads of continuous data too, or alone.
        HEAVY: whether its graph takes long to compile; laws 5, 6, 9 and 10, which compile most, then run with the slow
            tests.
    """

    PRESETS: dict[str, dict] = {}
    SMALL: tuple[dict, ...] = ({},)
    EXEMPT: dict[int, str] = {}
    CONTINUOUS: bool = False
    HEAVY: bool = False
    metric_classes: tuple = (BitsPerDimension,)

    def __init__(self, head, event_shape, **kwargs):
        checks.head(self, head)
        super().__init__(**kwargs)
        self.head = head
        self.event_shape = tuple(event_shape)
        self._likelihood_metrics = [metric() for metric in self.metric_classes]
        self._weight_grids = {}

    # What a family may say about itself.

    @property
    def grid_shape(self) -> tuple:
        """`event_shape` without what belongs to one site."""
        return self.event_shape[: len(self.event_shape) - len(self.head.site_shape)]

    @property
    def num_sites(self) -> int | None:
        return None if None in self.grid_shape else int(np.prod(self.grid_shape))

    @property
    def max_sites(self) -> int | None:
        """The longest event the model can take; `None` for no limit."""
        return self.num_sites

    @property
    def sample_rate(self) -> int | None:
        return self.__dict__.get("_sample_rate")

    @sample_rate.setter
    def sample_rate(self, value):
        arguments.whole_or_none(sample_rate=value)
        self._sample_rate = value

    @property
    def context_spec(self) -> dict[str, ContextSpec]:
        return {}

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
            index: scalar, the slot of the first site.
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

    def build(self, input_shape=None):
        """Makes all weights, by tracing `call` once on symbols of the right shape."""
        shape = tuple(size or self.trace_sites for size in self.event_shape)
        x = keras.KerasTensor((1, *shape), dtype=self.head.symbol_dtype)
        backend.compute_output_spec(self.call, x, context=self.full_context(None, 1))

    trace_sites = 8

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
        context = self.full_context(context, ops.shape(x)[0])
        if mask is None:
            return super().__call__(x, context=context, training=training, **order)
        front = ops.argsort(ops.cast(ops.logical_not(mask), "int32"), axis=1)
        back = ops.argsort(front, axis=1)
        spread = lambda index, rank: ops.reshape(index, (*ops.shape(index), *([1] * (rank - 2))))  # noqa: E731
        x = ops.take_along_axis(ops.convert_to_tensor(x), spread(front, len(x.shape)), axis=1)
        params = super().__call__(x, context=context, training=training)
        return ops.take_along_axis(params, spread(back, len(params.shape)), axis=1)

    def full_context(self, context, batch_size) -> dict:
        """The context as a dict with every name of `context_spec`, the null value where nothing was given."""
        given = checks.context(self, context)
        full = {}
        for name, spec in self.context_spec.items():
            if name in given:
                value = ops.convert_to_tensor(given[name], dtype=spec.dtype)
                full[name] = checks.rows_of_context(name, spec, value, batch_size)
            else:
                full[name] = ops.full((batch_size, *spec.shape), spec.null, dtype=spec.dtype)
        return full

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
        params = ops.cast(self(x, context=context, mask=mask, **order), _likelihood_dtype(self))
        x = _values(self.head, x, params)
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
        from ar_zoo.core.generate import generate

        return generate(
            self, num_samples, seed, context, prefix, given, mask, temperature, num_sites, batch_size, progress, order
        )

    def as_distribution(self, context=None, num_sites: int | None = None):
        """The model as a `tfd.Distribution` over events."""
        from ar_zoo.core.distribution import EventDistribution

        return EventDistribution(self, context, checks.num_sites(self, num_sites))

    def save_preset(self, folder, **manifest):
        """Writes a preset folder that `ar_zoo.load` reads; see `ar_zoo.save`."""
        from ar_zoo.core.pretrained import save

        return save(self, folder, **manifest)

    # Training.

    @property
    def weight_grids(self) -> dict:
        """Weights that training and evaluation round, by path: see `ar_zoo.training.quantization_aware`."""
        return self._weight_grids

    def fit(self, x=None, y=None, *args, sample_weight=None, validation_data=None, **kwargs):
        """`keras.Model.fit` of an array `x`, a dict of `x`, `context`, `mask` and `sample_weight`, or a data set of them."""
        if isinstance(validation_data, tuple):
            validation_data = checks.training_data(self, *validation_data)
        data = checks.training_data(self, x, y, sample_weight)
        return super().fit(data, None, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """As `fit`: the loss (nats per dimension) and the metrics."""
        return super().evaluate(checks.training_data(self, x, y, sample_weight), None, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As `fit`: the parameters, `[N, *grid, params_size]`."""
        return super().predict(checks.training_data(self, x), *args, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True, mask=None):
        """Mean negative log-likelihood in nats per dimension, plus the layers' own losses."""
        total, count = self._nll(x, y_pred, mask, sample_weight)
        return self._mean(total, count) + self._regularisation()

    def _nll(self, x, params, mask, sample_weight):
        """Sum of weighted negative log-likelihoods (nats), and the sum of the weights of the dimensions."""
        params = ops.cast(params, _likelihood_dtype(self))
        nll = -self.head.distribution(params).log_prob(_values(self.head, x, params))
        weight = ops.ones_like(nll)
        if mask is not None:
            weight = weight * ops.reshape(ops.cast(mask, nll.dtype), ops.shape(nll))
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, nll.dtype), (-1,) + (1,) * (len(nll.shape) - 1))
        coordinates = int(np.prod(self.head.site_shape, dtype=int))
        return ops.sum(nll * weight), ops.sum(weight) * coordinates

    def _mean(self, total, count):
        """`total / count` over all replicas: the replicas' gradients are added, so each divides by the global count."""
        replicas = tf.distribute.get_replica_context()
        if replicas is not None and replicas.num_replicas_in_sync > 1:
            count = replicas.all_reduce(tf.distribute.ReduceOp.SUM, count)
        return total / ops.maximum(count, 1e-9)

    def _regularisation(self):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return sum(self.losses, 0.0) / replicas if self.losses else 0.0

    def train_step(self, data):
        inputs, known = checks.batch(self, data), {}
        if self.orderless:  # has no padding: the weights of hidden sites take the mask's place
            known["known"], inputs["mask"] = orders.hide(ops.shape(inputs["x"])[0], self.num_sites, self.hide_seed)
        with tf.GradientTape() as tape:
            params = self._params(inputs, training=True, **known)
            loss = self.compute_loss(
                x=inputs["x"], y_pred=params, sample_weight=inputs["sample_weight"], mask=inputs["mask"]
            )
            scaled = self.optimizer.scale_loss(loss)
        # Dense: of a sparse gradient with rows in common, added over replicas, optimizers square the parts, not the sum.
        gradients = [
            None if gradient is None else tf.convert_to_tensor(gradient)
            for gradient in tape.gradient(scaled, self.trainable_weights)
        ]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self._update_metrics(inputs, params)

    def test_step(self, data):
        inputs = checks.batch(self, data)
        params = self._params(inputs, training=False)
        return self._update_metrics(inputs, params)

    def _params(self, inputs, training, **known):
        mask = None if known else inputs["mask"]
        call = lambda: self(  # noqa: E731
            inputs["x"], context=inputs["context"], mask=mask, training=training, **known
        )
        return at_rounded_weights(self, self.weight_grids, call) if self.weight_grids else call()

    def predict_step(self, data):
        inputs = checks.batch(self, data)
        return self(inputs["x"], context=inputs["context"], mask=inputs["mask"], training=False)

    def _update_metrics(self, inputs, params):
        total, count = self._nll(inputs["x"], params, inputs["mask"], inputs["sample_weight"])
        mean = total / ops.maximum(count, 1e-9)
        self._loss_tracker.update_state(mean + sum(self.losses, 0.0), sample_weight=count)
        for metric in self._likelihood_metrics:
            metric.update_state(mean, sample_weight=count)
        return self.get_metrics_result()

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """The weights exist since the constructor; only the optimizer's are made here."""
        if self.optimizer is not None and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    # Sites in a row ↔ events in their own shape.

    def _flat(self, params):
        return ops.reshape(params, (-1, int(np.prod(params.shape[1:-1])), params.shape[-1]))

    def _unflat(self, sites):
        grid = self.grid_shape if None not in self.grid_shape else (sites.shape[1],)
        return ops.reshape(sites, (-1, *grid, *self.head.site_shape))


def _likelihood_dtype(model):
    return "float64" if model.compute_dtype == "float64" else "float32"


def _values(head, x, params):
    """Symbols as they are; values of continuous data in the dtype of their distribution."""
    return x if head.num_symbols else ops.cast(x, params.dtype)
