"""How far a converted file is from the model it was made from, on random inputs."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

TOLERANCE = 1e-3
_TRIALS = 4  # each with other inputs, at sites 0, 1, 2 and 3: what is done by turns shows at some of them


def random_inputs(endpoint, model, seed: int = 0) -> dict[str, np.ndarray]:
    """An input for every slot of an endpoint: symbols or values, small states, noise inside (0, 1); site number `seed`.

    Example:
        >>> random_inputs(endpoints(model, 1, 12)["score"], model)["x"].shape
        (1, 12)
    """
    random = np.random.default_rng(seed)
    inputs = {}
    for slot in endpoint.inputs:
        if slot.name == "index":
            value = np.asarray(seed if model.num_sites is None else min(seed, model.num_sites - 1))
        elif slot.dtype == "int32":
            # States take small numbers: they hold symbols, or the places of the first sites.
            top = model.num_symbols if slot.name in ("x", "prev") else 2
            spec = model.context_spec.get(slot.name)
            top = spec.num_classes or 1 if spec else top
            value = np.asarray(random.integers(0, top, slot.shape))
        elif slot.name in ("noise", "temperature"):
            value = random.uniform(0.05, 0.95, slot.shape)
        else:
            value = random.normal(size=slot.shape)
        inputs[slot.name] = np.asarray(value, slot.dtype)
    return inputs


def measured(endpoint, graph, model, title: str) -> float:
    """The largest absolute difference of a float output, where sums over an event count per site.

    Args:
        endpoint: what was traced and converted.
        graph: the converted file, opened by the engine that will run it.
        model: the model.
        title: what the format is called.

    Raises:
        ValueError: the difference exceeds 1e-3 (of the largest output, where that is above 1).
    """
    return max(_apart(endpoint, graph, random_inputs(endpoint, model, seed), title) for seed in range(_TRIALS))


def _apart(endpoint, graph, inputs, title):
    for name, value in inputs.items():
        graph.inputs[name][...] = value
    graph.run()
    expected = endpoint.function(**{name: tf.constant(value) for name, value in inputs.items()})
    worst = 0.0
    for slot in endpoint.outputs:
        if slot.dtype != "float32":
            continue
        wanted = np.asarray(expected[slot.name], np.float64)
        count = np.size(inputs["x"][0]) if slot.name == "log_prob" else 1
        apart = float(np.max(np.abs(wanted - graph.outputs[slot.name]), initial=0.0)) / count
        allowed = TOLERANCE * max(1.0, float(np.max(np.abs(wanted), initial=0.0)) / count)
        if not apart <= allowed:
            raise ValueError(
                f"The {title} form of `{endpoint.name}` differs from the model by {apart:.2g} in `{slot.name}`; "
                f"{allowed:.2g} is allowed. Please report the model: an operation was converted wrongly."
            )
        worst = max(worst, apart)
    return worst
