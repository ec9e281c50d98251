"""`export`: a model → a folder that other programs can run."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ar_zoo.core.files import atomic_folder

FORMATS = ("saved_model", "tflite")


def export(
    model,
    folder,
    formats=FORMATS,
    batch_size: int = 1,
    num_sites: int | None = None,
    progress: bool = True,
    quantize: str | dict | None = None,
    validation=None,
    max_loss: float = 0.01,
    limit: int | None = None,
    calibration=None,
) -> Path:
    """Writes a model as graphs with fixed shapes, whole or not at all.

    The folder holds `manifest.json` (shapes, states, sha256 of each file, how far TFLite is from the model),
    `saved_model/` with a signature for each endpoint, and a `.tflite` file for each: `score`, `step`, `sample_step`
    and, for models with blocks, `begin_block`. `ar_zoo.export.signatures` lists what they take and give. TFLite files
    hold the weights as constants and built-in operations only, and are checked against the model on random inputs.

    Args:
        model: an `AutoregressiveModel` that computes in float32.
        folder: where; an older folder of that name is replaced.
        formats: which of `"saved_model"` and `"tflite"`.
        batch_size: how many rows the graphs work on at once. 1 is fastest for one sample, more for many.
        num_sites: the length that `score` takes and caches are made for, where it is free; by default the model's
            `max_sites`.
        progress: show a bar.
        quantize: how TFLite files store matrices: `"float16"`; `"int8"` and `"int4"`, whose products LiteRT computes in
            integers, with the ranges of activations taken as they come; `"full_int8"`, with ranges fixed by
            calibration; or a dict of regular expressions for the weights' paths to all but the last or `"float32"`, the
            first that is found deciding: `{"output": "int8", "": "int4"}`. A SavedModel then holds the same weights.
        validation: what a quantised export is measured on: a source that `ar_zoo.data.read` knows, or `Examples`.
        max_loss: by how much its bits per dimension may rise, 0.01 for 1 %; above, nothing is written.
        calibration: data as `validation`, for `"full_int8"`; by default the training part of that source.
        limit: it is measured on so many images or windows at most (by default 64 and 16).

    Returns:
        The folder's path.

    Raises:
        ValueError: bad input; an operation that TFLite has not built in; a TFLite graph that is further than 1e-3 from
            the model; a quantised one that loses more than `max_loss`.

    Example:
        >>> ar_zoo.export(ar_zoo.load("gated_pixel_cnn.mnist"), "digits_export")
        >>> ar_zoo.runtime.load("digits_export").sample(4, seed=0).shape
        (4, 28, 28, 1)
    """
    formats = _checked_formats(formats)
    num_sites = _checked_sites(model, batch_size, num_sites)

    from tqdm import tqdm

    from ar_zoo.export import manifest, parity
    from ar_zoo.export.saved_model import write_saved_model
    from ar_zoo.export.signatures import endpoints
    from ar_zoo.export.tflite import Converter

    quantization = _quantization(model, formats, num_sites, quantize, validation, max_loss, limit, calibration)
    folder = Path(folder)
    with ExitStack() as stack:
        out = stack.enter_context(atomic_folder(folder))
        converter = stack.enter_context(Converter()) if "tflite" in formats else None
        if quantization is not None:
            stack.enter_context(quantization.rounded())
        bar = stack.enter_context(tqdm(desc="export: trace", total=5, unit="step", disable=not progress))
        ends = endpoints(model, batch_size, num_sites)
        bar.total = 2 + len(ends) * (converter is not None)
        bar.set_description("export: save")
        bar.update()
        saved = out / "saved_model" if "saved_model" in formats else stack.enter_context(tempfile.TemporaryDirectory())
        write_saved_model(ends, saved)
        bar.update()
        apart = {}
        if converter is not None:
            bar.set_description("export: convert")
            for name in converter.convert(saved, {name: out / f"{name}.tflite" for name in ends}):
                apart[name], ends[name] = parity.checked(ends[name], out / f"{name}.tflite", model)
                bar.update()
        described = partial(manifest.describe, model, ends, batch_size, num_sites)
        facts = described(out, converter is not None, apart)
        (out / "manifest.json").write_text(json.dumps(facts, indent=1))
        if quantization is not None:
            bar.set_description("export: quantise")
            quantization.apply(out, partial(described, out, True, apart))
    return folder


def _quantization(model, formats, num_sites, quantize, validation, max_loss, limit, calibration):
    if quantize is None:
        return None
    if "tflite" not in formats:
        raise ValueError(f"`quantize` is for TFLite files; `formats` are {list(formats)}. Add 'tflite'.")
    from ar_zoo.export.quantize import Quantization

    return Quantization(model, quantize, validation, max_loss, limit, num_sites, calibration)


def _checked_formats(formats) -> tuple[str, ...]:
    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"`formats` must hold one or more of {', '.join(map(repr, FORMATS))}; got {list(formats)}.")
    return formats


def _checked_sites(model, batch_size, num_sites) -> int:
    from ar_zoo.core import checks
    from ar_zoo.core.model import AutoregressiveModel

    if not isinstance(model, AutoregressiveModel):
        raise ValueError(
            f"`model` must be an AutoregressiveModel, such as `ar_zoo.load` gives; got {type(model).__name__}."
        )
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"`batch_size` must be an integer of at least 1; got {batch_size!r}.")
    if model.compute_dtype != "float32":
        raise ValueError(
            f"`model` computes in {model.compute_dtype}; exports compute in float32. "
            "Load or create it with dtype='float32'."
        )
    return checks.num_sites(model, num_sites)
