"""Measures cached generation against naive generation: same model, same noise, same symbols, one run.

Cached is `model.sample`: one compiled loop over `begin_block` and `step`. Naive is one XLA-compiled `call` a site, over
the whole event (WaveNet: over its receptive field), and the same draw from the same noise; it is timed on evenly spaced
sites and multiplied out. The symbols that it draws there are compared with the cached ones. GPT is also compared with
keras-hub's compiled `generate` of the same size, which needs `pip install -e '.[bench]'`. With `--litert` the exported
step is driven from Python too, in float32 and in int8 (which needs `pip install -e '.[quantize]'`), one thread, in a process
of its own, and set beside the least time that its matrix products take in NumPy ("times its products").

Weights are random; nothing is downloaded. Leave the machine otherwise idle: other processes slow the two down unevenly.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import pathlib
import tempfile
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_SEED = 0


@dataclasses.dataclass(frozen=True)
class Case:
    """One model at one batch size.

    Attributes:
        label: what the table calls it.
        preset, overrides: the model.
        batch: rows drawn at once.
        bar: how many times faster than naive cached generation must be; `None` for no bar.
        num_sites: length, where it is free.
        slower_than: the label of an earlier row; time a site may be at most `slower_by` times that row's.
        hub_bar: how many times faster than keras-hub; `None` to leave that comparison out.
        litert_bars: form of the export → how many times faster than naive it must be, driven by LiteRT from Python.
    """

    label: str
    preset: str
    batch: int
    bar: float | None = None
    overrides: dict = dataclasses.field(default_factory=dict)
    num_sites: int | None = None
    slower_than: str | None = None
    slower_by: float = 1.3
    hub_bar: float | None = None
    litert_bars: dict = dataclasses.field(default_factory=dict)

    @property
    def family(self) -> str:
        return self.preset.split(".")[0]


CASES = (
    Case("GatedPixelCNN 28x28", "gated_pixel_cnn.benchmark", 1, 150, litert_bars={"float32": 200, "int8": 400}),
    Case("GatedPixelCNN 28x28", "gated_pixel_cnn.benchmark", 16, 300, litert_bars={"float32": 600}),
    Case(
        "GatedPixelCNN 64x64",
        "gated_pixel_cnn.benchmark",
        1,
        overrides=dict(image_shape=(64, 64, 1)),
        slower_than="GatedPixelCNN 28x28",
    ),
    Case("WaveNet, 30 layers", "wavenet.benchmark", 1, 300, num_sites=8000, litert_bars={"float32": 450, "int8": None}),
    Case(
        "GPT, 512 tokens",
        "gpt.benchmark",
        1,
        10,
        num_sites=512,
        hub_bar=1.5,
        litert_bars={"float32": None, "int8": None},
    ),
)
QUICK = (
    Case("GatedPixelCNN, tiny", "gated_pixel_cnn.tiny", 1),
    Case("GatedPixelCNN, tiny", "gated_pixel_cnn.tiny", 3),
    Case("WaveNet, tiny", "wavenet.tiny", 1, num_sites=40),
    Case("GPT, tiny", "gpt.tiny", 1, num_sites=12, litert_bars={"float32": None}),
)


@dataclasses.dataclass
class Row:
    """A line of the table; times are seconds for a whole batch of events."""

    case: Case
    sites: int
    cached: float
    naive: float
    compared: int
    mismatches: int
    hub: float | None = None
    note: str = ""
    litert: dict = dataclasses.field(default_factory=dict)  # form → what `ar_zoo.runtime.speed.measure` gives

    @property
    def site_time(self) -> float:
        return self.cached / self.sites

    @property
    def ratio(self) -> float:
        return self.naive / self.cached


def measure(case: Case, timed_sites: int = 20, repeats: int = 3) -> Row:
    """Times one case, cached and naive."""
    import keras

    import ar_zoo

    keras.utils.set_random_seed(_SEED)
    model = ar_zoo.create(case.preset, **case.overrides)
    draw = lambda: model.sample(case.batch, seed=_SEED, num_sites=case.num_sites)  # noqa: E731
    cached, x = _best_of(repeats, draw)
    rows = x.reshape(case.batch, -1, *model.head.site_shape)
    sites, drawn, naive = rows.shape[1], *_naive(model, rows, timed_sites, repeats)
    chosen = _chosen_sites(model, rows.shape[1], timed_sites)
    differ = int(np.sum(np.any((drawn != rows[:, chosen]).reshape((*drawn.shape[:2], -1)), axis=-1)))
    return Row(case, sites, cached, naive / len(chosen) * sites, drawn.shape[0] * drawn.shape[1], differ)


def _best_of(repeats, function):
    """(seconds, result) of the fastest call, after one that compiles."""
    result, best = function(), np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def _window(model, sites) -> int | None:
    """How many sites naive generation runs over: all, unless only some can reach a site."""
    if model.num_sites is not None or model.max_sites is not None:
        return sites
    reach = model.receptive_field(sites)[-1]
    return min(sites, sites - int(np.argmax(reach)))  # the site itself, and those that reach it


def _chosen_sites(model, sites, count) -> np.ndarray:
    """Evenly spaced sites, of those that have a whole window before them."""
    first = 0 if _window(model, sites) == sites else _window(model, sites) - 1
    return np.unique(np.linspace(first, sites - 1, count).astype(int))


def _naive(model, rows, count, repeats):
    """(symbols [B, count, …] that `call` on all earlier sites gives with the noise of `sample`, seconds for them)."""
    import tensorflow as tf

    from ar_zoo.core.noise import uniform_noise

    head, (batch, sites) = model.head, rows.shape[:2]
    window = _window(model, sites)
    noise = tf.constant(uniform_noise(_SEED, range(batch), 0, sites, head.noise_shape))

    @tf.function(jit_compile=True)
    def draw(seen, noise, place):
        params = model._flat(model(model._unflat(seen)))
        return head.sample(tf.gather(params, place, axis=1), noise, tf.constant(1.0))

    calls = []
    for site in _chosen_sites(model, sites, count):
        start = max(0, site + 1 - window)
        seen = rows[:, start : start + window].copy()
        seen[:, site - start :] = 0  # what naive generation has not drawn yet
        calls.append((tf.constant(seen), noise[:, site], tf.constant(site - start)))
    seconds, drawn = _best_of(repeats, lambda: [draw(*arguments).numpy() for arguments in calls])
    return np.stack(drawn, axis=1), seconds


def measure_litert(case: Case, repeats: int = 3) -> dict:
    """Form of the export → how fast LiteRT draws from it, in a process of its own."""
    import keras

    import ar_zoo
    from ar_zoo.data import Examples
    from ar_zoo.runtime.speed import measure as speed

    keras.utils.set_random_seed(_SEED)
    model, measured = ar_zoo.create(case.preset, **case.overrides), {}
    for form in case.litert_bars:
        more = {}
        if form != "float32":  # weights are random: how much is lost does not matter
            x = model.sample(1, seed=_SEED, num_sites=case.num_sites)
            more = dict(quantize=form, validation=Examples(x, None, None), max_loss=1e3, limit=1)
        with tempfile.TemporaryDirectory() as folder:
            common = dict(batch_size=case.batch, num_sites=case.num_sites, progress=False)
            ar_zoo.export(model, folder, "tflite", prefill=() if None in model.event_shape else None, **common, **more)
            measured[form] = speed(folder, repeats=repeats)
    return measured


def measure_keras_hub(case: Case, repeats: int = 3) -> float:
    """Seconds that keras-hub's GPT-2 of the same size, compiled by XLA, takes to generate as many tokens."""
    import keras
    import keras_hub

    import ar_zoo

    ours = ar_zoo.create(case.preset, **case.overrides)
    keras.utils.set_random_seed(_SEED)
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=ours.head.num_symbols + 1,  # and a start token
        num_layers=ours.num_layers,
        num_heads=ours.num_heads,
        hidden_dim=ours.units,
        intermediate_dim=4 * ours.units,
        dropout=0.0,
        max_sequence_length=case.num_sites + 1,
    )
    model = keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
    model.compile(sampler="greedy", jit_compile=True)
    prompt = np.zeros((case.batch, case.num_sites + 1), "int32")
    prompt[:, 0] = ours.head.num_symbols
    inputs = {"token_ids": prompt, "padding_mask": (np.arange(case.num_sites + 1) == 0)[None] * np.ones_like(prompt)}
    return _best_of(repeats, lambda: model.generate(inputs, stop_token_ids=None))[0]


