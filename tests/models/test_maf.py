"""MAF and IAF against their equations in NumPy, and what they are given and refuse."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

import ar_zoo
from ar_zoo.core.registry import families
from ar_zoo.models import maf
from ar_zoo.testing.tiny import events, make

MAF, IAF = families()["maf"], families()["iaf"]
LABELS = np.array([0, 1, 2], "int32")  # the last is "unknown"


def numbers_of(model, i, x, label=LABELS):
    """(m, a) of map i, as the network gives them."""
    params = np.asarray(model._networks[i](x, label), np.float64)
    return params[..., 0], params[..., 1] / (1 + np.abs(params[..., 1]) / np.log(1000))


def test_maf_is_its_equation():
    model, x = make(MAF), events(make(MAF), 3).astype("float64")
    z, log_det = x, 0.0
    for i in range(model.num_transforms):
        m, a = numbers_of(model, i, z)
        z, log_det = z * np.exp(a) + m, log_det + a.sum(-1)
    expected = -0.5 * (z**2 + np.log(2 * np.pi)).sum(-1) + log_det
    np.testing.assert_allclose(model.log_prob(x, LABELS), expected, rtol=1e-10)


def test_iaf_is_its_equation():
    model, z = make(IAF), events(make(IAF), 3).astype("float64")
    x, log_det = z, 0.0
    for i in reversed(range(model.num_transforms)):
        m, a = numbers_of(model, i, x)
        x, log_det = x * np.exp(a) + m, log_det + a.sum(-1)
    expected = -0.5 * (z**2 + np.log(2 * np.pi)).sum(-1) - log_det
    np.testing.assert_allclose(model.bijector({"label": LABELS}).forward(tf.constant(z)), x, rtol=1e-10)
    np.testing.assert_allclose(model.log_prob(x, LABELS), expected, rtol=1e-8)


def spline(z, widths, heights, slopes, bound):
    """Durkan et al. 2019, section 3.1: one number through one spline, and its derivative."""
    if abs(z) >= bound:
        return z, 1.0
    share = lambda raw: 1e-3 + (1 - 1e-3 * len(raw)) * np.exp(raw) / np.exp(raw).sum()  # noqa: E731
    xs, ys = (np.append(-bound, -bound + 2 * bound * np.cumsum(share(raw))) for raw in (widths, heights))
    inner = 1e-3 + (1 - 1e-3) * np.log1p(np.exp(slopes + np.log(np.e - 1)))
    d = np.concatenate([[1.0], inner, [1.0]])
    k = np.searchsorted(xs, z) - 1
    width, height = xs[k + 1] - xs[k], ys[k + 1] - ys[k]
    s, t = height / width, (z - xs[k]) / width
    below = s + (d[k + 1] + d[k] - 2 * s) * t * (1 - t)
    value = ys[k] + height * (s * t**2 + d[k] * t * (1 - t)) / below
    slope = s**2 * (d[k + 1] * t**2 + 2 * s * t * (1 - t) + d[k] * (1 - t) ** 2) / below**2
    return value, slope


@pytest.mark.parametrize("bound", [5.0, 0.7])
def test_splines_are_their_equation(bound):
    model = make(MAF, transform="spline", num_transforms=1, num_bins=3, bound=bound, num_classes=None)
    z = 0.8 * events(model, 3).astype("float64")
    x = np.asarray(model.bijector().forward(tf.constant(z)))
    params = np.asarray(model._networks[0](x))
    each = [[spline(z[b, i], *np.split(params[b, i], [3, 6]), bound) for i in range(4)] for b in range(3)]
    np.testing.assert_allclose(x, np.array(each)[..., 0], rtol=1e-8)
    expected = -0.5 * (z**2 + np.log(2 * np.pi)).sum(-1) - np.log(np.array(each)[..., 1]).sum(-1)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-8)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_splines_are_those_of_tfp(direction, monkeypatch):
    """Values, log-determinants and gradients, within the bound, on it and outside."""

    def found():
        model = make(MAF, transform="spline", num_transforms=1, num_bins=3, bound=1.5, num_classes=None)
        (bijector,) = model.bijectors({})
        x = tf.constant(np.concatenate([events(model, 40), [[-1.5, 1.5, 0.0, 9.0]]]).astype("float64"))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = getattr(bijector, direction)(x)
            log_det = getattr(bijector, f"{direction}_log_det_jacobian")(x, event_ndims=1)
            total = tf.reduce_sum(y**2) + tf.reduce_sum(log_det)
        return y, log_det, *tape.gradient(total, [x, *model.trainable_weights])

    ours = found()
    theirs = lambda widths, heights, slopes, bound: tfb.RationalQuadraticSpline(widths, heights, slopes, -bound)  # noqa: E731
    monkeypatch.setattr(maf, "_Spline", theirs)
    for mine, other in zip(ours, found(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cls", [MAF, IAF])
def test_what_takes_one_pass_goes_through_each_network_once(cls):
    """What numbers become and the log-determinant share a pass: two took two to three times as long to learn from."""
    model = make(cls, dtype="float32")
    one_pass = model.log_prob if cls is MAF else lambda x: model.draw(x, {"label": tf.constant([0] * 5)})
    graph = tf.function(one_pass).get_concrete_function(tf.TensorSpec((5, 4))).graph
    products = [operation for operation in graph.get_operations() if operation.type == "MatMul"]
    assert len(products) == model.num_transforms * (len(model.units) + 1)


def test_splines_stay_finite_far_outside_with_gradients():
    model = make(MAF, dtype="float32", transform="spline", num_classes=None)
    x = tf.constant(100.0 * events(model, 8))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.log_prob(x))
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, model.trainable_weights))


def test_orders():
    raster = np.arange(5)
    alternating = MAF((5,), num_transforms=3).transform_orders
    np.testing.assert_array_equal(alternating, [raster, raster[::-1], raster])
    shuffled = MAF((5,), num_transforms=3, shuffled=True, order_seed=3).transform_orders
    np.testing.assert_array_equal(np.sort(shuffled), [raster] * 3)
    assert len({tuple(order) for order in shuffled.tolist()}) == 3


def test_at_first_little_is_changed():
    model = MAF((4,))
    x = events(model, 200)
    assert np.abs(model.bijector().inverse(tf.constant(x)) - x).mean() < 0.05


def test_shapes_of_several_axes():
    model = make(MAF, dtype="float32", event_shape=(2, 3), num_classes=None)
    x = model.sample(4)
    assert x.shape == (4, 2, 3)
    assert model.log_prob(x).shape == (4,)


def test_labels_tell_densities_apart():
    model, x = make(MAF, dtype="float32"), events(make(MAF), 3)
    each = np.stack([model.log_prob(x, label) for label in range(3)])
    assert np.abs(np.diff(each, axis=0)).min() > 1e-3
    np.testing.assert_array_equal(model.log_prob(x), each[2])
    np.testing.assert_allclose(model.log_prob(x, np.array([2, 0, 1])), each[[2, 0, 1], [0, 1, 2]], rtol=1e-5)
    assert np.abs(model.sample(3, context=0) - model.sample(3, context=1)).min() > 1e-4


def test_it_learns_a_density():
    """Two numbers, the second a noisy square of the first, to near their entropy."""
    generator = np.random.default_rng(0)
    first = generator.normal(size=4000)
    x = np.stack([first, first**2 / 2 + 0.3 * generator.normal(size=4000)], axis=1).astype("float32")
    keras.utils.set_random_seed(0)
    model = MAF((2,), num_transforms=2, units=(16, 16))
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    history = model.fit(x, batch_size=250, epochs=25, verbose=0).history
    entropy = np.log(2 * np.pi * np.e) + np.log(0.3)
    assert -np.mean(model.log_prob(x)) < entropy + 0.08
    assert history["loss"][-1] == pytest.approx(-np.mean(model.log_prob(x)) / 2, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(transform="cubic"), r"`transform` must be one of 'affine', 'spline'; got 'cubic'"),
        (dict(bound=0), "`bound` must be a number above 0; got 0"),
        (dict(bound="5"), "`bound` must be a number above 0; got '5'"),
        (dict(activation="nope"), "`activation` must be a name that Keras knows"),
        (dict(num_bins=1), "`num_bins` must be an integer of at least 2; got 1"),
        (dict(num_transforms=0), "`num_transforms` must be an integer of at least 1"),
        (dict(units=(64, 3)), r"`units` must be at least 5 in each layer"),
        (dict(event_shape=(None,)), "`event_shape` must be a sequence of integers"),
    ],
)
def test_what_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        MAF(**(dict(event_shape=(6,)) | arguments))


def test_presets_have_the_sizes_of_their_data():
    train = ar_zoo.data.read("shipped:cancer")
    for name in ("maf.cancer", "maf.cancer_spline", "iaf.cancer"):
        assert ar_zoo.create(name).event_shape == train.values.shape[1:]
