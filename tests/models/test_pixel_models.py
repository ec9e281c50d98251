"""PixelCNN and GatedPixelCNN: the blind spot, sub-pixels, and what their constructors refuse."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture, PredictiveLogisticMixture
from ar_zoo.models.gated_pixel_cnn import GatedPixelCNN
from ar_zoo.models.pixel_cnn import PixelCNN
from ar_zoo.testing import laws

_SIDE = 9
SMALL = dict(image_shape=(_SIDE, _SIDE, 1), head=Categorical(3), units=2, input_kernel_size=3)


def field(model, row, column):
    """Which pixels the parameters of one pixel depend on, as an image."""
    return model.receptive_field()[row * _SIDE + column].reshape(_SIDE, _SIDE)


def test_pixel_cnn_has_its_blind_spot():
    """Through square kernels, information cannot come from the upper right faster than one column a row.

    (Figure 1 of arXiv:1606.05328: a wedge to the right is never seen, however many layers there are.)
    """
    seen = field(PixelCNN(**SMALL, num_blocks=12, output_units=2), 6, 4)
    rows, columns = np.indices((_SIDE, _SIDE))
    up, right = 6 - rows, columns - 4
    earlier = (up > 0) | ((up == 0) & (right < 0))
    np.testing.assert_array_equal(seen, earlier & (right <= up))
    assert (earlier & ~seen).sum() == 3 + 2 + 1
    assert not seen[5, 6]
    assert seen[4, 6]


def test_gated_pixel_cnn_has_none():
    seen = field(GatedPixelCNN(**SMALL, num_layers=8), 6, 4)
    np.testing.assert_array_equal(seen.ravel(), np.arange(_SIDE**2) < 6 * _SIDE + 4)


@pytest.mark.parametrize("family", ["pixel_cnn", "gated_pixel_cnn"])
def test_the_blind_spot_is_in_the_values(family):
    """A pixel in the wedge changes nothing for PixelCNN, and something for GatedPixelCNN."""
    cls = {"pixel_cnn": PixelCNN, "gated_pixel_cnn": GatedPixelCNN}[family]
    depth = dict(num_blocks=3, output_units=8) if cls is PixelCNN else dict(num_layers=3)
    model = laws.make(cls, **(SMALL | depth | dict(units=8)), **({"num_classes": None} if cls is GatedPixelCNN else {}))
    x = laws.events(model, 4)
    changed = x.copy()
    changed[:, 5, 6] = (changed[:, 5, 6] + 1) % 3
    difference = np.abs(np.asarray(model(changed)) - np.asarray(model(x)))[:, 6, 4].max()
    assert (difference > 1e-9) == (cls is GatedPixelCNN)


@pytest.mark.parametrize(
    ("family", "channels"),
    [
        ("pixel_cnn", 1),
        pytest.param("gated_pixel_cnn", 3, marks=pytest.mark.slow),
        pytest.param("pixel_cnn", 3, marks=pytest.mark.slow),
        pytest.param("gated_pixel_cnn", 1, marks=pytest.mark.slow),
    ],
)
def test_predictions_from_neighbours(family, channels):
    """The laws of steps with a head that starts from the pixels around a site (`pixel_cnn_pp.tiny` has one in all laws).

    Law 6 draws after known rows, which no step has seen.
    """
    base = {"pixel_cnn": PixelCNN, "gated_pixel_cnn": GatedPixelCNN}[family]
    head = PredictiveLogisticMixture(5, channels, num_free=1)
    tiny = base.PRESETS["tiny"] | dict(image_shape=(3, 5, channels), head=head, units=6)
    variant = type("Variant", (base,), {"PRESETS": {"tiny": tiny}})
    for law in (laws.causality, laws.completeness, laws.step_equals_call, laws.ragged_rows, laws.one_noise_one_sample):
        law(variant)


def test_rows_that_are_known_are_neighbours_too():
    model = laws.make(
        GatedPixelCNN, image_shape=(3, 4, 3), head=PredictiveLogisticMixture(6), num_classes=None, units=6
    )
    drawn = model.sample(2, seed=3)
    for rows in (1, 2):
        again = model.sample(2, seed=3, prefix=drawn[:, :rows])
        np.testing.assert_array_equal(again, drawn)


def test_a_family_that_hands_no_neighbours():
    with pytest.raises(ValueError, match=r"`head` starts from the pixels around a site, which this family"):
        ar_zoo.create("pixel_snail.tiny", image_shape=(3, 4, 3), head=PredictiveLogisticMixture(4))


@pytest.mark.parametrize("family", ["pixel_cnn", "gated_pixel_cnn"])
@pytest.mark.parametrize(
    ("head", "channels"), [(Bernoulli(), 1), (Categorical(4), 3), (DiscretizedLogisticMixture(2, 4, 3), 3)], ids=str
)
def test_heads(family, head, channels):
    """A mixture draws the pixel at once; the others channel after channel."""
    overrides = {"output_units": 6} if family == "pixel_cnn" else {}
    model = ar_zoo.create(f"{family}.tiny", image_shape=(3, 4, channels), head=head, units=6, **overrides)
    x = laws.events(model, 2)
    assert model.num_sites == (12 if head.site_shape else 12 * channels)
    assert model.block_sizes == (model.num_sites // 3,) * 3
    assert model.log_prob(x, reduce="coordinate").shape == x.shape
    assert model.log_prob(x, reduce="site").shape == ((2, 3, 4) if head.site_shape else x.shape)


def test_the_class_is_seen():
    model = laws.make(GatedPixelCNN)
    x = laws.events(model, 3)
    one, two = (np.asarray(model.log_prob(x, np.full(3, label))) for label in (0, 1))
    assert np.abs(one - two).min() > 1e-6


@pytest.mark.slow
def test_conditioned_on_a_vector_and_an_image():
    """Both are seen, at every site, and the laws of steps hold with them."""
    known = dict(image_shape=(4, 6, 1), vector_size=3, known_shape=(2, 3, 3), num_classes=2, num_layers=1)
    variant = type("Variant", (GatedPixelCNN,), {"PRESETS": {"tiny": GatedPixelCNN.PRESETS["tiny"] | known}})
    for law in (laws.causality, laws.completeness, laws.step_equals_call, laws.ragged_rows):
        law(variant)
    model = laws.make(variant)
    assert sorted(model.context_spec) == ["image", "label", "vector"]
    x, given = laws.events(model, 1), laws.contexts(model, 1)
    before = np.asarray(model(x, given))
    for name in ("vector", "image"):
        after = np.asarray(model(x, given | {name: given[name] + 0.5}))
        assert (np.abs(after - before).max(axis=-1) > 1e-6).all(), name


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(image_shape=(4, 4)), "image_shape"),
        (dict(image_shape=(4, 4, 1, 1)), "image_shape"),
        (dict(image_shape=(0, 4, 1)), "image_shape"),
        (dict(image_shape=(None, 4, 1)), "image_shape"),
        (dict(image_shape=(4, 4, 3), units=4), "units"),
        (dict(units=0), "units"),
        (dict(input_kernel_size=4), "input_kernel_size"),
        (dict(input_kernel_size=1), "input_kernel_size"),
        (dict(kernel_size=2), "kernel_size"),
        (dict(head=DiscretizedLogisticMixture(2, 4, 3)), "head"),
    ],
)
@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN])
def test_bad_arguments(cls, arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        cls(**(SMALL | arguments))


@pytest.mark.parametrize(
    ("cls", "arguments", "name"),
    [
        (PixelCNN, dict(num_blocks=-1), "num_blocks"),
        (PixelCNN, dict(image_shape=(4, 4, 3), units=3, output_units=4), "output_units"),
        (GatedPixelCNN, dict(num_layers=-1), "num_layers"),
        (GatedPixelCNN, dict(dilations=()), "dilations"),
        (GatedPixelCNN, dict(dilations=(1, 0)), "dilations"),
        (GatedPixelCNN, dict(dilations=2), "dilations"),
        (GatedPixelCNN, dict(num_classes=0), "num_classes"),
        (GatedPixelCNN, dict(num_classes=2, label_dropout=-0.1), "label_dropout"),
        (GatedPixelCNN, dict(dropout=2.0), "dropout"),
        (GatedPixelCNN, dict(vector_size=0), "vector_size"),
        (GatedPixelCNN, dict(known_shape=(9, 9)), "known_shape"),
        (GatedPixelCNN, dict(known_shape=(4, 9, 1)), "known_shape"),
    ],
)
def test_bad_arguments_of_one_family(cls, arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        cls(**(SMALL | arguments))
