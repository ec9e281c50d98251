"""Times steps of training: against other libraries, and what precision, XLA, parts of batches and recomputation cost.

All of a table's processes stand ready at once, and take a few steps in turn, --rounds times; the median of the rounds counts.
Models, batches and data (shipped digits, speech and text) are the same for all, and so is the optimizer: AdamW, gradients
clipped to a global norm. `loss` is the mean over a process's last turn. Memory is the peak of the process's resident memory
while it takes steps, above what it held before it made its model. Leave the machine otherwise idle.

    python tools/measure_training.py peers --json peers.json --peer-python torch/bin/python
    python tools/measure_training.py costs --family gpt

Peers (`tools/peers/train_*.py`) run on the Python that --peer-python names, the one where extra [peers] is installed, or on
this one. What is not installed is left out, and named.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from ar_zoo.core import arguments
from ar_zoo.core.files import atomic_path

PEERS = Path(__file__).resolve().parent / "peers"
SETTINGS = {"learning_rate": 1e-3, "weight_decay": 0.01, "clip_norm": 1.0}
AT_MOST = 1.1  # times the best peer's step


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, a batch of data that is shipped, the peers that have the same model, and what of its size they are told."""

    preset: str
    source: str
    batch: int
    window: int | None
    peers: tuple[tuple[str, str], ...]
    size: tuple[str, ...]

    @property
    def family(self) -> str:
        return self.preset.split(".")[0]


PYTORCH = tuple(("train_pytorch.py", way) for way in ("eager", "compiled"))
CASES = (
    Case(
        "gated_pixel_cnn.benchmark",
        "shipped:digits",
        16,
        None,
        (*PYTORCH, ("train_pytorch.py", "channels_last")),
        ("num_layers", "units", "input_kernel_size", "kernel_size"),
    ),
    Case(
        "wavenet.speech8k",
        "shipped:speech",
        4,
        4000,
        PYTORCH,
        ("num_stacks", "layers_per_stack", "units", "gate_units", "skip_units", "kernel_size"),
    ),
    Case(
        "gpt.benchmark",
        "shipped:text",
        8,
        512,
        (
            ("train_transformers.py", "eager"),
            ("train_transformers.py", "compiled"),
            ("train_keras_hub.py", "xla"),
            ("train_keras_hub.py", "plain"),
        ),
        ("num_layers", "num_heads", "units"),
    ),
)
# name → what `ours` is told beside the defaults.
COSTS = {
    "as it comes": {},
    "XLA": {"jit": True},
    "no XLA": {"jit": False},
    "mixed_bfloat16, no XLA": {"precision": "mixed_bfloat16", "jit": False},
    "mixed_bfloat16, XLA": {"precision": "mixed_bfloat16", "jit": True},
    "mixed_float16, XLA": {"precision": "mixed_float16", "jit": True},
    "batch in 4 parts": {"accumulate": 4},
    "rematerialised": {"remat": True},
    "both": {"accumulate": 4, "remat": True},
}


def main(words=None) -> int:
    options = _parser().parse_args(words)
    if options.ours:
        ours(json.loads(options.ours))
        return 0
    try:
        arguments.whole(rounds=options.rounds, steps=options.steps, threads=options.threads)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    cases = [case for case in CASES if not options.family or case.family in options.family]
    tables, facts = [], {"threads": options.threads, "rounds": options.rounds, "steps": options.steps, "cases": []}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            rows = measured(case, options, Path(folder))
            facts["cases"].append({"preset": case.preset, "batch": case.batch, "rows": rows})
            tables.append(table(case, rows, options.what))
            print(tables[-1] + "\n", flush=True)
    for path, text in ((options.out, "\n\n".join(tables) + "\n"), (options.json, json.dumps(facts, indent=1))):
        if path:
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return 0


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("what", nargs="?", choices=["peers", "costs"], default="peers", help="which table (default %(default)s)")
    add(
        "--family",
        action="append",
        choices=[case.family for case in CASES],
        help="only this family (may be repeated)",
    )
    add("--rounds", type=int, default=5, help="turns of each process (default %(default)s)")
    add("--steps", type=int, default=5, help="steps in a turn (default %(default)s)")
    add("--threads", type=int, default=os.cpu_count(), help="of each library (default %(default)s)")
    add("--tiny", action="store_true", help="tiny models: shows that the tool works")
    add("--peer-python", default=sys.executable, help="the interpreter that has PyTorch, transformers or keras-hub")
    add("--out", type=Path, help="also write the tables to this file")
    add("--json", type=Path, help="write all figures to this file")
    add("--ours", help=argparse.SUPPRESS)
    return parser


def measured(case: Case, options, folder: Path) -> list[dict]:
    """A row for each process: `name`, `version`, `weights`, and medians, or `left_out`, why there are none."""
    asked = SETTINGS | _written(case, options, folder)
    this = [sys.executable, __file__, "--ours"]
    if options.what == "costs":
        processes = {name: (this, asked | more) for name, more in COSTS.items()}
    else:
        processes = {"ar_zoo": (this, asked)}
        for script, way in case.peers:
            python = sys.executable if script == "train_keras_hub.py" else options.peer_python
            processes[f"{script[6:-3]}, {way}"] = ([python, str(PEERS / script)], asked | {"way": way})
    rows, running = [], []
    with contextlib.ExitStack() as stack:
        for name, (command, told) in processes.items():
            print(f"{case.preset}: {name} …", file=sys.stderr, flush=True)
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = _start(command, told, options.threads, errors)
            if process:
                stack.enter_context(process)
                stack.callback(process.kill)
            running.append((process, errors))
            rows.append({"name": name} | _said(*running[-1]))
        for _ in range(options.rounds):
            for (process, errors), row in zip(running, rows, strict=True):
                if "left_out" not in row:
                    with contextlib.suppress(BrokenPipeError):  # what it said last tells why
                        print(options.steps, file=process.stdin, flush=True)
                    turn = _said(process, errors)
                    if "left_out" in turn:
                        row["left_out"] = turn["left_out"]
                    else:
                        row.setdefault("turns", []).append(turn)
    for row in rows:
        for key in ("seconds", "loss", "peak_mb") if "left_out" not in row else ():
            found = [turn[key] for turn in row["turns"]]
            row[key] = found[-1] if key == "loss" else max(found) if key == "peak_mb" else statistics.median(found)
    return rows


