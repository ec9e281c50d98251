"""Two logical CPUs, for the laws about replicas, which have to be there before TensorFlow starts; less garbage collection."""

from __future__ import annotations

import gc
import os
import resource
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf

# What is imported stays; to look through it again and again, beside all graphs, takes a tenth of the time of the tests.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(scope="module", autouse=True)
def _memory():
    """Models are cycles, which the thresholds above let pile up: a file that leaves a process large cleans up behind it."""
    yield
    if _resident_gib() > 4:
        gc.collect()


def _resident_gib() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**30
    except OSError:
        return 0.0
