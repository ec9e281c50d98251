"""`export`: a model → a folder that other programs can run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ar_zoo.core import arguments
from ar_zoo.core.files import atomic_folder, own_folder

FORMATS = ("saved_model", "tflite", "onnx", "litert_lm")
PREFILL = (64,)  # sites that a known beginning is read in


def export(
    model,
    folder,
    formats=("saved_model", "tflite"),
    batch_size: int = 1,
    num_sites: int | None = None,
    prefill: Sequence[int] | None = None,
    verify: Sequence[int] = (),
    cache_sizes: Sequence[int] = (),
    progress: bool = True,
    quantize: str | dict | None = None,
    validation=None,
    max_loss: float = 0.01,
    limit: int | None = None,
    calibration=None,
) -> Path:
    """Writes a model as graphs with fixed shapes, whole or not at all.

    The folder holds `manifest.json` (shapes, states, sha256 of each file, how far each file is from the model),
    `saved_model/` with a signature for each endpoint and `generate`, the whole loop, and a `.tflite` or `.onnx` file for
    each endpoint: `score`, `step`, `sample_step` and, for models with blocks, `begin_block`, for those without,
    `prefill_N` and `verify_K`. A model without a step, such as a flow, has `score` and `sample` alone.
    `ar_zoo.export.signatures` lists what they take and give. TFLite and ONNX files hold the
    weights as constants and built-in operations only, and are checked against the model on random inputs. Of a model of
    tokens `"litert_lm"` makes one more file, `litert_lm.tflite`, for Google's engine of that name.

    Args:
        model: an `AutoregressiveModel`, or another `DensityModel`, that computes in float32.
        folder: where; an older folder of that name is replaced.
        formats: which of `"saved_model"`, `"tflite"`, `"onnx"` (`pip install 'ar_zoo[onnx]'`) and `"litert_lm"`.
        batch_size: how many rows the graphs work on at once. 1 is fastest for one sample, more for many.
        num_sites: the length that `score` takes and caches are made for, where it is free; by default the model's
            `max_sites`.
        prefill: sizes of the chunks in which a known beginning is read, by default one of 64 if an event is longer;
            each is a graph of its own. Models with blocks read whole blocks without it.
        verify: sizes of chunks that also give the parameters of each site, for speculative decoding.
        cache_sizes: steps are also made for keys and values of so many sites, and run until those are full: they read
            less. Each is a graph with weights of its own.
        progress: show a bar.
        quantize: how TFLite files store matrices: `"float16"`; `"int8"` and `"int4"`, whose products LiteRT computes in
            integers, with the ranges of activations taken as they come; `"full_int8"`, with ranges fixed by
            calibration; or a dict of regular expressions for the weights' paths to all but the last or `"float32"`, the
            first that is found deciding: `{"output": "int8", "": "int4"}`. ONNX files know `"int8"` and `"float32"`, and
            leave convolutions as they are. A SavedModel then holds the same weights.
        validation: what a quantised export is measured on: a source that `ar_zoo.data.read` knows, or `Examples`.
        max_loss: by how much its bits per dimension may rise, 0.01 for 1 %; above, nothing is written.
        calibration: data as `validation`, for `"full_int8"`; by default the training part of that source.
        limit: it is measured on so many images or windows at most (by default 64 and 16).

    Returns:
        The folder's path.

    Raises:
        ValueError: bad input; an operation that a format lacks; a converted graph that is further than 1e-3 from the
            model; a quantised one that loses more than `max_loss`; weights that are not finite.
        OSError: the disk is full, say: nothing is left behind, and an older export is as it was.
        ImportError: what a format needs is not installed.

    Example:
        >>> ar_zoo.export(ar_zoo.load("gated_pixel_cnn.mnist"), "digits_export")
        >>> ar_zoo.runtime.load("digits_export").sample(4, seed=0).shape
        (4, 28, 28, 1)
    """
    formats = _checked_formats(formats)
    num_sites = _checked_sites(model, batch_size, num_sites)
    chunks = _checked_chunks(model, num_sites, prefill, verify, cache_sizes)
    _check_weights(model)

    from tqdm import tqdm

    from ar_zoo.export import litert_lm, manifest, parity
    from ar_zoo.export.conversion import Converter
    from ar_zoo.export.saved_model import generate, write_saved_model
    from ar_zoo.export.signatures import endpoints
    from ar_zoo.export.tensor_order import in_order_of
    from ar_zoo.runtime.artifact import TITLES
    from ar_zoo.runtime.engines import ENGINES

    quantization = _quantization(model, formats, num_sites, quantize, validation, max_loss, limit, calibration)
    if "litert_lm" in formats:
        litert_lm.check(model, batch_size)
    folder = own_folder(folder)
    graphs = {format: graph for graph, format in ENGINES.values() if format != "saved_model"}
    with ExitStack() as stack:
        stack.enter_context(_said_once(folder))
        out = stack.enter_context(atomic_folder(folder))
        converters = {name: stack.enter_context(Converter(name)) for name in formats if name in graphs}
        if quantization is not None:
            stack.enter_context(quantization.rounded())
        bar = stack.enter_context(tqdm(desc="export: trace", total=5, unit="step", disable=not progress))
        ends = endpoints(model, batch_size, num_sites, *chunks)
        bar.total = 2 + len(ends) * len(converters) + ("litert_lm" in formats)
        bar.set_description("export: save")
        bar.update()
        keep, aside = "saved_model" in formats, Path(stack.enter_context(tempfile.TemporaryDirectory()))
        saved = out / "saved_model" if keep else aside / "saved_model"
        whole = {"generate": generate(model, batch_size, num_sites)} if keep and "step" in ends else {}
        write_saved_model(ends | whole, saved)
        bar.update()
        apart = {}
        for format, converter in converters.items():
            bar.set_description(f"export: {TITLES[format]}")
            apart[format], files = {}, {name: out / manifest.file_of(name, format) for name in ends}
            for name in converter.convert(saved, files):
                if format == "tflite":
                    ends[name] = in_order_of(files[name], ends[name])
                graph = graphs[format](files[name], manifest.endpoint(ends[name], ()))
                apart[format][name] = parity.measured(ends[name], graph, model, TITLES[format])
                bar.update()
        for_engine = {}
        if "litert_lm" in formats:
            bar.set_description("export: LiteRT-LM")
            file, converter = out / litert_lm.FILE, stack.enter_context(Converter("tflite"))
            for_engine = litert_lm.write(model, aside / "litert_lm", file, num_sites, chunks[0], converter)
            bar.update()
        listed = {
            name: manifest.endpoint(end, [key for key in formats if key != "litert_lm"]) for name, end in ends.items()
        }
        listed |= {name: manifest.endpoint(end, ("saved_model",)) for name, end in whole.items()}
        described = partial(manifest.describe, model, listed, batch_size, num_sites, out, apart, for_engine)
        facts = described()
        (out / "manifest.json").write_text(json.dumps(facts, indent=1))
        if quantization is not None:
            bar.set_description("export: quantise")
            quantization.apply(out, described)
    return folder


@contextmanager
def _said_once(folder):
    """What goes wrong while files are written is one error, which says where and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"The export to {folder} could not be written: {error}. Nothing of it was kept, and what was there before is "
            "unchanged. Make room, or choose another folder."
        ) from error


