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
def windowed():
    """The same with a window: its cache is a ring of four entries, the first token's and the last three's."""
    overrides = dict(head=Categorical(5, alphabet="abcde"), max_sites=32, window=3, num_sinks=1)
    return laws.make(families()["mistral"], dtype="float32", **overrides)


@functools.cache
def recurrent():
    """An LSTM: no slots, only states."""
    return laws.make(families()["recurrent_lm"], dtype="float32")


@functools.cache
def sound():
    """A WaveNet: delay lines, and a label of two classes."""
    return laws.make(families()["wavenet"], dtype="float32")
