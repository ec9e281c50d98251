"""`generate`: text after a prompt, as it comes."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time

from ar_zoo.cli.start import TEXT_MODEL_HELP, load, start_tensorflow
from ar_zoo.core import arguments

# Option → the processor of `ar_zoo.sampling` that it is the argument of, in the order in which they are applied.
_PROCESSORS = {
    "repetition_penalty": float,
    "presence_penalty": float,
    "frequency_penalty": float,
    "no_repeat_ngram": int,
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "typical": float,
}


def add_to(command):
    """Adds the command; `command(name, run, summary, *examples)` gives its parser."""
    summary = "continue a prompt with a model of text, and say how fast"
    examples = (
        'gpt.kjv --prompt "And it came to pass" --tokens 200 --stream',
        'smollm2 --chat "What is the capital of France?" --stream --temperature 0',
        'hf://HuggingFaceTB/SmolLM2-135M --prompt "Once upon a time" --top-p 0.9 --stop "." --count 3',
        "smollm2 --prompt notes.txt --temperature 0 --draft lookup",
    )
    add = command("generate", _generate, summary, *examples).add_argument
    add("model", help=TEXT_MODEL_HELP)
    add("--prompt", default="", help="a text or a text file (default empty)")
    add("--chat", metavar="MESSAGE", help="in place of a prompt, what a user says to a model that chats")
    add("--system", help="with --chat, what the model is told first")
    add("--tokens", type=int, default=128, help="tokens, or characters, that are drawn at most (default 128)")
    add(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="ends the text where it comes in the tokens it has alone; several may be given",
    )
    add("--seed", type=int, default=0, help="the same seed gives the same text (default 0)")
    add("--count", type=int, default=1, help="how many texts (default 1)")
    add("--temperature", type=float, help="0 takes the most likely token (default 1)")
    add("--top-k", type=int, metavar="K", help="draw one of the K most likely tokens")
    help = "draw one of the most likely tokens that have the probability P together: 0.9, say"
    add("--top-p", type=float, metavar="P", help=help)
    help = "draw one of those that have at least P times the probability of the most likely: 0.05, say"
    add("--min-p", type=float, metavar="P", help=help)
    help = "draw one of those nearest to the expected surprise that have the probability P together"
    add("--typical", type=float, metavar="P", help=help)
    add("--repetition-penalty", type=float, help="above 1, what was written becomes less likely: 1.1, say")
    add("--presence-penalty", type=float, help="the same, once for a token")
    add("--frequency-penalty", type=float, help="the same, for each time that it was written")
    add("--no-repeat-ngram", type=int, metavar="N", help="no N tokens in a row come twice")
    help = "guess ahead and verify, with the same text at the end: lookup, jacobi, heads (the model's own), or another model's name"
    add("--draft", help=help)
    add("--lookahead", type=int, default=4, help="guesses at a time, with --draft (default 4)")
    add("--max-sites", type=int, help="the longest text that the model holds, where less than its own saves memory")
    add("--dtype", help="of the weights: bfloat16 takes half the memory")
    add("--stream", action="store_true", help="print tokens as they come")
    add("--json", action="store_true", help="texts, tokens and times as JSON")


def _generate(options):
    _check(options)
    start_tensorflow()
    from ar_zoo.drawing import data_kind, text_or_file

    bent, text = _bent(options), options.chat if options.chat is not None else text_or_file(options.prompt)
    model = _loaded(options)
    if data_kind(model) != "text":
        raise ValueError(f"`generate` needs a model of text; {options.model} draws {data_kind(model)}.")
    prompt = _prompt(model, text, options)
    begun = time.perf_counter()
    if options.draft is not None:
        texts, counts, first, notes = _drafted(model, prompt, options, bent)
    elif options.stream:
        texts, counts, first, notes = _streamed(model, prompt, options, bent)
    else:
        texts, counts, first, notes = _at_once(model, prompt, options, bent)
    seconds, drawn = time.perf_counter() - begun, sum(counts)
    told = {"seconds": seconds, "tokens": drawn, "tokens_per_second": drawn / seconds, **notes}
    if first is not None:
        told["first_token_seconds"] = first - begun
        told["token_seconds"] = (seconds - told["first_token_seconds"]) / max(drawn - 1, 1)
        told["tokens_per_second"] = 1 / told["token_seconds"]
    if options.json:
        print(json.dumps({"model": options.model, "texts": texts, **told}, indent=1))
        return
    if not options.stream:
        print("\n\n".join(texts))
    _say(told)


def _loaded(options):
    if options.max_sites is None:
        return load(options.model, dtype=options.dtype)
    with contextlib.redirect_stderr(io.StringIO()):  # what is said of weights that do not fit, here again
        model = load(options.model, dtype=options.dtype, max_sites=options.max_sites)
    fresh = getattr(model, "load_report", {}).get("fresh")
    if fresh:
        raise ValueError(
            f"`--max-sites` {options.max_sites} does not fit {options.model}, which has learnt {', '.join(fresh)} for its own "
            "length. Leave it out."
        )
    return model


def _check(options):
    arguments.whole(tokens=options.tokens, count=options.count, lookahead=options.lookahead)
    arguments.whole(0, seed=options.seed)
    arguments.whole_or_none(max_sites=options.max_sites)
    if options.temperature is not None:
        arguments.temperature(options.temperature)
    if options.chat is not None and options.prompt:
        raise ValueError("`--chat` stands in the place of `--prompt`; give one of them.")
    if options.system is not None and options.chat is None:
        raise ValueError("`--system` goes with `--chat`.")
    if options.stream and options.count != 1:
        raise ValueError(f"`--stream` prints one text; `--count` is {options.count}. Leave one of them out.")
    if options.draft is not None and options.stream:
        raise ValueError(
            "`--stream` does not go with `--draft`, which draws several tokens at a time. Leave one of them out."
        )


def _prompt(model, text, options):
    from ar_zoo.core.chat import apply_chat
    from ar_zoo.core.text import prompt_symbols

    if options.chat is not None:
        said = [("system", options.system), ("user", text)]
        text = apply_chat(model.head, [{"role": role, "content": words} for role, words in said if words is not None])
    return prompt_symbols(model, text)


def _bent(options) -> dict:
    """`processors` and `temperature`, as `ar_zoo.sampling.generate` takes them."""
    from ar_zoo import sampling

    processors, greedy = [], options.temperature == 0
    for name in _PROCESSORS:
        value = getattr(options, name)
        if value is None or (name == "temperature" and greedy):
            continue
        try:
            processors.append(getattr(sampling, name)(value))
        except ValueError as error:
            raise ValueError(f"`--{name.replace('_', '-')}`: {error}") from None
    return dict(processors=processors, temperature=0.0 if greedy else 1.0)


def _streamed(model, prompt, options, bent):
    from ar_zoo.core.text import TextStream
    from ar_zoo.sampling import stream

    text, first, pieces, count = TextStream(model.head), None, [], 0
    for token in stream(model, prompt, options.tokens, **bent, **_more(model, options)):
        first = time.perf_counter() if first is None else first
        count += 1
        if token not in _ends(model):
            pieces.append(text.push(token))
            print("" if options.json else pieces[-1], end="", flush=True)
    pieces.append(text.flush())
    if not options.json:
        print(pieces[-1], flush=True)
    return ["".join(pieces)], [count], first, {}


def _more(model, options) -> dict:
    return dict(seed=options.seed, stop=[*_ends(model), *options.stop])


def _at_once(model, prompt, options, bent):
    from ar_zoo.sampling import generate

    rows = generate(model, [prompt] * options.count, options.tokens, **bent, **_more(model, options)).tokens
    return [_decoded(model, row) for row in rows], [len(row) for row in rows], None, {}


def _drafted(model, prompt, options, bent):
    from ar_zoo import sampling
    from ar_zoo.sampling.loop import stop_sequences

    known = {"lookup": sampling.PromptLookup, "jacobi": sampling.Jacobi, "heads": lambda: sampling.OwnHeads(model)}
    draft = known[options.draft]() if options.draft in known else sampling.ModelDraft(load(options.draft))
    stops = stop_sequences(model, [*_ends(model), *options.stop])
    length = len(prompt) + options.tokens
    drawn, report = sampling.speculate(
        model,
        options.count,
        options.seed,
        draft,
        options.lookahead,
        prefix=prompt,
        num_sites=length,
        **bent,
    )
    stops = [row[row >= 0].tolist() for row in stops if row.max() >= 0]
    rows = [_until(row[len(prompt) :], stops) for row in drawn]
    notes = {"accepted": report.acceptance, "tokens_per_call": report.sites_per_call}
    return [_decoded(model, row) for row in rows], [len(row) for row in rows], None, notes


def _ends(model) -> tuple:
    """Tokens that end a text, and are no part of it."""
    return tuple(getattr(model.head, "stop_symbols", ()))


def _decoded(model, row):
    return model.head.decode(row[:-1] if len(row) and row[-1] in _ends(model) else row)


def _until(row, stops):
    """The tokens up to the first place where one of the sequences ends, which is a part of them."""
    tokens = row.tolist()
    ends = (end for end in range(1, len(tokens) + 1) for stop in stops if tokens[max(end - len(stop), 0) : end] == stop)
    return row[: next(ends, len(tokens))]


def _say(told):
    compiling = "" if "first_token_seconds" in told else " (compiling included)"
    parts = [f"{told['tokens']} tokens", f"{told['tokens_per_second']:.1f} a second{compiling}"]
    if "first_token_seconds" in told:
        parts.insert(1, f"the first after {told['first_token_seconds']:.2f} s (compiling included)")
        parts.insert(2, f"then {told['token_seconds'] * 1000:.1f} ms each")
    if "accepted" in told:
        parts.append(f"{told['accepted']:.0%} of the guesses right, {told['tokens_per_call']:.2f} tokens a call")
    print(", ".join(parts), file=sys.stderr)
