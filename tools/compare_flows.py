"""Held-out log-likelihoods of MAF beside those of zuko: same data, sizes, batches, steps and optimizer.

    python tools/compare_flows.py --peer-python FOLDER/bin/python
    python tools/compare_flows.py --transforms affine --activations tanh --seeds 3

A fifth of the training part decides when to stop, for both alike: what counts is the likelihood of the validation part at
the step that is best there. Without `--peer-python`, an interpreter that has zuko, ours stand alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ar_zoo.cli import start_tensorflow
from ar_zoo.core.files import atomic_path

PEER = Path(__file__).resolve().with_name("zuko_flow.py")
SIZES = {"affine": dict(num_transforms=5), "spline": dict(num_transforms=3)}
COMMON = dict(units=[64, 64], num_bins=8, bound=5.0)


def ours(size: dict) -> dict:
    """What the peer's script prints, of our MAF."""
    import keras
    import tensorflow as tf

    import ar_zoo

    with np.load(size["data"]) as data:
        train, stop, valid, batches = (data[name] for name in ("x_train", "x_stop", "x_valid", "batches"))
    keras.utils.set_random_seed(size["seed"])
    names = ("num_transforms", "units", "num_bins", "bound", "transform", "activation")
    model = ar_zoo.create("maf.cancer", event_shape=train.shape[1:], **{name: size[name] for name in names})
    model.compile(keras.optimizers.Adam(size["learning_rate"], epsilon=1e-7), jit_compile=False)
    score, curves, every = tf.function(model.log_prob), {"stop": [], "valid": []}, size["every"]
    parts, seconds = {"stop": tf.constant(stop), "valid": tf.constant(valid)}, []
    for first in range(0, len(batches), every):
        data = tf.data.Dataset.from_tensor_slices(train[batches[first : first + every]])
        start = time.perf_counter()
        model.fit(data, verbose=0, shuffle=False)
        seconds.append((time.perf_counter() - start) / len(data))
        for name, x in parts.items():
            curves[name].append(float(tf.reduce_mean(score(x))))
    return curves | {"seconds": float(np.median(seconds)), "weights": model.count_params(), "version": "ar_zoo"}


def theirs(python: str, size: dict) -> dict:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-P", str(PEER), json.dumps(size)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise ValueError(f"{python} {PEER.name} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def best(found: dict) -> tuple[float, int]:
    """The validation part's mean log-likelihood at the best evaluation of the stopping part, and its number."""
    place = int(np.argmax(found["stop"]))
    return found["valid"][place], place


def write_data(path: Path, source: str, steps: int, batch_size: int, seed: int) -> None:
    """The parts, and which rows are in each batch."""
    from ar_zoo.data import read

    train, valid = read(source).values, read(source, "valid").values
    cut = len(train) * 80 // 100
    rows = np.random.default_rng(seed).integers(0, cut, (steps, batch_size))
    np.savez(path, x_train=train[:cut], x_stop=train[cut:], x_valid=valid, batches=rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="shipped:cancer", help="a table (default shipped:cancer)")
    parser.add_argument("--peer-python", help="an interpreter with zuko")
    parser.add_argument("--transforms", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--activations", nargs="+", choices=["relu", "tanh"], default=["relu", "tanh"])
    parser.add_argument("--seeds", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--steps", type=int, default=600, help="at most (default 600)")
    parser.add_argument("--every", type=int, default=20, help="steps between two looks (default 20)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam (default 0.001)")
    parser.add_argument("--json", help="a file for all that was measured")
    options = parser.parse_args(arguments)
    start_tensorflow()
    runs = []
    print("| maps | activation | who | weights | held-out nats an event | stopped at | ms a step |")
    print("|---|---|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for transform, activation in itertools.product(options.transforms, options.activations):
            people = {"ar_zoo": ours} | ({"zuko": None} if options.peer_python else {})
            for who in people:
                found = []
                for seed in range(options.seeds):
                    data = Path(folder) / f"{seed}.npz"
                    write_data(data, options.data, options.steps, options.batch_size, seed)
                    size = COMMON | SIZES[transform] | dict(transform=transform, activation=activation, seed=seed)
                    size |= dict(data=str(data), learning_rate=options.learning_rate, every=options.every, threads=1)
                    found.append(ours(size) if who == "ar_zoo" else theirs(options.peer_python, size))
                    runs.append(
                        {"transform": transform, "activation": activation, "seed": seed, "who": who} | found[-1]
                    )
                print(_row(SIZES[transform]["num_transforms"], transform, activation, found, options), flush=True)
    if options.json:
        with atomic_path(options.json) as temporary:
            temporary.write_text(json.dumps(runs))
    return 0


def _row(maps, transform, activation, found, options) -> str:
    nats, places = np.array([best(run) for run in found]).T
    speed = np.median([run["seconds"] for run in found]) * 1000
    stopped = int(np.median(places) + 1) * options.every
    spread = f"{nats.mean():.2f} ± {nats.std(ddof=min(1, len(nats) - 1)):.2f}"
    return (
        f"| {maps} {transform} | {activation} | {found[0]['version']} | {found[0]['weights']:,} | {spread} | "
        f"{stopped} | {speed:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
