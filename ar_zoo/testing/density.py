"""The laws of models without a step (`DensityModel`), each a function of a family's class, as in `laws.py`.

import pytest
from ar_zoo.testing import density

@pytest.mark.parametrize("law", density.ALL, ids=lambda law: law.__name__)
def test_my_flow(law):
    law(MyFlow)
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from ar_zoo.core.flow import FlowModel
from ar_zoo.core.noise import uniform_noise
from ar_zoo.testing.laws import gradients, precision, replicas, round_trip
from ar_zoo.testing.tiny import contexts, events, make

_NODES = 256  # to each side of the rectangle that densities are integrated over
_CELLS = 12  # to each side of it that samples are counted in
_DRAWS = 20_000


@functools.cache
def _planes(cls) -> list[tuple]:
    """Of models of two numbers, samples as the nodes next to them, and the mass around each node [nodes, nodes].

    The nodes are those of the midpoint rule over a rectangle around the samples.
    """
    found = []
    for overrides in cls.SMALL:
        model = make(cls, scale=0.4, **overrides)
        assert model.event_shape == (2,), f"{cls.__name__}.SMALL {overrides} must have events of two numbers"
        context = contexts(model, 1)
        drawn = model.sample(_DRAWS, seed=1, context=context and {name: value[0] for name, value in context.items()})
        middle, reach = drawn.mean(0), 1.2 * np.abs(drawn - drawn.mean(0)).max(0)
        axes = [m + r * ((np.arange(_NODES) + 0.5) / _NODES * 2 - 1) for m, r in zip(middle, reach, strict=True)]
        x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        given = context and {name: np.repeat(value, len(x), axis=0) for name, value in context.items()}
        log_prob = tf.function(model.log_prob)(tf.constant(x), given and {k: tf.constant(v) for k, v in given.items()})
        mass = np.exp(np.asarray(log_prob)).reshape(_NODES, _NODES) * np.prod(2 * reach / _NODES)
        nearest = np.floor(((drawn - middle) / reach + 1) / 2 * _NODES).astype(int)
        found.append((nearest, mass))
    return found


def normalisation(cls):
    """Law 4: densities integrate to 1, by quadrature in the plane."""
    for _, mass in _planes(cls):
        assert abs(mass.sum() - 1) < 1e-3, f"the density integrates to {mass.sum()}"


def sampling(cls):
    """Law 5: samples follow exp(log_prob): a chi-square test over cells of the plane, with a fixed seed."""
    from scipy.stats import chi2

    for drawn, mass in _planes(cls):
        # Edges of cells between which the marginals have equal mass.
        edges = [np.searchsorted(np.cumsum(mass.sum(1 - axis)), np.arange(1, _CELLS) / _CELLS) for axis in (0, 1)]
        cells = [np.searchsorted(edge, np.arange(_NODES), side="right") for edge in edges]
        expected, counts = np.zeros((_CELLS, _CELLS)), np.zeros((_CELLS, _CELLS))
        np.add.at(expected, np.ix_(*cells), mass * len(drawn))
        np.add.at(counts, (cells[0][drawn[:, 0]], cells[1][drawn[:, 1]]), 1)
        rare = expected < 5  # cells too small for the test are one cell
        seen = np.append(counts[~rare], counts[rare].sum())
        wanted = np.append(expected[~rare], expected[rare].sum() + 1e-9)
        keep = wanted > 1
        statistic = ((seen - wanted)[keep] ** 2 / wanted[keep]).sum()
        limit = chi2.ppf(1 - 1e-5, keep.sum() - 1)
        assert statistic < limit, f"samples do not follow log_prob: chi-square {statistic:.0f}, limit {limit:.0f}"


def one_noise_one_sample(cls):
    """Law 6: the same seed gives the same sample eager and compiled and in any batch, to the last digits of float32."""
    model = make(cls, dtype="float32")
    context = contexts(model, 5)
    whole = model.sample(5, seed=3, context=context)
    close = lambda a, b: np.allclose(a, b, rtol=0, atol=1e-4 * np.abs(a).max())  # noqa: E731
    assert close(whole, model.sample(5, seed=3, context=context, batch_size=2)), "the sample depends on the batch"
    assert not close(whole, model.sample(5, seed=4, context=context)), "the seed has no effect"
    noise = uniform_noise(3, range(5), 0, model.num_sites, ()).reshape(whole.shape)
    eager = model.draw(tf.constant(noise), model.full_context(context, 5), tf.constant(1.0))
    assert close(whole, np.asarray(eager)), "eager and compiled samples differ"
    cold = [model.sample(5, seed=seed, context=context, temperature=0) for seed in (3, 4)]
    assert np.array_equal(*cold), "at temperature 0 the seed has an effect"


# Of flows, whose map is there to look at.


def inverse(cls):
    """The map and its inverse undo each other."""
    if not issubclass(cls, FlowModel):
        return
    for dtype, bound in (("float64", 1e-9), ("float32", 1e-5)):
        model = make(cls, dtype=dtype, scale=0.2)
        context = contexts(model, 6)
        # Bijectors remember what they made of what: each direction has one of its own.
        x = tf.constant(_vectors(model, 6).astype(dtype))
        noise = model.bijector(context).inverse(x)
        assert np.abs(model.bijector(context).forward(tf.identity(noise)) - x).max() < bound, "inverse, then forward"
        drawn = model.bijector(context).forward(x)
        back = model.bijector(context).inverse(tf.identity(drawn))
        assert np.abs(back - x).max() < bound * np.abs(drawn).max(), "forward, then inverse"


def jacobians(cls):
    """Log-determinants equal those of the derivatives of the map, and of each map in its chain."""
    if not issubclass(cls, FlowModel):
        return
    model = make(cls)
    context, x = contexts(model, 5), _vectors(model, 5)
    noise, jacobian = _derivative(model.bijector(context).inverse, x)
    normal = -0.5 * (noise**2).sum(-1) - 0.5 * np.log(2 * np.pi) * noise.shape[-1]
    expected = normal + np.linalg.slogdet(jacobian)[1]
    worst = np.abs(expected - model.log_prob(x.reshape(5, *model.event_shape), context)).max()
    assert worst < 1e-9, f"log_prob is {worst:.3g} from that by derivatives"
    for bijector in model.bijectors(model.full_context(context, 5)):
        for to, log_det in (
            (bijector.forward, bijector.forward_log_det_jacobian),
            (bijector.inverse, bijector.inverse_log_det_jacobian),
        ):
            expected = np.linalg.slogdet(_derivative(to, x)[1])[1]
            worst = np.abs(expected - np.asarray(log_det(tf.constant(x), event_ndims=1))).max()
            assert worst < 1e-9, f"{to} has a log-determinant that is {worst:.3g} off"


def triangles(cls):
    """In each map's order every number depends on itself and all before it, and on none after, through all layers.

    Taken together over several events, since a unit that is off in one hides what it does in others.
    """
    if not issubclass(cls, FlowModel) or make(cls).transform_orders is None:
        return
    model = make(cls)
    context, x = contexts(model, 8), _vectors(model, 8)
    places = np.argsort(model.transform_orders, axis=-1)
    for place, bijector in zip(places, model.bijectors(model.full_context(context, 8)), strict=True):
        for to in (bijector.forward, bijector.inverse):
            reach = np.abs(_derivative(to, x)[1]).max(axis=0) > 1e-9
            declared = place[None] <= place[:, None]
            assert not (reach & ~declared).any(), f"(output, input) {np.argwhere(reach & ~declared)[:5].tolist()} leak"
            assert not (declared & ~reach).any(), f"(output, input) {np.argwhere(declared & ~reach)[:5].tolist()} miss"


def _vectors(model, count):
    return events(model, count).reshape(count, -1).astype("float64")


def _derivative(to, x):
    """What a map gives, [B, S], and its derivatives [B, S, S], one row of them at a time."""
    x = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        parts = tf.unstack(to(x), axis=-1)
    rows = [tape.gradient(part, x, unconnected_gradients="zero") for part in parts]
    return np.stack(parts, axis=-1), np.stack(rows, axis=1)


LAWS = {
    1: (triangles,),
    4: (normalisation, jacobians, inverse),
    5: (sampling,),
    6: (one_noise_one_sample,),
    7: (gradients,),
    8: (round_trip,),
    9: (replicas,),
    10: (precision,),
}
ALL = tuple(law for laws in LAWS.values() for law in laws)
