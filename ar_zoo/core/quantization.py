"""Weights on a grid: which of a model's matrices quantisation rounds, and the values that they take.

Exports, training and the exported files agree because all of them use `rounded`: an export rounds the model's weights
once, before anything is traced, so that `score` and the steps hold the same ones; quantisation-aware training computes
its loss at the values that the export will store.

A matrix is rounded per output channel: w ≈ s · round(w / s), s = max|w| / (2^(bits - 1) - 1). With four bits each block of
32 inputs has an s of its own, where the blocks come out even and the operation knows them. So is a large table that rows are
looked up in, per row, with eight bits at least. Biases, gains and small tables stay as they are.

The matrix whose products are the head's parameters keeps eight bits where a scheme says four of all, as in llama.cpp's files: in
the shipped speech it holds 3 % of the weights, and four bits there made 22 of the 26 % that the model lost.

Matrices that take fewer than eight channels become float16 instead: they are small, what they take is data itself, and LiteRT
rounds what a product takes to eight bits too; in the shipped digits such convolutions over pixels made most of the loss.
(Scales that clip the largest weights, to a least squared error of the weights, were tried and lose more.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import re

import keras
import numpy as np
import tensorflow as tf

BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4}
BLOCK = 32
NARROW = 8  # channels; below, a matrix is not rounded to fewer than 16 bits
LARGE_TABLE = 2**20  # numbers; of a smaller one that rows are looked up in there is little to save
# Products by the attributes that say whether their first and second factor are transposed.
_PRODUCTS = {
    "MatMul": ("transpose_a", "transpose_b"),
    "BatchMatMulV2": ("adj_x", "adj_y"),
    "BatchMatMulV3": ("adj_x", "adj_y"),
    "Conv2D": (),
}
# Scales of blocks are stored as float16 with the mantissa of bfloat16; below this they would lose more bits.
_SMALLEST_BLOCK_SCALE = 2.0**-14


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the values of a weight may lie.

    Attributes:
        bits: 4 or 8; 16 is float16.
        axis: the axis of the output channels, 0 or -1.
        block: how many inputs share a scale; `None` for all of a channel.
    """

    bits: int
    axis: int = -1
    block: int | None = None


def grids(model, scheme) -> dict[str, Grid]:
    """The grid of every weight that a scheme rounds.

    Args:
        model: an `AutoregressiveModel`.
        scheme: `"float16"`, `"int8"` or `"int4"`, or a dict of regular expressions, searched for in the weights' paths
            (`block_0/attention/query/kernel`); the first that is found decides, and what none finds stays float32. A
            name alone, and the expression `""`, leave narrow matrices in float16, and the last one in int8; one that is
            spelled out does not.

    Raises:
        ValueError: unknown scheme, or an expression that finds no matrix.

    Example:
        >>> grids(ar_zoo.load("gpt.kjv"), {"output|table": "int8", "": "int4"})["block_0/expand/kernel"]
        Grid(bits=4, axis=-1, block=32)
    """
    from ar_zoo.core.pretrained import named_weights

    rules = _checked_rules(scheme)
    found = matrices(model)
    for pattern in rules:
        if not any(pattern.search(path) for path in found):
            raise ValueError(
                f"`quantize` names {pattern.pattern!r}, which is found in no matrix's path; there are "
                f"{', '.join(found) or 'none'}."
            )
    weights = named_weights(model)
    chosen = {}
    for path, (axis, even, delicate) in found.items():
        general, bits = next(
            ((not pattern.pattern, BITS[name]) for pattern, name in rules.items() if pattern.search(path)), (True, 32)
        )
        if general and weights[path].shape[-2 if axis == -1 else -1] < NARROW:
            bits = max(bits, 16)
        if general and delicate:
            bits = max(bits, 8)
        if bits < 32:
            chosen[path] = Grid(bits, axis, BLOCK if bits == 4 and even else None)
    return chosen


def read_scheme(words: list[str]) -> str | dict:
    """A scheme from a command line: one name, or PATTERN=NAME for each part of the model.

    Example:
        >>> read_scheme(["output=int8", "=int4"])
        {'output': 'int8', '': 'int4'}
    """
    rules = [word.rpartition("=") for word in words]
    if len(rules) == 1 and not rules[0][1]:
        return rules[0][2]
    if not all(equals for _, equals, _ in rules):
        raise ValueError(
            f"A scheme must be one name, or PATTERN=NAME for each part of the model; got {' '.join(words)}."
        )
    return {pattern: name for pattern, _, name in rules}


