"""Compresses held-out data with the shipped presets and with other lossless coders, which get the same bytes.

    python tools/measure_compression.py                                  # all, some minutes
    python tools/measure_compression.py --cases text --share 0.1
    python tools/measure_compression.py --data ../shared/data --json compression.json

Digits: the 1,000 held-out ones, a byte a pixel, one after the other; image coders get them as one picture. Emoji: the
361 held-out ones, in the same way. Speech: 20
seconds as μ-law levels, a byte a sample; FLAC gets these levels as 8-bit samples. Text: 100,000 characters of ASCII. Where
the full files are absent the shipped subsets serve, which are smaller.

xz and bzip2 come with Python, PNG and WebP with Pillow, FLAC with soundfile; JPEG XL needs `imagecodecs` and zpaq the
package `zpaq`: what is not installed is left out. Sizes are of the whole file, header included; decoding is timed with the
graph already traced. Exit status 1: a round trip failed, or a file is more than 1 % above the model's code length.
"""

from __future__ import annotations

import argparse
import bz2
import io
import json
import lzma
import math
import sys
import time
from pathlib import Path

import numpy as np

from ar_zoo.cli import start_tensorflow
from ar_zoo.core.files import atomic_path

FULL = Path(__file__).resolve().parents[2] / "shared" / "data"
CASES = {  # name → preset, full file, shipped source, symbols
    "digits": ("gated_pixel_cnn.mnist", "mnist.npz", "shipped:digits", 1000),
    "emoji": ("gated_pixel_cnn.emoji", "emoji32.npz", "shipped:emoji", 361),
    "speech": ("wavenet.speech8k", "speech8k.npz", "shipped:speech", 160_000),
    "text": ("gpt.kjv", "kjv_valid.txt", "shipped:text", 100_000),
}
MAX_ABOVE = 0.01  # of the model's own code length


def main(words=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="default all")
    parser.add_argument("--data", type=Path, default=FULL, help="folder of the full files (default %(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="only the first part of each, 0.1 say (default 1)")
    parser.add_argument("--batch-size", type=int, default=64, help="rows coded side by side (default 64)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(words)
    start_tensorflow()
    found = []
    for name in options.cases:
        found.append(measured(name, options))
        print(row_of(found[-1]), file=sys.stderr, flush=True)
    print(table(found))
    if options.json:
        with atomic_path(options.json) as temporary:
            temporary.write_text(json.dumps(found, indent=1))
    return 0 if all(fact["exact"] and fact["above"] <= MAX_ABOVE for fact in found) else 1


def measured(name: str, options) -> dict:
    """Sizes and times of one kind of data."""
    import ar_zoo
    from ar_zoo.coding.codec import decompress, encode
    from ar_zoo.data import read

    preset, file, shipped, count = CASES[name]
    model, full = ar_zoo.load(preset), options.data / file
    part = read(full if full.is_file() else shipped, "valid")
    x = model.head.encode(part.values)[: max(1, round(count * options.share))]
    start, cpu = time.perf_counter(), time.process_time()
    packed = encode(model, x, {"model": preset}, batch_size=options.batch_size, progress=sys.stderr.isatty())
    between = time.perf_counter()
    exact = bool(np.array_equal(decompress(model, packed.data, progress=sys.stderr.isatty()), x))
    stop, cpu = time.perf_counter(), time.process_time() - cpu
    return {
        "case": name,
        "preset": preset,
        "source": str(full.name if full.is_file() else shipped),
        "symbols": packed.dimensions,
        "model_bytes": math.ceil(packed.model_bits / 8),
        "bytes": len(packed.data),
        "above": 8 * len(packed.data) / packed.model_bits - 1,
        "bits_per_dim": 8 * len(packed.data) / packed.dimensions,
        "exact": exact,
        "encode_symbols_per_second": packed.dimensions / (between - start),
        "decode_symbols_per_second": packed.dimensions / (stop - between),
        "cpu_seconds": cpu,  # of both ways; on a busy machine the times above say less
        "others": others(name, x, model),
    }


def others(name: str, x: np.ndarray, model) -> dict:
    """Coder → bytes."""
    plain = model.head.decode(x).encode() if name == "text" else x.astype(np.uint8).tobytes()
    sizes = {"xz": len(lzma.compress(plain, preset=9 | lzma.PRESET_EXTREME)), "bzip2": len(bz2.compress(plain, 9))}
    try:
        import zpaq
    except ImportError:
        pass
    else:
        sizes["zpaq -m5"] = len(zpaq.compress(plain, 5, threads=1, hints=False))
    if name in ("digits", "emoji"):
        sizes |= pictures(_sheet(x.astype(np.uint8)))
    elif name == "speech":
        sizes["FLAC"] = _flac(x)
    return sizes


def pictures(sheet: np.ndarray) -> dict:
    """Image coders on one picture."""
    from PIL import Image

    sizes = {}
    for label, how in {
        "PNG": dict(format="PNG", optimize=True),
        "WebP": dict(format="WEBP", lossless=True, quality=100, method=6),
    }.items():
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, **how)
        sizes[label] = len(file.getvalue())
    try:
        import imagecodecs
    except ImportError:
        return sizes
    coded = imagecodecs.jpegxl_encode(sheet, lossless=True, effort=9)
    assert np.array_equal(imagecodecs.jpegxl_decode(coded), sheet)
    return sizes | {"JPEG XL": len(coded)}


def _sheet(images: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] side by side, in as square a picture as N allows without a gap; grey ones lose their channel."""
    count, height, width, channels = images.shape
    columns = next(size for size in range(math.isqrt(count), count + 1) if count % size == 0)
    rows = images.reshape(count // columns, columns, height, width, channels).swapaxes(1, 2)
    return rows.reshape(-1, columns * width, *([channels] if channels > 1 else []))


def _flac(levels: np.ndarray) -> int:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, ((levels - 128) << 8).astype(np.int16), 8000, format="FLAC", subtype="PCM_S8")
    return len(file.getvalue())


def row_of(fact: dict) -> str:
    smallest = ", ".join(f"{name} {size:,}" for name, size in sorted(fact["others"].items(), key=lambda pair: pair[1]))
    return (
        f"| {fact['case']}, {fact['symbols']:,} symbols | `{fact['preset']}` | {fact['model_bytes']:,} | "
        f"**{fact['bytes']:,}** (+{fact['above']:.2%}) | {fact['bits_per_dim']:.3f} | {smallest} | "
        f"{fact['decode_symbols_per_second']:,.0f} |"
    )


def table(found: list[dict]) -> str:
    """All of it in Markdown."""
    lines = [
        "| data | preset | model's code length, bytes | compressed, bytes | bits/symbol | other coders, bytes | "
        "decoded symbols/s |",
        "|---|---|---|---|---|---|---|",
        *map(row_of, found),
    ]
    wrong = [fact["case"] for fact in found if not fact["exact"]]
    wide = [fact["case"] for fact in found if fact["above"] > MAX_ABOVE]
    lines += ["", f"Exact round trips: {'all' if not wrong else f'NOT of {wrong}'}."]
    lines += [f"Within {MAX_ABOVE:.0%} of the model's code length: {'all' if not wide else f'NOT {wide}'}."]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
