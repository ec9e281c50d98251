"""Prints a table of quantised exports: sizes, bits per dimension, speed.

    python tools/report_quantised.py gpt.kjv --data kjv_train.txt
    python tools/report_quantised.py gpt.kjv --data kjv_train.txt --tuned int4=runs/gpt_kjv/best
    python tools/report_quantised.py gpt.kjv --data kjv_train.txt --engine onnx

A tuned preset (`ar-zoo train … --qat int4 --from gpt.kjv`) is held against the float32 of the one it was tuned from.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from ar_zoo.cli import load
from ar_zoo.core.cache import KeyValue

SCHEMES = ("float16", "int8", "int4", "full_int8")
FORMATS = {"litert": "tflite", "onnx": "onnx"}


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", help="a name of `ar-zoo list --pretrained`, or a preset folder")
    parser.add_argument("--data", required=True, help="what is measured on its validation part, and calibrated on")
    parser.add_argument("--tuned", nargs="*", default=[], metavar="SCHEME=PRESET", help="presets that --qat made")
    parser.add_argument("--schemes", nargs="*", choices=SCHEMES, help="default all that the model allows")
    parser.add_argument("--sites", type=int, default=4000, help="longest event, where the model has none (4000)")
    parser.add_argument("--engine", choices=list(FORMATS), default="litert", help="TFLite or ONNX files (litert)")
    options = parser.parse_args(arguments)
    model = load(options.preset)
    kinds = model.cache_spec(model.num_sites or options.sites).values()
    allowed = [scheme for scheme in SCHEMES if scheme != "full_int8" or not any(map(_grows, kinds))]
    if options.engine == "onnx":
        allowed = ["int8"]
    rows = [(scheme, options.preset, scheme) for scheme in options.schemes or allowed]
    for word in options.tuned:
        scheme, _, tuned = word.partition("=")
        rows.append((scheme, tuned, f"{scheme}, tuned"))
    print("| preset | stored as | step, kB | all steps' files, kB | score, kB | bits per dimension | loss | sites/s |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    base = None
    for scheme, preset, label in [(None, options.preset, "float32"), *rows]:
        with tempfile.TemporaryDirectory() as folder:
            bits, base, sizes, speed = measure(preset, scheme, options, base, Path(folder) / "export")
        loss = "–" if scheme is None else f"{bits / base - 1:+.2%}" if bits else ""
        bits = base if scheme is None else bits
        label += ", ONNX" if options.engine == "onnx" else ""
        shown = "–" if bits is None else f"{bits:.4f}"
        print(f"| `{options.preset}` | {label} | {' | '.join(sizes)} | {shown} | {loss} | {speed:,.0f} |", flush=True)
    return 0


def measure(preset, scheme, options, base, folder):
    """(bits per dimension, those of float32, sizes, sites/s) of one export."""
    import ar_zoo

    model = load(preset)
    sites = None if model.num_sites or model.max_sites else options.sites
    quantised = dict(quantize=scheme, validation=options.data, max_loss=100.0) if scheme else {}
    format = FORMATS[options.engine]
    ar_zoo.export(model, folder, format, num_sites=sites, progress=False, **quantised)
    quality = json.loads((folder / "manifest.json").read_text()).get("quality", {})
    if scheme is None:
        from ar_zoo.export.quantize import Quantization

        base = Quantization(model, "int8", options.data, 1.0, num_sites=sites or model.max_sites).bits_per_dim_float32
    size = {path.stem: path.stat().st_size / 1000 for path in folder.glob(f"*.{format}")}
    drawing = size["sample_step"] + size.get("begin_block", 0)
    sizes = [f"{value:,.0f}" for value in (size["step"], drawing, size["score"])]
    return quality.get("bits_per_dim"), base, sizes, speed(ar_zoo.runtime.load(folder, options.engine))


def speed(exported) -> float:
    """Sites a second of drawing one event after another, one thread: the best of five."""
    best = 0.0
    for seed in range(6):  # the first one allocates
        start = time.perf_counter()
        drawn = exported.sample(1, seed=seed)
        best = max(best, drawn[0].size / (time.perf_counter() - start))
    return best


def _grows(kind) -> bool:
    return any(map(_grows, kind.values())) if isinstance(kind, dict) else isinstance(kind, KeyValue)


if __name__ == "__main__":
    raise SystemExit(main())
