"""Stores the matrices of a TFLite file in as few bits as hold them, with ai-edge-quantizer.

The values come from `ar_zoo.core.quantization.rounded`, and a file may hold only a part of a weight, turned around: the
row of a masked kernel that a pixel's step needs. So the grid is not handed over but found again in the values: of each
channel, or block of 32, the largest s of which all values are multiples in range. Nothing is rounded a second time.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from ar_zoo.core.quantization import LARGE_TABLE
from ar_zoo.export import calibrate, lookups

# float32 products q · s are off by 1e-7 of themselves; steps between neighbours are 1.
_TOLERANCE = 1e-3
_GLANCE = 16


def shrink(file, forms, calls=None) -> dict[str, int]:
    """Rewrites one TFLite file.

    Args:
        file: its path.
        forms: (bits, block or `None`) that its matrices may be stored in, the smallest first.
        calls: inputs to calibrate on; products inside the graph then take and give int8 of fixed ranges.

    Returns:
        how many numbers of matrices are stored in which form; those on no grid stay `float32`.

    Raises:
        ImportError: ai-edge-quantizer is not installed.

    Example:
        >>> shrink("step.tflite", [(8, None)])
        {'int8': 2666304}
    """
    try:
        from ai_edge_quantizer import algorithm_manager, qtyping, quantizer
    except ImportError:
        raise ImportError(
            "Quantised exports need ai-edge-quantizer: `pip install 'ar_zoo[quantize]'` or `pip install ai-edge-quantizer`."
        ) from None
    # Of float16 the whole table would be made float32 in memory, to look up a row.
    whole = [bits for bits, block in forms if bits < 16 and block is None]
    content = lookups.with_lookups(
        Path(file).read_bytes(),
        lambda table: table.size >= LARGE_TABLE and any(scales(table, bits) is not None for bits in whole),
    )
    made = quantizer.Quantizer(content)
    ranges, stored, between = {}, {}, set()
    for name, kind, scope, values, ends in _matrices(content):
        tops = ((form, _range(values, *form, kind)) for form in forms)
        form, top = next((found for found in tops if found[1] is not None), (None, None))
        stored[name] = (_form_name(form), values.size)
        if form is None:
            continue
        bits, block = form
        if bits == 16:
            casting = algorithm_manager.AlgorithmName.FLOAT_CASTING
            made.add_weight_only_config(scope, kind, num_bits=16, algorithm_key=casting)
            continue
        granularity = qtyping.QuantGranularity.BLOCKWISE_32 if block else qtyping.QuantGranularity.CHANNELWISE
        if calls is None or not ends:
            made.add_dynamic_config(scope, kind, num_bits=bits, granularity=granularity)
        else:
            made.add_static_config(scope, kind, activation_num_bits=8, weight_num_bits=bits)
            between |= ends
        ranges[name] = {"min": -top, "max": top}
    if between:
        ranges |= calibrate.ranges(file, between, calls)
    if made.get_quantization_recipe():
        Path(file).write_bytes(quietly(made.quantize, ranges or None).quantized_model)
    counts = Counter()
    for form, size in stored.values():
        counts[form] += size
    return dict(sorted(counts.items()))


def quietly(quantize, ranges):
    """Runs the quantizer without its bars, and without its interpreter's warning about its own settings."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors", category=UserWarning)
        return quantize(ranges, enable_progress_bar=False, enable_progress_report=False)


def _form_name(form) -> str:
    bits, block = form or (32, None)
    return f"int{bits}" + f", blocks of {block}" * (block is not None) if bits < 16 else f"float{bits}"


def _matrices(content):
    """(name, kind of operation, an expression for it alone, values, names of what goes in and out) of each matrix."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer

    graph = flatbuffer.read_model(content)
    names = qtyping.TFLOperationName
    products = (names.FULLY_CONNECTED, names.CONV_2D, names.EMBEDDING_LOOKUP)
    for subgraph in graph.subgraphs:
        for operation in subgraph.operators:
            kind = flatbuffer.TFL_OP_CODE_TO_NAME.get(graph.operatorCodes[operation.opcodeIndex].builtinCode)
            if kind in products:
                tensor = subgraph.tensors[operation.inputs[1]]
                values = flatbuffer.get_tensor_data(tensor, graph.buffers)
                if values is not None and values.dtype == np.float32:
                    scope = re.escape(flatbuffer.get_op_scope(operation, subgraph.tensors))
                    # What the graph gives must stay float32: the quantizer would hand out a product's own int8.
                    ends = {int(operation.inputs[0]), int(operation.outputs[0])}
                    numbers = kind == names.EMBEDDING_LOOKUP  # it takes numbers of rows, which have no range
                    ends = set() if numbers or ends & set(map(int, subgraph.outputs)) else ends
                    ends = {flatbuffer.get_tensor_name(subgraph.tensors[place]) for place in ends}
                    yield flatbuffer.get_tensor_name(tensor), kind, f"^{scope}$", values, ends


def _range(values, bits, block, kind):
    """The largest number of each channel's, or block's, grid, shaped as the quantizer wants it; `None` if there is none."""
    if bits == 16:
        return values if np.array_equal(values.astype(np.float16).astype(np.float32), values) else None
    if block and (kind.value != "FULLY_CONNECTED" or values.shape[1] % block):
        return None
    scale = scales(values.reshape(-1, block or values[0].size), bits, short=block is not None)
    if scale is None:
        return None
    shape = (len(values), -1) if block else (len(values), *(1,) * (values.ndim - 1))
    return (scale * np.float32(2 ** (bits - 1) - 1)).reshape(shape)


def scales(rows, bits, short=False):
    """Of each row the largest s of which all its values are multiples, within `bits` bits; `None` if a row has none.

    Args:
        rows: float32 [rows, values].
        bits: 4 or 8.
        short: whether s must be a bfloat16, as scales of blocks are.

    Example:
        >>> scales(np.float32([[1.5, -0.5, 0.0]]), 4)
        array([0.5], dtype=float32)
    """
    if len(rows) > 4 and scales(rows[:4], bits, short) is None:
        return None  # the usual case of floats, without looking at all of them
    largest = np.abs(rows).max(axis=1)
    scale = np.where(largest == 0, np.float32(1), np.float32(0))
    for whole in range(1, 2 ** (bits - 1)):
        left = np.flatnonzero(scale == 0)
        guess = largest[left] / np.float32(whole)
        if short:
            left, guess = (values[(guess.view(np.uint32) & 0xFFFF) == 0] for values in (left, guess))
        for columns in (slice(_GLANCE), slice(None)):  # a few values tell most guesses to be wrong
            fits = _are_multiples(rows[:, columns][left], guess)
            left, guess = left[fits], guess[fits]
        scale[left] = guess
    return scale if scale.all() else None


def _are_multiples(rows, of):
    """Of each row, whether all its values are multiples of its number."""
    ratio = rows / of[:, None]
    return np.abs(ratio - np.rint(ratio)).max(axis=1, initial=0) < _TOLERANCE
