"""Runs recipes with --smoke under a strategy, one after another in one process: `python smoke.py mirrored FOLDER NAME …`."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path


def main(strategy, folder, *names):
    import tensorflow as tf

    if strategy == "mirrored":  # two devices, as MirroredStrategy counts them
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        made = tf.distribute.MirroredStrategy
        tf.distribute.MirroredStrategy = lambda: made(["CPU:0", "CPU:1"])
    from ar_zoo.training import find_recipe, train
    from tests.training.test_recipe import small

    failed = []
    for name in names:
        try:
            train(
                small(find_recipe(name)),
                strategy=strategy,
                smoke=True,
                out=Path(folder) / name,
                jit_compile=False,
                verbose=0,
            )
        except Exception:
            failed.append(name)
            print(f"{name}:\n{traceback.format_exc()}", flush=True)
    print(f"{len(names) - len(failed)} of {len(names)} recipes ran; not {failed}", flush=True)
    raise SystemExit(2 if failed else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