def table(rows) -> str:
    """The rows in Markdown; a bar that was missed is bold."""
    lines = [
        "| model | batch | naive, s an event | cached, s an event | events/s | sites/s | faster than | by | bar | same symbols |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    by_label = {}
    for row in rows:
        case, batch = row.case, row.case.batch
        by_label.setdefault(case.label, row)
        same = f"{row.compared - row.mismatches} of {row.compared}"
        start = f"| {case.label} | {batch} "
        rates = cached = (
            f"| {row.cached / batch:.3g} | {batch / row.cached:.3g} | {batch * row.sites / row.cached:,.0f} "
        )
        lines.append(
            f"{start}| {row.naive / batch:.3g} {rates}| naive | {row.ratio:,.1f}× | {_verdict(row.ratio, case.bar)} | {same} |"
        )
        for form, facts in row.litert.items():
            seconds = row.sites * facts["site_us"] / 1e6
            ratio, times = row.naive / seconds, facts["site_us"] / facts["limit_us"]
            rates = f"| {seconds / batch:.3g} | {batch / seconds:.3g} | {facts['sites_per_s']:,.0f} "
            what = f"naive, in LiteRT {form} ({times:.2f} times its products, {facts['memory_mb']:.0f} MB)"
            bar = case.litert_bars[form]
            lines.append(f"{start}| – {rates}| {what} | {ratio:,.1f}× | {_verdict(ratio, bar)} | – |")
        if case.slower_than in by_label:
            slower = row.site_time / by_label[case.slower_than].site_time
            verdict = f"at most {case.slower_by}: {'met' if slower <= case.slower_by else '**missed**'}"
            lines.append(
                f"{start}| – {cached}| time a site over that of {case.slower_than} | {slower:.2f} | {verdict} | – |"
            )
        if case.hub_bar is not None:
            ratio = f"{row.hub / row.cached:,.2f}×" if row.hub else "–"
            verdict = _verdict(row.hub / row.cached, case.hub_bar) if row.hub else row.note
            theirs = f"{row.hub / batch:.3g}" if row.hub else "–"
            lines.append(f"{start}| {theirs} (keras-hub) {cached}| keras-hub `generate` | {ratio} | {verdict} | – |")
    return "\n".join(lines)


def _verdict(ratio, bar) -> str:
    if bar is None:
        return "–"
    return f"at least {bar:g}: {'met' if ratio >= bar else '**missed**'}"


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="It exits with 1 if symbols differ.",
    )
    families = sorted({case.family for case in CASES})
    parser.add_argument("--family", action="append", choices=families, help="only this family (may be repeated)")
    parser.add_argument("--batch", type=int, action="append", help="only cases of this batch size (may be repeated)")
    parser.add_argument(
        "--threads", type=int, default=1, help="of TensorFlow, for all that is timed (default: %(default)s)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny models, no bars: shows in a minute that the tool works"
    )
    parser.add_argument("--litert", action="store_true", help="also measure the exported steps in LiteRT")
    parser.add_argument("--out", type=pathlib.Path, help="also write the table to this file")
    options = parser.parse_args(arguments)
    cases = [
        case
        for case in (QUICK if options.quick else CASES)
        if (not options.family or case.family in options.family) and (not options.batch or case.batch in options.batch)
    ]
    if not cases:
        parser.error("no case has this family and this batch size")
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(options.threads)  # counts only before TensorFlow is imported
    rows, settings = [], dict(timed_sites=5, repeats=1) if options.quick else {}
    for case in cases:
        print(f"{case.label}, batch {case.batch} …", flush=True)
        rows.append(measure(case, **settings))
        if options.litert:
            rows[-1].litert = measure_litert(case, settings.get("repeats", 3))
        if case.hub_bar is not None:
            if importlib.util.find_spec("keras_hub"):
                rows[-1].hub = measure_keras_hub(case)
            else:
                rows[-1].note = "left out: keras-hub is not installed (`pip install -e '.[bench]'`)"
                print(rows[-1].note)
    text = table(rows)
    print("\n" + text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    mismatches = sum(row.mismatches for row in rows)
    if mismatches:
        print(
            f"\n{mismatches} of {sum(row.compared for row in rows)} symbols differ between cached and naive generation."
        )
    return 1 if mismatches else 0


if __name__ == "__main__":
    raise SystemExit(main())