def _check_order(model):
    """Hosts put what they draw where it was drawn."""
    if model.orders is not None and list(model.orders[0]) != sorted(model.orders[0]):
        raise ValueError(
            "`model` must draw in raster order, the one that exports know; its first order is another. "
            "Create it with `raster=True`, and train that."
        )


def _check_weights(model):
    """NaN in the weights would show as a graph that differs from itself."""
    for weight in model.weights:
        value = np.asarray(weight.value)
        wrong = int(np.sum(~np.isfinite(value))) if value.dtype.kind == "f" else 0
        if wrong:
            raise ValueError(
                f"`model` must have finite weights; {weight.path} holds {wrong} of {value.size} that are NaN or infinite. "
                "Training diverged: go back to an earlier preset, or train with a lower learning rate."
            )


def _quantization(model, formats, num_sites, quantize, validation, max_loss, limit, calibration):
    if quantize is None:
        for name, value in (("validation", validation), ("limit", limit), ("calibration", calibration)):
            if value is not None:
                raise ValueError(f"`{name}` is for quantised exports: give `quantize`, 'int8' say, or leave it out.")
        return None
    if calibration is not None and quantize != "full_int8":
        raise ValueError(f"`calibration` is for `quantize` 'full_int8'; got it with {quantize!r}. Leave it out.")
    if not {"tflite", "onnx"} & set(formats):
        raise ValueError(f"`quantize` is for TFLite and ONNX files; `formats` are {list(formats)}. Add 'tflite'.")
    if "litert_lm" in formats and "tflite" not in formats:
        raise ValueError(
            "`quantize` needs 'tflite' among `formats` beside 'litert_lm', whose file is held against it. Add it."
        )
    if not isinstance(quantize, (str, dict)):
        raise ValueError(
            f"`quantize` must be a scheme's name, 'int8' say, or a dict of regular expressions to names; got {quantize!r}."
        )
    schemes = quantize.values() if isinstance(quantize, dict) else [quantize]
    lacking = [scheme for scheme in schemes if scheme in ("float16", "int4", "full_int8")]
    if "onnx" in formats and lacking:
        raise ValueError(
            f"`quantize` {lacking[0]!r} is for TFLite files; ONNX files store matrices as 'int8' or 'float32'. Take 'int8', or "
            f"leave 'onnx' out of `formats`, which are {list(formats)}."
        )
    from ar_zoo.export.quantize import Quantization

    return Quantization(model, quantize, validation, max_loss, limit, num_sites, calibration)


