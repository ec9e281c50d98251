"""One endpoint of a SavedModel as an ONNX file. Runs in the process that `convert.py` is.

tf2onnx writes an invalid file, without failing, for operations that it does not know. So what it lacks and the zoo needs
is registered here, and a file counts as written when ONNX's checker and onnxruntime have accepted it.
"""

from __future__ import annotations

import pathlib
import re
import warnings

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from ar_zoo.export.refused import Refused

OPSET = 18


def convert(saved_model: str, signatures: list[str], path: str) -> None:
    (endpoint,) = signatures
    tf2onnx = _tf2onnx()
    import onnx
    import onnxruntime

    loaded = tf.saved_model.load(saved_model)  # held: it owns the variables
    signature = loaded.signatures[endpoint]
    frozen = convert_variables_to_constants_v2(signature, lower_control_flow=False)
    # A signature's inputs are placeholders of their own names.
    inputs = {tensor.op.name: tensor.name for tensor in frozen.inputs}
    # A signature's outputs come in the order of their names.
    outputs = dict(zip(sorted(signature.structured_outputs), (tensor.name for tensor in frozen.outputs), strict=True))
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph.as_graph_def(), name="")
        converted = tf2onnx.tfonnx.process_tf_graph(
            graph, opset=OPSET, input_names=list(inputs.values()), output_names=list(outputs.values())
        )
    model = tf2onnx.optimizer.optimize_graph(converted).make_model(endpoint)
    _rename(model.graph, inputs, {onnx_name(name, inputs): tensor for name, tensor in outputs.items()})
    unknown = {node.op_type for node in model.graph.node} - {schema.name for schema in onnx.defs.get_all_schemas()}
    if unknown:
        raise Refused(f"ONNX {OPSET} has no {', '.join(sorted(unknown))}", unknown)
    try:
        onnx.checker.check_model(model, full_check=True)
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # both raise bare C++ errors of many classes
        raise Refused(re.sub(r"\s+", " ", str(error))) from None
    pathlib.Path(path).write_bytes(model.SerializeToString())


def onnx_name(output: str, inputs) -> str:
    """In an ONNX file nothing is called the same twice: a state that comes in and goes out goes out as `new_…`."""
    return f"new_{output}" if output in inputs else output


def _rename(graph, *named):
    """Gives inputs and outputs of an ONNX graph the endpoint's own names, wherever they stand."""
    names = {old: new for group in named for new, old in group.items()}
    taken = set(names.values())
    inside = lambda name: names.get(name, f"inner_{name}" if name in taken else name)  # noqa: E731
    for value in [*graph.input, *graph.output, *graph.initializer, *graph.value_info]:
        value.name = inside(value.name)
    for node in graph.node:
        node.input[:] = map(inside, node.input)
        node.output[:] = map(inside, node.output)


def _tf2onnx():
    """tf2onnx, mended for NumPy 2 (as Keras does), with handlers for what it lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # `hasattr(np, "object")`
        from keras.src.export.tf2onnx_lib import patch_tf2onnx

        patch_tf2onnx()
    import tf2onnx.tfonnx
    from onnx import onnx_pb
    from tf2onnx.handler import tf_op

    def replace(ctx, node, operation, inputs):
        """Puts an ONNX operation in the node's place."""
        shapes, dtypes, name, outputs = node.output_shapes, node.output_dtypes, node.name, node.output
        ctx.remove_node(name)
        ctx.make_node(operation, inputs, name=name, outputs=outputs, shapes=shapes, dtypes=dtypes)

    @tf_op("XlaDynamicUpdateSlice")
    class UpdateSlice:
        """`slice_update`: along each axis that the update does not fill, positions from `start` on are taken from it."""

        @classmethod
        def version_13(cls, ctx, node, **kwargs):
            def constant(value):
                return ctx.make_const(tf2onnx.utils.make_name("update"), np.array(value, np.int64)).output[0]

            def make(operation, *inputs, **attributes):
                return ctx.make_node(operation, list(inputs), attr=attributes).output[0]

            def within(value, last):
                return make("Max", make("Min", value, constant(last)), constant(0))

            old, new, start = node.input
            shape = ctx.get_shape(old)
            start = make("Cast", start, to=onnx_pb.TensorProto.INT64)
            inside = None
            for axis, (size, count) in enumerate(zip(shape, ctx.get_shape(new), strict=True)):
                if size == count:
                    continue
                first = within(make("Gather", start, constant(axis)), size - count)
                place = make("Sub", constant(np.arange(size)), first)
                here = make("And", make("GreaterOrEqual", place, constant(0)), make("Less", place, constant(count)))
                here = make("Reshape", here, constant([size if i == axis else 1 for i in range(len(shape))]))
                inside = here if inside is None else make("And", inside, here)
                new = make("Gather", new, within(place, count - 1), axis=axis)
            if inside is None:
                replace(ctx, node, "Identity", [new])
            else:
                replace(ctx, node, "Where", [inside, new, old])

    @tf_op(["FloorDiv", "FloorMod"])
    class Floored:
        """tf2onnx rounds quotients of whole numbers towards zero; TensorFlow rounds down, and so does ONNX's Mod."""

        @classmethod
        def version_13(cls, ctx, node, **kwargs):
            make = lambda operation, *inputs: ctx.make_node(operation, list(inputs)).output[0]  # noqa: E731
            old, by = node.input
            if ctx.get_dtype(old) in (onnx_pb.TensorProto.INT32, onnx_pb.TensorProto.INT64):
                rest = make("Mod", old, by)
                quotient = make("Div", make("Sub", old, rest), by)
            else:
                quotient = make("Floor", make("Div", old, by))
                rest = make("Sub", old, make("Mul", quotient, by))
            replace(ctx, node, "Identity", [quotient if node.type == "FloorDiv" else rest])

    @tf_op("Log1p")
    class Log1p:
        """ln(1 + x), exact for small x: with u = 1 + x as it is rounded, x ln(u) / (u - 1)."""

        @classmethod
        def version_13(cls, ctx, node, **kwargs):
            make = lambda operation, *inputs: ctx.make_node(operation, list(inputs)).output[0]  # noqa: E731
            (x,) = node.input
            kind = tf2onnx.utils.map_onnx_to_numpy_type(ctx.get_dtype(x))
            number = lambda value: ctx.make_const(tf2onnx.utils.make_name("number"), np.array(value, kind)).output[0]  # noqa: E731
            above = make("Add", x, number(1))
            rest = make("Sub", above, number(1))
            tiny = make("Equal", rest, number(0))
            quotient = make("Div", make("Mul", x, make("Log", above)), make("Where", tiny, number(1), rest))
            replace(ctx, node, "Where", [tiny, x, quotient])

    @tf_op("MulNoNan")
    class MulNoNan:
        """A product that is 0 where its second factor is, whatever the first may be (`tfd.Bernoulli` has one)."""

        @classmethod
        def version_13(cls, ctx, node, **kwargs):
            x, y = node.input
            kind = tf2onnx.utils.map_onnx_to_numpy_type(ctx.get_dtype(y))
            zero = ctx.make_const(tf2onnx.utils.make_name("zero"), np.array(0, kind)).output[0]
            make = lambda operation, *inputs: ctx.make_node(operation, list(inputs)).output[0]  # noqa: E731
            replace(ctx, node, "Where", [make("Equal", y, zero), zero, make("Mul", x, y)])

    return tf2onnx
