"""Measures how fast models draw: naive, cached, exported on each engine, and in other libraries; says which bars are met.

Cached is `model.sample`, naive one compiled `call` a site with the same noise; the symbols of both are compared. Exports
are driven from Python, one thread (SmolLM2: two), each in a process of its own. "times its products" is the time of a step
over that of its matrix products in NumPy; "share of the machine's limit" the part of it that the machine's bandwidth and rate of
multiplications explain. Weights are random, nothing is downloaded. Leave the machine otherwise idle.

Peers are models of the same size in other libraries (`tools/peers/`), run by this Python, or by the one that
--peer-python names for them. One that is not installed is left out; for pytorch-generative a known ratio stands in.

    python tools/benchmark.py --quick --engines litert onnx saved_model --forms float32 int8
    python tools/benchmark.py --engines litert --forms float32 int8 --peers --json speed.json --plot speed.png \\
        --peer-python transformers=torch/bin/python wavenet_vocoder=torch/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from ar_zoo.bench.cases import CASES, QUICK
from ar_zoo.bench.compare import FORMS, compare, machine, verdicts
from ar_zoo.bench.report import bars, comparison, plot_comparison
from ar_zoo.core.files import atomic_path
from ar_zoo.runtime.engines import ENGINES

PEERS = Path(__file__).resolve().parent / "peers"


def main(arguments=None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    names = sorted({name for case in CASES for name in case.peers})
    pythons = dict(word.partition("=")[::2] for word in options.peer_python)
    if not set(pythons) <= set(names) or not all(pythons.values()):
        parser.error(f"--peer-python takes NAME=PYTHON, NAME one of {', '.join(names)}; got {options.peer_python}")
    cases = [
        case
        for case in (QUICK if options.quick else CASES)
        if (not options.family or case.family in options.family) and (not options.batch or case.batch in options.batch)
    ]
    if not cases:
        parser.error("no case has this family and this batch size")
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(options.threads)  # counts only before TensorFlow is imported
    settings = dict(timed_sites=5, repeats=1) if options.quick else {}
    ways = dict(engines=options.engines, forms=options.forms, threads=options.threads, pythons=pythons)
    results = []
    for case in cases:
        print(f"{case.title} …", file=sys.stderr, flush=True)
        results.append(compare(case, scripts=PEERS if options.peers else None, **ways, **settings))
    held = verdicts(results, cases)
    text = "\n\n".join([comparison(results), *([bars(held)] if held else [])])
    print(text)
    facts = {"machine": machine(options.threads), "cases": results, "bars": held}
    for path, content in ((options.out, text + "\n"), (options.json, json.dumps(facts, indent=1))):
        if path:
            with atomic_path(path) as temporary:
                temporary.write_text(content, encoding="utf-8")
    if options.plot:
        plot_comparison(results, options.plot)
    cached = [result["measured"]["cached"] for result in results]
    different, compared = (sum(entry[key] for entry in cached) for key in ("different", "compared"))
    if different:
        print(f"\n{different} of {compared} symbols differ between cached and naive generation.")
    return 1 if different else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="It exits with 1 if symbols differ.",
    )
    add = parser.add_argument
    families = sorted({case.family for case in CASES})
    add("--family", action="append", choices=families, help="only this family (may be repeated)")
    add("--batch", type=int, action="append", help="only cases of this batch size (may be repeated)")
    add("--engines", nargs="*", choices=list(ENGINES), default=[], help="also measure exports on these (default none)")
    add("--forms", nargs="+", choices=FORMS, default=["float32"], help="how exports store weights (default float32)")
    add("--peers", action="store_true", help="also measure other libraries")
    add("--peer-python", nargs="+", default=[], metavar="NAME=PYTHON", help="the interpreter that has a peer installed")
    add(
        "--threads",
        type=int,
        default=1,
        help="of TensorFlow and the peers (default %(default)s); exports: one, SmolLM2's two",
    )
    add("--quick", action="store_true", help="tiny models, no bars: shows in a minute that the tool works")
    add("--out", type=Path, help="also write the tables to this file")
    add("--json", type=Path, help="write all figures, the machine and the versions to this file")
    add("--plot", type=Path, help="draw the rates into this PNG")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
