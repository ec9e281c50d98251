"""Trains tiny models for some steps under a strategy, and writes their weights and metrics: what the strategies must agree on.

python tests/training/distributed.py '{"strategy": "mirrored", "steps": 50, "out": "mirrored.npz"}'
"""

from __future__ import annotations

import json
import sys

import numpy as np

FAMILIES = {
    "gated_pixel_cnn": dict(image_shape=(6, 6, 1)),
    "wavenet": {},
    "gpt": dict(dropout=0.0),
    "made": {},
}
OPTIMIZERS = {"float64": "SGD with momentum", "float32": "AdamW"}


def main(strategy, steps, out, replicas=2, families=tuple(FAMILIES), dtypes=tuple(OPTIMIZERS)):
    import tensorflow as tf

    from ar_zoo.training.strategies import is_chief, make_strategy

    if strategy == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
        devices = tf.distribute.MirroredStrategy([f"CPU:{place}" for place in range(replicas)])
    else:
        devices = make_strategy(strategy)
    assert devices.num_replicas_in_sync == (1 if strategy == "one" else replicas)
    found = {}
    for family in families:
        for dtype in dtypes:
            values = trained(devices, family, dtype, steps)
            found |= {f"{family} {dtype} {name}": value for name, value in values.items()}
    if is_chief(devices):
        np.savez(out, **found)


def trained(devices, family, dtype, steps) -> dict:
    import keras

    import ar_zoo
    from ar_zoo.data import Examples

    keras.utils.set_random_seed(3)
    with devices.scope():
        model = ar_zoo.create(f"{family}.tiny", dtype=dtype, **FAMILIES[family])
        adam = keras.optimizers.AdamW(1e-3, weight_decay=0.01, global_clipnorm=1.0)
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9) if dtype == "float64" else adam
        model.compile(optimizer, jit_compile=False)
    shape = (24, *[size or 12 for size in model.event_shape])
    x = np.random.default_rng(0).integers(0, model.num_symbols, shape)
    history = model.fit(Examples(x).training(8, seed=1), steps_per_epoch=steps, verbose=0, shuffle=False).history
    # The last batch is filled up with rows that do not count: not as many on each replica.
    metrics = model.evaluate(Examples(x[:13]).evaluation(8), verbose=0, return_dict=True)
    values = {f"weight {weight.path}": weight.numpy() for weight in model.weights}
    values |= {f"metric {name}": value for name, value in metrics.items()}
    return values | {f"metric fit {name}": value[-1] for name, value in history.items()}


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
