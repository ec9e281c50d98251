"""What goes through an exported model's products on real data: the ranges that full int8 needs before it runs."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from ar_zoo.core.noise import uniform_noise
from ar_zoo.runtime import Runtime
from ar_zoo.runtime.artifact import read_manifest
from ar_zoo.runtime.litert import Graph
from ar_zoo.runtime.loop import Loop

# Of each endpoint about so many calls are kept; ranges of fewer are too narrow for the rest.
NUM_CALLS = 1500
# Of those that take many sites at once, and with delay lines their whole history.
NUM_CHUNK_CALLS = 200


def recorded_calls(folder, x, context) -> dict[str, list[dict]]:
    """Inputs of each endpoint while an export scores events, steps through them, and reads them in chunks.

    Args:
        folder: an export in float32.
        x: int32 symbols [N, *event_shape].
        context: name → [N, …].

    Returns:
        endpoint → inputs by name, one dict for each call that was kept.

    Example:
        >>> recorded_calls("digits_export", digits, {})["step"][0]["prev"].shape
        (1, 1)
    """
    folder, manifest = Path(folder), read_manifest(folder)
    size, calls, random = manifest["batch_size"], defaultdict(list), np.random.default_rng(0)
    sites = int(np.prod(x.shape[1:])) // int(np.prod(manifest["site_shape"], dtype=int))
    batches = [slice(first, first + size) for first in range(0, len(x), size)]
    shares = {"step": NUM_CALLS / (sites * len(batches))}
    ends = manifest["endpoints"]
    chunks = {name: int(name.rpartition("_")[2]) for name in ends if re.match("prefill_|verify_", name)}
    shares |= {name: NUM_CHUNK_CALLS / (sites / chunk * len(batches)) for name, chunk in chunks.items()}

    class Recorder(Graph):
        def __init__(self, path, endpoint):
            super().__init__(path, endpoint)
            self._endpoint = Path(path).stem

        def run(self):
            if random.random() < shares.get(self._endpoint, 1.0):
                calls[self._endpoint].append({name: np.array(value) for name, value in self.inputs.items()})
            super().run()

    exported = Runtime(folder, manifest, Recorder, "tflite")
    exported.score(x, context)
    for rows in batches:
        exported.params(x[rows], {name: value[rows] for name, value in context.items()})
    noise = uniform_noise(0, np.arange(size), 0, len(calls["step"]), tuple(manifest["head"]["noise_shape"]))
    wanted = {slot["name"] for slot in ends["sample_step"]["inputs"]}
    for index, inputs in enumerate(calls["step"]):
        more = inputs | {"noise": noise[:, index], "temperature": np.float32(1)}
        calls["sample_step"].append({name: more[name] for name in wanted})
    if chunks:
        open_graph = lambda name: Recorder(folder / ends[name]["tflite"], ends[name])  # noqa: E731
        loop = Loop(manifest, open_graph("step"))
        for name, chunk in chunks.items():
            graph = open_graph(name)
            for rows in batches:
                # A last batch that is not full is filled up with its last row.
                filled = np.minimum(np.arange(rows.start, rows.stop), len(x) - 1)
                given = {key: value[filled] for key, value in context.items()}
                events = x[filled].reshape(size, sites, *manifest["site_shape"])
                loop.reset(given)
                for first in range(0, sites - chunk + 1, chunk):
                    loop.read(graph, events, first, given)
    return dict(calls)


def ranges(file, names, calls) -> dict[str, dict]:
    """Least and largest value of tensors over calls of a TFLite file, shaped as the quantizer wants them.

    Args:
        file: its path.
        names: of the tensors.
        calls: what `recorded_calls` gives for it.

    Example:
        >>> ranges("step.tflite", {"Tensordot"}, calls["step"])
        {'Tensordot': {'min': array([[-3.1]]), 'max': array([[2.7]])}}
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(file),
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    run = interpreter.get_signature_runner()
    details = [detail for detail in interpreter.get_tensor_details() if detail["name"] in names]
    seen = {detail["name"]: [] for detail in details}
    for inputs in calls:
        run(**inputs)
        for detail in details:
            value = interpreter.get_tensor(detail["index"])
            seen[detail["name"]].append((value.min(), value.max()))
    found = {}
    for detail in details:
        least, largest = np.array(seen[detail["name"]], np.float32).T
        shape = (1,) * len(detail["shape"])
        found[detail["name"]] = {"min": np.full(shape, least.min()), "max": np.full(shape, largest.max())}
    return found
