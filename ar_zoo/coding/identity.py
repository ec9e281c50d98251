"""What a compressed file says of the model and of the machine that coded it."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import numpy as np

from ar_zoo import __version__
from ar_zoo.core.pretrained import named_weights

_DIGEST_BYTES = 16


def digest_of(model) -> bytes:
    """The first half of a SHA-256 over the model's configuration and weights, whatever the model is called.

    Example: `digest_of(ar_zoo.load("gpt.kjv")).hex()`
    """
    import keras

    config = keras.saving.serialize_keras_object(model)
    arguments = {name: value for name, value in config["config"].items() if name not in ("name", "trainable")}
    facts = {"class": config["registered_name"], "arguments": arguments}
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path, weight in sorted(named_weights(model).items()):
        value = np.array(weight.value, order="C")
        found.update(f"{path} {value.dtype} {value.shape}".encode())
        found.update(value.tobytes())
    return found.digest()[:_DIGEST_BYTES]


def runtime() -> dict:
    """What computes probabilities here: the engine, its versions, the machine. For people who look for a difference."""
    from importlib.metadata import version

    import tensorflow as tf

    return {
        "engine": "tensorflow",
        "ar_zoo": __version__,
        "tensorflow": tf.__version__,
        "keras": version("keras"),
        "constriction": version("constriction"),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": _processor(),
    }


def differences(theirs) -> str:
    """What is not as it was where a file was made, in a sentence."""
    theirs = theirs if isinstance(theirs, dict) else {}
    found = [
        f"{name} {theirs.get(name)!s:.60} ({mine} here)" for name, mine in runtime().items() if theirs.get(name) != mine
    ]
    if found:
        return f"It was coded with {', '.join(found)}."
    return "The recorded versions are the same, so a setting may differ, such as TF_ENABLE_ONEDNN_OPTS or the threads."


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
