"""`score`, `compare`, `anomalies` and `bench`: how well, how odd and how fast."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from pathlib import Path

from ar_zoo.cli.start import MODEL_HELP, load, refuse_given_pictures, start_tensorflow
from ar_zoo.core import arguments
from ar_zoo.uses.look_alikes import LOOK_ALIKES, look_alike


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
    _add_scoring_options(add, 8)

    summary = "score several models on the same data, with standard errors and differences event by event"
    examples = (
        "gated_pixel_cnn.mnist runs/pixel_cnn/best --data shipped:digits --plot densities.png",
        "gpt.kjv runs/ngram_kjv/best --data shipped:text --window 256 --json",
    )
    add = command("compare", _compare, summary, *examples).add_argument
    add("models", nargs="+", metavar="MODEL", help=MODEL_HELP)
    add("--data", required=True, help="as in `score`")
    _add_scoring_options(add, 16)
    add("--plot", help="also draw the table, into this PNG")

    summary = "tell odd images from normal ones by their likelihood, and say how well that works"
    examples = (
        "gated_pixel_cnn.mnist --normal shipped:digits --plot roc.png",
        "gated_pixel_cnn.mnist --normal shipped:digits --odd letters noisy my_letters.npz --group 10",
    )
    added = command("anomalies", _anomalies, summary, *examples)
    added.description += (
        " Three scores, higher for odder: raw, -log2 p; corrected, that less the bits of the best lossless image coder "
        "(Serrà et al. 2020); typicality, the distance of -log2 p from its mean over training images (Nalisnick et al. 2019). "
        "AUROC: 0.5 is chance, 1 perfect. Labels are not told."
    )
    add = added.add_argument
    add("model", help=f"of images: {MODEL_HELP}")
    add("--normal", required=True, help="data that the model knows, as in `score`")
    kinds = ", ".join(LOOK_ALIKES)
    help = f"made from the normal images: {kinds}; or data as in `score`"
    add("--odd", nargs="+", default=["rotated", "noisy", "letters"], help=f"{help} (default rotated noisy letters)")
    add("--split", default="valid", help="of all the data: train, valid or test (default valid)")
    add("--typical", default="train", help="split of the normal data whose mean is typical (default train)")
    add("--group", type=int, default=1, help="test the means of groups of so many images (default 1)")
    add("--batch-size", type=int, default=16, help="images scored at once (default 16)")
    add("--limit", type=int, help="only the first so many images of each")
    add("--seed", type=int, default=0, help="of look-alikes and groups (default 0)")
    add("--binarize", action="store_true", help="make images black and white, as the recipes of binarised digits do")
    add("--json", action="store_true", help="JSON in place of a table")
    add("--plot", help="also draw the ROC curves, into this PNG")

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
    add("--batch-size", type=int, help="rows drawn at once (default 1, of an export those that it was made for)")
    add("--sites", type=int, help="length, where it is free (default the model's, or 2000)")
    add("--repeats", type=int, default=3, help="how often each time is taken; the best counts (default 3)")
    add("--json", action="store_true", help="JSON in place of a table")
    add("--plot", help="also draw the table, into this PNG")


def _add_scoring_options(add, batch_size):
    """What of which data is scored, and how: of `score` and of `compare`."""
    add("--split", default="valid", help="train, valid or test (default valid)")
    add("--batch-size", type=int, default=batch_size, help=f"events at once (default {batch_size})")
    add("--window", type=int, help="length of a piece of sound or text (default the model's longest, or 4000)")
    add("--limit", type=int, help="only the first so many images or windows")
    add("--no-labels", action="store_true", help="do not tell the models the labels of the data")
    add("--binarize", action="store_true", help="make images black and white, as the recipes of binarised digits do")
    add("--sample-rate", type=int, help="samples per second that sound must have (default the model's, or 8000)")
    add("--json", action="store_true", help="JSON in place of a table")


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
    for row in rows:
        if "raw_nats" in row:
            print("{data}: of standardised numbers; in the data's own units {raw_nats:,.1f} nats.".format(**row))


def _compare(options):
    from ar_zoo.uses import compare as comparing

    _check_plot(options)
    first = load(options.models[0])
    from ar_zoo.data import read
    from ar_zoo.drawing import data_kind, sample_rate_of

    if len(set(options.models)) < len(options.models):
        raise ValueError(f"`MODEL`: one is named twice in {' '.join(options.models)}.")
    kind = data_kind(first)
    if kind == "symbols":
        raise ValueError(
            "`compare` needs models of images, sound, text or numbers; the first takes bare symbols: use `log_prob`."
        )
    rate = sample_rate_of(first, options.sample_rate) if kind == "sound" else None
    part = read(options.data, options.split, kind=kind, sample_rate=rate, binarize=options.binarize)
    models = {options.models[0]: first} | {name: functools.partial(load, name) for name in options.models[1:]}
    how = dict(window=options.window, limit=options.limit, labels=not options.no_labels)
    rows = comparing.compare_models(models, part, options.batch_size, progress=sys.stderr.isatty(), **how)
    print(json.dumps(rows, indent=1) if options.json else comparing.table(rows))
    if options.plot:
        title = f"{Path(options.data).name}, {options.split}: {rows[0]['events']:,} events"
        comparing.plot(rows, options.plot, title)
        print(Path(options.plot).resolve(), file=sys.stderr)


def _anomalies(options):
    _check_plot(options)
    model = load(options.model)
    refuse_given_pictures(model, options.model)
    from ar_zoo.data import read
    from ar_zoo.data.binarize import binarized
    from ar_zoo.drawing import data_kind
    from ar_zoo.uses import anomaly

    if data_kind(model) != "image":
        raise ValueError(f"`anomalies` needs a model of images; {options.model} draws {data_kind(model)}.")

    def part(source, split, binarize=options.binarize):
        return read(source, split, kind="image", binarize=binarize)

    def odd(kind):
        if kind not in LOOK_ALIKES:
            return part(kind, options.split)
        grey = part(options.normal, options.split, binarize=False)
        made = dataclasses.replace(grey, values=look_alike(kind, grey.values, options.seed))
        return binarized(made) if options.binarize else made

    arguments.whole_or_none(limit=options.limit)
    normal, typical = part(options.normal, options.split), part(options.normal, options.typical)
    kinds = {kind: odd(kind).values[: options.limit] for kind in options.odd}
    how = dict(group=options.group, batch_size=options.batch_size, seed=options.seed, progress=sys.stderr.isatty())
    scores = anomaly.scores_of(model, normal.values[: options.limit], kinds, typical.values[: options.limit], **how)
    rows = anomaly.rows(scores)
    print(json.dumps(rows, indent=1) if options.json else anomaly.table(rows))
    if options.plot:
        anomaly.plot_roc(options.plot, scores, f"{Path(options.model).name}: {Path(options.normal).name} is normal")
        print(Path(options.plot).resolve(), file=sys.stderr)


def _check_plot(options):
    if options.plot and Path(options.plot).suffix.lower() != ".png":
        raise ValueError(f"`--plot` must end in .png; got {options.plot}.")


def _bench(options):
    from ar_zoo import bench

    _check_plot(options)
    exported = (Path(options.model) / "manifest.json").is_file() and not (Path(options.model) / "config.json").is_file()
    sites, batch_size = options.sites, options.batch_size
    if exported:
        model = options.model
    else:
        model = _new_or_pretrained(options.model)
        if sites is None and model.num_sites is None:
            sites = model.max_sites or 2000
    rows = bench.bench(model, options.engines, batch_size, sites, options.repeats)
    print(json.dumps(rows, indent=1) if options.json else bench.table(rows))
    if options.plot:
        title = f"{options.model}, {rows[0]['batch_size']} at a time"
        print(bench.plot(rows, options.plot, title).resolve(), file=sys.stderr)


def _new_or_pretrained(name):
    """A pretrained model, or one of the zoo's with random weights, which are as fast."""
    start_tensorflow()
    import ar_zoo
    from ar_zoo.core.pretrained import list_pretrained

    if name not in list_pretrained() and name in ar_zoo.list_models():
        return ar_zoo.create(name)
    return ar_zoo.load(name)
