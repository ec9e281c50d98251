"""Normalising flows: densities of what an invertible map, a TFP bijector, makes of Gaussian noise."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from keras import ops
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from ar_zoo.core import arguments, checks
from ar_zoo.core.density import DensityModel
from ar_zoo.core.likelihood import likelihood_dtype
from ar_zoo.core.quantile import normal_quantile


class FlowModel(DensityModel):
    """x = f(z) of standard normal z, so that log p(x) = log N(f⁻¹(x)) + log |det ∂f⁻¹/∂x|.

    A family writes its constructor and `bijectors`. `log_prob` and `sample` follow, and the map itself is there to use:
    `bijector()` has `forward`, `inverse` and their `log_det_jacobian`s.
    """

    def __init__(self, event_shape, **kwargs):
        arguments.event(event_shape)
        super().__init__(event_shape, **kwargs)
        self.autocast = False  # events stay as wide as their likelihoods; layers narrow what they take

    def bijectors(self, context, training=False) -> list[tfb.Bijector]:
        """Maps of vectors [B, S] whose chain is f, the one next to the data first. `context` has all its names."""
        raise TypeError(f"{type(self).__name__} must define `bijectors`.")

    @property
    def transform_orders(self) -> np.ndarray | None:
        """int32 [maps, S], of maps that are triangular: the permutation of the sites in which each goes, as in `bijectors`."""
        return None

    def bijector(self, context=None, training=False) -> tfb.Bijector:
        """f, from noise [B, S] to data [B, S].

        Args:
            context: as in `log_prob`, with a row for each event.
            training: as in `call`.

        Example:
            >>> flow = ar_zoo.create("maf.tiny").bijector()
            >>> flow.forward(flow.inverse(x))  # x again
        """
        # A context that is unknown, or one for all, has one row, which serves all.
        given = checks.context(self, context)
        rows = [ops.shape(v)[0] for n, v in given.items() if len(ops.shape(v)) > len(self.context_spec[n].shape)]
        context = self.full_context(given, rows[0] if rows else 1)
        return tfb.Chain(self.bijectors(context, training))

    def call(self, x, context=None, training=False):
        bijector, x = self.bijector(context, training), self._vectors(x)
        noise = bijector.inverse(x)
        normal = tfd.Normal(tf.zeros([], x.dtype), tf.ones([], x.dtype))
        return tf.reduce_sum(normal.log_prob(noise), axis=-1) + bijector.inverse_log_det_jacobian(x, event_ndims=1)

    def draw(self, noise, context=None, temperature=1.0):
        noise = normal_quantile(self._vectors(noise))
        noise = noise * ops.cast(temperature, noise.dtype)
        return ops.reshape(self.bijector(context).forward(noise), (-1, *self.event_shape))

    def _vectors(self, x):
        return ops.reshape(ops.cast(x, likelihood_dtype(self)), (-1, self.num_sites))
