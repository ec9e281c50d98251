"""Naive generation: over how many sites it runs, and which are timed."""

from __future__ import annotations

import ar_zoo
from ar_zoo.bench import naive


def test_window_of_wavenet():
    """A window holds the receptive field and the site itself; sites are timed where it is whole."""
    model = ar_zoo.create("wavenet.tiny")
    reach = 1 + sum(conv.lookback for conv in model._convs)
    assert naive.window(model, 40) == reach + 1
    assert naive.chosen_sites(model, 40, 5)[[0, -1]].tolist() == [reach, 39]
    assert naive.window(model, reach) == reach
    assert naive.window(ar_zoo.create("gpt.tiny"), 12) == 12
