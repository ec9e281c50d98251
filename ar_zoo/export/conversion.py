"""Endpoints as TFLite or ONNX files, converted from a SavedModel in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_PROGRAM = ("-P", "-m", "ar_zoo.export.convert")  # -P: nothing in the folder that one is in is imported
TITLES = {"tflite": "TFLite", "onnx": "ONNX"}


class Converter:
    """The converting process: it starts at once, so that it loads TensorFlow while the caller traces and saves.

    Args:
        format: `"tflite"` or `"onnx"`.

    Example:
        >>> with Converter("tflite") as converter:
        ...     list(converter.convert("saved_model", {"score": "score.tflite"}))
        ['score']
    """

    def __init__(self, format):
        self._format, self._title = format, TITLES[format]

    def __enter__(self):
        # The GPU, if there is one, stays with the caller; this very ar_zoo is found wherever it lies.
        here = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": here}
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, *_PROGRAM, self._format],
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

    def convert(self, saved_model, files: dict, signatures: dict | None = None):
        """Converts signatures of a SavedModel.

        Args:
            saved_model: its folder.
            files: endpoint → path of the file to write.
            signatures: endpoint → those that go into its file together; by default it alone. TFLite only.

        Yields:
            the name of each endpoint when its file is written.

        Raises:
            ValueError: an endpoint needs operations that the format lacks.
            RuntimeError: the converting process died.
            OSError: a file could not be written.
        """
        signatures = signatures or {name: [name] for name in files}
        files_of = {name: {"path": str(path), "signatures": signatures[name]} for name, path in files.items()}
        task = {"saved_model": str(saved_model), "files": files_of}
        try:
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(f"The {self._title} converter did not start: {self._last_words()}") from None
        for endpoint in files:
            answer = self._process.stdout.readline()
            if not answer:
                raise RuntimeError(
                    f"The {self._title} converter died while converting `{endpoint}`: {self._last_words()}"
                )
            answer = json.loads(answer)
            if answer["unwritten"]:
                raise OSError(answer["unwritten"])
            if answer["ops"]:
                raise ValueError(
                    f"`{endpoint}` needs {', '.join(answer['ops'])}, which {self._title} has not built in; exports hold "
                    "built-in operations only. Write the model or its head with other operations of `keras.ops`, or "
                    f"leave {self._format!r} out of `formats`."
                )
            if answer["message"]:
                raise RuntimeError(f"The {self._title} converter refused `{endpoint}`: {answer['message']}")
            yield endpoint

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        return self._errors.read()[-2000:].strip() or f"it ended with status {self._process.returncode}."
