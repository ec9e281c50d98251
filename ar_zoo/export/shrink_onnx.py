"""Stores the matrices of an ONNX file in eight bits, with onnxruntime's quantizer.

As in `shrink.py` the values lie on their grid already, and the grid is found again and handed to the quantizer: nothing is
rounded a second time. onnxruntime rounds what a product takes as it comes, to eight bits for the whole tensor. Convolutions
stay float32: onnxruntime's are slower in integers. Of a large table that rows are looked up in, int8 rows and their scales are
gathered and multiplied.

Matrices become uint8 with a zero point of 128, not int8: where a CPU has no VNNI, onnxruntime's sums of uint8 times int8
overflow. A step is as fast.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from ar_zoo.core.quantization import LARGE_TABLE
from ar_zoo.export.shrink import scales

_ZERO = np.uint8(128)


def shrink(file) -> dict[str, int]:
    """Rewrites one ONNX file.

    Args:
        file: its path.

    Returns:
        how many numbers of matrices are stored as `int8`, and how many, of convolutions and those on no grid, as `float32`.

    Example:
        >>> shrink("step.onnx")
        {'int8': 2666304}
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    whole = ONNXModel(onnx.load(str(file)))
    whole.replace_gemm_with_matmul()  # it would do so itself, and then not know the nodes' names
    graph = whole.model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tables = _shrink_tables(whole, constants)
    stored, nodes, exact = dict(tables), [], {}
    for number, node in enumerate(graph.node):
        values = constants.get(node.input[1]) if node.op_type in ("MatMul", "Conv") else None
        if values is None:
            continue
        scale = scales(np.ascontiguousarray(values.T), 8) if node.op_type == "MatMul" and values.ndim == 2 else None
        stored[node.input[1]] = ("float32" if scale is None else "int8", values.size)
        if scale is not None:
            node.name = node.name or f"product_{number}"
            nodes.append(node.name)
            exact[node.input[1]] = [{"axis": 1, "scale": value, "zero_point": _ZERO} for value in scale]
    if nodes:
        add_pre_process_metadata(whole.model)  # else it warns that nobody has simplified the graph: tf2onnx has
        quantize_dynamic(
            whole.model,
            str(file),
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=nodes,
            per_channel=True,
            weight_type=QuantType.QUInt8,
            extra_options={"TensorQuantOverrides": exact},
        )
    elif tables:
        onnx.save(whole.model, str(file))
    counts = Counter()
    for form, size in stored.values():
        counts[form] += size
    return dict(sorted(counts.items()))


def _shrink_tables(whole, constants) -> dict:
    """Rewrites, in place, what looks rows up in large tables on a grid; gives what is then stored, as `shrink` collects it."""
    import onnx

    stored, nodes = {}, []
    for node in whole.model.graph.node:
        nodes.append(node)
        values = constants.get(node.input[0]) if node.op_type == "Gather" else None
        if values is None or values.ndim != 2 or values.size < LARGE_TABLE or values.dtype != np.float32:
            continue
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        scale = scales(values, 8) if axis == 0 else None
        if scale is None:
            continue
        table, (numbers, out) = node.input[0], (node.input[1], node.output[0])
        if table not in stored:
            rows = np.rint(values / scale[:, None]).astype(np.int8)
            for name, held in ((f"{table}_rows", rows), (f"{table}_scales", scale[:, None])):
                whole.add_initializer(onnx.numpy_helper.from_array(held, name))
            stored[table] = ("int8", values.size)
        nodes[-1:] = [
            onnx.helper.make_node("Gather", [f"{table}_rows", numbers], [f"{out}_whole"], axis=0),
            onnx.helper.make_node("Cast", [f"{out}_whole"], [f"{out}_cast"], to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("Gather", [f"{table}_scales", numbers], [f"{out}_scale"], axis=0),
            onnx.helper.make_node("Mul", [f"{out}_cast", f"{out}_scale"], [out]),
        ]
    if stored:
        del whole.model.graph.node[:]
        whole.model.graph.node.extend(nodes)
        whole.clean_initializers()  # a table that is the output's, too, stays
    return stored
