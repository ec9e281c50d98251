"""Graphs of steps hold no operation that LiteRT's fast kernels (XNNPACK) leave to slow ones without a word.

An index that drops or adds an axis, and a split into one part, are such; each costs about as much as a layer's products.
"""

from __future__ import annotations

import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.export.families import FAMILIES, model


def slow_operations(file) -> list[str]:
    """What XNNPACK refuses among slices and splits."""
    graph = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    found = []
    for operation in graph.subgraphs[0].operators:
        name, options = codes[graph.operatorCodes[operation.opcodeIndex].builtinCode], operation.builtinOptions
        if name == "STRIDED_SLICE" and (options.shrinkAxisMask or options.newAxisMask):
            found.append(f"a slice that drops or adds axes: {graph.subgraphs[0].tensors[operation.outputs[0]].shape}")
        if name == "SPLIT" and options.numSplits == 1:
            found.append("a split into one part")
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_are_made_of_fast_operations(exported, family):
    names = ["step", "begin_block"] if model(family).block_sizes else ["step"]
    assert {name: slow_operations(exported(family) / f"{name}.tflite") for name in names} == {
        name: [] for name in names
    }
