"""A text model that quantised exports are tested with, and data on which a loss shows."""

from __future__ import annotations

import functools
import json

import ar_zoo
from ar_zoo.data import Examples
from ar_zoo.heads import Categorical
from tests.export.families import randomised

SITES = 12


@functools.cache
def text_model():
    return randomised(ar_zoo.create("gpt.tiny", head=Categorical(5, alphabet="abcde"), units=32), scale=0.3)


@functools.cache
def validation():
    """The model's own samples: data that no other model predicts as well, so that a loss shows."""
    return Examples(text_model().sample(64, seed=3).reshape(-1), window=SITES)


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())
