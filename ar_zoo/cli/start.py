"""What commands begin with: TensorFlow, quietly, and a model."""

from __future__ import annotations

import contextlib
import os
import sys

MODEL_HELP = "a name of `ar-zoo list --pretrained`, a preset folder, or the address of one (https://…)"
TEXT_MODEL_HELP = f"of text: {MODEL_HELP}; a Hugging Face folder, a .gguf file, hf://org/name, or smollm2"


def start_tensorflow() -> None:
    """Imports TensorFlow without its notes and warnings about the machine, some of which no setting can silence.

    They are shown where the import fails, and where `TF_CPP_MIN_LOG_LEVEL` is set to 0 or 1.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1") or "tensorflow" in sys.modules:
        return
    with _notes_withheld():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def _notes_withheld():
    """What is written to file descriptor 2, by whatever language, is dropped, unless the block raises."""
    import tempfile

    with tempfile.TemporaryFile() as notes, os.fdopen(os.dup(2), "wb") as kept:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            kept.write(notes.read())
            raise
        finally:
            os.dup2(kept.fileno(), 2)


def refuse_given_pictures(model, name: str) -> None:
    """A model that is told a picture draws nothing of sense without one."""
    if "image" in model.context_spec:
        raise ValueError(f"{name} is told a picture of what it draws: use `ar-zoo colorize` or `ar-zoo upscale`.")


def load(name: str, dtype=None, **overrides):
    """A pretrained model, with TensorFlow started quietly; arguments as of `ar_zoo.load`."""
    start_tensorflow()
    import ar_zoo

    return ar_zoo.load(name, dtype, **overrides)


def new(name: str):
    """A model of the zoo with random weights, with TensorFlow started quietly."""
    start_tensorflow()
    import ar_zoo

    return ar_zoo.create(name)
