"""What goes through an exported model's products on real data: the ranges that full int8 needs before it runs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from ar_zoo.core.noise import uniform_noise
from ar_zoo.runtime import Runtime
from ar_zoo.runtime.artifact import read_manifest
from ar_zoo.runtime.litert import Graph

# Of each endpoint about so many calls are kept; ranges of fewer are too narrow for the rest.
NUM_CALLS = 1500


def recorded_calls(folder, x, context) -> dict[str, list[dict]]:
    """Inputs of each endpoint while an export scores events, and steps through them.

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
    manifest = read_manifest(folder)
    size, calls, random = manifest["batch_size"], defaultdict(list), np.random.default_rng(0)
    sites = int(np.prod(x.shape[1:])) // int(np.prod(manifest["site_shape"], dtype=int))
    share = min(1.0, NUM_CALLS / (sites * -(-len(x) // size)))

    class Recorder(Graph):
        def __init__(self, path, endpoint):
            super().__init__(path, endpoint)
            self._endpoint = Path(path).stem

        def run(self):
            if self._endpoint != "step" or random.random() < share:
                calls[self._endpoint].append({name: np.array(value) for name, value in self.inputs.items()})
            super().run()

    exported = Runtime(Path(folder), manifest, Recorder, "tflite")
    exported.score(x, context)
    for first in range(0, len(x), size):
        exported.params(x[first : first + size], {name: value[first : first + size] for name, value in context.items()})
    noise = uniform_noise(0, np.arange(size), 0, len(calls["step"]), tuple(manifest["head"]["noise_shape"]))
    wanted = {slot["name"] for slot in manifest["endpoints"]["sample_step"]["inputs"]}
    for index, inputs in enumerate(calls["step"]):
        more = inputs | {"noise": noise[:, index], "temperature": np.float32(1)}
        calls["sample_step"].append({name: more[name] for name in wanted})
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
