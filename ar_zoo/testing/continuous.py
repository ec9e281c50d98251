"""Laws 4 and 5 of continuous data: densities integrate to 1, and samples follow them."""

from __future__ import annotations

import numpy as np

from ar_zoo.testing.tiny import all_orders, contexts, params_of, small_shape

_NODES = 300_000  # of all sites together
_REACH = 16.0  # standard deviations that are integrated over, to each side
_CELLS = 512


def integrates_to_one(model):
    """The density of a small model integrates to 1, in each order and on the mean of all orders."""
    context = contexts(model, 1)
    for order in all_orders(model):
        x, weights = nodes(model, context, **order)
        log_prob = np.asarray(model.log_prob(x, _rows(context, len(x)), **order), np.float64)
        total = np.exp(log_prob) @ weights
        assert abs(total - 1) < 1e-6, f"the density integrates to {total} {order}"
    if model.orders is not None:
        x, context = x[:: len(x) // 500], _rows(context, len(x[:: len(x) // 500]))
        each = [np.asarray(model.log_prob(x, context, order=number)) for number in range(len(model.orders))]
        ensemble = np.asarray(model.log_prob(x, context, order="ensemble"))
        assert np.allclose(np.exp(ensemble), np.exp(each).mean(axis=0), rtol=1e-9), "the ensemble is no mean of orders"


def nodes(model, context=None, **order):
    """Events and their weights, for integrals over all events.

    The trapezoidal rule, whose error falls exponentially for functions as smooth as densities are. Each site's nodes
    lie where its distribution given the sites before it is, so that few of them do.

    Returns:
        (float32 [N, *event_shape], float64 [N]).
    """
    shape = small_shape(model)
    sites = int(np.prod(shape))
    count = int(_NODES ** (1 / sites))
    grid, step = np.linspace(-_REACH, _REACH, count, retstep=True)
    x, weights = np.zeros((1, sites), np.float32), np.ones(1)
    places = np.arange(sites) if model.orders is None else model.permutation(**order)
    for place, site in enumerate(places):
        mean, deviation = _moments(model, x.reshape(-1, *shape), context, place, order)
        x, weights = np.repeat(x, count, axis=0), (weights * deviation * step).repeat(count)
        x[:, site] = (mean[:, None] + deviation[:, None] * grid).ravel()
    return x.reshape(-1, *shape), weights


def follow(model, drawn, context=None, **order):
    """Samples follow the density: the CDF of each site given those before it is uniform, and independent of theirs.

    A chi-square test over cells of equal probability.
    """
    from scipy.stats import chi2

    params = params_of(model, drawn, _rows(context, len(drawn)), **order)
    sites = drawn.reshape(len(drawn), -1)
    sites = sites if model.orders is None else sites[:, model.permutation(**order)]
    uniform = np.asarray(model.head.distribution(params).cdf(sites))
    cells = int(_CELLS ** (1 / sites.shape[1]))
    assert cells > 1, f"{type(model).__name__}.SMALL has events of {sites.shape[1]} sites; choose fewer"
    cell = np.minimum((uniform * cells).astype(int), cells - 1) @ cells ** np.arange(sites.shape[1])
    counts = np.bincount(cell, minlength=cells ** sites.shape[1])
    expected = len(drawn) / len(counts)
    statistic, limit = ((counts - expected) ** 2).sum() / expected, chi2.ppf(1 - 1e-5, len(counts) - 1)
    assert statistic < limit, f"samples do not follow log_prob: chi-square {statistic:.0f}, limit {limit:.0f} {order}"


def _moments(model, x, context, place, order):
    params = params_of(model, x, _rows(context, len(x)), **order)[:, place]
    distribution = model.head.distribution(params)
    return np.asarray(distribution.mean()), np.asarray(distribution.stddev())


def _rows(context, count):
    return context and {name: np.repeat(value, count, axis=0) for name, value in context.items()}
