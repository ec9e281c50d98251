"""`ar-zoo`: list, train, sample, score, export and compress with models from a terminal.

    ar-zoo sample gated_pixel_cnn.mnist --label 3 --out threes.png

Results go to standard output and into files, everything else to standard error. A user's mistake is one line that says
what to do, and exit status 2.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np

from ar_zoo.core.paths import shipped_folder

MODEL_HELP = "a name of `ar-zoo list --pretrained`, a preset folder, or the address of one (https://…)"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except BrokenPipeError:  # `ar-zoo list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:  # the last: an extra that is not installed
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def start_tensorflow() -> None:
    """Imports TensorFlow without its notes and warnings about the machine, some of which no setting can silence.

    They are shown where the import fails, and where `TF_CPP_MIN_LOG_LEVEL` is set to 0 or 1.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1") or "tensorflow" in sys.modules:
        return
    with _notes_withheld():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def _notes_withheld():
    """What is written to file descriptor 2, by whatever language, is dropped, unless the block raises."""
    import tempfile

    with tempfile.TemporaryFile() as notes, os.fdopen(os.dup(2), "wb") as kept:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            kept.write(notes.read())
            raise
        finally:
            os.dup2(kept.fileno(), 2)


def load(name: str):
    """A pretrained model, with TensorFlow started quietly."""
    start_tensorflow()
    import ar_zoo

    return ar_zoo.load(name)


# The commands.


def _list(options):
    from ar_zoo.core.pretrained import list_pretrained, read_manifest

    if options.pretrained:
        for name in list_pretrained():
            manifest = read_manifest(shipped_folder("exported") / name)
            metrics = ", ".join(f"{key} {value}" for key, value in manifest.get("metrics", {}).items())
            licence = manifest.get("licence") or "not stated"
            print(f"{name:32}{manifest['num_weights']:>14,}  {metrics}; licence: {licence}")
        return
    start_tensorflow()
    import ar_zoo
    from ar_zoo.training import find_recipe, list_recipes

    if options.recipes:
        for recipe in map(find_recipe, list_recipes()):
            print(f"{recipe.name:32}{recipe.model:26}{recipe.source:20}{recipe.about}")
        return
    for name in ar_zoo.list_models(options.pattern):
        print(f"{name:32}{ar_zoo.num_weights(name):>14,}", flush=True)


def _train(options):
    start_tensorflow()
    from ar_zoo.training import find_recipe

    return find_recipe(options.name).main(options.arguments)


def _sample(options):
    model = load(options.model)
    from ar_zoo import data, drawing

    kind, name = drawing.data_kind(model), Path(options.model.rstrip("/")).name
    suffix = {"image": ".png", "sound": ".wav", "series": ".csv", "table": ".csv"}.get(kind, ".txt")
    out = Path(options.out or f"{name}{suffix}")
    if kind in ("image", "sound") and out.suffix.lower() != suffix:
        raise ValueError(f"`--out` must end in {suffix} for {name}; got {out}.")
    count = (16 if kind == "image" else 1) if options.num is None else options.num
    labels = None if options.label is None else np.resize(options.label, max(count, 0))
    common = dict(seed=options.seed, temperature=options.temperature, context=labels)
    if sys.stderr.isatty():
        print(f"Drawing from {name}; the first draw compiles for some seconds.", file=sys.stderr)
    if kind == "text":
        sites = 1000 if options.sites is None else options.sites
        texts = drawing.draw_text(model, sites, count, prefix=drawing.text_or_file(options.prefix), **common)
        if options.out is None:
            print("\n\n".join(texts))
            return
        data.write_text(out, "\n\n".join(texts) + "\n")
        written = [out]
    else:
        sites, many = options.sites, dict(batch_size=options.batch_size, progress=options.batch_size is not None)
        if kind == "sound" and sites is None:
            sites = round(options.seconds * drawing.sample_rate_of(model, options.sample_rate))
        if kind == "series" and sites is None:
            sites = 1000
        prefix = None if options.prefix is None else drawing.read_prefix(model, options.prefix, options.sample_rate)
        x = model.sample(count, prefix=prefix, num_sites=sites, **common, **many)
        columns = len(options.label) if options.label and len(options.label) > 1 else None
        written = drawing.write_drawn(model, x, out, options.sample_rate, columns)
    for path in written:
        print(path.resolve())


