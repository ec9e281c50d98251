"""Small models with random weights, made once for all the tests of this folder."""

from __future__ import annotations

import functools

from ar_zoo.core.registry import families
from ar_zoo.heads import DiscretizedLogisticMixture
from ar_zoo.testing import laws


@functools.cache
def text():
    """A GPT: free length, no context."""
    return laws.make(families()["gpt"], dtype="float32")


@functools.cache
def sound():
    """A WaveNet: free length, a label of two classes."""
    return laws.make(families()["wavenet"], dtype="float32")


@functools.cache
def image():
    """A gated PixelCNN: 4 x 5 pixels of two channels, four levels, a label of three classes."""
    return laws.make(families()["gated_pixel_cnn"], dtype="float32")


@functools.cache
def colour():
    """A PixelCNN that draws a pixel of three channels at once."""
    head = DiscretizedLogisticMixture(2, 5, 3)
    return laws.make(families()["pixel_cnn"], dtype="float32", image_shape=(3, 4, 3), head=head)
