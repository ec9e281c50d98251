"""PixelCNN++ against the same network written out, its scales, and what its constructor refuses."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.heads import Categorical, DiscretizedLogisticMixture
from ar_zoo.models.pixel_cnn_pp import PixelCNNPlusPlus
from ar_zoo.testing.tiny import contexts, events, make, params_of, stepped
from tests.layers.test_masked_conv import naive as convolved


def elu2(x):
    both = np.concatenate([x, -x], axis=-1)
    return np.where(both > 0, both, np.expm1(np.minimum(both, 0)))


def block(layer, x, label, aside=None, skip=None):
    """x + a σ(b), by hand."""
    y = convolved(layer.conv_1, elu2(x))
    if aside is not None:
        y = y + elu2(aside) @ np.asarray(layer.from_aside.kernel)
    if skip is not None:
        y = y + elu2(skip) @ np.asarray(layer.from_skip.kernel)
    y = convolved(layer.conv_2, elu2(y)) + np.asarray(layer.condition.table)[label][:, None, None]
    a, b = np.split(y, 2, axis=-1)
    return x + a / (1 + np.exp(-b))


def shrunk(layer, x):
    return convolved(layer, x)[:, ::2, ::2]


def grown(layer, x):
    """A coarse pixel's channels are those of its four fine ones: upper left, upper right, lower left, lower right."""
    y = x @ np.asarray(layer.kernel) + np.asarray(layer.bias)
    batch, height, width, units = y.shape
    fine = np.empty((batch, 2 * height, 2 * width, units // 4))
    for place in range(4):
        fine[:, place // 2 :: 2, place % 2 :: 2] = y[..., place * units // 4 : (place + 1) * units // 4]
    return fine


def test_values():
    """Two scales of one block: every layer by name, in the order of figure 2 of the paper."""
    model = make(PixelCNNPlusPlus, scale=0.2, head=DiscretizedLogisticMixture(2, 4, 3))
    x, label = events(model, 2), contexts(model, 2)["label"]
    features = np.asarray(model._features(x))
    c, r = model._columns, model._rows
    u0 = np.asarray(model._above(features))
    u1 = block(c.down[0][0], u0, label)
    u2 = shrunk(c.shrink[0], u1)
    u3 = block(c.down[1][0], u2, label)
    u4 = block(c.up[1][0], u3, label, skip=u2)
    u5 = grown(c.grow[0], u4)
    u6 = block(c.up[0][0], u5, label, skip=u1)
    u7 = block(c.up[0][1], u6, label, skip=u0)
    r0 = convolved(model._input, features)
    r1 = block(r.down[0][0], r0, label, u1)
    r2 = shrunk(r.shrink[0], r1)
    r3 = block(r.down[1][0], r2, label, u3)
    r4 = block(r.up[1][0], r3, label, u4, r2)
    r5 = grown(r.grow[0], r4)
    r6 = block(r.up[0][0], r5, label, u6, r1)
    r7 = block(r.up[0][1], r6, label, u7, r0)
    expected = elu2(r7)[..., : model.units] @ np.asarray(model._output.kernel) + np.asarray(model._output.bias)
    np.testing.assert_allclose(np.asarray(model(x, contexts(model, 2))), expected, atol=1e-9)


@pytest.mark.parametrize("more", [dict(num_scales=3), dict(num_blocks=2), dict(num_scales=1)], ids=str)
def test_step_at_other_depths(more):
    model = make(PixelCNNPlusPlus, scale=0.3, image_shape=(4, 8, 3), **more)
    x, context = events(model, 2), contexts(model, 2)
    expected = params_of(model, x, context)
    got = stepped(model, x, context, [1] * model.num_sites)
    np.testing.assert_allclose(got, expected, atol=1e-10 * np.abs(expected).max())


def test_coarser_scales_see_further():
    """With one block a scale, the third scale reaches what two do not."""
    seen = [
        PixelCNNPlusPlus((24, 24, 1), Categorical(3), num_scales=n, num_blocks=1, units=2).receptive_field()[-1].sum()
        for n in (1, 2, 3)
    ]
    assert seen[0] < seen[1] < seen[2]


def test_dropout_acts_in_training_only():
    model = make(PixelCNNPlusPlus, dtype="float32", dropout=0.5, label_dropout=0.0, scale=0.2)
    x, context = events(model, 2), contexts(model, 2)
    still = [np.asarray(model(x, context)) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    assert np.abs(np.asarray(model(x, context, training=True)) - still[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(image_shape=(6, 8, 1)), "`image_shape` must have a height and a width that can be halved 2 times"),
        (dict(image_shape=(8, 8, 3), head=Categorical(4)), "`head` must draw a whole pixel of 3 channels"),
        (dict(image_shape=(8, 8, 1), num_scales=0), "`num_scales`"),
        (dict(image_shape=(8, 8, 1), dropout=2.0), "`dropout`"),
        (dict(image_shape=(8, 8, 1), head=DiscretizedLogisticMixture(2, 4, 3)), "`head` draws sites of shape"),
    ],
    ids=str,
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PixelCNNPlusPlus(**({"head": Categorical(4), "units": 2} | arguments))
