"""How fast an export runs, measured in a process that does nothing else.

python -m ar_zoo.runtime.speed digits_export --engine litert        # one line of JSON
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ar_zoo.core import arguments
from ar_zoo.runtime import bounds
from ar_zoo.runtime.artifact import read_manifest
from ar_zoo.runtime.engines import ENGINES, load

_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def measure(folder, engine: str = "litert", num_sites: int | None = None, repeats: int = 3, threads: int = 1) -> dict:
    """Runs an export in a process of its own and says how it did.

    Args:
        folder: what `ar_zoo.export` wrote.
        engine: as in `load`.
        num_sites: length of the events, where it is free.
        repeats: how often each time is taken; the best counts.
        threads: that it may use; steps that read hundreds of megabytes of weights gain by two.

    Returns:
        a dict: `first_site_s`, from opening the export to the first site; `sites_per_s`, of all rows of a batch together;
        `prefill_sites_per_s`, the same for a known beginning, `None` for models that have no `prefill_N`;
        `memory_mb`, the most that was resident (on Linux); `files_mb`, of what was run; `site_us`, time of a step (with
        its share of `begin_block`), `limit_us`, that of its matrix products alone in NumPy, and `share_of_bound`, which part
        of `site_us` this machine's bandwidth and rate of multiplications explain; what `bounds.machine` gives.

    Raises:
        ValueError: bad input, or an export that is not whole.
        RuntimeError: the process failed; its last words are in the message.

    Example:
        >>> measure("digits_export")["sites_per_s"]
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(map(repr, ENGINES))}; got {engine!r}.")
    arguments.whole(repeats=repeats, threads=threads)
    arguments.whole_or_none(num_sites=num_sites)
    if read_manifest(folder, ENGINES[engine][1]).get("kind") == "density":
        raise ValueError(
            f"`folder` must hold a model that draws site by site, whose steps are timed; {folder} has none."
        )
    command = [sys.executable, "-P", "-m", "ar_zoo.runtime.speed", str(folder), "--engine", engine]
    command += ["--repeats", str(repeats), "--threads", str(threads)] + (
        [] if num_sites is None else ["--sites", str(num_sites)]
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    environment = os.environ | one_thread(threads) | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"The measurement of {folder} on {engine} failed: {done.stderr[-2000:].strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def one_thread(count: int = 1) -> dict[str, str]:
    """Environment variables that hold numerical libraries to one thread, or to `count`."""
    return dict.fromkeys(_THREADS, str(count))


def _here(folder, engine, num_sites, repeats, threads) -> dict:
    start = time.perf_counter()
    runtime = load(folder, engine, **({} if engine == "saved_model" else {"threads": threads}))
    next(iter(runtime.stream(num_sites=num_sites)))
    first = time.perf_counter() - start
    rows = runtime.batch_size
    best, x = bounds.best(repeats, lambda: runtime.sample(rows, seed=0, num_sites=num_sites))
    memory = peak_memory_mb()
    sites = x.reshape(rows, -1, *runtime.manifest["site_shape"])
    count, prefill = sites.shape[1], None
    if any(name.startswith("prefill_") for name in runtime.manifest["endpoints"]):
        known = sites[:, : count - 1]
        seconds, _ = bounds.best(repeats, lambda: runtime.sample(rows, seed=0, num_sites=num_sites, prefix=known))
        prefill = rows * (count - 1) / max(seconds - best / count, 1e-9)
    ends = runtime.manifest["endpoints"]
    drawing = [name for name in ends if name.startswith("sample_step") or name == "begin_block"]
    files = {name: ends[name][runtime.format] for name in drawing}
    sizes = {name: sum(path.stat().st_size for path in _files(Path(folder) / file)) for name, file in files.items()}
    site = best / count
    machine = bounds.machine(runtime.manifest, sizes, repeats)
    return {
        "engine": engine,
        "batch_size": rows,
        "num_sites": count,
        "first_site_s": first,
        "sites_per_s": rows * count / best,
        "prefill_sites_per_s": prefill,
        "memory_mb": memory,
        "files_mb": sum({file: sizes[name] for name, file in files.items()}.values()) / 2**20,
        "site_us": site * 1e6,
        "limit_us": bounds.products_seconds(runtime.manifest, repeats) * 1e6,
        "share_of_bound": machine["bound_us"] / (site * 1e6),
        **machine,
    }


def peak_memory_mb() -> float | None:
    """The most that was resident. (What `getrusage` says begins with what the parent process held.)"""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


def _files(path):
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def main(words=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="what `ar-zoo export` wrote")
    parser.add_argument("--engine", default="litert", help="litert, onnx or saved_model (default litert)")
    parser.add_argument("--sites", type=int, help="length of the events, where it is free (default the exported one)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each time is taken (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="that it may use (default 1)")
    options = parser.parse_args(words)
    print(json.dumps(_here(options.folder, options.engine, options.sites, options.repeats, options.threads)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
