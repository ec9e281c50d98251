"""One exported graph in LiteRT, as arrays to fill, a `run`, and arrays to read."""

from __future__ import annotations

import ctypes

import numpy as np


class Graph:
    """A TFLite file whose inputs and outputs are NumPy arrays that stay where they are.

    Fill `inputs[name]` in place, call `run()`, read `outputs[name]`. Inputs keep their values from run to run, so a
    state that changes in one slot costs one slot. One thread: for graphs this small two are slower. Keys and values
    come out as new entries alone, so nothing large is copied. Not `CompiledModel`: it takes twice as long for a pixel or a
    sample, no less for a GPT (`tools/compare_litert.py`), and hands out no memory to fill in place.

    Args:
        path: the `.tflite` file.
        endpoint: its entry in the manifest.
        threads: that it may use.

    Example:
        >>> graph = Graph("score.tflite", manifest["endpoints"]["score"])
        >>> graph.inputs["x"][...] = x
        >>> graph.run()
        >>> graph.outputs["log_prob"]
    """

    def __init__(self, path, endpoint: dict, threads: int = 1):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise ImportError("The engine 'litert' is not installed: `pip install ai-edge-litert`.") from None
        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._scalars = []
        self.inputs = self._arrays(path, endpoint["inputs"], self._interpreter.get_input_details(), self._input)
        self.outputs = self._arrays(path, endpoint["outputs"], self._interpreter.get_output_details(), self._view)
        for array in self.inputs.values():
            array[...] = 0  # LiteRT leaves whatever was in memory

    def run(self):
        for scalar in self._scalars:
            tensor, array, last = scalar
            value = array.item()  # comparing arrays takes ten times as long
            if value != last:
                self._interpreter.set_tensor(tensor, array)
                scalar[2] = value
        self._interpreter.invoke()

    def _arrays(self, path, slots, details, array):
        described = [(tuple(slot["shape"]), slot["dtype"]) for slot in slots]
        found = [(tuple(detail["shape"].tolist()), np.dtype(detail["dtype"]).name) for detail in details]
        if described != found:
            raise ValueError(f"{path} has tensors {found}; its manifest describes {described}. Export it again.")
        return {slot["name"]: array(detail) for slot, detail in zip(slots, details, strict=True)}

    def _input(self, detail):
        if len(detail["shape"]):
            return self._view(detail)
        # LiteRT hands out no array without an axis: this one is copied in by `run`.
        value = np.zeros((), detail["dtype"])
        self._interpreter.set_tensor(detail["index"], value)
        self._scalars.append([detail["index"], value, value.item()])
        return value

    def _view(self, detail):
        """The tensor's own memory. LiteRT's `tensor()` gives it too, but refuses to run while such an array lives."""
        array = self._interpreter.tensor(detail["index"])()
        memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
        return np.frombuffer(memory, array.dtype).reshape(array.shape)
