"""Other libraries' models of the same size, each run by a script in a process of its own.

A script takes a line of JSON, the model's size, as its one argument, and prints a line of JSON last: `seconds` for a
batch of events, `version`. It may need another Python than this one: an environment with torch, say.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from ar_zoo.bench.cases import GENERATIVE
from ar_zoo.runtime.speed import one_thread

SIZES = (
    "family", "num_layers", "num_heads", "num_kv_heads", "units", "hidden_units", "num_stacks", "layers_per_stack",
    "gate_units", "skip_units", "kernel_size", "first_kernel_size", "image_shape",
)  # fmt: skip
MISSING = "not installed"
# Images a second of pytorch-generative and of naive XLA on one machine (28 x 28, batch 1): what stands in for the first
# where it is not installed.
KNOWN = {GENERATIVE: (0.097, 0.157)}


def measured(script, python, model, batch: int, sites: int, threads: int, repeats: int) -> dict:
    """What a peer's script says: `sites_per_s`, `site_us`, `version`; or `left_out`, why there is nothing.

    Args:
        script: the peer's, in `tools/peers/`.
        python: the interpreter that runs it, `None` for this one.
        model: ours, whose size it takes.
        batch, sites: rows at once, and sites of each.
        threads: that it may use.
        repeats: how often the time is taken.
    """
    size = {name: getattr(model, name) for name in SIZES if hasattr(model, name)}
    size |= dict(
        num_symbols=model.head.num_symbols, batch_size=batch, num_sites=sites, threads=threads, repeats=repeats
    )
    environment = os.environ | one_thread(threads) | {"PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3"}
    if python is not None:
        environment.pop("PYTHONPATH", None)  # of this Python, not of that one
    command = [python or sys.executable, str(script), json.dumps(size)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except OSError as error:
        return {"left_out": f"{command[0]} does not run: {error.strerror}"}
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        kind, _, rest = said.partition(": ")
        return {"left_out": f"{MISSING}: {rest}" if kind == "ModuleNotFoundError" else f"it failed: {said[:200]}"}
    answer = json.loads(done.stdout.splitlines()[-1])
    seconds = answer["seconds"] / sites
    return {"sites_per_s": batch / seconds, "site_us": seconds * 1e6, "version": answer["version"]}


def estimated(name: str, naive: dict, entry: dict) -> dict:
    """In place of a peer that is not installed, its speed from the ratio to naive generation that is known, if any."""
    if not entry.get("left_out", "").startswith(MISSING) or name not in KNOWN:
        return entry
    theirs, ours = KNOWN[name]
    rate = naive["sites_per_s"] * theirs / ours
    note = f"estimate, not installed: naive × {theirs} / {ours}, their ratio on another machine"
    return {"sites_per_s": rate, "site_us": naive["site_us"] * ours / theirs, "estimate": note}
