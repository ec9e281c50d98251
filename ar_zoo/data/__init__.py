"""Data, in and out: read images, sound, text and numbers; hand them to `fit` in a reproducible order; write what was drawn.

    from ar_zoo import data
    digits = data.read("shipped:digits")
    batches = data.Examples(digits.values, {"class": digits.labels}).training(batch_size=64, seed=0)

Importing this package does not import TensorFlow.
"""

from __future__ import annotations

from ar_zoo.core.text import alphabet_of, decode_text, encode_text
from ar_zoo.data.augment import shift_images
from ar_zoo.data.dataset import Data
from ar_zoo.data.examples import Examples
from ar_zoo.data.known_image import known_image
from ar_zoo.data.sources import SHIPPED, read
from ar_zoo.data.writers import image_grid, plot_waveform, write_npz, write_png, write_text, write_wav

__all__ = [
    "SHIPPED",
    "Data",
    "Examples",
    "alphabet_of",
    "decode_text",
    "encode_text",
    "image_grid",
    "known_image",
    "plot_waveform",
    "read",
    "shift_images",
    "write_npz",
    "write_png",
    "write_text",
    "write_wav",
]
