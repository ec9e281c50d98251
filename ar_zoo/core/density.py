"""The smaller contract, of models that need not draw site by site: a density, samples of it, and training."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.src import backend  # `compute_output_spec` has no public name

from ar_zoo.core import arguments, checks, replicas
from ar_zoo.core.accumulate import accumulated
from ar_zoo.core.config import Configurable
from ar_zoo.core.context import ContextSpec
from ar_zoo.core.generate import batches
from ar_zoo.core.likelihood import BitsPerDimension
from ar_zoo.core.noise import uniform_noise
from ar_zoo.core.objective import Measures, check_objective
from ar_zoo.core.quantization import at_rounded_weights
from ar_zoo.core.regularisation import Regularisation


class DensityModel(Configurable, keras.Model):
    """A distribution over `x`, of floats unless a subclass says otherwise.

    A family without a step (a normalising flow) writes its constructor (every argument kept under its own name,
    `self.build()` last), `call` and `draw`. It gets `log_prob`, `sample`, `fit` and `save` from here. Families that
    factorise an event site by site subclass `AutoregressiveModel`, which derives these two from `call` and `step`.

    Attributes:
        event_shape: shape of one `x`; `(None,)` where the length is free.
        sample_rate: samples of sound a second, of what it was trained on; `None` where that is not known, and for all
            but sound. Presets and exports keep it.
        standard: how the numbers that it was trained on were standardised: a dict of `mean`, `scale` and perhaps `columns`,
            as `ar_zoo.data.Data.standard` gives it; `None` where that is not known. Presets keep it.
        accumulate: how many parts a training batch is cut into, whose gradients are added up one after another: less memory,
            the same update. A batch's rows must be a multiple of it.
        regularisation: what training does besides, a `Regularisation`; nothing unless it is set.
        PRESETS: name → constructor arguments; `tiny` holds every mechanism at least twice.
        SMALL: constructor arguments that, on top of `tiny`, give models whose events can all be listed, or integrated
            over.
        EXEMPT: law number → reason, for laws (6 and 10; 7 of a family that has nothing to train) that it cannot obey.
        CONTINUOUS: whether it is, or can be, of floats.
        HEAVY: whether its graph takes long to compile; laws 5, 6 and 10, which compile most, then run with the slow tests.
    """

    PRESETS: dict[str, dict] = {}
    SMALL: tuple[dict, ...] = ({},)
    EXEMPT: dict[int, str] = {}
    CONTINUOUS: bool = True
    HEAVY: bool = False
    metric_classes: tuple = (BitsPerDimension,)

    def __init__(self, event_shape, **kwargs):
        super().__init__(**kwargs)
        self.event_shape = tuple(event_shape)
        self._likelihood_metrics = [metric() for metric in self.metric_classes]
        self._weight_grids = {}
        self.accumulate, self.regularisation = 1, Regularisation()

    # What a family may say about itself.

    @property
    def num_symbols(self) -> int | None:
        """Size of the alphabet of one coordinate of `x`; `None` for floats."""
        return None

    @property
    def symbol_dtype(self) -> str:
        """Of `x`. Floats are as wide as likelihoods: half-width ones would be other events."""
        return likelihood_dtype(self)

    @property
    def num_sites(self) -> int | None:
        return None if None in self.event_shape else int(np.prod(self.event_shape))

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
    def standard(self) -> dict | None:
        return self.__dict__.get("_standard")

    @standard.setter
    def standard(self, value):
        if value is not None and not {"mean", "scale"} <= set(value):
            raise ValueError(f"`standard` must be None or a dict of mean, scale and perhaps columns; got {value!r}.")
        self.__dict__["_standard"] = value

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
    def context_spec(self) -> dict[str, ContextSpec]:
        return {}

    def call(self, x, context=None, training=False):
        """Log-densities [B] of events [B, *event_shape], in nats."""
        raise TypeError(f"{type(self).__name__} must define `call`.")

    def draw(self, noise, context=None, temperature=1.0):
        """Events [B, *event_shape] from uniforms in (0, 1) of that shape. The same noise gives the same events."""
        raise TypeError(f"{type(self).__name__} must define `draw`.")

    def encode(self, values) -> np.ndarray:
        """Raw data → `x`. By default the raw data are `x`; they are checked."""
        values = np.asarray(values)
        return np.asarray(
            checks.symbols(self, values.astype(self.symbol_dtype) if values.dtype.kind in "iuf" else values)
        )

    # Derived.

    def build(self, input_shape=None):
        """Makes all weights, by tracing `call` once on symbols of the right shape."""
        shape = tuple(size or self.trace_sites for size in self.event_shape)
        x = keras.KerasTensor((1, *shape), dtype=self.symbol_dtype)
        backend.compute_output_spec(self.call, x, context=self.full_context(None, 1))

    trace_sites = 8

    def __call__(self, x, context=None, training=None, **more):
        """`call`, with the whole context."""
        return super().__call__(x, context=self.full_context(context, ops.shape(x)[0]), training=training, **more)

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

    def log_prob(self, x, context=None):
        """Logarithm of the density, in nats.

        Args:
            x: floats [B, *event_shape].
            context: value of the only input of `context_spec`, or a dict of them; `None` for "unknown".

        Returns:
            [B].

        Example:
            >>> ar_zoo.create("maf.tiny").log_prob(np.zeros((2, 4), "float32")).shape
            TensorShape([2])
        """
        return self(checks.symbols(self, x), context=context)

    def sample(
        self,
        num_samples: int = 1,
        seed: int = 0,
        context=None,
        temperature: float = 1.0,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> np.ndarray:
        """Draws events. The same seed gives the same sample, in any batch, to the last digits of float32.

        Args:
            num_samples: how many.
            seed: an integer of at least 0.
            context: one value for all, or one for each sample.
            temperature: scales the noise that events are made of; 0 takes its middle.
            batch_size: how many rows run at once; all by default.
            progress: show a bar over the batches.

        Returns:
            float32 [num_samples, *event_shape].

        Example:
            >>> ar_zoo.create("maf.tiny").sample(3, seed=1).shape
            (3, 4)
        """
        arguments.whole(num_samples=num_samples)
        temperature = arguments.temperature(temperature)
        context = checks.context_of_samples(self, context, num_samples)
        drawn = []
        for first, rows in batches(num_samples, batch_size, progress):
            noise = uniform_noise(seed, rows, 0, self.num_sites, ()).reshape(len(rows), *self.event_shape)
            given = {name: value[rows] for name, value in context.items()}
            x = self._compiled_draw(tf.constant(noise), given, tf.constant(temperature, tf.float32))
            drawn.append(x.numpy()[: num_samples - first])
        return np.concatenate(drawn).astype(np.float32)

    @property
    def _compiled_draw(self):
        made = self.__dict__.get("_ar_zoo_draw")
        if made is None:
            draw = lambda noise, context, temperature: self.draw(noise, context, temperature)  # noqa: E731
            made = tf.function(draw, jit_compile=True)
            object.__setattr__(self, "_ar_zoo_draw", made)
        return made

    def as_distribution(self, context=None, num_sites: int | None = None):
        """The model as a `tfd.Distribution` over events."""
        from ar_zoo.core.distribution import EventDistribution

        return EventDistribution(self, context, checks.num_sites(self, num_sites))

    def save_preset(self, folder, **manifest):
        """Writes a preset folder that `ar_zoo.load` reads; see `ar_zoo.save`."""
        from ar_zoo.core.pretrained import save

        return save(self, folder, **manifest)

    # Training. What `call` gives is called outputs.

    @property
    def weight_grids(self) -> dict:
        """Weights that training and evaluation round, by path: see `ar_zoo.training.quantization_aware`."""
        return self._weight_grids

    def fit(self, x=None, y=None, *args, sample_weight=None, validation_data=None, **kwargs):
        """`keras.Model.fit` of an array `x`, a dict of `x`, `context`, `mask` and `sample_weight`, or a data set of them."""
        if isinstance(validation_data, tuple):
            validation_data = checks.training_data(self, *validation_data)
        data = self._training_data(x, y, sample_weight)
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
        gradients = accumulated(self.accumulate, self._inputs_of(data, training=True), self._gradients_of)
        gradients = replicas.summed(gradients)
        finite = self._finite(gradients)
        # A step that is no number must not reach the weights: they then show where it came from.
        gradients = [None if gradient is None else tf.where(finite, gradient, 0) for gradient in gradients]
        replicas.takes_sums(self.optimizer).apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self._tracked_loss.update_state(tf.where(finite, 0.0, float("nan")), sample_weight=0.0)
        return self._results(training=True)

    def _gradients_of(self, inputs):
        """Those of the loss (as the optimizer scales it) by the trainable weights; metrics take note of the batch."""
        with tf.GradientTape() as tape:
            loss, update = self._loss_of(inputs)
            scaled = self.optimizer.scale_loss(loss)
        update()
        # Dense: of a sparse gradient with rows in common, added over replicas, optimizers square the parts, not the sum.
        return [
            None if gradient is None else tf.convert_to_tensor(gradient)
            for gradient in tape.gradient(scaled, self.trainable_weights)
        ]

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


def likelihood_dtype(model) -> str:
    """In which likelihoods are computed: at least float32."""
    return "float64" if model.compute_dtype == "float64" else "float32"
