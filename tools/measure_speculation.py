"""Times speculative decoding against drawing site by site: the same symbols, in one run, turn by turn.

    python tools/measure_speculation.py gpt.kjv --draft runs/gpt_kjv_draft/best --lookahead 2 4 --tokens 200
    python tools/measure_speculation.py runs/gpt_kjv_medusa/best --draft heads --temperature 0 1
    python tools/measure_speculation.py smollm2 --draft lookup --prompt tools/copy.txt --tokens 64 --max-sites 256 --temperature 0

A draft is `lookup`, `jacobi`, `heads` (the model's own) or another model. Each row is the best of `--repeats` runs after one
that compiles; `equal` says whether all symbols are those of `sample`.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np


def main(words=None) -> int:
    options = _parser().parse_args(words)
    from ar_zoo.cli import start_tensorflow

    start_tensorflow()
    try:
        rows = list(measured(options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        "| draft | lookahead | temperature | plain, tokens/s | tokens/s | times plain | right | tokens a call | equal |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return 0


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="as `ar_zoo.load` takes it")
    parser.add_argument("--draft", nargs="+", default=["lookup"], help="lookup, jacobi, heads, or models")
    parser.add_argument("--lookahead", type=int, nargs="+", default=[4], help="guesses in a round (default 4)")
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.0], help="default 0")
    parser.add_argument("--prompt", default="", help="a text, or a file with one")
    parser.add_argument("--tokens", type=int, default=200, help="drawn after the prompt (default 200)")
    parser.add_argument("--max-sites", type=int, help="the longest text that the model holds")
    parser.add_argument("--repeats", type=int, default=3, help="default 3")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    return parser


def measured(options):
    """Yields a row, a list of cells, for each draft, number of guesses and temperature."""
    import ar_zoo
    from ar_zoo import sampling
    from ar_zoo.core import arguments
    from ar_zoo.core.text import prompt_symbols
    from ar_zoo.drawing import text_or_file

    arguments.whole(repeats=options.repeats, tokens=options.tokens)
    model = ar_zoo.load(options.model, **({"max_sites": options.max_sites} if options.max_sites else {}))
    prompt = prompt_symbols(model, text_or_file(options.prompt)) if options.prompt else []
    given = {"seed": options.seed, "num_sites": len(prompt) + options.tokens, "prefix": prompt if len(prompt) else None}
    known = {"lookup": sampling.PromptLookup, "jacobi": sampling.Jacobi, "heads": lambda: sampling.OwnHeads(model)}
    for name in options.draft:
        draft = known[name]() if name in known else sampling.ModelDraft(ar_zoo.load(name))
        for lookahead in options.lookahead:
            for temperature in options.temperature:
                more = given | {"temperature": temperature}
                plain = lambda more=more: (model.sample(1, **more), None)  # noqa: E731
                faster = lambda more=more, draft=draft, k=lookahead: sampling.speculate(  # noqa: E731
                    model, 1, draft=draft, lookahead=k, **more
                )
                seconds, (one, other) = in_turn([plain, faster], options.repeats)
                report, equal = other[1], np.array_equal(one[0], other[0])
                numbers = [options.tokens / each for each in seconds]
                yield [
                    f"`{name}`",
                    str(lookahead),
                    f"{temperature:g}",
                    *(f"{number:,.1f}" for number in numbers),
                    f"{numbers[1] / numbers[0]:.2f}",
                    f"{report.acceptance:.0%}",
                    f"{report.sites_per_call:.2f}",
                    "yes" if equal else "no",
                ]


def in_turn(functions, repeats):
    """The least seconds of each function, and what it gave, in turns after one that compiles."""
    results, seconds = [function() for function in functions], [float("inf")] * len(functions)
    for _ in range(repeats):
        for number, function in enumerate(functions):
            start = time.perf_counter()
            function()
            seconds[number] = min(seconds[number], time.perf_counter() - start)
    return seconds, results


if __name__ == "__main__":
    raise SystemExit(main())
