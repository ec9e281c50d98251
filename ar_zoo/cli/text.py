"""`perplexity` and `choose`: how well a model predicts text."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ar_zoo.cli.start import TEXT_MODEL_HELP, load, start_tensorflow
from ar_zoo.core import arguments

_RANKS = {"sum": "log_prob", "token": "per_token", "byte": "per_byte"}


def add_to(command):
    """Adds these commands; `command(name, run, summary, *examples)` gives the parser of one."""
    summary = "measure perplexity and bits per byte over long texts, with a moving window"
    examples = "gpt.kjv psalms.txt --stride 64", "gpt.kjv shipped:text --split valid --window 256 --json"
    add = command("perplexity", _perplexity, summary, *examples).add_argument
    add("model", help=TEXT_MODEL_HELP)
    add("text", nargs="+", help="a text file, read whole; or data as in `score`, of which --split is read")
    add("--split", choices=["train", "valid", "test"], help="a part of a file too (default all of it; of data valid)")
    add("--window", type=int, help="tokens that are read at once (default the model's longest, at most 1024)")
    help = "how far the window moves: every token is scored after at least window - stride others (default half of it)"
    add("--stride", type=int, help=help)
    add("--batch-size", type=int, default=1, help="windows at once (default 1)")
    add("--json", action="store_true", help="JSON in place of a table")

    summary = "rank continuations of a prompt by their probability"
    example = '''gpt.kjv --prompt "In the beginning God created the" --choice " heaven" --choice " chariot"'''
    add = command("choose", _choose, summary, example).add_argument
    add("model", help=TEXT_MODEL_HELP)
    add("--prompt", default="", help="a text or a text file (default empty)")
    help = "a continuation; give several. Where words are parted by spaces, it begins with one"
    add("--choice", action="append", required=True, help=help)
    help = "what they are ranked by: log-probability in all, or by each token or byte (default sum)"
    add("--by", choices=list(_RANKS), default="sum", help=help)
    add("--batch-size", type=int, default=8, help="choices at once (default 8)")
    add("--json", action="store_true", help="JSON in place of a table")


def _model_of_text(options, command):
    model = load(options.model)
    from ar_zoo.drawing import data_kind

    if data_kind(model) != "text":
        raise ValueError(f"`{command}` needs a model of text; {options.model} draws {data_kind(model)}.")
    return model


def _perplexity(options):
    arguments.whole_or_none(window=options.window, stride=options.stride)
    arguments.whole(batch_size=options.batch_size)
    model = _model_of_text(options, "perplexity")
    from ar_zoo import uses

    rows, texts = [], [_text(source, options.split) for source in options.text]
    for source, text in zip(options.text, texts, strict=True):
        how = dict(batch_size=options.batch_size, progress=sys.stderr.isatty())
        found = uses.perplexity(model, text, options.window, options.stride, **how)
        rows.append({"model": options.model, "text": source, "split": options.split, **found})
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(
        f"{'text':32}{'tokens':>10}{'bytes':>12}{'perplexity':>12}{'bits/token':>12}{'bits/char':>11}{'bits/byte':>11}"
    )
    for row in rows:
        print(
            "{text:32}{tokens:>10,}{bytes:>12,}{perplexity:>12.3f}{bits_per_token:>12.4f}{bits_per_character:>11.4f}"
            "{bits_per_byte:>11.4f}".format(**row)
        )


def _text(source, split) -> str:
    path = Path(source)
    if split is None and path.is_file():
        from ar_zoo.drawing import read_text

        text = read_text(path)
        if not text:
            raise ValueError(f"{path} is empty: it has no perplexity.")
        return text
    from ar_zoo.data import read

    return read(source, split or "valid", kind="text").values


def _choose(options):
    arguments.whole(batch_size=options.batch_size)
    start_tensorflow()
    from ar_zoo.drawing import text_or_file

    prompt = text_or_file(options.prompt)
    model = _model_of_text(options, "choose")
    from ar_zoo import uses

    found = uses.continuations(model, prompt, options.choice, options.batch_size)
    found.sort(key=lambda each: -each[_RANKS[options.by]])
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{'nats':>10}{'per token':>11}{'per byte':>11}  choice")
    for each in found:
        print("{log_prob:>10.3f}{per_token:>11.4f}{per_byte:>11.4f}  {choice!r}".format(**each))
