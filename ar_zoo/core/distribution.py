"""A model as a TFP distribution over events."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd


class EventDistribution(tfd.Distribution):
    """`log_prob` and `sample` of a model under one context, in TFP's terms."""

    def __init__(self, model, context, num_sites, name=None):
        self._model, self._context, self._sites = model, context, num_sites
        super().__init__(
            dtype=tf.as_dtype(model.symbol_dtype),
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            name=name or type(model).__name__,
        )

    def _event_shape(self):
        return tf.TensorShape([size or self._sites for size in self._model.event_shape])

    def _event_shape_tensor(self):
        return tf.constant(self._event_shape().as_list())

    def _batch_shape(self):
        return tf.TensorShape([])

    def _batch_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _contexts(self, rows):
        if self._context is None:
            return None
        context = (
            self._context if isinstance(self._context, dict) else {next(iter(self._model.context_spec)): self._context}
        )
        return {name: np.broadcast_to(value, (rows, *np.shape(value))) for name, value in context.items()}

    def _log_prob(self, x):
        event = self._event_shape().as_list()
        flat = tf.reshape(x, [-1, *event])
        return tf.reshape(
            self._model.log_prob(flat, self._contexts(flat.shape[0])), tf.shape(x)[: x.shape.rank - len(event)]
        )

    def _sample_n(self, n, seed=None):
        seed = 0 if seed is None else int(np.asarray(seed).astype(np.uint32).ravel()[-1])
        free = {"num_sites": self._sites} if self._model.num_sites is None else {}
        x = self._model.sample(int(n), seed=seed, context=self._context, **free)
        return tf.constant(x, self.dtype)
