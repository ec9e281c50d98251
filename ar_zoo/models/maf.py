"""MAF and IAF: masked and inverse autoregressive flows (arXiv:1705.07057, arXiv:1606.04934).

    MAF:  z_i = x_i · exp(a_i) + m_i,    (m, a) = network(x before i)
    IAF:  x_i = z_i · exp(a_i) + m_i,    (m, a) = network(z before i)

of each map in a chain, with z ~ N(0, I) at its end (Papamakarios, Pavlakou & Murray 2017; Kingma et al. 2016). MAF gives
a density in one parallel pass of each network and a sample in as many as there are sites; IAF, the same map turned
round, the other way about. With `transform="spline"` a site's map is a monotonic rational-quadratic spline (Durkan et al.
2019, "Neural Spline Flows", arXiv:1906.04032).

Deviations: the MAF paper has z_i = (x_i - m_i) · exp(-a_i), the same maps in other numbers, in which an event unlike
those of training costs a thousand nats and not ten; no batch normalisation between maps; a stays within ± log 1000; IAF
is a density by itself here, not the posterior of an autoencoder.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from keras import ops
from tensorflow_probability import bijectors as tfb

from ar_zoo.core import arguments
from ar_zoo.core.context import label_spec
from ar_zoo.core.flow import FlowModel
from ar_zoo.core.likelihood import likelihood_dtype
from ar_zoo.core.orders import make_orders
from ar_zoo.core.registry import register
from ar_zoo.layers import MaskedNetwork, NullDropout

TRANSFORMS = ("affine", "spline")
_LARGEST_LOG_SCALE = math.log(1000.0)
_LEAST = 1e-3  # of a bin's share of the interval, and of a slope
_SLOPE_OF_ONE = math.log(math.e - 1.0)  # whose softplus is 1


@register("maf")
class MAF(FlowModel):
    """Vectors of floats, standardised; fast densities.

    Args:
        event_shape: any fixed shape, (30,) or (8, 8, 1).
        num_transforms: maps in the chain.
        transform: of one site given others: `"affine"`, or `"spline"`, which maps [-bound, bound] onto itself and leaves
            what is outside.
        units: of the hidden layers of each map's network, each at least one less than the sites.
        activation: of the hidden layers, a name that Keras knows.
        num_bins, bound: of splines.
        shuffled: whether each map has a random order of its own; otherwise raster order and its reverse take turns.
        order_seed: of the random orders.
        num_classes: learns a density for each class; None for one of all data.
        label_dropout: how often training hides the label, so that the model also knows the unconditional density.
    """

    def __init__(
        self,
        event_shape,
        num_transforms=5,
        transform="affine",
        units=(64, 64),
        activation="tanh",
        num_bins=8,
        bound=5.0,
        shuffled=False,
        order_seed=0,
        num_classes=None,
        label_dropout=0.1,
        **kwargs,
    ):
        arguments.whole(num_transforms=num_transforms)
        arguments.whole(2, num_bins=num_bins)
        arguments.whole(0, order_seed=order_seed)
        arguments.widths(units)
        arguments.whole_or_none(num_classes=num_classes)
        arguments.rates(label_dropout=label_dropout)
        if transform not in TRANSFORMS:
            raise ValueError(f"`transform` must be one of {', '.join(map(repr, TRANSFORMS))}; got {transform!r}.")
        arguments.positive(bound=bound)
        super().__init__(event_shape, **kwargs)
        self.num_transforms, self.transform = num_transforms, transform
        self.units, self.activation = tuple(units), activation
        self.num_bins, self.bound, self.shuffled, self.order_seed = num_bins, bound, shuffled, order_seed
        self.num_classes, self.label_dropout = num_classes, label_dropout
        policy = {"dtype": self.dtype_policy}
        outputs = 2 if transform == "affine" else 3 * num_bins - 1
        self._networks = [
            MaskedNetwork(order, outputs, units, activation, num_classes, name=f"network_{i}", **policy)
            for i, order in enumerate(self.transform_orders)
        ]
        if num_classes:
            self._hide_label = NullDropout(label_dropout, num_classes, name="label_dropout", **policy)
        self.build()

    @property
    def transform_orders(self):
        if self.shuffled:
            return make_orders(self.num_transforms, self.num_sites, self.order_seed)
        raster = np.arange(self.num_sites, dtype=np.int32)
        return np.stack([raster[:: -1 if i % 2 else 1] for i in range(self.num_transforms)])

    @property
    def context_spec(self):
        return label_spec(self.num_classes)

    def bijectors(self, context, training=False):
        label = self._hide_label(context["label"], training=training) if self.num_classes else None
        return [self._masked(network, label) for network in self._networks]

    def _masked(self, network, label):
        """The map whose inverse takes all sites at once."""

        last = {}

        def sites(x):
            # Asked for the map of the same numbers twice, for what they become and for the log-determinant.
            if last.get("x") is not x:
                params = ops.cast(network(x, label), likelihood_dtype(self))
                made = _affine(params) if self.transform == "affine" else _spline(params, self.bound)
                last.update(x=x, made=made)
            return last["made"]

        return tfb.MaskedAutoregressiveFlow(bijector_fn=sites)

    HEAVY = True
    SMALL = (
        dict(event_shape=(2,), units=(4, 5)),
        dict(event_shape=(2,), units=(6,), transform="spline", num_bins=3, num_classes=None),
    )

    PRESETS = {
        "tiny": dict(event_shape=(4,), num_transforms=2, units=(30, 31), num_bins=4, num_classes=2, order_seed=1),
        # Measurements of biopsies, `shipped:cancer`.
        "cancer": dict(event_shape=(30,), num_transforms=5, units=(64, 64)),
        "cancer_spline": dict(event_shape=(30,), num_transforms=3, units=(64, 64), transform="spline"),
    }


@register("iaf")
class IAF(MAF):
    """Vectors of floats, standardised; fast samples. Arguments as `MAF`."""

    def _masked(self, network, label):
        return tfb.Invert(super()._masked(network, label))

    PRESETS = {
        "tiny": MAF.PRESETS["tiny"],
        "cancer": dict(event_shape=(30,), num_transforms=3, units=(64, 64)),
    }


def _affine(params):
    """(z - m) · exp(-a) of params (m, a) [..., 2]."""
    shift, log_scale = params[..., 0], params[..., 1]
    log_scale = log_scale / (1.0 + tf.abs(log_scale) / _LARGEST_LOG_SCALE)
    return tfb.Invert(tfb.Chain([tfb.Shift(shift), tfb.Scale(log_scale=log_scale)]))


def _spline(params, bound):
    """A spline of params [..., 3 · bins - 1]: widths, heights, and slopes at inner knots. Of zeros it changes nothing."""
    bins = (params.shape[-1] + 1) // 3
    widths, heights, slopes = tf.split(params, [bins, bins, bins - 1], axis=-1)
    shares = lambda raw: 2.0 * bound * (_LEAST + (1.0 - bins * _LEAST) * tf.nn.softmax(raw))  # noqa: E731
    slopes = _LEAST + (1.0 - _LEAST) * tf.nn.softplus(slopes + _SLOPE_OF_ONE)
    return _Spline(shares(widths), shares(heights), slopes, bound)


class _Spline(tfb.Bijector):
    """Durkan et al. 2019, section 3.1: rational-quadratic within ± bound, and nothing changed outside.

    TFP's `RationalQuadraticSpline` finds bins by a search that TFLite and tf2onnx lack. Here every bin is weighed by whether
    it is the one, which takes as long.

    Args:
        widths, heights: of the bins [..., bins], adding up to 2 · bound.
        slopes: at the inner knots [..., bins - 1]; at the outer ones they are 1.
        bound: of the interval.
    """

    def __init__(self, widths, heights, slopes, bound):
        super().__init__(forward_min_event_ndims=0, dtype=widths.dtype)
        one = tf.ones_like(widths[..., :1])
        self._bins = {
            "x": tf.cumsum(widths, axis=-1, exclusive=True) - bound,
            "y": tf.cumsum(heights, axis=-1, exclusive=True) - bound,
            "width": widths,
            "height": heights,
            "slope": tf.concat([one, slopes], axis=-1),
            "next_slope": tf.concat([slopes, one], axis=-1),
        }
        self._bound = bound

    def _bin_of(self, value, axis):
        """(whether a value lies within, numbers of the bin that it lies in); the first bin's where it lies outside."""
        within = tf.abs(value) < self._bound
        reached = tf.cast(tf.where(within, value, -self._bound)[..., None] >= self._bins[axis], value.dtype)
        here = reached - tf.concat([reached[..., 1:], tf.zeros_like(reached[..., :1])], axis=-1)
        return within, {name: tf.reduce_sum(here * each, axis=-1) for name, each in self._bins.items()}

    def _forward(self, x):
        within, of = self._bin_of(x, "x")
        steepness, t = of["height"] / of["width"], tf.where(within, x - of["x"], 0.0) / of["width"]
        risen = steepness * t**2 + of["slope"] * t * (1 - t)
        return tf.where(within, of["y"] + of["height"] * risen / self._below(of, steepness, t), x)

    def _inverse(self, y):
        within, of = self._bin_of(y, "y")
        steepness, above = of["height"] / of["width"], tf.where(within, y - of["y"], 0.0)
        bent = above * (of["slope"] + of["next_slope"] - 2 * steepness)
        a, b = of["height"] * (steepness - of["slope"]) + bent, of["height"] * of["slope"] - bent
        c = -steepness * above
        t = 2 * c / (-b - tf.sqrt(b**2 - 4 * a * c))  # the root of a t² + b t + c that loses no digits
        return tf.where(within, t * of["width"] + of["x"], y)

    def _forward_log_det_jacobian(self, x):
        within, of = self._bin_of(x, "x")
        steepness, t = of["height"] / of["width"], tf.where(within, x - of["x"], 0.0) / of["width"]
        rise = of["next_slope"] * t**2 + 2 * steepness * t * (1 - t) + of["slope"] * (1 - t) ** 2
        log_slope = tf.math.log(rise) + 2 * tf.math.log(steepness / self._below(of, steepness, t))
        return tf.where(within, log_slope, 0.0)

    def _below(self, of, steepness, t):
        return steepness + (of["slope"] + of["next_slope"] - 2 * steepness) * t * (1 - t)
