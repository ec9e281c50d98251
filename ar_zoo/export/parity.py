"""How far a converted file is from the model it was made from, on random inputs."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

TOLERANCE = 1e-3


def random_inputs(endpoint, model, seed: int = 0) -> dict[str, np.ndarray]:
    """An input for every slot of an endpoint: symbols, small states, noise inside (0, 1).

    Example:
        >>> random_inputs(endpoints(model, 1, 12)["score"], model)["x"].shape
        (1, 12)
    """
    random = np.random.default_rng(seed)
    inputs = {}
    for slot in endpoint.inputs:
        if slot.dtype == "int32":
            # States and the index take small numbers: a state holds symbols, or the places of the first sites.
            top = model.head.num_symbols if slot.name in ("x", "prev") else 2
            spec = model.context_spec.get(slot.name)
            top = spec.num_classes or 1 if spec else top
            value = np.asarray(random.integers(0, top, slot.shape))
        elif slot.name in ("noise", "temperature"):
            value = random.uniform(0.05, 0.95, slot.shape)
        else:
            value = random.normal(size=slot.shape)
        inputs[slot.name] = np.asarray(value, slot.dtype)
    return inputs


def checked(endpoint, file, model):
    """Compares a TFLite file with the model that it was made from.

    Args:
        endpoint: what was traced and converted.
        file: the TFLite file.
        model: the model.

    Returns:
        (the largest absolute difference of a float output, where sums over an event count per site; the endpoint with
        its inputs and outputs in the file's order).

    Raises:
        ValueError: the difference exceeds 1e-3 (of the largest output, where that is above 1).
    """
    interpreter = Interpreter(model_path=str(file), num_threads=1)
    runner = interpreter.get_signature_runner()
    inputs = random_inputs(endpoint, model)
    got = runner(**inputs)
    expected = endpoint.function(**{name: tf.constant(value) for name, value in inputs.items()})
    worst = 0.0
    for slot in endpoint.outputs:
        if slot.dtype != "float32":
            continue
        wanted = np.asarray(expected[slot.name], np.float64)
        count = np.size(inputs["x"][0]) if slot.name == "log_prob" else 1
        apart = float(np.max(np.abs(wanted - got[slot.name]), initial=0.0)) / count
        allowed = TOLERANCE * max(1.0, float(np.max(np.abs(wanted), initial=0.0)) / count)
        if not apart <= allowed:
            raise ValueError(
                f"The TFLite form of `{endpoint.name}` differs from the model by {apart:.2g} in `{slot.name}`; "
                f"{allowed:.2g} is allowed. Please report the model: an operation was converted wrongly."
            )
        worst = max(worst, apart)
    ordered = dataclasses.replace(
        endpoint,
        inputs=_in_order(endpoint.inputs, runner.get_input_details(), interpreter.get_input_details()),
        outputs=_in_order(endpoint.outputs, runner.get_output_details(), interpreter.get_output_details()),
    )
    return worst, ordered


def _in_order(slots, by_name, in_file):
    """Slots in the order of the file's tensors; equal constants are one tensor that several slots share."""
    waiting = list(slots)
    ordered = []
    for detail in in_file:
        here = next(slot for slot in waiting if by_name[slot.name]["index"] == detail["index"])
        waiting.remove(here)
        ordered.append(here)
    return tuple(ordered)
