"""What training does to a model, and evaluation does not: smoothed labels, noisy weights, its own draws as inputs."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from keras import ops

from ar_zoo.core.quantization import at_values

_WEIGHTS, _PLACES, _DRAWS = range(3)  # what random numbers are for


@dataclasses.dataclass(frozen=True)
class Regularisation:
    """Random numbers are functions of `seed`, the number of updates, and for draws the replica.

    Attributes:
        label_smoothing: share of the target that is spread over the alphabet (Szegedy et al. 2016, arXiv:1512.00567).
        weight_noise: standard deviation of normal noise on matrices, kernels and tables, drawn anew for each update (Graves
            2011, "Practical variational inference for neural networks").
        scheduled_sampling: share of the symbols before a site that the model draws itself in the place of the data's, at the
            end of training; it rises evenly from 0 (Bengio et al. 2015, arXiv:1506.03099). The draws are those of a first
            pass, given the data (Mihaylova and Martins 2019, arXiv:1906.07651); gradients are of the second alone.
        over_steps: updates over which that share rises.
        seed: of noise and draws.
    """

    label_smoothing: float = 0.0
    weight_noise: float = 0.0
    scheduled_sampling: float = 0.0
    over_steps: int = 1
    seed: int = 0

    def log_likelihoods(self, model, x, outputs):
        """As the model's, with the labels smoothed: (1 - s) log p(x) + s · mean over the alphabet of log p."""
        found, dimensions = model.log_likelihoods(x, outputs)
        if not self.label_smoothing:
            return found, dimensions
        spread = ops.mean(model.head.coordinate_log_probs(ops.cast(outputs, found.dtype)), axis=-1)
        return (1 - self.label_smoothing) * found + self.label_smoothing * spread, dimensions

    def inputs(self, model, inputs: dict) -> dict:
        """A batch in which some of `x` are the model's own draws."""
        if not self.scheduled_sampling:
            return inputs
        x = inputs["x"]
        params = model(x, context=inputs["context"], mask=inputs["mask"], training=False)
        seeds = [tf.random.fold_in(self._seed(model, purpose), inputs.get("part", 0)) for purpose in (_DRAWS, _PLACES)]
        noise = tf.random.stateless_uniform((*ops.shape(x), *model.head.noise_shape), seeds[0])
        drawn = model.head.sample(tf.stop_gradient(params), noise)
        done = ops.cast(model.optimizer.iterations, "float32") / self.over_steps
        share = self.scheduled_sampling * ops.minimum(done, 1.0)
        places = tf.random.stateless_uniform(ops.shape(x), seeds[1]) < share
        return inputs | {"x": ops.where(places, drawn, x)}

    def at_noisy_weights(self, model, function):
        """What a function gives while the model's weights are noisy; nothing is assigned."""
        if not self.weight_noise:
            return function()
        seed, values = self._seed(model, _WEIGHTS, each_replica=False), []
        for i, weight in enumerate(model.trainable_variables):
            if len(weight.shape) > 1:
                own = tf.random.fold_in(seed, i)
                noise = tf.random.stateless_normal(weight.shape, own, stddev=self.weight_noise, dtype=weight.dtype)
                values.append((weight, weight.value + noise))
        return at_values(model, values, function)

    def _seed(self, model, purpose, each_replica=True):
        """Of this update; the replicas have the same weights, and different data."""
        seed = tf.random.fold_in(
            tf.constant([self.seed, purpose], tf.int32), tf.cast(model.optimizer.iterations, tf.int32)
        )
        replica = tf.distribute.get_replica_context() if each_replica else None
        return tf.random.fold_in(seed, replica.replica_id_in_sync_group) if replica is not None else seed
