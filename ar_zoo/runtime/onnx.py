"""One exported graph in onnxruntime, as arrays to fill, a `run`, and arrays to read."""

from __future__ import annotations

import numpy as np


class Graph:
    """An ONNX file whose inputs and outputs are NumPy arrays that stay where they are; see `litert.Graph`.

    Args:
        path: the `.onnx` file.
        endpoint: its entry in the manifest.
        threads: that it may use.
    """

    def __init__(self, path, endpoint: dict, threads: int = 1):
        try:
            import onnxruntime
        except ImportError:
            raise ImportError("The engine 'onnx' is not installed: `pip install 'ar_zoo[onnx]'`.") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._bound = self._session.io_binding()
        self.inputs = self._arrays(path, endpoint["inputs"], (), self._session.get_inputs(), self._bound.bind_input)
        self.outputs = self._arrays(
            path, endpoint["outputs"], self.inputs, self._session.get_outputs(), self._bound.bind_output
        )

    def run(self):
        self._session.run_with_iobinding(self._bound)

    def _arrays(self, path, slots, inputs, found, bind):
        """`inputs`: names that the file has given away; what goes out under one of them goes out as `new_…`."""
        in_manifest = [{**slot, "name": f"new_{slot['name']}"} if slot["name"] in inputs else slot for slot in slots]
        described = {slot["name"]: (list(slot["shape"]), slot["dtype"]) for slot in in_manifest}
        types = {"tensor(float)": "float32", "tensor(int32)": "int32"}
        in_file = {value.name: (value.shape, types.get(value.type, value.type)) for value in found}
        if described != in_file:
            raise ValueError(f"{path} has tensors {in_file}; its manifest describes {described}. Export it again.")
        arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in described.items()}
        for name, array in arrays.items():
            bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return {slot["name"]: array for slot, array in zip(slots, arrays.values(), strict=True)}
