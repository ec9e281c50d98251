"""Endpoints of a SavedModel as a TFLite file of built-in operations. Runs in the process that `convert.py` is."""

from __future__ import annotations

import pathlib
import re

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError  # what `convert` raises; it has no public name

from ar_zoo.export.refused import Refused


def convert(saved_model: str, signatures: list[str], path: str) -> None:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=signatures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    # Loops write what they collect in place: the tensors keep their static shapes, which the runtime's arrays need.
    converter._experimental_enable_dynamic_update_slice = True
    try:
        content = converter.convert()
    except ConverterError as error:
        listed = re.findall(r"(?:TF Select|Custom) ops: ([\w, ]+)", str(error))
        raise Refused(str(error), [name.strip() for line in listed for name in line.split(",")]) from None
    pathlib.Path(path).write_bytes(content)