def _score(options):
    model = load(options.model)
    from ar_zoo.data import read
    from ar_zoo.drawing import data_kind, sample_rate_of
    from ar_zoo.training.evaluate import evaluate

    kind = data_kind(model)
    if kind == "symbols":
        raise ValueError(
            "`score` needs a model of images, sound, text or numbers; this one takes bare symbols: use `log_prob`."
        )
    rows = []
    for source in options.data:
        rate = sample_rate_of(model, options.sample_rate) if kind == "sound" else None
        part = read(source, options.split, kind=kind, sample_rate=rate, binarize=options.binarize)
        verbose = 1 if sys.stderr.isatty() else 0
        facts = evaluate(model, part, options.batch_size, options.window, options.limit, not options.no_labels, verbose)
        rows.append({"model": options.model, "data": source, "split": options.split, **facts})
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'data':32}{'split':>6}{'events':>10}{'dimensions':>12}{'nats':>16}{'bits/dim':>10}")
    for row in rows:
        print("{data:32}{split:>6}{events:>10,}{dimensions:>12,}{nats:>16,.1f}{bits_per_dim:>10.4f}".format(**row))


def _export(options):
    model = load(options.model)
    import ar_zoo

    sites = options.sites or (model.max_sites or 8000 if model.num_sites is None else None)
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


def _quantization(model, options) -> dict:
    """Arguments of `export`: one scheme, or PATTERN=SCHEME for each layer that has its own."""
    if options.quantize is None:
        return {}
    from ar_zoo.core.quantization import read_scheme
    from ar_zoo.drawing import data_kind

    shipped = {"image": "shipped:digits", "sound": "shipped:speech", "text": "shipped:text"}
    validation = options.validation or shipped.get(data_kind(model))
    return dict(
        quantize=read_scheme(options.quantize), validation=validation, max_loss=options.max_loss, limit=options.limit
    )


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


def _bench(options):
    from ar_zoo import bench

    exported = (Path(options.model) / "manifest.json").is_file() and not (Path(options.model) / "config.json").is_file()
    if exported:
        model, sites = options.model, options.sites
    else:
        model = _new_or_pretrained(options.model)
        sites = options.sites or (model.max_sites or 2000 if model.num_sites is None else None)
    rows = bench.bench(model, options.engines, options.batch_size, sites, options.repeats)
    print(json.dumps(rows, indent=1) if options.json else bench.table(rows))
    if options.plot:
        print(
            bench.plot(rows, options.plot, f"{options.model}, {options.batch_size} at a time").resolve(),
            file=sys.stderr,
        )


def _new_or_pretrained(name):
    """A pretrained model, or one of the zoo's with random weights, which are as fast."""
    start_tensorflow()
    import ar_zoo
    from ar_zoo.core.pretrained import list_pretrained

    if name not in list_pretrained() and name in ar_zoo.list_models():
        return ar_zoo.create(name)
    return ar_zoo.load(name)


def _web(options):
    start_tensorflow()
    from ar_zoo import web

    # The port is taken before the minutes that exporting needs.
    with web.server(options.folder, 0 if options.no_serve else options.port) as server:
        folder = web.write_page(options.folder, options.models)
        if options.no_serve:
            print(folder.resolve())
            return
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        print("Ctrl-C ends it.", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _demo(options):
    path = shipped_folder("tools") / "demo.py"
    if not path.is_file():
        raise ValueError("`demo` needs the repository, not only the installed package: run `make demo` there.")
    return runpy.run_path(str(path))["main"](["--out", options.out])


class _Parser(argparse.ArgumentParser):
    """One line for a mistake, and examples with their line breaks."""

    def __init__(self, **kwargs):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)

    def error(self, message):
        self.exit(2, f"error: {message}. `{self.prog} --help` shows how.\n")