def _checked_rules(scheme) -> dict:
    rules = scheme if isinstance(scheme, dict) else {"": scheme}
    unknown = [name for name in rules.values() if name not in BITS]
    if unknown or not rules or scheme == "float32":
        allowed = ", ".join(repr(name) for name in BITS if name != "float32")
        raise ValueError(
            f"`quantize` must be {allowed}, or a dict of regular expressions to those or 'float32'; got {scheme!r}."
        )
    try:
        return {re.compile(pattern): name for pattern, name in rules.items()}
    except (re.error, TypeError) as error:
        raise ValueError(f"`quantize` holds a regular expression that cannot be read ({error}): {scheme!r}.") from None


def rounded(weight, grid: Grid):
    """A weight's values on its grid, float32; a graph operation.

    Example:
        >>> rounded(tf.constant([[0.5, -7.0], [1.0, 3.4]]), Grid(4)).numpy()
        array([[ 0.42857143, -7.        ],
               [ 1.        ,  3.        ]], dtype=float32)
    """
    weight = tf.cast(weight, "float32")
    if grid.bits == 16:
        return tf.cast(tf.cast(weight, "float16"), "float32")
    turned = tf.transpose(weight) if grid.axis == 0 else weight
    channels = turned.shape[-1]
    inputs = int(np.prod(weight.shape)) // channels
    blocks = tf.reshape(turned, (-1, grid.block or inputs, channels))
    top = float(2 ** (grid.bits - 1) - 1)
    largest = tf.reduce_max(tf.abs(blocks), axis=1, keepdims=True)
    if grid.block:
        scale = tf.maximum(_with_short_mantissa(largest / top), _SMALLEST_BLOCK_SCALE)
    else:
        scale = tf.maximum(largest, 1e-9) / top
    values = tf.reshape(tf.clip_by_value(tf.round(blocks / scale), -top, top) * scale, turned.shape)
    return tf.transpose(values) if grid.axis == 0 else values


def _with_short_mantissa(scale):
    """To the nearest bfloat16, by its bits: XLA may drop a cast there and back."""
    bits = tf.bitcast(scale, tf.int32)
    odd = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 16), 1)
    return tf.bitcast(tf.bitwise.bitwise_and(bits + 0x7FFF + odd, -0x10000), tf.float32)


def rounded_straight_through(weight, grid: Grid):
    """`rounded`, whose gradient is that of the identity (Bengio et al. 2013, arXiv:1308.3432).

    Example:
        >>> with tf.GradientTape() as tape: y = rounded_straight_through(weight.value, Grid(4))
        >>> tape.gradient(y, weight.value)  # ones
    """
    return tf.grad_pass_through(lambda value: rounded(value, grid))(weight)


def at_rounded_weights(model, chosen: dict[str, Grid], function):
    """What a function gives while the model's weights have the values on their grids; nothing is assigned.

    Gradients go straight through to the weights themselves. Works inside graphs, compiled steps and replicas.

    Example:
        >>> at_rounded_weights(model, grids(model, "int4"), lambda: model.log_prob(x))
    """
    from ar_zoo.core.pretrained import named_weights

    weights = named_weights(model)
    values = [(weights[path], rounded_straight_through(weights[path].value, grid)) for path, grid in chosen.items()]
    return at_values(model, values, function)


def at_values(model, values: list, function):
    """What a function gives while weights have other values, (weight, tensor) each; nothing is assigned.

    Example:
        >>> at_values(model, [(weight, 2 * weight.value)], lambda: model.log_prob(x))
    """
    with keras.StatelessScope(values) as scope:
        result = function()
    for variable in model.non_trainable_variables:  # states of dropout, which such a scope only notes down
        value = scope.get_current_value(variable)
        if value is not None:
            variable.assign(value)
    return result


@contextlib.contextmanager
def rounded_weights(model, chosen: dict[str, Grid]):
    """Within the block, the model's weights have the values on their grids.

    Example:
        >>> with rounded_weights(model, grids(model, "int4")):
        ...     model.log_prob(x)
    """
    from ar_zoo.core.pretrained import named_weights

    weights = named_weights(model)
    kept = {path: weights[path].numpy() for path in chosen}
    try:
        for path, grid in chosen.items():
            weights[path].assign(rounded(kept[path], grid))
        yield
    finally:
        for path, value in kept.items():
            weights[path].assign(value)


