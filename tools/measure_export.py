"""Measures exporting: how long each pretrained preset takes, with how much memory, and whether exports in a row leak.

    python tools/measure_export.py                            # both, some minutes
    python tools/measure_export.py --presets gpt.kjv --count 0
    python tools/measure_export.py --presets --count 100 --model wavenet.tiny --json leak.json

Memory is Linux's: all that is resident in the exporting process and in the converters that it starts, added up, at the
worst moment. Of a leak, the exporting process after 10 exports is compared with itself after `--count` more. Exit
status 1: a bar was missed.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from ar_zoo.cli import start_tensorflow
from ar_zoo.core.files import atomic_path
from ar_zoo.core.pretrained import list_pretrained

MAX_SECONDS, MAX_MB = 60, 3000  # of a shipped preset
MAX_GROWTH_MB = 40  # of `--count` exports in a row; a converter in this process would leak twenty each
WARM = 10  # exports after which everything is loaded and cached


def resident_mb(process="self") -> float:
    """What a process has in memory now; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def tree(process) -> list[int]:
    """A process and all that it started, as numbers."""
    found = [process]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def converted(preset: str, formats) -> dict:
    """Seconds and peak memory of `ar-zoo export`, Python's and TensorFlow's start included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ar_zoo", "export", preset, f"{folder}/out", "--formats", *formats]
        start, before, peak, ended = time.perf_counter(), _cpu_seconds(), 0.0, threading.Event()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def watch():
            nonlocal peak
            while not ended.wait(0.05):
                peak = max(peak, sum(map(resident_mb, tree(process.pid))))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, errors = process.communicate()
        seconds, used = time.perf_counter() - start, _cpu_seconds() - before
        ended.set()
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"Exporting {preset} failed: {errors[-2000:].strip()}")
    return {"preset": preset, "formats": list(formats), "seconds": seconds, "cpu_seconds": used, "peak_mb": peak}


def _cpu_seconds() -> float:
    """Of all processes that were started from here and have ended, converters of exports included."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def growth(name: str, count: int, formats, warm: int = WARM, say=lambda *_: None) -> dict:
    """Resident memory of this process after `warm` exports of one model, and after `count` more."""
    start_tensorflow()
    import ar_zoo

    model, after = ar_zoo.create(name), []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(warm + count):
            ar_zoo.export(
                model,
                f"{folder}/out",
                tuple(formats),
                num_sites=12 if model.num_sites is None else None,
                progress=False,
            )
            gc.collect()
            after.append(resident_mb())
            say(f"  {len(after)}: {after[-1]:,.0f} MB")
    facts = {"model": name, "formats": list(formats), "after_warm_mb": after[warm - 1], "after_all_mb": after[-1]}
    return facts | {"warm": warm, "count": count, "growth_mb": after[-1] - after[warm - 1]}


def main(words=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--presets", nargs="*", default=list_pretrained(), help="default all that ship; none: no preset"
    )
    parser.add_argument("--formats", nargs="+", default=["saved_model", "tflite"], help="default saved_model tflite")
    parser.add_argument("--model", default="gpt.tiny", help="what is exported again and again (default %(default)s)")
    parser.add_argument("--count", type=int, default=100, help="exports after the first 10; 0: none (default 100)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(words)
    facts, good = {"presets": [], "in_a_row": None}, True
    for preset in options.presets:
        fact = converted(preset, options.formats)
        met = fact["seconds"] <= MAX_SECONDS and fact["peak_mb"] <= MAX_MB
        bar = f"at most {MAX_SECONDS} s and {MAX_MB:,} MB: {'met' if met else 'MISSED'}"
        took = f"{fact['seconds']:8.1f} s ({fact['cpu_seconds']:.1f} s of a core)"
        print(f"{preset:24}{took}{fact['peak_mb']:9,.0f} MB   {bar}", flush=True)
        facts["presets"].append(fact)
        good = good and met
    if options.count:
        fact = growth(options.model, options.count, options.formats, say=lambda text: print(text, file=sys.stderr))
        met = fact["growth_mb"] <= MAX_GROWTH_MB
        what = f"{options.model}, {options.count} exports after {WARM}"
        figures = f"{fact['after_warm_mb']:,.0f} MB → {fact['after_all_mb']:,.0f} MB"
        print(f"{what}: {figures}   at most {MAX_GROWTH_MB} MB more: {'met' if met else 'MISSED'}")
        facts["in_a_row"] = fact
        good = good and met
    if options.json:
        with atomic_path(options.json) as temporary:
            temporary.write_text(json.dumps(facts, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
