"""What every exported model has in the runtime: its facts, its graphs, and a way to run them on any number of rows."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from ar_zoo.runtime.artifact import stamps


class Exported:
    """An export whose graphs are opened when they are first needed.

    Attributes:
        manifest: the export's manifest.json.
        format: which of the export's formats is run.
        batch_size: rows that a graph works on at once.
        num_sites: sites of an event; of one that can be scored, where the length is free.
        sample_rate: samples of sound a second, where the export says so; otherwise `None`.
        standard: how the numbers that it was trained on were standardised, a dict of `mean`, `scale` and perhaps
            `columns`, where the export says so; otherwise `None`. Values here are standardised ones.
    """

    def __init__(self, folder: Path, manifest: dict, graph, format: str):
        self.manifest, self.format = manifest, format
        self.batch_size, self.num_sites = manifest["batch_size"], manifest["num_sites"]
        self.sample_rate, self.standard = manifest.get("sample_rate"), manifest.get("standard")
        self._event_shape = tuple(manifest["event_shape"])
        ends = {name: {"name": name, **endpoint} for name, endpoint in manifest["endpoints"].items()}
        self._open = lambda name: graph(self._unchanged(ends[name][format]), ends[name])
        self._folder, self._stamps = folder, stamps(folder, manifest)

    def _unchanged(self, file: str) -> Path:
        """The path of one of the export's files, which must be those that were checked when it was loaded."""
        if stamps(self._folder, self.manifest) != self._stamps:
            raise ValueError(f"{self._folder} was replaced or changed since it was loaded. Load it again.")
        return self._folder / file

    @cached_property
    def _score(self):
        return self._open("score")

    def _in_batches(self, graph, output: str, rows: dict) -> np.ndarray:
        """One output of a graph for all rows: name → [N, …], of which the graph takes what it reads."""
        count = len(next(iter(rows.values())))
        found = np.empty((count, *graph.outputs[output].shape[1:]), graph.outputs[output].dtype)
        for first in range(0, count, self.batch_size):
            batch = np.minimum(np.arange(first, first + self.batch_size), count - 1)  # the last one is filled up
            for name, value in rows.items():
                if name in graph.inputs:
                    graph.inputs[name][...] = value[batch]
            graph.run()
            found[batch] = graph.outputs[output]
        return found
