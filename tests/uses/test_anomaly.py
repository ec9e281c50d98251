"""Scores of anomalies, and how they are judged: against brute force."""

from __future__ import annotations

import io
import lzma
import zlib

import numpy as np
import pytest
from PIL import Image

from ar_zoo.uses import anomaly, auroc, compressed_bits, event_nats, roc_curve, scores_of
from tests.uses.models import randomised


def by_pairs(normal, odd):
    """What AUROC is, pair by pair."""
    return np.mean([1.0 if b > a else 0.5 if b == a else 0.0 for a in normal for b in odd])


@pytest.mark.parametrize("levels", [3, 10, 1000])  # the fewer, the more ties
def test_auroc_is_that_of_all_pairs(levels):
    random = np.random.default_rng(levels)
    normal, odd = random.integers(0, levels, 60), random.integers(levels // 3, levels + 1, 45)
    assert np.isclose(auroc(normal, odd), by_pairs(normal, odd), atol=1e-12)
    assert np.isclose(auroc(odd, normal), 1 - auroc(normal, odd), atol=1e-12)
    shares = roc_curve(normal, odd)
    assert np.isclose(np.trapezoid(shares[1], shares[0]), auroc(normal, odd), atol=1e-12)


def test_auroc_at_its_ends():
    assert auroc([1, 2], [3, 4]) == 1
    assert auroc([3, 4], [1, 2]) == 0
    assert auroc([1, 1], [1]) == 0.5
    assert auroc([0, -np.inf], [np.inf]) == 1


def test_the_roc_curve_is_that_of_all_thresholds():
    normal, odd = [1.0, 2.0, 2.0, 5.0], [2.0, 3.0]
    false, true = roc_curve(normal, odd)
    np.testing.assert_allclose(false, [0, 1 / 4, 1 / 4, 3 / 4, 1])
    np.testing.assert_allclose(true, [0, 0, 1 / 2, 1, 1])


@pytest.mark.parametrize(("normal", "odd"), [([], [1]), ([1], []), ([np.nan], [1]), ([[1]], [1])])
def test_scores_that_cannot_be_judged(normal, odd):
    for judge in (auroc, roc_curve):
        with pytest.raises(ValueError, match="must be at least one score"):
            judge(normal, odd)


def test_compressed_bits_are_those_of_the_best_coder():
    random = np.random.default_rng(0)
    images = np.zeros((4, 28, 28, 1), np.uint8)
    images[1] = random.integers(0, 256, (28, 28, 1))  # noise: nothing helps
    images[2] = np.arange(28)[:, None] * 9  # a ramp: PNG predicts it
    images[3, 5:20, 5:20] = 255
    bits = compressed_bits(images)
    for image, found in zip(images, bits, strict=True):
        sizes = [len(zlib.compress(image.tobytes(), 9, -15))]
        sizes += [len(lzma.compress(image.tobytes(), lzma.FORMAT_RAW, filters=anomaly._LZMA))]
        for how in (dict(format="PNG", optimize=True), dict(format="WEBP", lossless=True, quality=100)):
            file = io.BytesIO()
            Image.fromarray(image[..., 0]).save(file, **how)
            sizes.append(len(file.getvalue()))
        assert found <= 8 * min(sizes)
    assert bits[0] < 8 * 25
    assert 8 * 784 <= bits[1] < 8 * 800
    assert bits[0] < bits[3] < bits[1]
    assert compressed_bits(np.zeros((2, 8, 8, 3), np.uint8)).shape == (2,)


@pytest.mark.parametrize("images", [np.zeros((2, 8, 8)), np.zeros((2, 8, 8, 2), np.uint8), np.zeros((2, 8, 8, 1), int)])
def test_what_cannot_be_compressed(images):
    with pytest.raises(ValueError, match="`images` must be uint8"):
        compressed_bits(images)


def test_jpeg_2000_is_without_loss_here():
    """Its size would mean nothing otherwise."""
    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    (how,) = [dict(how) for how in anomaly._FILES if how["format"] == "JPEG2000"]
    file = io.BytesIO()
    Image.fromarray(image).save(file, **how)
    np.testing.assert_array_equal(np.asarray(Image.open(file)), image)


def test_the_three_scores():
    model = randomised("made.tiny", event_shape=(4, 5, 1))
    random = np.random.default_rng(3)
    normal, odd, typical = (random.integers(0, 4, (count, 4, 5, 1), np.uint8) for count in (6, 5, 9))
    found = scores_of(model, normal, {"a": odd, "b": odd[:4]}, typical, batch_size=4)
    bits = {
        name: event_nats(model, x.astype(int)) / np.log(2) for name, x in (("n", normal), ("o", odd), ("t", typical))
    }
    np.testing.assert_allclose(found["a"]["raw"][0], bits["n"], rtol=1e-5)
    np.testing.assert_allclose(found["b"]["raw"][1], bits["o"][:4], rtol=1e-5)
    np.testing.assert_allclose(found["a"]["corrected"][1], bits["o"] - compressed_bits(odd), rtol=1e-5)
    for side, values in enumerate((bits["n"], bits["o"])):
        np.testing.assert_allclose(found["a"]["typicality"][side], np.abs(values - bits["t"].mean()), rtol=1e-3)
    (row, _) = anomaly.rows(found)
    assert row["corrected"] == by_pairs(*found["a"]["corrected"])
    assert (row["odd"], row["normal_events"], row["odd_events"]) == ("a", 6, 5)
    assert f"{row['typicality']:.4f}" in anomaly.table([row])

    in_pairs = scores_of(model, normal, {"a": odd}, typical, group=2, seed=4)["a"]
    grouped = anomaly.grouped(bits["o"], 2, 4)
    assert len(grouped) == 2
    np.testing.assert_allclose(in_pairs["raw"][1], grouped, rtol=1e-5)
    np.testing.assert_allclose(in_pairs["typicality"][1], np.abs(grouped - bits["t"].mean()), rtol=1e-3)


def test_groups_are_means_of_different_events():
    values = 2.0 ** np.arange(7)
    groups = anomaly.grouped(values, 3, seed=1)
    sums = [round(float(3 * mean)) for mean in groups]
    assert [bin(total).count("1") for total in sums] == [3, 3]
    assert sums[0] & sums[1] == 0
    assert not np.array_equal(groups, anomaly.grouped(values, 3, seed=2))
    np.testing.assert_array_equal(anomaly.grouped(values, 1), values)
    for size in (0, 8):
        with pytest.raises(ValueError, match="`size` must be"):
            anomaly.grouped(values, size)
