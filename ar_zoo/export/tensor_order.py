"""The order in which a TFLite file keeps an endpoint's inputs and outputs: hosts find them by place, not by name."""

from __future__ import annotations

import dataclasses

from ai_edge_litert.interpreter import Interpreter


def in_order_of(file, endpoint):
    """The endpoint with its inputs and outputs in the file's order."""
    interpreter = Interpreter(model_path=str(file), num_threads=1)
    runner = interpreter.get_signature_runner()
    return dataclasses.replace(
        endpoint,
        inputs=_in_order(endpoint.inputs, runner.get_input_details(), interpreter.get_input_details()),
        outputs=_in_order(endpoint.outputs, runner.get_output_details(), interpreter.get_output_details()),
    )


def _in_order(slots, by_name, in_file):
    """Slots in the order of the file's tensors; equal constants are one tensor that several slots share."""
    waiting = list(slots)
    ordered = []
    for detail in in_file:
        here = next(slot for slot in waiting if by_name[slot.name]["index"] == detail["index"])
        waiting.remove(here)
        ordered.append(here)
    return tuple(ordered)
