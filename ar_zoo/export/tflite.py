"""Endpoints as TFLite files with built-in operations only, converted from a SavedModel in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_PROGRAM = Path(__file__).with_name("convert.py")


class Converter:
    """The converting process: it starts at once, so that it loads TensorFlow while the caller traces and saves.

    Example:
        >>> with Converter() as converter:
        ...     list(converter.convert("saved_model", {"score": "score.tflite"}))
        ['score']
    """

    def __enter__(self):
        # The GPU, if there is one, stays with the caller.
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._errors = tempfile.TemporaryFile("w+")
        # -P keeps this folder, whose files have plain names, off the program's import path.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def convert(self, saved_model, files: dict):
        """Converts signatures of a SavedModel.

        Args:
            saved_model: its folder.
            files: endpoint → path of the file to write.

        Yields:
            the name of each endpoint when its file is written.

        Raises:
            ValueError: an endpoint needs operations that TFLite has not built in.
            RuntimeError: the converting process died.
        """
        task = {"saved_model": str(saved_model), "files": {name: str(path) for name, path in files.items()}}
        try:
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(f"The TFLite converter did not start: {self._last_words()}") from None
        for endpoint in files:
            answer = self._process.stdout.readline()
            if not answer:
                raise RuntimeError(f"The TFLite converter died while converting `{endpoint}`: {self._last_words()}")
            answer = json.loads(answer)
            if answer["ops"]:
                raise ValueError(
                    f"`{endpoint}` needs {', '.join(answer['ops'])}, which TFLite has not built in; exports hold "
                    "built-in operations only. Write the model or its head with other operations of `keras.ops`, or "
                    "leave 'tflite' out of `formats`."
                )
            if answer["message"]:
                raise RuntimeError(f"The TFLite converter refused `{endpoint}`: {answer['message']}")
            yield endpoint

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        return self._errors.read()[-2000:].strip() or f"it ended with status {self._process.returncode}."
