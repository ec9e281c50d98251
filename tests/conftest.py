"""Two logical CPUs, for the laws about replicas, which have to be there before TensorFlow starts; less garbage collection."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

# What is imported stays; to look through it again and again, beside all graphs, takes a tenth of the time of the tests.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
