"""Row LSTM and Diagonal BiLSTM as the paper defines them: NumPy, one pixel after another. And walks through cached steps."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from ar_zoo.core.cache import init_cache


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell(gates, memory):
    """(output, memory), of gates in the order in which the weights have them."""
    take, keep, show, new = np.split(gates, 4)
    memory = sigmoid(keep) * memory + sigmoid(take) * np.tanh(new)
    return sigmoid(show) * np.tanh(memory), memory


def see(groups, kernel):
    """A kernel [channels, filters] of the pixel itself, of which a group sees those up to itself."""
    channels, filters = np.indices(kernel.shape)
    return np.where(channels % groups <= filters % groups, kernel, 0.0)


def row_lstm(x, groups, kernel, bias, state):
    """[H, W, channels] → [H, W, units]; `kernel` [1, left + 1, channels, 4 · units], `state` [taps · units, 4 · units]."""
    height, width, _ = x.shape
    units = len(bias) // 4
    hidden, memory = np.zeros((2, height, width, units))
    taps = len(state) // units
    for r, c in np.ndindex(height, width):
        gates = bias + x[r, c] @ see(groups, kernel[0, -1])
        for back in range(1, min(c, taps // 2) + 1):
            gates = gates + x[r, c - back] @ kernel[0, -1 - back]
        for tap in range(taps):
            column = c + tap - taps // 2
            if r and 0 <= column < width:
                gates = gates + hidden[r - 1, column] @ state[tap * units : (tap + 1) * units]
        hidden[r, c], memory[r, c] = cell(gates, memory[r - 1, c] if r else np.zeros(units))
    return hidden


def diagonal_lstm(x, groups, kernels, biases, state):
    """[H, W, channels] → [H, W, units]; two kernels [1, 1, channels, 4 · units], `state` [2, 2 · units, 4 · units]."""
    height, width, _ = x.shape
    units = len(biases[0]) // 4
    sides = []
    for side, columns in enumerate((range(width), range(width)[::-1])):
        beside, above = state[side, :units], state[side, units:]
        hidden, memory = np.zeros((2, height, width, units))
        for r in range(height):
            last, kept = np.zeros((2, units))
            for c in columns:
                gates = x[r, c] @ see(groups, kernels[side][0, 0]) + biases[side] + last @ beside
                gates = gates + hidden[r - 1, c] @ above if r else gates
                last, kept = hidden[r, c], memory[r, c] = cell(gates, kept)
        sides.append(hidden)
    y = sides[0].copy()
    y[1:] += sides[1][:-1]
    return y


def assert_all_ways(layer, x, expected):
    """At once, row after row, and pixel after pixel."""
    for found in (np.asarray(layer(x)), by_rows(layer, x), by_pixels(layer, x)):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def assert_refuses(layer_class):
    """Numbers of channels and groups that do not fit, and what is no batch of images."""
    for arguments in (dict(units=0), dict(units="a"), dict(units=3, groups=2), dict(units=4, groups=0)):
        with pytest.raises(ValueError, match=r"`units` must be a multiple of `groups`, both at least 1; got"):
            layer_class(**arguments)
    with pytest.raises(ValueError, match=r"expected ndim=4, found ndim=3"):
        layer_class(4)(np.zeros((2, 3, 4), "float32"))


def by_rows(layer, x):
    """The outputs of `step_row`, row after row."""
    width, outputs = x.shape[2], []
    cache = init_cache(layer.cache_spec(width), len(x))
    _, cache = layer.step_row(ops.ones_like(x[:, 0]), cache, 0.0)  # what comes before the first row is none
    for r in range(x.shape[1]):
        y, cache = layer.step_row(x[:, r], cache, 1.0)
        outputs.append(np.asarray(y))
    return np.stack(outputs, axis=1)


def by_pixels(layer, x):
    """The outputs of `step`, pixel after pixel; a pixel is visited once a group, when only its groups before are known.

    Of each visit the outputs of its own group are kept.
    """
    batch, height, width, channels = x.shape
    found = np.full((batch, height, width, layer.units), np.nan)
    groups = np.arange(layer.units) % layer.groups
    cache = init_cache(layer.cache_spec(width), batch)
    before, exists = np.zeros((batch, width, channels)), 0.0
    for r in range(height):
        _, cache = layer.step_row(ops.convert_to_tensor(before), cache, exists)
        before, exists = x[:, r], 1.0
        for c in range(width):
            for group in range(layer.groups):
                known = x[:, r, c] * (np.arange(channels) % layer.groups <= group)
                y, cache = layer.step(ops.convert_to_tensor(known), cache, ops.convert_to_tensor(c), group == 0, width)
                found[:, r, c, groups == group] = np.asarray(y)[:, groups == group]
    return found


def reached(layer, x):
    """Boolean [H·W·groups, H·W·groups]: whether changing the channels of one group of a pixel changes those of another's."""
    _, height, width, _ = x.shape
    places = list(np.ndindex(height, width, layer.groups))
    batch = np.repeat(x[:1], len(places) + 1, axis=0)
    for i, (r, c, group) in enumerate(places):
        batch[i, r, c, group :: layer.groups] += 1
    y = np.asarray(layer(batch))
    apart = np.abs(y[:-1] - y[-1]).reshape(len(places), height, width, -1, layer.groups).max(axis=3)
    return apart.reshape(len(places), -1).T > 1e-12
