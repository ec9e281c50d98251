"""`DensityRuntime`: an exported model without a step, which scores and draws whole events."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ar_zoo.core import arguments
from ar_zoo.core.noise import uniform_noise
from ar_zoo.runtime import request
from ar_zoo.runtime.exported import Exported


class DensityRuntime(Exported):
    """An exported `DensityModel`, such as a flow. `ar_zoo.runtime.load` makes it. Attributes as `Exported`."""

    def score(self, x, context=None) -> np.ndarray:
        """Logarithms of densities, in nats.

        Args:
            x: floats [B, *event_shape].
            context: one value for all, or one for each event; a dict of them where the model has several.

        Returns:
            float32 [B]. (A model that draws site by site also says what each site adds: see `Runtime.score`.)

        Example:
            >>> runtime.score(runtime.sample(2)).shape
            (2,)
        """
        x = request.symbols(x, self._event_shape, self.manifest["num_symbols"], self.num_sites)
        context = request.rows_of_context(self.manifest["context"], context, len(x))
        return self._in_batches(self._score, "log_prob", {"x": x, **context})

    def sample(
        self,
        num_samples: int = 1,
        seed: int = 0,
        context=None,
        temperature: float = 1.0,
        prefix=None,
        given=None,
        mask=None,
        num_sites=None,
    ) -> np.ndarray:
        """Draws events: those of `DensityModel.sample` for the same arguments, to the last digits of float32.

        Args:
            num_samples: how many; they run in batches of the exported size.
            seed: an integer of at least 0.
            context: one value for all, or one for each sample.
            temperature: scales the noise that events are made of; 0 takes its middle.
            prefix, given, mask, num_sites: refused: `Runtime.sample` takes them, of models that draw site by site.

        Returns:
            float32 [num_samples, *event_shape].

        Example:
            >>> runtime.sample(3, seed=1).shape
            (3, 4)
        """
        for name, value in dict(prefix=prefix, given=given, mask=mask, num_sites=num_sites).items():
            if value is not None:
                raise self._without_steps(f"`{name}` must be left out")
        arguments.whole(num_samples=num_samples)
        temperature = arguments.temperature(temperature)
        context = request.rows_of_context(self.manifest["context"], context, num_samples)
        noise = uniform_noise(seed, np.arange(num_samples), 0, self.num_sites, ())
        graph = self._sampler
        if "temperature" in graph.inputs:
            graph.inputs["temperature"][...] = temperature
        shape = graph.outputs["x"].shape[1:]
        return self._in_batches(graph, "x", {"noise": noise.reshape(num_samples, *shape), **context})

    def stream(self, *_, **__):
        """Refused: an event is drawn at once."""
        raise self._without_steps("`stream` cannot be used: take `sample`")

    def params(self, *_, **__):
        """Refused: sites have no parameters of their own."""
        raise self._without_steps("`params` cannot be had: take `score`")

    def decode(self, values) -> np.ndarray:
        """Raw data for what was drawn: the same numbers, checked. Those of `standard` are `values · scale + mean`."""
        return request.decode(values, {"num_symbols": None, "decode": {}})

    @cached_property
    def _sampler(self):
        return self._open("sample")

    def _without_steps(self, what) -> ValueError:
        return ValueError(f"{what}: {self.manifest['family']} has no step, and draws whole events.")
