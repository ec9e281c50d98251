"""The watermark is found in what was drawn with it, by its key alone, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.sampling import Watermark, chain, top_k

VOCABULARY = 200


def drawn(process, length=120, seed=0):
    """Tokens of a model for which all are about as likely: here the loop is not what is tested."""
    generator, slots = np.random.default_rng(seed), 5
    tokens = np.full(slots - 1 + length, -1, np.int32)
    logits = generator.normal(size=(length, 1, VOCABULARY)).astype(np.float32)
    process = tf.function(process, jit_compile=True)
    for index in range(length):
        latest = np.append(tokens[index : index + slots - 1], -1)[None]
        bent = np.asarray(process(tf.constant(logits[index]), tf.constant(latest), tf.constant(slots - 1)))[0]
        tokens[slots - 1 + index] = np.argmax(bent + generator.gumbel(size=VOCABULARY))
    return tokens[slots - 1 :]


@pytest.mark.parametrize("width", [1, 3])
def test_found_by_its_key_alone(width):
    mark = Watermark(key=2024, width=width)
    plain, marked = drawn(chain(), seed=1), drawn(mark, seed=1)
    assert mark.z_score(marked) > 4
    assert mark.z_score(plain) < 4
    assert Watermark(key=2025, width=width).z_score(marked) < 4
    assert mark.z_score(drawn(chain(mark, top_k(50)), seed=2)) > 4


@pytest.mark.parametrize("mark", [Watermark(0), Watermark(7, 0.5, 1.5, 2), Watermark(2**40 + 1, 0.01, width=4)])
def test_the_graph_marks_what_the_detector_counts(mark):
    """Token by token, for some rows; before `width` tokens nothing is marked."""
    tokens = np.random.default_rng(3).integers(0, VOCABULARY, (3, 9)).astype(np.int32)
    tokens[0, :6], tokens[:, 8:] = -1, -1
    process = tf.function(mark, jit_compile=True)
    bent = process(tf.zeros((3, VOCABULARY)), tf.constant(tokens), tf.constant(8)).numpy()
    assert set(np.unique(bent)) <= {0.0, np.float32(mark.bias)}
    for row, known in zip(range(3), (2, 8, 8), strict=True):
        runs = [np.append(tokens[row, 8 - mark.width : 8], token) for token in range(VOCABULARY)]
        green = [mark.z_score(run) > 0 for run in runs] if known >= mark.width else [False] * VOCABULARY
        np.testing.assert_array_equal(bent[row] > 0, green)


def test_green_lists_have_their_share_and_differ():
    """After each of many tokens, and with each key."""
    lists = []
    for key, ratio in ((0, 0.25), (1, 0.25), (1, 0.6)):
        tokens = np.arange(VOCABULARY, dtype=np.int32)[:, None]
        bent = Watermark(key, ratio)(tf.zeros((VOCABULARY, VOCABULARY)), tf.constant(tokens), 1)
        green = np.asarray(bent) > 0
        assert abs(green.mean() - ratio) < 0.01
        assert abs(green.mean(axis=0) - ratio).max() < 0.2
        assert abs(green.mean(axis=1) - ratio).max() < 0.2
        lists.append(green)
    assert abs((lists[0] == lists[1]).mean() - (0.25**2 + 0.75**2)) < 0.02


def test_repetition_proves_nothing():
    """The same run counts once, however often it occurs."""
    mark = Watermark(key=1)
    green = next(token for token in range(VOCABULARY) if mark.z_score([0, token]) > 0)
    assert mark.z_score([0, green] * 50) == pytest.approx(mark.z_score([0, green, 0]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Watermark(-1), "`key` must be an integer of at least 0; got -1"),
        (lambda: Watermark(1, 1.0), "`ratio` must lie between 0 and 1, both excluded; got 1.0"),
        (lambda: Watermark(1, bias=0), "`bias` must be a number above 0"),
        (lambda: Watermark(1, width=0), "`width` must be an integer of at least 1"),
        (lambda: Watermark(1).z_score([3]), "`tokens` must be one row of more than 1 integers"),
        (lambda: Watermark(1).z_score([0.5, 1.0]), "`tokens` must be one row.*got float64"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
