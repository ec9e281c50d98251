"""Small models with random weights, made once for all the tests of this folder."""

from __future__ import annotations

import functools

from ar_zoo.core.registry import families
from ar_zoo.heads import Categorical
from ar_zoo.testing import laws


@functools.cache
def text():
    """A GPT over five letters, up to 32 of them."""
    return laws.make(families()["gpt"], dtype="float32", head=Categorical(5, alphabet="abcde"), max_sites=32)


@functools.cache
def recurrent():
    """An LSTM: no slots, only states."""
    return laws.make(families()["recurrent_lm"], dtype="float32")


@functools.cache
def sound():
    """A WaveNet: delay lines, and a label of two classes."""
    return laws.make(families()["wavenet"], dtype="float32")