def _checked_formats(formats) -> tuple[str, ...]:
    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"`formats` must hold one or more of {', '.join(map(repr, FORMATS))}; got {list(formats)}.")
    missing = [name for name in ("tf2onnx", "onnxruntime") if "onnx" in formats and find_spec(name) is None]
    if missing:
        raise ImportError(f"The format 'onnx' needs {' and '.join(missing)}: `pip install 'ar_zoo[onnx]'`.")
    return formats


def _checked_sites(model, batch_size, num_sites) -> int:
    from ar_zoo.core import checks

    checks.has_steps(model)
    arguments.whole(batch_size=batch_size)
    if model.compute_dtype != "float32":
        raise ValueError(
            f"`model` computes in {model.compute_dtype}; exports compute in float32. "
            "Load or create it with dtype='float32'."
        )
    return checks.num_sites(model, num_sites)


def _checked_chunks(model, num_sites, prefill, verify, cache_sizes) -> tuple[tuple[int, ...], ...]:
    from ar_zoo.core import checks

    for name, sizes in (("prefill", prefill), ("verify", verify), ("cache_sizes", cache_sizes)):
        if sizes is not None and not isinstance(sizes, (list, tuple, range)):
            raise ValueError(f"`{name}` must be a list or tuple of numbers of sites, such as (16, 64); got {sizes!r}.")
    if not checks.has_steps(model):
        for name, sizes in (("prefill", prefill), ("verify", verify), ("cache_sizes", cache_sizes)):
            if sizes:
                raise ValueError(f"`{name}` must be empty for {model.name}, which has no step; got {list(sizes)}.")
        return (), (), ()
    _check_order(model)
    if model.block_sizes is not None and (prefill or verify):
        name = "prefill" if prefill else "verify"
        raise ValueError(
            f"`{name}` must be empty for {model.name}, which draws in blocks: `begin_block` reads a whole block at once."
        )
    if prefill is None:
        prefill = [] if model.block_sizes is not None else [size for size in PREFILL if size < num_sites]
    for name, sizes in (("prefill", prefill), ("verify", verify)):
        if not all(isinstance(size, int) and not isinstance(size, bool) and 2 <= size <= num_sites for size in sizes):
            raise ValueError(
                f"`{name}` must hold whole numbers of sites from 2 to {num_sites}, the exported length; got {list(sizes)}."
            )
    return tuple(sorted(set(prefill))), tuple(sorted(set(verify))), _checked_sizes(model, num_sites, cache_sizes)


def _checked_sizes(model, num_sites, cache_sizes) -> tuple[int, ...]:
    from ar_zoo.core.cache import KeyValue
    from ar_zoo.export.signatures import states

    grow = any(isinstance(kind, KeyValue) for kind in states(model.cache_spec(num_sites)).values())
    if cache_sizes and (model.block_sizes is not None or not grow):
        raise ValueError(
            f"`cache_sizes` must be empty for {model.name}: it draws in blocks, or keeps no keys and values."
        )
    if not all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size < num_sites for size in cache_sizes):
        raise ValueError(
            f"`cache_sizes` must hold whole numbers of sites below {num_sites}, the exported length; got {list(cache_sizes)}."
        )
    return tuple(sorted(set(cache_sizes)))
