"""Orders in which the sites of one event can be drawn, and training that knows all of them.

A model with several orders keeps `x`, `params` and everything that users see in data order. Its cache, its noise, a
prefix and `step` count the sites as they are drawn: place t of an order is site `order[t]`.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.lookup import entries


def shuffled(count: int, *seed: int) -> np.ndarray:
    """A permutation of `count` numbers that depends on the seed alone: the same in every version and on every machine.

    Example:
        >>> shuffled(5, 0, 1)
        array([3, 4, 2, 1, 0])
    """
    # Raw words of a bit generator are promised never to change; `Generator.permutation` is not.
    return np.argsort(np.random.Philox(np.random.SeedSequence(seed)).random_raw(count), kind="stable")


def make_orders(num_orders: int, sites: int, seed: int, raster: bool = True) -> np.ndarray:
    """int32 [num_orders, sites]: random orders, the first one raster or not. More of them leave the first as they are."""
    made = np.stack([shuffled(sites, seed, number) for number in range(num_orders)]).astype(np.int32)
    if raster:
        made[0] = np.arange(sites)
    return made


def sites_at(orders, order, place):
    """The sites at places of one of the orders [orders, S]; of raster order alone the places themselves, looked up nowhere."""
    if np.array_equal(orders, np.broadcast_to(np.arange(orders.shape[1]), orders.shape)):
        return place
    return entries(orders.ravel(), order * orders.shape[1] + place)


def places(order) -> np.ndarray:
    """The place of each site in an order [..., S]: its inverse."""
    return np.argsort(order, axis=-1).astype(np.int32)


def known_first(order, known) -> np.ndarray:
    """Orders [B, S] with the sites that a row knows (`known` bool [B, S], in data order) before the others."""
    known = np.take_along_axis(known, order, axis=1)
    return np.take_along_axis(order, np.argsort(~known, axis=1, kind="stable"), axis=1)


def hide(batch_size, sites: int, seed):
    """What one step of orderless training shows (Uria, Murray & Larochelle 2014, arXiv:1310.1757, equation 11).

    Each row draws a number d of 0 … S - 1, and which d sites are known. The others are scored, each S / (S - d) times,
    so that the sum is an unbiased estimate of the negative log-likelihood under a random order.

    Returns:
        (known bool [B, S], weights float32 [B, S] of the sites' losses).
    """
    drawn = keras.random.uniform((batch_size, sites), seed=seed)
    number = keras.random.randint((batch_size, 1), 0, sites, seed=seed)
    threshold = ops.take_along_axis(ops.sort(drawn, axis=-1), number, axis=-1)
    known = drawn < threshold
    # Counted and not `number`, which equal random numbers would belie.
    hidden = ops.cast(ops.logical_not(known), "float32")
    return known, hidden * (sites / ops.sum(hidden, axis=-1, keepdims=True))
