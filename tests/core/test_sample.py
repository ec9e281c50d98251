"""`sample`: prefixes, known sites, lengths and batches."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.core.generate import _MOST_COMPILED, compiled
from tests.core.models import colour, image, sound, text

# Each shape is compiled once: three samples everywhere, and one length.
LENGTH = {text: 12, sound: 8, image: None, colour: None}


def draw(model, num_samples=3, **arguments):
    return model().sample(num_samples, **({"num_sites": LENGTH[model]} | arguments))


@pytest.mark.parametrize("model", LENGTH, ids=lambda model: model.__name__)
def test_shapes_and_determinism(model):
    drawn = draw(model, seed=2)
    assert drawn.shape == (3, *[size or LENGTH[model] for size in model().event_shape])
    assert drawn.dtype == np.int32
    assert drawn.min() >= 0
    assert drawn.max() < model().head.num_symbols
    np.testing.assert_array_equal(drawn, draw(model, seed=2))
    assert not np.array_equal(drawn, draw(model, seed=3))


@pytest.mark.parametrize("model", [sound, image], ids=lambda model: model.__name__)
def test_batches(model):
    """Any number of rows, in batches of any size: the rows are the same. Seven rows in threes fill up the last batch."""
    many = draw(model, 7, seed=2, batch_size=3)
    np.testing.assert_array_equal(many[:3], draw(model, seed=2))
    np.testing.assert_array_equal(many, draw(model, 7, seed=2, batch_size=3, progress=False))
    np.testing.assert_array_equal(many[:2], draw(model, 2, seed=2))
    assert len(np.unique(many, axis=0)) > 3


def test_length_does_not_change_the_beginning():
    np.testing.assert_array_equal(draw(sound, num_sites=5), draw(sound)[:, :5])
    assert text().sample(3).shape == (3, 12), "the longest by default"


@pytest.mark.parametrize("length", [1, 2, 6, 8])
def test_prefix(length):
    rows = np.random.default_rng(0).integers(0, 5, (3, length))
    drawn = draw(sound, seed=1, prefix=rows)
    np.testing.assert_array_equal(drawn[:, :length], rows)
    one = draw(sound, seed=1, prefix=rows[0])
    np.testing.assert_array_equal(one[:, :length], np.broadcast_to(rows[0], (3, length)))
    np.testing.assert_array_equal(one[0], drawn[0])
    again = draw(sound, seed=1, prefix=drawn[:, : max(length, 6)])
    np.testing.assert_array_equal(again, drawn)


def test_prefix_of_rows_of_pixels():
    x = image().sample(3, seed=4)
    for prefix in (x[:, :2], x[:, :2].reshape(3, -1)):
        np.testing.assert_array_equal(image().sample(3, seed=4, prefix=prefix), x)
    one = image().sample(3, seed=4, prefix=x[1, :2])
    np.testing.assert_array_equal(one, image().sample(3, seed=4, prefix=x[1, :2].ravel()))
    np.testing.assert_array_equal(one[:, :2], np.broadcast_to(x[1, :2], (3, 2, 5, 2)))
    within = image().sample(3, seed=4, prefix=x.reshape(3, -1)[:, :13])  # in the middle of a row and of a pixel
    np.testing.assert_array_equal(within, x)


def test_prefix_of_whole_pixels():
    """Where a pixel is one site, pixels come whole: rows of an image, or a list of pixels."""
    x = draw(colour, seed=4)
    np.testing.assert_array_equal(draw(colour, seed=4, prefix=x[:, :2]), x)
    pixels = x.reshape(3, 12, 3)
    np.testing.assert_array_equal(draw(colour, seed=4, prefix=pixels[:, :5]), x)
    one = draw(colour, seed=4, prefix=pixels[1, :5])
    np.testing.assert_array_equal(one.reshape(3, 12, 3)[:, :5], np.broadcast_to(pixels[1, :5], (3, 5, 3)))
    with pytest.raises(ValueError, match=r"`prefix` must be \[sites, 3\] or \[3, sites, 3\].*got shape \[3, 5\]"):
        draw(colour, prefix=pixels[:, :5, 0])


@pytest.mark.parametrize("model", [text, image, colour])
def test_known_sites_are_kept(model):
    model, generator = model(), np.random.default_rng(0)
    shape = tuple(size or 12 for size in model.event_shape)
    grid = shape[: len(shape) - len(model.head.site_shape)]
    free = model.sample(3, seed=6)
    given = generator.integers(0, model.head.num_symbols, (3, *shape))
    mask = generator.random((3, *grid)) < 0.4
    drawn = model.sample(3, seed=6, given=given, mask=mask)
    np.testing.assert_array_equal(drawn[mask], given[mask])
    for row in range(3):  # what comes before the first known site is drawn as if nothing were known
        first = np.argmax(mask[row].ravel())
        flat = (len(mask[row].ravel()), -1)
        np.testing.assert_array_equal(drawn[row].reshape(flat)[:first], free[row].reshape(flat)[:first])
    shared = model.sample(3, seed=6, given=given[0], mask=mask[0])
    np.testing.assert_array_equal(shared[0], drawn[0])
    assert (shared[:, mask[0]] == given[0][mask[0]]).all()
    np.testing.assert_array_equal(model.sample(3, seed=6, given=free, mask=mask), free)
    np.testing.assert_array_equal(model.sample(3, given=given, mask=np.ones_like(mask)), given)


def test_what_is_unknown_may_hold_anything():
    given = np.full(12, -99)
    given[3] = 2
    drawn = text().sample(3, given=given, mask=np.arange(12) == 3)
    assert (drawn[:, 3] == 2).all()


def test_context_of_one_or_of_each_row():
    drawn = image().sample(3, seed=1, context=np.array([0, 1, 3]))
    np.testing.assert_array_equal(image().sample(3, seed=1, context={"label": 1})[1], drawn[1])
    np.testing.assert_array_equal(image().sample(3, seed=1, context=0)[0], drawn[0])
    np.testing.assert_array_equal(image().sample(3, seed=1)[2], drawn[2])


def test_temperature():
    """0 repeats itself whatever the seed; each greedy symbol is the likeliest given those before."""
    model = text()
    greedy = model.sample(3, seed=0, temperature=0)
    np.testing.assert_array_equal(greedy, model.sample(3, seed=9, temperature=0.0))
    np.testing.assert_array_equal(greedy, np.argmax(np.asarray(model(greedy)), axis=-1))
    assert not np.array_equal(model.sample(3, temperature=0.3), model.sample(3, temperature=3.0))


def test_weights_that_change_are_seen_by_the_compiled_loop():
    model = text()
    before, saved = model.sample(3), model.get_weights()
    model.set_weights([weight[::-1] for weight in saved])
    changed = model.sample(3)
    model.set_weights(saved)
    assert not np.array_equal(before, changed)
    np.testing.assert_array_equal(model.sample(3), before)


def test_compiled_functions_are_kept_up_to_a_number():
    """The same one for a key that is asked for again, the oldest dropped for new ones: processors come and go."""
    model, one, other = text(), lambda model: 1, lambda model: 2
    first = compiled(model, "first", one)
    assert compiled(model, "first", other) is first
    for key in range(_MOST_COMPILED):
        compiled(model, key, one)
    assert len(model.__dict__["_ar_zoo_compiled"]) == _MOST_COMPILED
    assert compiled(model, "first", other) is not first
    model.__dict__["_ar_zoo_compiled"].clear()
