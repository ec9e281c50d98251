"""Makes `ar_zoo/data/shipped/sums_*.jsonl`: sums, their right answers, and wrong ones as near misses.

python tools/make_shipped_sums.py
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np

from ar_zoo.data import write_text

SHIPPED = pathlib.Path(__file__).resolve().parents[1] / "ar_zoo" / "data" / "shipped"
_BELOW, _NUM_VALID = 50, 500
_ERRORS = (-10, -1, 1, 10)  # a carry forgotten or too many, a digit beside


def main(words=None) -> int:
    """Every sum of two numbers below 50, in an order drawn from seed 0: 500 to validate, which training never sees."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--to", type=pathlib.Path, default=SHIPPED, metavar="FOLDER", help="folder to write")
    folder = parser.parse_args(words).to
    generator = np.random.default_rng(0)
    lines = [_line(*divmod(int(place), _BELOW), generator) for place in generator.permutation(_BELOW**2)]
    write_text(folder / "sums_train.jsonl", "".join(lines[_NUM_VALID:]))
    write_text(folder / "sums_valid.jsonl", "".join(lines[:_NUM_VALID]))
    return 0


def _line(first: int, second: int, generator) -> str:
    total = first + second
    wrong = total + int(generator.choice([error for error in _ERRORS if total + error >= 0]))
    return json.dumps({"prompt": f"{first}+{second}=", "answer": str(total), "rejected": str(wrong)}) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
