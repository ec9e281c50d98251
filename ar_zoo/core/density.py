"""The smaller contract, of models that need not draw site by site: a density, samples of it, and training."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.src import backend  # `compute_output_spec` has no public name

from ar_zoo.core import arguments, checks
from ar_zoo.core.config import Configurable
from ar_zoo.core.context import ContextSpec
from ar_zoo.core.generate import batches
from ar_zoo.core.likelihood import likelihood_dtype
from ar_zoo.core.noise import uniform_noise
from ar_zoo.core.trainable import Trainable


class DensityModel(Configurable, Trainable):
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
        PRESETS: name → constructor arguments; `tiny` holds every mechanism at least twice.
        SMALL: constructor arguments that, on top of `tiny`, give models whose events can all be listed, or integrated
            over.
        EXEMPT: law number → reason, for laws (6 and 10; 7 of a family that has nothing to train) that it cannot obey.
        CONTINUOUS: whether it is, or can be, of floats.
        HEAVY: whether its graph takes long to compile; laws 5, 6 and 10, which compile most, then run with the slow tests.
        XLA_ON_CPU: whether XLA makes its training steps faster on CPUs too; recipes then use it there, unless told.
    """

    PRESETS: dict[str, dict] = {}
    SMALL: tuple[dict, ...] = ({},)
    EXEMPT: dict[int, str] = {}
    CONTINUOUS: bool = True
    HEAVY: bool = False
    XLA_ON_CPU: bool = False

    def __init__(self, event_shape, **kwargs):
        super().__init__(**kwargs)
        self.event_shape = tuple(event_shape)

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
