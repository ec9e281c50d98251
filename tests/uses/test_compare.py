"""Several models on the same data."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.data.dataset import Data
from ar_zoo.heads import Categorical
from ar_zoo.uses import compare, compare_models
from tests.uses.models import randomised


def test_ratio_is_the_mean_where_sizes_are_one():
    values = np.random.default_rng(0).normal(size=50)
    mean, error = compare.ratio(values, np.ones(50))
    np.testing.assert_allclose((mean, error), (values.mean(), values.std(ddof=1) / np.sqrt(50)), rtol=1e-12)
    assert np.isnan(compare.ratio([1.0], [2])[1])


def test_the_error_of_a_ratio_is_what_repeating_gives():
    """Events of different sizes, drawn again and again: the ratios spread as much as one draw's error says."""
    random = np.random.default_rng(1)

    def draw():
        sizes = random.integers(1, 9, 200)
        return compare.ratio(sizes * 2.0 + random.normal(size=200) * sizes, sizes)

    draws = np.array([draw() for _ in range(2000)])
    np.testing.assert_allclose(draws[:, 0].std(), draws[:, 1].mean(), rtol=0.06)


IMAGES = np.random.default_rng(2).integers(0, 4, (9, 4, 5, 1), np.uint8)
PART = Data("image", IMAGES, labels=np.arange(9) % 3, source="a test")


def test_models_of_images():
    one = randomised("gated_pixel_cnn.tiny", image_shape=(4, 5, 1), num_layers=0)
    other = randomised("pixel_cnn.tiny", seed=1, scale=0.2, image_shape=(4, 5, 1), num_blocks=0)
    made = []
    rows = compare_models({"one": one, "other": lambda: made.append(1) or other}, PART, batch_size=4)
    assert made == [1]
    assert rows == sorted(rows, key=lambda row: row["bits_per_dim"])
    bits = {
        "one": -np.asarray(one.log_prob(IMAGES.astype(int), context=PART.labels)) / np.log(2) / 20,
        "other": -np.asarray(other.log_prob(IMAGES.astype(int))) / np.log(2) / 20,
    }
    best = min(bits, key=lambda name: bits[name].mean())
    for row in rows:
        own = bits[row["model"]]
        difference = own - bits[best]
        np.testing.assert_allclose(row["bits_per_dim"], own.mean(), rtol=1e-5)
        np.testing.assert_allclose(row["standard_error"], own.std(ddof=1) / 3, rtol=1e-4)
        np.testing.assert_allclose(row["difference"], difference.mean(), rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(row["difference_error"], difference.std(ddof=1) / 3, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(row["nats"], own.mean() * 20 * np.log(2), rtol=1e-5)
        assert row["events"] == 9
        assert row["seconds_per_event"] > 0
    assert (rows[0]["model"], rows[0]["difference"]) == (best, 0)
    assert f"{rows[1]['difference']:.4f}" in compare.table(rows)

    untold = compare_models({"one": one}, PART, labels=False, limit=5)
    np.testing.assert_allclose(
        untold[0]["bits_per_dim"] * 20 * np.log(2), -np.mean(one.log_prob(IMAGES[:5])), rtol=1e-5
    )
    assert untold[0]["events"] == 5
    (alone,) = compare_models({"one": one}, PART, limit=1)
    assert alone["standard_error"] is None
    assert compare.table([alone]).count("–") == 2


def test_windows_of_text(tmp_path):
    text = Data("text", "abcab" * 5, source="a text")
    head = Categorical(3, alphabet="abc")
    one = dict(head=head, num_layers=1)
    models = {"long": randomised("gpt.tiny", **one), "short": randomised("gpt.tiny", **one, max_sites=10)}
    rows = compare_models(models, text, window=10)
    x = head.encode(text.values)
    for row in rows:
        nats = [-float(models[row["model"]].log_prob(x[None, start : start + 10])[0]) for start in (0, 10, 20)]
        np.testing.assert_allclose(row["bits_per_dim"], sum(nats) / 25 / np.log(2), rtol=1e-5)
    with pytest.raises(ValueError, match="`window`: long takes pieces of 12 symbols and short of 10"):
        compare_models(models, text)
    compare.plot(rows, tmp_path / "plot.png", "a test")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_flow_and_a_network_of_gaussians_on_a_table():
    from ar_zoo.heads import Normal

    part = ar_zoo.data.read("shipped:cancer", "valid")
    columns = part.values.shape[1]
    flow = ar_zoo.create("maf.tiny", event_shape=(columns,))
    made = randomised("made.tiny", event_shape=(columns,), head=Normal(), scale=0.05)
    for row in compare_models({"flow": flow, "made": made}, part, limit=20, labels=False):
        expected = -np.asarray((flow if row["model"] == "flow" else made).log_prob(part.values[:20]))
        np.testing.assert_allclose(row["nats"], expected.mean(), rtol=1e-4)
        np.testing.assert_allclose(row["bits_per_dim"], expected.mean() / columns / np.log(2), rtol=1e-4)


def test_what_cannot_be_compared():
    part = Data("image", np.random.default_rng(0).integers(0, 256, (4, 2, 3, 1), np.uint8), source="greys")
    models = {
        "fine": ar_zoo.create("made.tiny", head=Categorical(256)),
        "coarse": ar_zoo.create("made.tiny", head=Categorical(16, source_levels=256)),
    }
    with pytest.raises(ValueError, match="must score the same symbols; fine and coarse"):
        compare_models(models, part)
    with pytest.raises(ValueError, match=r"tiny cannot take greys\. `values` must lie in 0\.\.3"):
        compare_models({"tiny": ar_zoo.create("made.tiny")}, part)
    with pytest.raises(ValueError, match="`limit` must be an integer of at least 1, or None; got 0"):
        compare_models({"fine": models["fine"]}, part, limit=0)
    with pytest.raises(ValueError, match="at least one model"):
        compare_models({}, part)


@pytest.mark.parametrize(
    ("models", "part", "says"), [([1], None, "`models` must be a dict"), ({"a": 1}, None, "`part`")]
)
def test_what_is_no_model_or_no_data(models, part, says):
    with pytest.raises(ValueError, match=says):
        compare_models(models, part)
