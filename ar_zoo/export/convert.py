"""Converts the signatures of a SavedModel to TFLite files. Run as a program of its own by `tflite.py`.

It is a process because the converter leaks memory, writes to the terminal past Python, and can take the process down.
Reads one line of JSON from standard input, and answers with one line of JSON for each endpoint.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError  # what `convert` raises; it has no public name


def convert(saved_model: str, endpoint: str, path: str) -> dict:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[endpoint])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        content = converter.convert()
    except ConverterError as error:
        listed = re.findall(r"(?:TF Select|Custom) ops: ([\w, ]+)", str(error))
        ops = sorted({name.strip() for line in listed for name in line.split(",")})
        return {"endpoint": endpoint, "ops": ops, "message": str(error)[:2000]}
    pathlib.Path(path).write_bytes(content)
    return {"endpoint": endpoint, "ops": [], "message": ""}


def main():
    # Answers have the standard output to themselves; what libraries print goes where errors go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    task = json.loads(sys.stdin.readline())
    for endpoint, path in task["files"].items():
        print(json.dumps(convert(task["saved_model"], endpoint, path)), file=answers, flush=True)


if __name__ == "__main__":
    main()