def matrices(model) -> dict[str, tuple[int, bool, bool]]:
    """Weights that the model multiplies its data with, as matrices or convolutions, and large tables that it looks rows up in.

    They are read off the traced `call`: a weight counts if it comes to a product through operations on weights alone
    (casts, masks, reshapes), which a converter folds into one constant.

    Returns:
        path → (axis of the output channels, whether its inputs come in blocks, whether it needs eight bits: no product comes
        after its own, or it is only looked up).

    Example:
        >>> matrices(ar_zoo.create("gpt.tiny"))["block_0/expand/kernel"]
        (-1, False, False)
    """
    from ar_zoo.core.pretrained import named_weights

    weights = {
        path: weight
        for path, weight in named_weights(model).items()
        if len(weight.shape) >= 2 and keras.backend.is_float_dtype(weight.dtype)
    }
    event = tuple(size or model.trace_sites for size in model.event_shape)
    contexts = model.context_spec
    data = [tf.TensorSpec((1, *event), "int32")]
    data += [tf.TensorSpec((1, *spec.shape), spec.dtype) for spec in contexts.values()]

    def call(*tensors):
        values, x, rest = tensors[: len(weights)], tensors[len(weights)], tensors[len(weights) + 1 :]
        with keras.StatelessScope(list(zip(weights.values(), values, strict=True))):
            return model(x, context=dict(zip(contexts, rest, strict=True)) or None, training=False)

    signature = [tf.TensorSpec(weight.shape, weight.dtype) for weight in weights.values()] + data
    inputs = tf.function(call, input_signature=signature, autograph=False).get_concrete_function().inputs
    varying = _downstream(inputs[len(weights) : len(signature)])
    found = {}
    for (path, weight), tensor in zip(weights.items(), inputs, strict=False):
        uses, looked_up = _uses(tensor, varying)
        if looked_up and not uses and np.prod(weight.shape) >= LARGE_TABLE:
            found[path] = (0, False, True)
        axes = {axis for _, axis in uses.values()}
        if len(axes) == 1 and (axes == {-1} or len(weight.shape) == 2):
            (axis,) = axes
            num_inputs = int(np.prod(weight.shape)) // weight.shape[axis]
            # LiteRT's convolutions know one scale a channel.
            even = num_inputs % BLOCK == 0 and all(kind != "Conv2D" for kind, _ in uses.values())
            after = _downstream([output for operation in uses for output in operation.outputs])
            found[path] = (axis, even, all(operation.type not in _PRODUCTS for operation in after))
    return found


def _downstream(tensors) -> set:
    """Operations that depend on the tensors."""
    found, waiting = set(), list(tensors)
    while waiting:
        new = set(waiting.pop().consumers()) - found
        found |= new
        waiting += [output for operation in new for output in operation.outputs]
    return found


def _uses(tensor, varying) -> tuple[dict, bool]:
    """Product of a weight with what varies → (its kind, axis of the output channels); whether rows of it are looked up."""
    uses, looked_up, waiting, seen = {}, False, [(tensor, False)], set()
    while waiting:
        here, turned = waiting.pop()
        for operation in here.consumers():
            if operation not in varying:
                if (operation, turned) not in seen:
                    seen.add((operation, turned))
                    waiting += [(output, turned ^ _turns(operation)) for output in operation.outputs]
            elif operation.type in _PRODUCTS:
                second = operation.inputs[1] is here
                uses[operation] = operation.type, -1 if second ^ turned ^ _turned_inside(operation, second) else 0
            elif operation.type == "GatherV2" and operation.inputs[0] is here and not turned:
                looked_up = looked_up or (len(here.shape) == 2 and tf.get_static_value(operation.inputs[2]) == 0)
    return uses, looked_up


def _turns(operation) -> bool:
    """Whether an operation swaps the axes of a matrix."""
    if operation.type != "Transpose":
        return False
    order = tf.get_static_value(operation.inputs[1])
    return order is None or list(order) != list(range(len(order)))


def _turned_inside(operation, second) -> bool:
    names = _PRODUCTS[operation.type]
    return bool(names) and operation.get_attr(names[second])
