"""How a model learns: `fit` and `evaluate` of whatever gives its events a likelihood, under every strategy."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ar_zoo.core import arguments, checks, replicas
from ar_zoo.core.accumulate import accumulated
from ar_zoo.core.likelihood import BitsPerDimension, likelihood_dtype
from ar_zoo.core.objective import Measures, check_objective
from ar_zoo.core.quantization import at_rounded_weights
from ar_zoo.core.regularisation import Regularisation


class _WholeEpochs(keras.callbacks.Callback):
    """Refuses data that end before an epoch does: the learning rate's schedule counts on all of its steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_epoch_begin(self, epoch, logs=None):
        self.taken = 0

    def on_train_batch_end(self, batch, logs=None):
        self.taken = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        if self.taken < self.steps and not self.model.stop_training:
            raise ValueError(
                f"`x` ended after {self.taken} of the {self.steps} batches of epoch {epoch + 1}. Let it go on "
                "(`.repeat()`), or give a smaller `steps_per_epoch`."
            )


class Trainable(keras.Model):
    """A `keras.Model` whose `fit` minimises the negative log-likelihood of `x` itself. What `call` gives is called outputs.

    Attributes:
        accumulate: how many parts a training batch is cut into, whose gradients are added up one after another: less memory,
            the same update. A batch's rows must be a multiple of it.
        regularisation: what training does besides, a `Regularisation`; nothing unless it is set.
        metric_classes: what `fit` and `evaluate` report of the likelihood.
    """

    metric_classes: tuple = (BitsPerDimension,)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._likelihood_metrics = [metric() for metric in self.metric_classes]
        self._weight_grids = {}
        self.accumulate, self.regularisation = 1, Regularisation()

    @property
    def objective(self):
        """The `ar_zoo.core.objective.Objective` that `fit` minimises; `None` for the negative log-likelihood. Set
        it before `compile`."""
        return self._measures and self._measures.objective

    @objective.setter
    def objective(self, value):
        check_objective(value)
        self.__dict__["_ar_zoo_measures"] = value and Measures(value)

    @property
    def metrics(self):
        return super().metrics + (list(self._measures.means.values()) if self._measures else [])

    @property
    def weight_grids(self) -> dict:
        """Weights that training and evaluation round, by path: see `ar_zoo.training.quantization_aware`."""
        return self._weight_grids

    def fit(self, x=None, y=None, *args, sample_weight=None, validation_data=None, **kwargs):
        """`keras.Model.fit` of an array `x`, a dict of `x`, `context`, `mask` and `sample_weight`, or a data set of them.

        Raises:
            ValueError: the data ended before an epoch's `steps_per_epoch`, of which Keras would but warn.
        """
        arguments.whole_or_none(steps_per_epoch=kwargs.get("steps_per_epoch"))
        if isinstance(validation_data, tuple):
            validation_data = checks.training_data(self, *validation_data)
        data = self._training_data(x, y, sample_weight)
        if kwargs.get("steps_per_epoch"):
            kwargs["callbacks"] = [_WholeEpochs(kwargs["steps_per_epoch"]), kwargs.get("callbacks") or []]
        return super().fit(data, None, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """As `fit`: the loss (nats per dimension) and the metrics."""
        return super().evaluate(self._training_data(x, y, sample_weight), None, *args, **kwargs)

    def _training_data(self, x, y, sample_weight):
        if self.objective is None:
            return checks.training_data(self, x, y, sample_weight)
        if y is not None or sample_weight is not None:
            raise ValueError(
                "`y` and `sample_weight` must be None with an objective: its batches hold all that it takes."
            )
        return x

    def predict(self, x, *args, **kwargs):
        """As `fit`: what `call` gives, for all events."""
        return super().predict(checks.training_data(self, x), *args, **kwargs)

    def log_likelihoods(self, x, outputs):
        """Log-likelihoods (nats) of the pieces of `x`, and the number of dimensions that each stands for.

        By default an event is one piece.
        """
        return ops.cast(outputs, likelihood_dtype(self)), int(np.prod(self.event_shape))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True, mask=None):
        """Mean negative log-likelihood in nats per dimension, plus the layers' own losses."""
        smoothed = self.regularisation.log_likelihoods(self, x, y_pred) if training else None
        total, count = self._nll(x, y_pred, mask, sample_weight, smoothed)
        return self._mean(total, count) + self._regularisation()

    def _nll(self, x, outputs, mask, sample_weight, found=None):
        """Sum of weighted negative log-likelihoods (nats), and the sum of the weights of the dimensions."""
        log_likelihoods, dimensions = self.log_likelihoods(x, outputs) if found is None else found
        nll = -log_likelihoods
        weight = ops.ones_like(nll)
        if mask is not None:
            weight = weight * ops.reshape(ops.cast(mask, nll.dtype), ops.shape(nll))
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, nll.dtype), (-1,) + (1,) * (len(nll.shape) - 1))
        return ops.sum(nll * weight), ops.sum(weight) * dimensions

    def _mean(self, total, count):
        """`total / count` over all replicas: the replicas' gradients are added, so each divides by the global count."""
        (count,) = replicas.summed([count])
        return total / ops.maximum(count, 1e-9)

    def _regularisation(self):
        number = tf.distribute.get_strategy().num_replicas_in_sync
        return sum(self.losses, 0.0) / number if self.losses else 0.0

    def train_step(self, data):
        inputs = self._inputs_of(data, training=True)
        gradients = accumulated(self.accumulate, inputs, self._gradients_of, self.trainable_weights)
        gradients = replicas.summed(gradients)
        finite = self._finite(gradients)
        # A step that is no number must not reach the weights: they then show where it came from.
        gradients = [None if gradient is None else tf.where(finite, gradient, 0) for gradient in gradients]
        replicas.takes_sums(self.optimizer).apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self._tracked_loss.update_state(tf.where(finite, 0.0, float("nan")), sample_weight=0.0)
        return self._results(training=True)

    def _gradients_of(self, inputs):
        """Those of the loss (as the optimizer scales it) by the trainable weights, and what the inputs weigh; metrics take
        note of them."""
        with tf.GradientTape() as tape:
            loss, update = self._loss_of(inputs)
            scaled = self.optimizer.scale_loss(loss)
        update()
        # Dense: of a sparse gradient with rows in common, added over replicas, optimizers square the parts, not the sum.
        return [
            None if gradient is None else tf.convert_to_tensor(gradient)
            for gradient in tape.gradient(scaled, self.trainable_weights)
        ], self._weight_of(inputs)

    def _weight_of(self, inputs):
        """The sum of the weights of the sites of a part of a batch, over all replicas; 1 where all parts weigh the same."""
        mask, weight = inputs.get("mask"), inputs.get("sample_weight")
        if self.objective is not None or (mask is None and weight is None):
            return 1.0
        mask = ops.ones_like(ops.expand_dims(weight, 1)) if mask is None else ops.cast(mask, "float32")
        weight = mask if weight is None else mask * ops.reshape(ops.cast(weight, "float32"), (-1, 1))
        return replicas.summed([ops.sum(weight)])[0]

    def _finite(self, gradients):
        """Whether gradients are numbers; where losses are scaled, infinite ones are the optimizer's business."""
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return tf.constant(True)
        checked = [gradient for gradient in gradients if gradient is not None]
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in checked])

    def _inputs_of(self, data, training):
        """A batch as a dict, of the objective's where there is one."""
        return self._batch_of(data, training) if self.objective is None else self.objective.batch(self, data, training)

    def _loss_of(self, inputs):
        """The loss of a training batch, and what updates the metrics."""
        if self.objective is not None:
            measured = self._measured(inputs, training=True)
            return self._mean(*measured["loss"]) + self._regularisation(), lambda: self._measures.update(measured)
        outputs = self._outputs_of(inputs, training=True)
        loss = self.compute_loss(
            x=inputs["x"], y_pred=outputs, sample_weight=inputs["sample_weight"], mask=inputs["mask"]
        )
        return loss, lambda: self._update_metrics(inputs, outputs)

    def _measured(self, inputs, training):
        call = lambda: self.objective.measure(self, inputs, training)  # noqa: E731
        return at_rounded_weights(self, self.weight_grids, call) if self.weight_grids else call()

    def _results(self, training):
        found = self.get_metrics_result() if self.objective is None else self._measures.results(training)
        return replicas.along_an_axis(found)

    def _get_metrics_result_or_logs(self, logs):
        """What `fit` and `evaluate` report: of all replicas, where a step's own results are of one."""
        if self.objective is None:
            return super()._get_metrics_result_or_logs(logs)
        return {name: self._measures.means[name].result() for name in logs}

    @property
    def _tracked_loss(self):
        return self._loss_tracker if self.objective is None else self._measures.means["loss"]

    @property
    def _measures(self) -> Measures | None:
        return self.__dict__.get("_ar_zoo_measures")

    def test_step(self, data):
        if self.objective is not None:
            self._measures.update(self._measured(self._inputs_of(data, training=False), training=False))
            return self._results(training=False)
        inputs = self._batch_of(data, training=False)
        return self._update_metrics(inputs, self._outputs_of(inputs, training=False))

    def predict_step(self, data):
        return self(**self._arguments_of(self._batch_of(data, training=False)), training=False)

    def _batch_of(self, data, training):
        """A batch as a dict of x, context, mask and sample_weight."""
        return checks.batch(self, data)

    def _arguments_of(self, inputs):
        """What of a batch the model is called with."""
        return {"x": inputs["x"], "context": inputs["context"]}

    def _outputs_of(self, inputs, training):
        if training:
            inputs = self.regularisation.inputs(self, inputs)
        call = lambda: self(**self._arguments_of(inputs), training=training)  # noqa: E731
        if self.weight_grids:
            return at_rounded_weights(self, self.weight_grids, call)
        return self.regularisation.at_noisy_weights(self, call) if training else call()

    def _update_metrics(self, inputs, outputs):
        total, count = self._nll(inputs["x"], outputs, inputs["mask"], inputs["sample_weight"])
        mean = total / ops.maximum(count, 1e-9)
        self._loss_tracker.update_state(mean + sum(self.losses, 0.0), sample_weight=count)
        for metric in self._likelihood_metrics:
            metric.update_state(mean, sample_weight=count)
        return replicas.along_an_axis(self.get_metrics_result())

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """The weights exist since the constructor; only the optimizer's are made here."""
        if self.optimizer is not None and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