def _parser() -> argparse.ArgumentParser:
    from ar_zoo import __version__
    from ar_zoo.export.artifact import FORMATS

    parser = _Parser(prog="ar-zoo", description="Autoregressive models: list, train, sample, score, export, compress.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands (each has --help)")

    def command(name, run, summary, *examples):
        epilog = "\n".join(["examples:", *(f"  ar-zoo {name} {example}".rstrip() for example in examples)])
        description = f"{summary[0].upper()}{summary[1:]}."
        added = commands.add_parser(name, help=summary, description=description, epilog=epilog)
        added.set_defaults(run=run)
        return added

    summary = "show the models, the pretrained presets or the recipes"
    add = command("list", _list, summary, "", "gpt", "--pretrained").add_argument
    add("pattern", nargs="?", default="", help="only models whose name contains this")
    add("--pretrained", action="store_true", help="presets with trained weights: weights, metrics, licence")
    add("--recipes", action="store_true", help="recipes: model and data")

    add = command(
        "train",
        _train,
        "train a recipe; everything after its name goes to the recipe, which has a --help of its own",
        "gated_pixel_cnn_mnist --smoke",
        "gpt_kjv --data my_text.txt --epochs 3 --out runs/my_text",
    ).add_argument
    add("name", help="a name of `ar-zoo list --recipes`, or a Python file that holds a RECIPE")
    add("arguments", nargs=argparse.REMAINDER, metavar="…", help="the recipe's options")

    add = command(
        "sample",
        _sample,
        "draw from a model, into a PNG, a WAV with a picture of its waveform, text, or a CSV of numbers",
        "gated_pixel_cnn.mnist --num 50 --label 0 1 2 3 4 5 6 7 8 9 --out digits.png",
        "gated_pixel_cnn.mnist --prefix digit.png",
        "wavenet.speech8k --seconds 4 --out speech.wav",
        'gpt.kjv --prefix "And it came to pass" --temperature 0.8',
    ).add_argument
    add("model", help=MODEL_HELP)
    add("--num", type=int, help="how many (default 16 images, otherwise 1)")
    add("--seed", type=int, default=0, help="the same seed draws the same (default 0)")
    add("--temperature", type=float, default=1.0, help="below 1 is safer, 0 takes the likeliest symbol (default 1)")
    add("--label", type=int, nargs="+", help="classes, in turn; several are the columns of the grid")
    add("--prefix", help="how it begins: a text or a text file, a WAV, a picture (of a whole one the top half is kept)")
    add(
        "--sites",
        type=int,
        help="length in characters or samples, the prefix included (default 1000 characters or numbers)",
    )
    add("--seconds", type=float, default=3.0, help="length of sound, the prefix included (default 3)")
    add("--sample-rate", type=int, help="samples per second of sound (default the model's, or 8000)")
    add("--batch-size", type=int, help="how many are drawn at once (default all); text: all")
    add("--out", help="the file (default MODEL.png or MODEL.wav here; text goes to the terminal)")

    add = command(
        "score",
        _score,
        "measure nats and bits per dimension of data under a model",
        "gated_pixel_cnn.mnist shipped:digits",
        "gpt.kjv my_text.txt other_text.txt --split train --json",
    ).add_argument
    add("model", help=MODEL_HELP)
    add("data", nargs="+", help="shipped:digits, an .npz or .txt file, a folder, or a name of TensorFlow Datasets")
    add("--split", default="valid", help="train, valid or test (default valid)")
    add("--batch-size", type=int, default=8, help="events at once (default 8)")
    add("--window", type=int, help="length of a piece of sound or text (default the model's longest, or 4000)")
    add("--limit", type=int, help="only the first so many images or windows")
    add("--no-labels", action="store_true", help="do not tell the model the labels of the data")
    add("--binarize", action="store_true", help="make images black and white, as the recipes of binarised digits do")
    add("--sample-rate", type=int, help="samples per second that sound must have (default the model's, or 8000)")
    add("--json", action="store_true", help="JSON in place of a table")

    summary = "write a model as SavedModel, TFLite and ONNX"
    examples = (
        "gated_pixel_cnn.mnist digits --formats tflite",
        "gpt.kjv bible --formats onnx --prefill 16 128",
        "gpt.kjv bible --formats tflite onnx --quantize int8",
        "wavenet.speech8k speech --formats tflite --quantize 'output|hidden=int8' =int4",
    )
    add = command("export", _export, summary, *examples).add_argument
    add("model", help=MODEL_HELP)
    add("folder", help="where; an older export there is replaced")
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
    add("--max-loss", type=float, default=0.01, help="rise of bits per dimension above which it is refused (0.01)")
    add("--limit", type=int, help="measure on the first so many images (default 64) or windows (default 16)")

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

    summary = "measure how fast a model draws, on each engine, in a table"
    examples = (
        "gated_pixel_cnn.mnist --engines tensorflow litert onnx",
        "wavenet.benchmark --plot speed.png",
        "digits_export",
    )
    add = command("bench", _bench, summary, *examples).add_argument
    add("model", help=f"{MODEL_HELP}; a name of `ar-zoo list`, with random weights; or the folder of an export")
    engines = ["tensorflow", "litert", "onnx", "saved_model"]
    add("--engines", nargs="+", choices=engines, default=engines[:2], help="default tensorflow litert")
    add("--batch-size", type=int, default=1, help="rows drawn at once (default 1)")
    add("--sites", type=int, help="length, where it is free (default the model's, or 2000)")
    add("--repeats", type=int, default=3, help="how often each time is taken; the best counts (default 3)")
    add("--json", action="store_true", help="JSON in place of a table")
    add("--plot", help="also draw the table, into this PNG")

    summary = "write the web page, in which exported models draw, and serve it on 127.0.0.1"
    add = command(
        "web", _web, summary, "", "my_page --no-serve", "my_page --models runs/digits/best gpt.kjv"
    ).add_argument
    add("folder", nargs="?", default="web_out", help="where; an older page there is replaced (default web_out)")
    add("--port", type=int, default=8000, help="0 takes any that is free (default 8000)")
    models = "gated_pixel_cnn.mnist wavenet.speech8k gpt.kjv"
    add("--models", nargs="+", default=models.split(), help=f"as the other commands take them (default {models})")
    add("--no-serve", action="store_true", help="write it only; any web server can serve the folder")

    add = command("demo", _demo, "run what `make demo` runs, in a clone of the repository", "").add_argument
    add("--out", default="demo_out", help="the folder for what it makes (default demo_out)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
