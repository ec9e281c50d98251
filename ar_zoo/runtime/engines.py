"""`ENGINES` and `load`: an export's folder → what can be asked of it, on one of three engines."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ar_zoo.core import arguments
from ar_zoo.runtime import litert, onnx, saved_model
from ar_zoo.runtime.artifact import read_manifest
from ar_zoo.runtime.density import DensityRuntime
from ar_zoo.runtime.runtime import Runtime

# engine → what it opens, and which of an export's formats that is
ENGINES = {
    "litert": (litert.Graph, "tflite"),
    "onnx": (onnx.Graph, "onnx"),
    "saved_model": (saved_model.Graph, "saved_model"),
}


def load(folder, engine: str = "litert", threads: int = 1) -> Runtime | DensityRuntime:
    """An exported model, ready to run.

    Args:
        folder: what `ar_zoo.export` wrote; every file that is run is checked against its sha256.
        engine: what runs it: `"litert"` the TFLite files, `"onnx"` (onnxruntime) the ONNX files, `"saved_model"`
            (TensorFlow) the SavedModel.
        threads: that LiteRT or onnxruntime may use. For small steps one is fastest; TensorFlow has settings of its own.

    Returns:
        a `Runtime`, or of a model without a step, such as a flow, a `DensityRuntime`.

    Raises:
        ValueError: unknown engine, or an export that is not whole.
        ImportError: the engine is not installed.

    Example:
        >>> ar_zoo.runtime.load("digits_export").sample(2, seed=0).shape
        (2, 28, 28, 1)
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(map(repr, ENGINES))}; got {engine!r}.")
    arguments.whole(threads=threads)
    graph, format = ENGINES[engine]
    if engine != "saved_model":
        graph = partial(graph, threads=threads)
    elif threads == 1:
        graph = partial(graph, opened={})
    else:
        raise ValueError(
            f"`threads` is for the engines 'litert' and 'onnx'; got {threads} for 'saved_model'. Set "
            "TF_NUM_INTRAOP_THREADS before TensorFlow is imported."
        )
    manifest = read_manifest(folder, format)
    kind = DensityRuntime if manifest.get("kind") == "density" else Runtime
    return kind(Path(folder).resolve(), manifest, graph, format)