def _written(case: Case, options, folder: Path) -> dict:
    """Data in a file, and what a process is told of the case."""
    import numpy as np

    import ar_zoo
    from ar_zoo.data.encoded import encode

    model = ar_zoo.create(case.preset)
    window = 32 if options.tiny and case.window else case.window
    part = ar_zoo.data.read(case.source)
    is_text = isinstance(part.values, str) or part.values.dtype.kind == "U"
    x = np.frombuffer(str(part.values).encode(), np.uint8) if is_text else encode(model, part, window).x
    path = folder / f"{case.family}.npy"
    np.save(path, x if window is None else x[: len(x) // window * window].reshape(-1, window))
    size = {name: getattr(model, name) for name in case.size}
    size |= {"num_symbols": model.head.num_symbols}
    if case.window and case.family == "gpt":
        size["num_sites"] = window
    if options.tiny:
        size |= {
            name: 1 if name.startswith("num_") and name[4:] in ("stacks", "layers", "heads") else 8
            for name in size
            if name not in ("num_symbols", "num_sites", "kernel_size", "input_kernel_size", "layers_per_stack")
        }
    own = {name: value for name, value in size.items() if name not in ("num_symbols", "num_sites")}
    return {
        "family": case.family,
        "preset": case.preset,
        "own": own,
        "size": size,
        "batch": case.batch,
        "data": str(path),
        "threads": options.threads,
    }


def _start(command, asked, threads: int, errors) -> subprocess.Popen | None:
    """The process; `None` where it cannot be started."""
    environment = os.environ | {name: str(threads) for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")}
    if command[0] != sys.executable:
        environment.pop("PYTHONPATH", None)  # of this Python, not of that one
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        return subprocess.Popen([*command, json.dumps(asked)], env=environment, **pipes)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=errors)
        return None


def _said(process, errors) -> dict:
    """The next line of JSON that it prints; why it ended, if it did."""
    for line in process.stdout if process else ():
        if line.startswith("{"):
            return json.loads(line)
    errors.seek(0)
    return {"left_out": (errors.read().strip().splitlines() or ["it said nothing"])[-1][:200]}


def ours(asked: dict) -> None:
    """The process that trains our model, as `peers/train_*.py` train theirs."""
    sys.path.insert(0, str(PEERS))
    import keras
    import numpy as np
    import tensorflow as tf
    from pace import fitted
    from rounds import resident_mb, serve

    import ar_zoo
    from ar_zoo.training.remat import rematerialise
    from ar_zoo.training.step import jit_of

    keras.utils.set_random_seed(0)
    before = resident_mb()
    dtype = {"dtype": asked["precision"]} if "precision" in asked else {}
    model = ar_zoo.create(asked["preset"], **asked["own"], **dtype)
    model.accumulate = asked.get("accumulate", 1)
    if asked.get("remat"):
        rematerialise(model)
    model.compile(
        keras.optimizers.AdamW(
            asked["learning_rate"], weight_decay=asked["weight_decay"], global_clipnorm=asked["clip_norm"]
        ),
        jit_compile=jit_of(model, asked.get("jit", "auto")),
    )
    run = fitted(model, {"x": np.load(asked["data"]).astype("int32")}, asked["batch"])
    run(3)
    serve(run, {"version": f"tensorflow {tf.__version__}", "weights": model.count_params(), "before_mb": before})


def table(case: Case, rows, what: str) -> str:
    """Markdown; against the best peer, or the first row."""
    there = [row for row in rows if "left_out" not in row]
    if not there:
        return "\n".join([f"`{case.preset}`", "", *(f"{row['name']}: left out, {row['left_out']}" for row in rows)])
    others = [row["seconds"] for row in there if row["name"] != "ar_zoo"]
    measure = min(others, default=None) if what == "peers" else rows[0].get("seconds")
    against = "times the best peer" if what == "peers" else "times"
    lines = [
        f"`{case.preset}`, {there[0]['weights']:,} weights, batches of {case.batch}",
        "",
        f"| | ms a step | {against} | memory, MB | loss, last steps |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        if "left_out" in row:
            lines.append(f"| {row['name']} | left out: {row['left_out']} | | | |")
            continue
        times = f"{row['seconds'] / measure:.2f}" if measure else ""
        memory = row["peak_mb"] - row.get("before_mb", 0)
        lines.append(f"| {row['name']} | {1e3 * row['seconds']:.0f} | {times} | {memory:,.0f} | {row['loss']:.3f} |")
    ours_at = next((row["seconds"] for row in there if row["name"] == "ar_zoo"), None)
    if what == "peers" and measure and ours_at:
        met = "met" if ours_at <= AT_MOST * measure else "not met"
        lines += ["", f"At most {AT_MOST} times the best peer: {ours_at / measure:.2f}, **{met}**."]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
