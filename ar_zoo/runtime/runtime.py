"""`Runtime`: an exported model that draws site by site, asked the same things as the model it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np

from ar_zoo.core import arguments
from ar_zoo.core.known import first_unknown, known_sites, symbol_dtype
from ar_zoo.core.noise import uniform_noise
from ar_zoo.runtime import request
from ar_zoo.runtime.draw import filtered_draw
from ar_zoo.runtime.exported import Exported
from ar_zoo.runtime.loop import Loop


class Runtime(Exported):
    """An exported model that draws site by site. `load` makes it.

    Graphs are opened when they are first needed. A runtime does one thing at a time: a stream that is still going is
    cut off when another call starts. Attributes as `Exported`.
    """

    def __init__(self, folder: Path, manifest: dict, graph, format: str):
        super().__init__(folder, manifest, graph, format)
        self._site_shape = tuple(manifest["site_shape"])
        self._opened = cache(self._open)
        self._turn = 0

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
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> np.ndarray:
        """Draws events: the same ones, for the same arguments, as `AutoregressiveModel.sample`.

        Args:
            num_samples: how many; they run in batches of the exported size, the last one filled up.
            seed: an integer of at least 0.
            context: one value for all, or one for each sample; a dict of them where the model has several.
            prefix: the first sites, in order, `[P]` or `[num_samples, P]` (images: also whole rows of pixels).
            given, mask: an event, and which of its sites are kept. A kept site informs those after it only.
            temperature: divides the logits; 0 takes the most likely symbol at each site.
            num_sites: the length, where it is free; the exported one by default.
            top_k, top_p: draw among the k most likely symbols alone, among the fewest that are likely by p together; of
                heads with logits.

        Returns:
            int32, or float32 of continuous data, [num_samples, *event_shape].

        Example:
            >>> runtime.sample(4, seed=1, temperature=0.8).shape
            (4, 28, 28, 1)
        """
        batches = self._batches(num_samples, seed, context, prefix, given, mask, temperature, num_sites, top_k, top_p)
        drawn = []
        for x, sites, rows in batches:
            for _ in sites:
                pass
            drawn.append(x[:rows])
        x = np.concatenate(drawn)
        return x.reshape(num_samples, *self._grid(x.shape[1]), *self._site_shape)

    def stream(
        self,
        num_samples: int = 1,
        seed: int = 0,
        context=None,
        prefix=None,
        given=None,
        mask=None,
        temperature: float = 1.0,
        num_sites: int | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Iterator[np.ndarray]:
        """Draws as `sample` does, and hands out each site as soon as it is there, from the first that is not known.

        Args:
            num_samples: at most the exported batch size. The others are those of `sample`.

        Yields:
            int32, or float32 of continuous data, [num_samples, *site_shape].

        Example:
            >>> text = TextStream(runtime)  # of ar_zoo.core.text: tokens can end within a character
            >>> for symbol in runtime.stream(seed=1, num_sites=80):
            ...     print(text.push(symbol), end="")
        """
        arguments.whole(num_samples=num_samples)
        if num_samples > self.batch_size:
            raise ValueError(
                f"`num_samples` must be at most {self.batch_size}, the exported batch size, to stream; got "
                f"{num_samples}. Export with a larger `batch_size`, or use `sample`."
            )
        batches = self._batches(num_samples, seed, context, prefix, given, mask, temperature, num_sites, top_k, top_p)
        return self._stream(*next(batches))

    def _stream(self, x, sites, rows):
        for start, site in sites:
            if site >= start:
                yield x[:rows, site].copy()

    def score(self, x, context=None) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities in nats.

        Args:
            x: int symbols [B, *event_shape]; shorter than exported, where the length is free.
            context: as in `sample`.

        Returns:
            (float32 [B], float32 [B, *grid]): of each event, and of each site given the sites before it.

        Example:
            >>> runtime.score(runtime.sample(2))[0].shape
            (2,)
        """
        x = request.symbols(x, self._event_shape, self.manifest["head"]["num_symbols"], self.num_sites)
        count, length = len(x), x.shape[1]
        context = request.rows_of_context(self.manifest["context"], context, count)
        # What comes later does not reach a site: a short event is filled up, and what fills it is not scored.
        shape = (count, *self._score.inputs["x"].shape[1:])
        padded = np.zeros(shape, symbol_dtype(self.manifest["head"]["num_symbols"]))
        padded[:, :length] = x
        each = self._in_batches(self._score, "site_log_prob", {"x": padded, **context})
        each = each[:, :length]
        return each.reshape(count, -1).sum(axis=1, dtype=np.float64).astype(np.float32), each

    def params(self, x, context=None, chunk: int | None = None) -> np.ndarray:
        """The head's parameters at each site, given the sites before it, from the chain of cached steps.

        What a host needs that has its own way to draw or to code symbols.

        Args:
            x: int symbols [B, *event_shape], B at most the exported batch size.
            context: as in `sample`.
            chunk: take the sites so many at once, by `verify_K`, which must have been exported for this number.

        Returns:
            float32 [B, sites, params_size].

        Example:
            >>> runtime.params(runtime.sample(1)).shape
            (1, 784, 256)
        """
        limit = self.manifest["max_sites"]
        x = request.symbols(x, self._event_shape, self.manifest["head"]["num_symbols"], limit)
        count = len(x)
        if count > self.batch_size:
            raise ValueError(f"`x` must hold at most {self.batch_size} events, the exported batch size; got {count}.")
        rows = np.minimum(np.arange(self.batch_size), count - 1)
        context = request.rows_of_context(self.manifest["context"], context, count)
        x = x.reshape(count, -1, *self._site_shape)[rows]
        found = np.empty((self.batch_size, x.shape[1], self.manifest["head"]["params_size"]), np.float32)
        self._turn += 1  # a stream with top_k or top_p runs on the same loop
        context = {name: value[rows] for name, value in context.items()}
        known, first = np.ones(x.shape[:2], bool), 0
        if chunk is not None:
            graph = self._chunks("verify").get(chunk)
            if graph is None:
                raise ValueError(
                    f"`chunk` must be one of {sorted(self._chunks('verify'))}, which were exported; got {chunk!r}. "
                    "Export with another `verify`."
                )
            self._stepper.reset(context)
            while first + chunk <= x.shape[1]:
                self._stepper.read(graph, x, first, context)
                found[:, first : first + chunk] = graph.outputs["params"]
                first += chunk
        for site in self._stepper.run(x, known, 0, context, {}, first=first):
            found[:, site] = self._stepper.step.outputs["params"]
        return found[:count]

    def decode(self, symbols):
        """Symbols → raw data: pixels, a waveform, or text (a string for one row, a list of strings for several).

        Example:
            >>> runtime.decode(runtime.sample(1)).dtype
            dtype('int32')
        """
        return request.decode(symbols, self.manifest["head"])

    @property
    def byte_symbols(self) -> frozenset[int]:
        """Symbols of single bytes that stand in for characters without one: see `ar_zoo.core.text.TextStream`."""
        return request.byte_symbols(self.manifest["head"])

    @cached_property
    def _sampler(self) -> Loop:
        return self._grown("sample_step", cache(lambda: self._loop("sample_step")))

    @cached_property
    def _filtered(self) -> Loop:
        return self._grown("step", lambda: self._stepper)

    def _grown(self, name, largest) -> Loop:
        """The loop with the fewest slots for keys and values, which goes over to larger ones, opened only then."""
        larger = largest
        for size in reversed(self._sizes(name)):
            larger = cache(partial(self._loop, f"{name}_{size}", larger))
        return larger()

    def _loop(self, name, larger=None) -> Loop:
        return Loop(self.manifest, self._open(name), self._begin_block, larger)

    @cached_property
    def _stepper(self) -> Loop:
        return self._loop("step")

    @cached_property
    def _prefill(self):
        return list(self._chunks("prefill").values())

    def _chunks(self, kind) -> dict:
        """size → the graph of `prefill_N` or `verify_K`."""
        return {size: self._opened(f"{kind}_{size}") for size in self._sizes(kind)}

    def _sizes(self, kind) -> list[int]:
        endings = [name.removeprefix(f"{kind}_") for name in self.manifest["endpoints"] if name.startswith(f"{kind}_")]
        return sorted(int(ending) for ending in endings)

    @property
    def _begin_block(self):
        return self._open("begin_block") if "begin_block" in self.manifest["endpoints"] else None

    def _batches(self, num_samples, seed, context, prefix, given, mask, temperature, num_sites, top_k=None, top_p=None):
        """Checks everything, then gives (x, sites being drawn into it, rows that count) for one batch after another."""
        head = self.manifest["head"]
        arguments.whole(num_samples=num_samples)
        temperature = arguments.temperature(temperature)
        filtered = request.filters(self.manifest["head"], top_k, top_p)
        sites = request.num_sites(self.manifest, num_sites)
        shapes = (self._event_shape, self._site_shape, head["num_symbols"])
        values, known = known_sites(num_samples, sites, *shapes, prefix, given, mask)
        context = request.rows_of_context(self.manifest["context"], context, num_samples)
        start = first_unknown(known)
        noise_of = lambda rows: uniform_noise(seed, rows, 0, sites, tuple(head["noise_shape"]))  # noqa: E731
        noise_of(())  # a bad seed is refused before anything runs

        def batches():
            for first in range(0, num_samples, self.batch_size):
                rows = np.minimum(np.arange(first, first + self.batch_size), num_samples - 1)
                x, noise = values[rows], np.ascontiguousarray(np.swapaxes(noise_of(rows), 0, 1))
                inputs = {"temperature": temperature} | {name: value[rows] for name, value in context.items()}
                draw = None
                if filtered:
                    draw = lambda params, site, noise=noise: filtered_draw(  # noqa: E731
                        params, noise[site, :, 0], temperature, top_k, top_p
                    )
                yield (
                    x,
                    self._drawn(x, known[rows], start, inputs, noise, draw),
                    min(self.batch_size, num_samples - first),
                )

        return batches()

    def _drawn(self, x, known, start, inputs, noise, draw):
        self._turn += 1
        mine = self._turn
        loop = self._sampler if draw is None else self._filtered
        chunks = self._prefill if start > 1 else ()
        for site in loop.run(x, known, start, inputs, {"noise": noise}, chunks, draw):
            yield start, site
            if self._turn != mine:
                raise RuntimeError(
                    "This stream was cut off: its Runtime has started something else, and holds one state at a time. "
                    "Load the export a second time for each stream that runs beside others."
                )

    def _grid(self, sites):
        return (sites,) if None in self._event_shape else tuple(self.manifest["grid"])
