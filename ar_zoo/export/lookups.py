"""Rows that a TFLite file looks up in a large table, by the one operation that knows tables of few bits.

Converters write GATHER, which takes integers only where its output is of the same integers. EMBEDDING_LOOKUP takes int8 rows with
a scale each and gives float32. It wants a list of numbers, so that reshapes stand around it.
"""

from __future__ import annotations

import numpy as np


def with_lookups(content, wanted):
    """A TFLite file with EMBEDDING_LOOKUP where it had GATHER of rows of a constant matrix.

    Args:
        content: bytes of the file.
        wanted: of the values of a table [rows, units], whether to change what looks them up.

    Returns:
        bytes; the very `content` if there is nothing to change.

    Example:
        >>> content = with_lookups(content, lambda values: values.size > 1_000_000)
    """
    from ai_edge_litert.tools import flatbuffer_utils
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer

    model = flatbuffer.read_model(content)
    changed = False
    for subgraph in model.subgraphs:
        operations = []
        for operation in subgraph.operators:
            table = _table(flatbuffer, model, subgraph, operation)
            if table is not None and wanted(table):
                operations += _Lookup(model, subgraph, flatbuffer_utils.schema_fb).instead_of(operation)
                changed = True
            else:
                operations.append(operation)
        subgraph.operators = operations
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)) if changed else content


def _table(flatbuffer, model, subgraph, operation):
    """The float32 matrix whose rows an operation gathers by int32 numbers, or `None`."""
    from ai_edge_quantizer import qtyping

    kind = flatbuffer.TFL_OP_CODE_TO_NAME.get(model.operatorCodes[operation.opcodeIndex].builtinCode)
    if kind != qtyping.TFLOperationName.GATHER or operation.builtinOptions.axis or operation.builtinOptions.batchDims:
        return None
    table, numbers = (subgraph.tensors[place] for place in operation.inputs)
    values = flatbuffer.get_tensor_data(table, model.buffers)
    rows = values is not None and values.dtype == np.float32 and values.ndim == 2
    return values if rows and numbers.type == qtyping.TensorType.INT32 else None


class _Lookup:
    """Writes operations and tensors into one subgraph."""

    def __init__(self, model, subgraph, schema):
        self._model, self._subgraph, self._schema = model, subgraph, schema

    def instead_of(self, gather) -> list:
        table, numbers = gather.inputs
        (out,) = gather.outputs
        name = self._subgraph.tensors[out].name.decode()
        units = self._subgraph.tensors[table].shape[1]
        count = int(np.prod(self._subgraph.tensors[numbers].shape))
        flat = self._tensor(f"{name}/numbers", [count], self._schema.TensorType.INT32)
        rows = self._tensor(f"{name}/rows", [count, units], self._schema.TensorType.FLOAT32)
        return [
            self._reshape(numbers, flat),
            # Version 4 is the first that knows a scale for each row.
            self._operation("EMBEDDING_LOOKUP", [flat, table], [rows], version=4),
            self._reshape(rows, out),
        ]

    def _reshape(self, place, into):
        shape = np.array(self._subgraph.tensors[into].shape, np.int32)
        name = self._subgraph.tensors[into].name.decode()
        constant = self._tensor(f"{name}/shape", [len(shape)], self._schema.TensorType.INT32, shape)
        operation = self._operation("RESHAPE", [place, constant], [into])
        operation.builtinOptionsType = self._schema.BuiltinOptions.ReshapeOptions
        operation.builtinOptions = self._schema.ReshapeOptionsT()
        operation.builtinOptions.newShape = shape.tolist()
        return operation

    def _operation(self, kind, inputs, outputs, version=1):
        operation = self._schema.OperatorT()
        operation.opcodeIndex = self._code(getattr(self._schema.BuiltinOperator, kind), version)
        operation.inputs, operation.outputs = inputs, outputs
        return operation

    def _code(self, builtin, version) -> int:
        codes = self._model.operatorCodes
        for place, code in enumerate(codes):
            if code.builtinCode == builtin and code.version >= version:
                return place
        code = self._schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin  # both kinds are below 127, where the old field ends
        code.version = version
        codes.append(code)
        return len(codes) - 1

    def _tensor(self, name, shape, type, values=None) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), type, 0
        if values is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self._model.buffers.append(buffer)
            tensor.buffer = len(self._model.buffers) - 1
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1
