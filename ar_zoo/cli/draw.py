"""`sample`, `inpaint`, `colorize` and `upscale`: what a model draws, into files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ar_zoo.cli.start import MODEL_HELP, load, refuse_given_pictures
from ar_zoo.uses.inpaint import KEEP


def add_to(command):
    """Adds these commands; `command(name, run, summary, *examples)` gives the parser of one."""
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
    help = "length in characters, tokens or samples, the prefix included (default 1000 of text and numbers)"
    add("--sites", type=int, help=help)
    add("--seconds", type=float, default=3.0, help="length of sound, the prefix included (default 3)")
    add("--sample-rate", type=int, help="samples per second of sound (default the model's, or 8000)")
    add("--batch-size", type=int, help="how many are drawn at once (default all); text: all")
    add("--out", help="the file (default MODEL.png or MODEL.wav here; text goes to the terminal)")

    examples = (
        "gated_pixel_cnn.mnist --image shipped:digits:0 shipped:digits:7 --keep top --num 6 --out halves.png",
        "gated_pixel_cnn.mnist --image shipped:digits:3 --keep frame:8,8,12,12",
        "runs/orderless/best --image digit.png --keep my_mask.png",
    )
    add = command("inpaint", _inpaint, "complete images of which a part is known, into a PNG", *examples).add_argument
    add("model", help=f"of images: {MODEL_HELP}")
    help = "pictures of the model's size, or DATA:INDEX, image number INDEX of DATA, from 0"
    add("--image", nargs="+", required=True, help=help)
    help = (
        f"what is known, all that is named: {KEEP}; or a picture, white where it is known. Known pixels are kept and the "
        "others drawn in the model's order, so what is known later does not inform what is drawn earlier: a model that draws "
        "from the top left makes little of `bottom`. An orderless one (nade with orderless=True) is informed by all"
    )
    add("--keep", nargs="+", default=["top"], help=f"{help} (default top)")
    add("--split", default="valid", help="of DATA: train, valid or test (default valid)")
    add("--num", type=int, default=4, help="draws of each image (default 4)")
    add("--seed", type=int, default=0, help="the same seed draws the same (default 0)")
    add("--temperature", type=float, default=1.0, help="below 1 is safer, 0 takes the likeliest symbol (default 1)")
    add("--label", type=int, nargs="+", help="classes, one for all or one an image (default what DATA say)")
    add("--no-labels", action="store_true", help="do not tell the model the labels of DATA")
    add("--batch-size", type=int, help="how many are drawn at once (default all)")
    add("--out", default="inpainted.png", help="a row an image: original, known part, draws (default inpainted.png)")

    _add_from_known(command, "colorize", "colour grey images", "runs/gated_pixel_cnn_emoji_color/best", "coloured.png")
    _add_from_known(command, "upscale", "make images larger", "runs/gated_pixel_cnn_emoji_large/best", "upscaled.png")


def _add_from_known(command, name, what, model, out):
    examples = f"{model} --image shipped:emoji:0 shipped:emoji:7 --num 6 --out {out}", f"{model} --image picture.png"
    summary = f"{what}, into a PNG, with a model that was trained for it (`known_shape`)"
    add = command(name, _from_known, summary, *examples).add_argument
    add("model", help=f"that is given a picture: {MODEL_HELP}")
    add(
        "--image",
        nargs="+",
        required=True,
        help="pictures of the model's size or of the size that it is given, or DATA:INDEX, image number INDEX of DATA, from 0. "
        "The model is told only what it was trained to be: their brightness, or a smaller picture",
    )
    add("--split", default="valid", help="of DATA: train, valid or test (default valid)")
    add("--num", type=int, default=4, help="draws of each image (default 4)")
    add("--seed", type=int, default=0, help="the same seed draws the same (default 0)")
    add("--temperature", type=float, default=1.0, help="below 1 is safer, 0 takes the likeliest symbol (default 1)")
    add("--batch-size", type=int, help="how many are drawn at once (default all)")
    add("--out", default=out, help=f"a row an image: what is known, draws, original (default {out})")


def _sample(options):
    model = load(options.model)
    refuse_given_pictures(model, options.model)
    from ar_zoo import data, drawing
    from ar_zoo.core import checks

    kind, name = drawing.data_kind(model), Path(options.model.rstrip("/")).name
    suffix = {"image": ".png", "sound": ".wav", "table": ".csv", "series": ".csv"}.get(kind, ".txt")
    out = Path(options.out or f"{name}{suffix}")
    if kind in ("image", "sound", "table", "series") and out.suffix.lower() != suffix:
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
        if options.prefix is not None:
            many["prefix"] = drawing.read_prefix(model, options.prefix, options.sample_rate)
        if checks.num_sites(model, sites) and model.num_sites is None:
            many["num_sites"] = sites
        x = model.sample(count, **common, **many)
        columns = len(options.label) if options.label and len(options.label) > 1 else None
        written = drawing.write_drawn(model, x, out, options.sample_rate, columns)
    for path in written:
        print(path.resolve())


def _from_known(options):
    _check_png(options.out)
    model = load(options.model)
    from ar_zoo import data, drawing, uses
    from ar_zoo.uses.from_known import picture

    if "image" not in model.context_spec:
        raise ValueError(f"{options.model} is not given pictures: it must have been trained with `known_shape`.")
    smaller = model.context_spec["image"].shape[:2]
    images = np.stack([drawing.read_image(model, source, options.split, smaller)[0] for source in options.image])
    how = dict(temperature=options.temperature, batch_size=options.batch_size)
    drawn = uses.draw_from_known(model, images, options.num, options.seed, **how)
    data.write_png(options.out, picture(model, images, drawn))
    print(Path(options.out).resolve())


def _check_png(out):
    if Path(out).suffix.lower() != ".png":
        raise ValueError(f"`--out` must end in .png; got {out}.")


def _inpaint(options):
    _check_png(options.out)
    model = load(options.model)
    refuse_given_pictures(model, options.model)
    from ar_zoo import data, drawing, uses
    from ar_zoo.uses.inpaint import picture

    if drawing.data_kind(model) != "image":
        raise ValueError(f"`inpaint` needs a model of images; {options.model} draws {drawing.data_kind(model)}.")
    read = [drawing.read_image(model, source, options.split) for source in options.image]
    images, labels = np.stack([image for image, _ in read]), [label for _, label in read]
    mask = uses.known_pixels(options.keep, *images.shape[1:3], options.seed)
    if options.label is not None:
        if len(options.label) not in (1, len(images)):
            raise ValueError(f"`--label` must be one for all, or one for each of {len(images)} images.")
        context = np.resize(options.label, len(images))
    else:
        told = "label" in model.context_spec and not options.no_labels and None not in labels
        context = np.array(labels) if told else None
    how = dict(temperature=options.temperature, batch_size=options.batch_size)
    drawn = uses.complete(model, images, mask, options.num, options.seed, context, **how)
    data.write_png(options.out, picture(model, images, mask, drawn))
    print(Path(options.out).resolve())
