"""A case of `cases.py`, measured in every way that was asked for, and held to its bars."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

from ar_zoo.bench import peers
from ar_zoo.bench.cases import PRODUCTS, Bar, Case
from ar_zoo.bench.naive import SEED, cached_and_naive
from ar_zoo.runtime.engines import ENGINES

FORMS = ("float32", "int8")
PACKAGES = ("ar_zoo", "numpy", "tensorflow", "keras", "ai-edge-litert", "ai-edge-quantizer", "onnxruntime")


def compare(
    case: Case, engines=(), forms=("float32",), scripts=None, pythons=None, threads=1, timed_sites=20, repeats=3
):
    """Measures one case.

    Args:
        case: what.
        engines: which of `ar_zoo.runtime`'s drive its export.
        forms: which of `FORMS` are exported.
        scripts: the folder of the peers' scripts; `None` leaves peers out.
        pythons: peer → the interpreter that runs it, where it is not this one.
        threads: of TensorFlow and of the peers; exports run on the case's own.
        timed_sites: how many sites naive generation is timed on.
        repeats: how often each time is taken; the best counts.

    Returns:
        a dict, ready for JSON: `label`, `title`, `preset`, `batch`, `sites`, and `measured`: who drew → `sites_per_s`
        and what else is known of it, or `left_out`, why it is not.
    """
    import keras

    import ar_zoo

    keras.utils.set_random_seed(SEED)
    model = ar_zoo.create(case.preset, **case.overrides)
    sites = model.num_sites or case.num_sites
    measured = cached_and_naive(model, case.batch, case.num_sites, timed_sites, repeats)
    for form in forms if engines else ():
        measured |= _exported(model, case, engines, form, repeats)
    for name, script in (case.peers if scripts is not None else {}).items():
        python = (pythons or {}).get(name)
        found = peers.measured(Path(scripts) / script, python, model, case.batch, sites, threads, repeats)
        measured[name] = peers.estimated(name, measured["naive"], found)
    facts = {"label": case.label, "title": case.title, "preset": case.preset, "batch": case.batch, "sites": sites}
    return facts | {"measured": measured}


def _exported(model, case, engines, form, repeats) -> dict:
    """What each engine makes of an export in this form, each in a process of its own."""
    import ar_zoo
    from ar_zoo.data import Examples
    from ar_zoo.runtime.speed import measure

    formats, more = {ENGINES[name][1] for name in engines}, {}
    if form != "float32":  # weights are random: how much is lost does not matter
        x = model.sample(1, seed=SEED, num_sites=case.num_sites)
        more = dict(quantize=form, validation=Examples(x, None, None), max_loss=1e3, limit=1)
        formats = formats - {"saved_model"} - ({"onnx"} if form != "int8" else set()) | {"tflite"}
    with tempfile.TemporaryDirectory() as folder:
        common = dict(batch_size=case.batch, num_sites=case.num_sites, progress=False, **case.export)
        ar_zoo.export(model, folder, tuple(sorted(formats)), **common, **more)
        if form != "float32":  # only some formats have files with fewer bits
            stored = json.loads((Path(folder) / "manifest.json").read_text())["quality"]["stored"]
            engines = [name for name in engines if f"sample_step.{ENGINES[name][1]}" in stored]
        threads = case.threads
        return {f"{name} {form}": measure(folder, name, repeats=repeats, threads=threads) for name in engines}


def verdicts(results: list[dict], cases) -> list[dict]:
    """Every bar of the cases that were measured, with what came out.

    Returns:
        a dict each: `case`, `of`, `than`, `figure` (`None` if it was not measured), `at_least` or `at_most`, `met`
        (`None` likewise), `note`.
    """
    titled, said = {result["title"]: result["measured"] for result in results}, []
    for case in cases:
        measured = titled.get(case.title)
        for bar in case.bars if measured else ():
            figure = _figure(bar, measured, titled)
            met = None
            if figure is not None:
                met = figure >= bar.at_least if bar.at_most is None else figure <= bar.at_most
            than = f"real time at {bar.than:,} Hz" if isinstance(bar.than, int) else bar.than
            other = measured.get(bar.than, {})
            facts = {"case": case.title, "of": bar.of, "than": than, "figure": figure, "met": met}
            facts |= {"at_least": bar.at_least, "at_most": bar.at_most}
            said.append(facts | {"note": other.get("estimate") or other.get("left_out") or ""})
    return said


def _figure(bar: Bar, measured, titled) -> float | None:
    """How many times as fast, or, for `at_most`, as long a site."""
    mine = measured.get(bar.of, {})
    if "sites_per_s" not in mine:
        return None
    if isinstance(bar.than, int):
        rate = bar.than
    elif bar.than == PRODUCTS:
        rate = mine["sites_per_s"] * mine["site_us"] / mine["limit_us"]
    else:
        other = measured.get(bar.than) or titled.get(bar.than, {}).get(bar.of, {})
        rate = other.get("sites_per_s")
    if rate is None:
        return None
    times = mine["sites_per_s"] / rate
    return times if bar.at_most is None else 1 / times


def machine(threads: int) -> dict:
    """The machine, its versions and the threads, for the record."""
    cpu = platform.processor() or platform.machine()
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        names = [line.partition(":")[2].strip() for line in listed.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except ImportError:
            versions[name] = None
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": threads,
        "versions": versions,
    }
