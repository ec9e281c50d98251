"""Endpoints as a SavedModel, for TF Serving and `tf.saved_model.load`."""

from __future__ import annotations

import re
from pathlib import Path

import tensorflow as tf
from keras import ops

from ar_zoo.core.generate import loop
from ar_zoo.export.noise import uniform_noise
from ar_zoo.export.signatures import Endpoint, Slot


def write_saved_model(endpoints: dict, folder) -> Path:
    """Writes one SavedModel with a signature for each endpoint and the weights as variables.

    Args:
        endpoints: name → `Endpoint`, as `signatures.endpoints` makes them.
        folder: where; made if it does not exist.

    Example:
        >>> write_saved_model(endpoints(model, 1, 12), "out")
        >>> tf.saved_model.load("out").signatures["score"](x=x)["log_prob"]

    Raises:
        OSError: the disk is full, say.
    """
    module = tf.Module()
    # The variables alone: a module that holds the Keras model itself cannot be saved.
    variables = {variable.ref(): variable for end in endpoints.values() for variable in end.function.variables}
    module.weights = list(variables.values())
    try:
        tf.saved_model.save(module, str(folder), signatures={name: end.function for name, end in endpoints.items()})
    except tf.errors.OpError as error:  # TensorFlow's own words for what a file system says
        raise OSError(re.sub(r"^{{.*?}} ?", "", error.message)) from None
    return Path(folder)


def generate(model, batch_size: int, num_sites: int) -> Endpoint:
    """The whole loop as one graph compiled by XLA, seed in, events out: the rows of `model.sample(batch_size, seed)`.

    | takes | |
    |---|---|
    | prefix | int32, of continuous data float32, [B, sites, *site]: known sites, and anything after them |
    | prefix_length | int32 []: how many are known |
    | seed | int64 [], at least 0 |
    | temperature | float32 []; 0 takes the most likely symbols |
    | contexts | as in the other endpoints |

    Example:
        >>> tf.saved_model.load("out/saved_model").signatures["generate"](prefix=x, prefix_length=n, …)["x"]
    """
    head = model.head
    slots = [
        Slot("prefix", (batch_size, num_sites, *head.site_shape), head.symbol_dtype),
        Slot("prefix_length", (), "int32"),
        Slot("seed", (), "int64"),
        Slot("temperature", (), "float32"),
        *(Slot(name, (batch_size, *spec.shape), spec.dtype) for name, spec in model.context_spec.items()),
    ]
    event = tuple(size or num_sites for size in model.event_shape)

    @tf.function(jit_compile=True, autograph=False)
    def draw(given):
        noise = uniform_noise(given["seed"], batch_size, num_sites, head.noise_shape)
        known = tf.repeat(tf.range(num_sites)[None] < given["prefix_length"], batch_size, axis=0)
        context = {name: given[name] for name in model.context_spec}
        start = tf.minimum(given["prefix_length"], num_sites)
        return loop(model, noise, given["prefix"], known, context, given["temperature"], None, tf.constant(0), start)

    def traced(*tensors):
        return {
            "x": ops.reshape(draw(dict(zip((slot.name for slot in slots), tensors, strict=True))), (batch_size, *event))
        }

    signature = [tf.TensorSpec(slot.shape, slot.dtype, name=slot.name) for slot in slots]
    concrete = tf.function(traced, input_signature=signature, autograph=False).get_concrete_function()
    return Endpoint("generate", tuple(slots), (Slot("x", (batch_size, *event), head.symbol_dtype),), concrete)
