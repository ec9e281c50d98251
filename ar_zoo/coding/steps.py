"""The model's cached step as the coder needs it: symbols so far in, probabilities of the next ones out.

Encoder and decoder run this very graph, for batches of the same size: `call`, another batch or another engine would round
differently, and a single last digit derails a decoder.
"""

from __future__ import annotations

import zlib

import numpy as np
import tensorflow as tf
from keras import ops

from ar_zoo.coding.ranges import weights_of
from ar_zoo.core import cache as caches
from ar_zoo.core.noise import uniform_noise

_PROBED_SITES = 16


def steps_of(model, batch_size: int, num_sites: int) -> CachedSteps:
    """The model's steps for batches of this size, traced once; only the last ones are kept, their cache may be large."""
    kept = model.__dict__.get("_ar_zoo_steps")
    if kept is None or (kept.batch_size, kept.num_sites) != (batch_size, num_sites):
        kept = CachedSteps(model, batch_size, num_sites)
        object.__setattr__(model, "_ar_zoo_steps", kept)
    return kept


class CachedSteps:
    """Runs a model's step site by site over a batch.

    The cache lies in variables. A graph of TensorFlow's own kernels, without XLA: that compiles a step with an index from
    outside anew for each site, seconds each time, and a whole event in one loop would have to decode inside the graph.

    Args:
        model: an `AutoregressiveModel`.
        batch_size: rows that run at once.
        num_sites: the longest event.

    Example:
        >>> steps = CachedSteps(model, 2, 784)
        >>> steps.reset(model.full_context(None, 2))
        >>> steps.probabilities(sites, 0)[0].shape  # of the first site, `sites` [2, 784] is not read yet
        (2, 256)
    """

    def __init__(self, model, batch_size: int, num_sites: int):
        self.batch_size, self.num_sites, self._model = batch_size, num_sites, model
        self._spec = model.cache_spec(num_sites)
        self._empty = model.init_cache(batch_size, num_sites)
        self._memory = tf.nest.map_structure(lambda value: tf.Variable(value, trainable=False), self._empty)
        self._nothing = np.full((batch_size, 1, *model.head.site_shape), -1, np.int32)
        self._starts = np.cumsum((0, *(model.block_sizes or ()))).tolist()
        self._step = tf.function(self._stepped)
        self._begin = tf.function(self._begun)
        self._later = tf.function(self._of_coordinate)

    def reset(self, context: dict):
        """Makes everything ready for the first site; `context` has a row for each event."""
        self._context = context
        tf.nest.map_structure(lambda variable, value: variable.assign(value), self._memory, self._empty)

    def probabilities(self, sites: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the first coordinate of site `index`: probabilities and their logarithms (nats), float32 [B, num_symbols].

        Args:
            sites: int32 [B, num_sites, *site_shape], of which those before `index` are read.
            index: one site after the other, from 0.
        """
        if index in self._starts[:-1]:
            number = self._starts.index(index)
            size = self._model.block_sizes[max(number - 1, 0)]
            before = sites[:, index - size : index] if index else np.repeat(self._nothing, size, axis=1)
            self._begin(tf.constant(before), tf.constant(index), self._context)
        prev = sites[:, index - 1 : index] if index else self._nothing
        self._params, *found = self._step(tf.constant(prev), tf.constant(index), self._context)
        return tuple(value.numpy() for value in found)

    def later_probabilities(self, site: np.ndarray, coordinate: int) -> tuple[np.ndarray, np.ndarray]:
        """Of a further coordinate of the same site, given the earlier ones in `site` [B, *site_shape]."""
        known = np.where(np.arange(site.shape[-1]) < coordinate, site, 0)
        return tuple(value.numpy() for value in self._later(self._params, tf.constant(known), coordinate))

    def _cache(self):
        return tf.nest.map_structure(lambda variable: variable.read_value(), self._memory)

    def _keep(self, old, new):
        for variable, before, after in zip(*map(tf.nest.flatten, (self._memory, old, new)), strict=True):
            if after is not before:
                variable.assign(after)

    def _begun(self, before, index, context):
        cache = self._cache()
        self._keep(cache, self._model.begin_block(before, cache, index, context))

    def _stepped(self, prev, index, context):
        cache = self._cache()
        params, new = self._model.step(prev, caches.taken(self._spec, cache, index), index, context)
        params = ops.cast(params[:, 0], "float64" if self._model.compute_dtype == "float64" else "float32")
        probabilities, log_probs = self._of_coordinate(params, None, 0)
        # The same index, by way of what was read: memory that is read no more is written in place.
        after_reading = index + ops.cast(ops.any(log_probs > 1.0), "int32")
        self._keep(cache, caches.put_back(self._spec, cache, new, after_reading))
        return params, probabilities, log_probs

    def _of_coordinate(self, params, known, coordinate):
        log_probs = ops.cast(self._model.head.coordinate_log_probs(params, known, coordinate), "float32")
        return ops.exp(log_probs), log_probs


def probe(model, steps: CachedSteps) -> int:
    """crc32 of the weights that this engine finds for the first sites of symbols that depend on nothing."""
    head = model.head
    count = min(steps.num_sites, (model.block_sizes or (0,))[0] + _PROBED_SITES)
    noise = uniform_noise(0, range(steps.batch_size), 0, count, head.site_shape or (1,))
    symbols = (noise * np.float32(head.num_symbols)).astype(np.int32)
    crc = 0

    def hashed(weights, log_probs, symbols):
        nonlocal crc
        crc = zlib.crc32(weights.tobytes(), crc)
        return symbols

    sites = symbols.reshape(steps.batch_size, count, *head.site_shape)
    walk(steps, sites, np.full(steps.batch_size, count), model.full_context(None, steps.batch_size), hashed)
    return crc


def walk(steps: CachedSteps, sites: np.ndarray, lengths: np.ndarray, context: dict, code, passed=lambda rows: None):
    """Goes through a batch in drawing order: the one loop that encodes, decodes and probes.

    Args:
        steps: for batches of this size.
        sites: int32 [B, S, *site_shape]; what `code` returns is written into it.
        lengths: [B], how many sites of each row count; no row is longer than the one before it.
        context: as `CachedSteps.reset` takes it.
        code: a function of weights [m, num_symbols], their logarithms as probabilities (nats) and symbols [m], of the m
            rows that have this site, that gives their symbols.
        passed: is told after each site how many rows had it.
    """
    steps.reset(context)
    for index in range(int(lengths[0])):
        rows = int(np.sum(lengths > index))
        probabilities, log_probs = steps.probabilities(sites, index)
        flat = sites[:, index].reshape(len(sites), -1)  # [B, coordinates]
        for coordinate in range(flat.shape[1]):
            if coordinate:
                site = flat.reshape(sites[:, index].shape)
                probabilities, log_probs = steps.later_probabilities(site, coordinate)
            symbols = np.ascontiguousarray(flat[:rows, coordinate])
            flat[:rows, coordinate] = code(weights_of(probabilities[:rows]), log_probs[:rows], symbols)
        sites[:, index] = flat.reshape(sites[:, index].shape)
        passed(rows)
