"""Converts the signatures of a SavedModel to TFLite or ONNX files. Run as a program of its own by `conversion.py`.

It is a process because converters leak memory, write to the terminal past Python, and can take the process down.
Reads one line of JSON from standard input, and answers with one line of JSON for each endpoint.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from ar_zoo.export.refused import Refused


def main():
    # Answers have the standard output to themselves; what libraries print goes where errors go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # TensorFlow loads while the caller is still saving.
    module = importlib.import_module(f"ar_zoo.export.to_{sys.argv[1]}")
    task = json.loads(sys.stdin.readline())
    for endpoint, file in task["files"].items():
        answer = {"endpoint": endpoint, "ops": [], "message": "", "unwritten": ""}
        try:
            module.convert(task["saved_model"], file["signatures"], file["path"])
        except Refused as error:
            answer |= {"ops": error.ops, "message": str(error)[:2000]}
        except OSError as error:
            answer["unwritten"] = str(error)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
