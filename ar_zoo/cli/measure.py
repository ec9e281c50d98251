"""`score` and `bench`: how well and how fast."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ar_zoo.cli.start import MODEL_HELP, load, start_tensorflow


def add_to(command):
    """Adds these commands; `command(name, run, summary, *examples)` gives the parser of one."""
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


def _score(options):
    model = load(options.model)
    from ar_zoo.data import read
    from ar_zoo.drawing import data_kind, sample_rate_of
    from ar_zoo.training.evaluate import evaluate

    kind = data_kind(model)
    if kind == "symbols":
        raise ValueError("`score` needs a model of images, sound or text; this one takes bare symbols: use `log_prob`.")
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
