"""One model, engine by engine: what `ar-zoo bench` prints."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ar_zoo.core import arguments
from ar_zoo.runtime.artifact import read_manifest
from ar_zoo.runtime.bounds import best
from ar_zoo.runtime.engines import ENGINES
from ar_zoo.runtime.speed import measure, peak_memory_mb


def bench(
    model,
    engines=("tensorflow", "litert"),
    batch_size: int | None = None,
    num_sites: int | None = None,
    repeats: int = 3,
):
    """Exports a model, and measures how fast each engine draws from it. Leave the machine otherwise idle.

    Args:
        model: an `AutoregressiveModel`, or the folder of an export.
        engines: which of `"tensorflow"` (`model.sample`; left out for an export), `"litert"`, `"onnx"` and `"saved_model"`.
        batch_size: rows drawn at once; by default 1, and of an export those that it was made for.
        num_sites: length of an event, where it is free.
        repeats: how often each time is taken; the best counts.

    Returns:
        a dict for each engine, as `ar_zoo.runtime.speed.measure` gives it; what was not measured is `None`.

    Example:
        >>> print(table(bench(ar_zoo.load("gated_pixel_cnn.mnist"))))
    """
    known = ("tensorflow", *ENGINES)
    unknown = [name for name in engines if name not in known]
    if unknown or not engines:
        raise ValueError(f"`engines` must hold one or more of {', '.join(map(repr, known))}; got {list(engines)}.")
    arguments.whole(repeats=repeats)
    if isinstance(model, (str, Path)):
        engines = [name for name in engines if name != "tensorflow"]
        if not engines:
            raise ValueError("`engines` must hold more than 'tensorflow' for an export, which draws without it.")
        made_for = read_manifest(model, ENGINES[engines[0]][1])["batch_size"]
        if batch_size not in (None, made_for):
            raise ValueError(
                f"`batch_size` must be {made_for}, the rows that {model} was exported for, or left out; got {batch_size}. "
                "Export it again for others."
            )
        return [measure(model, name, num_sites, repeats) for name in engines]
    import ar_zoo
    from ar_zoo.core import checks

    batch_size = 1 if batch_size is None else batch_size
    checks.steps(model)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        if "tensorflow" in engines:  # before the export, which takes memory of its own
            rows["tensorflow"] = in_tensorflow(model, batch_size, num_sites, repeats)
        exported = [name for name in engines if name != "tensorflow"]
        if exported:
            ar_zoo.export(model, folder, tuple({ENGINES[name][1] for name in exported}), batch_size, num_sites)
        rows |= {name: measure(folder, name, repeats=repeats) for name in exported}
    return [rows[name] for name in engines]


def in_tensorflow(model, batch_size: int, num_sites: int | None, repeats: int) -> dict:
    """`model.sample`, in this process: a row as `measure` gives it, as far as that can be said.

    The first site is there when the first event is, compiled and whole; memory is the most that this process held
    meanwhile (on Linux), TensorFlow and all.
    """
    forgotten = _forget_peak()
    start = time.perf_counter()
    x = model.sample(batch_size, seed=0, num_sites=num_sites)
    first = time.perf_counter() - start
    seconds, _ = best(repeats, lambda: model.sample(batch_size, seed=0, num_sites=num_sites))
    memory = peak_memory_mb() if forgotten else None
    sites, prefill = model.num_sites or x.shape[1], None
    if model.block_sizes is None and sites > 1:
        known = x.reshape(batch_size, sites, *model.head.site_shape)[:, :-1]
        read = lambda: model.sample(batch_size, seed=0, num_sites=num_sites, prefix=known)  # noqa: E731
        read()  # compiles
        prefill = batch_size * (sites - 1) / max(best(repeats, read)[0] - seconds / sites, 1e-9)
    row = dict.fromkeys(("files_mb", "limit_us", "share_of_bound"))
    row |= {"engine": "tensorflow", "batch_size": batch_size, "num_sites": sites, "first_site_s": first}
    rates = {"sites_per_s": batch_size * sites / seconds, "site_us": seconds / sites * 1e6}
    return row | rates | {"prefill_sites_per_s": prefill, "memory_mb": memory}


def _forget_peak() -> bool:
    """Lets the process's peak of memory start again from what it holds now; False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
