"""One family for each kind of state, with random weights, exported once for all tests and workers."""

from __future__ import annotations

import fcntl
import functools
import os

import keras
import numpy as np
import pytest

import ar_zoo
from ar_zoo.heads import Categorical

FAMILIES = {
    "gated_pixel_cnn": {},  # State, Link and blocks; sub-pixels; a context that only begin_block reads
    "wavenet": {},  # DelayLine; a context; free length without an end
    "gpt": {"head": Categorical(5, alphabet="abcde")},  # KeyValue; a longest length; text
}
SITES = {"gated_pixel_cnn": None, "wavenet": 12, "gpt": None}
SAMPLE_RATES = {"gated_pixel_cnn": None, "wavenet": 11025, "gpt": None}
SCALES = {"pixel_cnn_pp": 0.15}  # of random weights, where many layers one after the other would make huge numbers
BATCH = 2
CHUNKS = dict(prefill=(4,), verify=(3,))  # of families without blocks
CACHE_SIZES = (3, 7)  # of families with keys and values


def randomised(model, seed=0, scale=0.4):
    """Weights large enough that every part of a model shows in what it draws."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(random.normal(scale=scale, size=weight.shape))
    return model


@functools.cache
def model(family):
    made = randomised(ar_zoo.create(f"{family}.tiny", **FAMILIES[family]))
    made.sample_rate = SAMPLE_RATES[family]
    return made


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """family → its exported folder; workers share it, and the first that comes makes it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    shared.mkdir(exist_ok=True)

    @functools.cache
    def folder(family):
        with open(shared / f"{family}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / family).exists():
                chunks = {} if model(family).block_sizes else CHUNKS
                chunks = chunks | (
                    {"cache_sizes": CACHE_SIZES} if family == "gpt" else {}
                )  # not in place: it may be CHUNKS
                arguments = dict(batch_size=BATCH, num_sites=SITES[family], progress=False, **chunks)
                ar_zoo.export(model(family), shared / family, ("saved_model", "tflite", "onnx"), **arguments)
        return shared / family

    return folder
