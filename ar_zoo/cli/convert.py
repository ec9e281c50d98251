"""`export`, `compress` and `decompress`: models and data in other forms."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ar_zoo.cli.start import MODEL_HELP, load, new, start_tensorflow


def add_to(command):
    """Adds these commands; `command(name, run, summary, *examples)` gives the parser of one."""
    from ar_zoo.export.artifact import FORMATS

    summary = "write a model as SavedModel, TFLite and ONNX"
    examples = (
        "gated_pixel_cnn.mnist digits --formats tflite",
        "gpt.kjv bible --formats onnx --prefill 16 128",
        "gpt.kjv bible --formats tflite onnx --quantize int8",
        "wavenet.speech8k speech --formats tflite --quantize 'wiring|hidden=int8' =int4 --max-loss 0.03",
        "maf.cancer flow --formats tflite --untrained",
    )
    add = command("export", _export, summary, *examples).add_argument
    add("model", help=MODEL_HELP)
    add("folder", help="where; an older export there is replaced")
    help = "take a name of `ar-zoo list` with random weights, to see how fast it is or to try a host"
    add("--untrained", action="store_true", help=help)
    add("--formats", nargs="+", choices=FORMATS, default=["saved_model", "tflite"], help="default saved_model tflite")
    add("--batch-size", type=int, default=1, help="rows that the graphs work on at once (default 1)")
    add("--sites", type=int, help="longest event that is scored, where length is free (default the model's, or 8000)")
    add("--prefill", type=int, nargs="*", help="sizes of the chunks that a known beginning is read in (default 64)")
    add("--cache-sizes", type=int, nargs="*", help="also steps for keys and values of so many sites, which read less")
    add("--verify", type=int, nargs="*", help="sizes of chunks that give the parameters of each site (default none)")
    help = (
        "int8, and for TFLite int4 and float16, or PATTERN=SCHEME … for the weights whose path has PATTERN in it, the first "
        "that fits"
    )
    add("--quantize", nargs="+", metavar="SCHEME", help=help)
    add("--validation", help="what a quantised export is measured on, as in `score` (default the shipped subset)")
    add("--max-loss", type=float, help="rise of bits per dimension above which it is refused (default 0.01)")
    add("--limit", type=int, help="measure on the first so many images (default 64) or windows (default 16)")

    summary = "pack an export into a .litertlm file for Google's LiteRT-LM engine"
    add = command("bundle", _bundle, summary, "bible bible.litertlm").add_argument
    add("folder", help="an export of a model of text, made with `--formats litert_lm`")
    add("file", help="where, ending in .litertlm")

    summary = "compress a picture, a sound or a text without loss, with a model as its dictionary"
    examples = (
        "gpt.kjv verses.txt verses.arz",
        "wavenet.speech8k voice.wav voice.arz",
        "gated_pixel_cnn.mnist digits.npz digits.arz --array x_valid",
    )
    add = command("compress", _compress, summary, *examples).add_argument
    add("model", help=MODEL_HELP)
    help = "a .png, .wav, .flac or UTF-8 text, or an array in a .npy or .npz; of sound, the model's levels are kept"
    add("input", help=help)
    add("output", help="the compressed file")
    add("--array", help="which array of an .npz")
    add("--window", type=int, help="length of the pieces of sound or text (default the model's longest, or 4000)")
    help = "rows that are coded side by side: more are faster and need more memory (default 64)"
    add("--batch-size", type=int, default=64, help=help)
    add("--force", action="store_true", help="replace the output")

    summary = "give back what was compressed, exactly, or say why not"
    examples = ("verses.arz verses.txt", "voice.arz voice.wav", "digits.arz digits.npy --model runs/digits/best")
    add = command("decompress", _decompress, summary, *examples).add_argument
    add("input", help="what `ar-zoo compress` wrote")
    add("output", help="a .png (one image), .wav or .npy, as fits what is in it; a text has any name")
    add("--model", help="the model that compressed it (default the shipped preset that the file names)")
    add("--force", action="store_true", help="replace the output")


def _export(options):
    model = new(options.model) if options.untrained else load(options.model)
    import ar_zoo

    sites = options.sites
    if sites is None and model.num_sites is None:
        sites = model.max_sites or 8000
    chunks = dict(prefill=options.prefill, verify=options.verify or (), cache_sizes=options.cache_sizes or ())
    quantization = _quantization(model, options)
    folder = ar_zoo.export(
        model, options.folder, tuple(options.formats), options.batch_size, sites, **chunks, **quantization
    )
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(f"{path.stat().st_size:>12,}  {path.resolve()}")
    quality = json.loads((folder / "manifest.json").read_text()).get("quality")
    if quality:
        base, measured = quality["bits_per_dim_float32"], f"{quality['events']} events of {quality['data']}"
        for name, found in quality["formats"].items():
            figures = "{bits_per_dim:.4f} bits per dimension, {loss:+.2%}".format(**found)
            print(f"{name}: {figures} of float32's {base:.4f} ({measured})")


def _bundle(options):
    start_tensorflow()  # the engine's package imports it where it is there
    from ar_zoo.export.bundle import bundle

    file = bundle(options.folder, options.file)
    print(f"{file.stat().st_size:>12,}  {file.resolve()}")


def _quantization(model, options) -> dict:
    """Arguments of `export`: one scheme, or PATTERN=SCHEME for each layer that has its own."""
    if options.quantize is None:
        for name in ("validation", "max_loss", "limit"):
            if getattr(options, name) is not None:
                raise ValueError(f"`--{name.replace('_', '-')}` is for quantised exports: give `--quantize int8`, say.")
        return {}
    from ar_zoo.core.quantization import read_scheme
    from ar_zoo.drawing import data_kind

    images = "shipped:emoji" if model.event_shape[-1] == 3 else "shipped:digits"
    shipped = {"image": images, "sound": "shipped:speech", "text": "shipped:text"}
    validation = options.validation or shipped.get(data_kind(model))
    asked = dict(quantize=read_scheme(options.quantize), validation=validation, limit=options.limit)
    return asked if options.max_loss is None else asked | {"max_loss": options.max_loss}


def _compress(options):
    _check_new(options)
    start_tensorflow()
    from ar_zoo.coding import compress_file

    progress = sys.stderr.isatty()
    arguments = (options.array, options.window, options.batch_size, progress)
    found = compress_file(options.model, options.input, options.output, *arguments)
    print(
        "{bytes:,} bytes for {dimensions:,} symbols, {bits_per_dim:.4f} bits each; the model's own code length is "
        "{model_bits_per_dim:.4f}. {ratio:.2f} times smaller.".format(**found)
    )
    print(Path(options.output).resolve())


def _decompress(options):
    _check_new(options)
    start_tensorflow()
    from ar_zoo.coding import decompress_file

    decompress_file(options.input, options.output, options.model, sys.stderr.isatty())
    print(Path(options.output).resolve())


def _check_new(options):
    if Path(options.output).exists() and not options.force:
        raise ValueError(f"{options.output} exists: choose another name, or replace it with `--force`.")
