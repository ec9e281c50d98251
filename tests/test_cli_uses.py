"""`ar-zoo inpaint`, `colorize`, `upscale`, `forecast`, `compare` and `anomalies` on tiny presets."""

# Fixtures of the other commands' tests serve here as well.
# ruff: noqa: F401, F811
from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import ar_zoo
from ar_zoo import uses
from tests.test_cli import presets, run
from tests.uses.models import randomised


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A preset of images that letters fit into, and data for it."""
    folder = tmp_path_factory.mktemp("small")
    model = randomised("made.tiny", event_shape=(8, 8, 1), head=ar_zoo.heads.Bernoulli(), scale=0.3)
    ar_zoo.save(model, folder / "binary")
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)
    np.savez(folder / "grey.npz", x_train=images[:12], x_valid=images[12:])
    return folder


def pixels(file):
    with Image.open(file) as picture:
        return np.asarray(picture)


def width(file):
    return pixels(file).shape[1]


def test_inpaint_keeps_the_known_part(run, tmp_path):
    status, output, _ = run(
        "inpaint", "digits", "--image", "images.npz:2", "images.npz:4", "--keep", "left", "--num", "2"
    )
    assert status == 0
    assert output.strip() == str(tmp_path / "inpainted.png")
    model = ar_zoo.load("digits")
    images, labels = np.load("images.npz")["x_valid"][[2, 4]], np.array([2, 1])
    x = model.head.encode(images)
    drawn = uses.complete(model, x, uses.known_pixels(["left"], 6, 4), 2, 0, labels)
    sheet = pixels("inpainted.png")
    assert sheet.shape == (2 + 2 * (96 + 2), 2 + 4 * (64 + 2), 3)
    cells = sheet[2 + 98 : 98 + 98, 2 : 2 + 64]
    np.testing.assert_array_equal(cells[::16, ::16, 0], x[1, ..., 0] * 64 + 32)
    last = sheet[2 + 98 : 98 + 98 : 16, 2 + 3 * 66 : 2 + 3 * 66 + 64 : 16, 0]
    np.testing.assert_array_equal(last, drawn[1, 1, ..., 0] * 64 + 32)


def test_inpaint_reads_a_picture(run):
    whole = np.random.default_rng(1).integers(0, 256, (6, 4), np.uint8)
    Image.fromarray(whole).save("whole.png")
    assert run("inpaint", "digits", "--image", "whole.png", "--keep", "box", "--label", "1", "--out", "a.png")[0] == 0
    np.testing.assert_array_equal(pixels("a.png")[2:98:16, 2:66:16, 0], whole // 64 * 64 + 32)


def test_forecast_draws_scenarios_of_sound(run):
    words = ["forecast", "voice", "--data", "shipped:speech", "--index", "1", "--start", "300", "--steps", "20"]
    status, output, _ = run(*words, "--num", "5", "--history", "50", "--seed", "3", "--json", "--out", "fan.png")
    assert status == 0
    found = json.loads(output)
    model, part = ar_zoo.load("voice"), ar_zoo.data.read("shipped:speech", "valid")
    clip = model.head.encode(part.values[part.lengths[0] : part.lengths[0] + part.lengths[1]])
    drawn = model.head.decode(model.sample(5, 3, prefix=clip[250:300], num_sites=70)[:, 50:])
    np.testing.assert_allclose(found["median"], np.median(drawn, axis=0))
    np.testing.assert_allclose(found["truth"], model.head.decode(clip[300:320]))
    assert list(found["levels"]) == ["0.5", "0.9"]
    assert width("fan.png") == 960


def test_forecast_of_a_series_is_in_its_own_units(run):
    model, parts = (
        ar_zoo.create("ar_p.tiny"),
        [ar_zoo.data.read("shipped:sunspots", split) for split in ("train", "valid")],
    )
    model.fit_least_squares(parts[0].values)
    ar_zoo.save(model, "sun")
    status, output, _ = run("forecast", "sun", "--data", "shipped:sunspots", "--start", "4", "--steps", "11", "--json")
    assert status == 0
    found = json.loads(output)
    np.testing.assert_allclose(found["truth"], parts[1].raw[4:15], rtol=1e-5)
    known = np.concatenate([parts[0].values, parts[1].values[:4]])  # the train part comes before
    exact = model.forecast(known, 11)
    median = (np.array(found["median"]) - parts[0].mean) / parts[0].scale
    np.testing.assert_allclose(median, exact.mean, atol=0.3)
    assert np.corrcoef(median, exact.mean)[0, 1] > 0.99
    status, output, _ = run("forecast", "sun", "--data", "shipped:sunspots", "--start", "62", "--steps", "3")
    assert status == 0
    assert "happened |" in output
    assert "CRPS" not in output, "what comes after the data is not known"


def test_forecast_does_not_look_ahead_and_uses_the_units_of_the_model(run):
    """Without a validation part "valid" reads the test part, which is not what came before it."""
    walk = np.cumsum(np.random.default_rng(0).normal(size=150)) + 100
    np.savez("walk.npz", train_series=walk[:100], test_series=walk[100:])
    model = ar_zoo.create("ar_p.tiny")
    model.fit_least_squares((walk[:100] - 50) / 20)
    model.standard = {"mean": 50.0, "scale": 20.0}
    ar_zoo.save(model, "walk")
    words = ["forecast", "walk", "--data", "walk.npz", "--split", "test", "--start", "0", "--steps", "5", "--json"]
    status, output, _ = run(*words, "--num", "400")
    assert status == 0
    exact = model.forecast((walk[:100] - 50) / 20, 5)
    np.testing.assert_allclose((np.array(json.loads(output)["median"]) - 50) / 20, exact.mean, atol=0.05)


@pytest.mark.parametrize(
    ("name", "known"), [("colorize", (4, 6, 1)), pytest.param("upscale", (2, 3, 3), marks=pytest.mark.slow)]
)
def test_images_from_what_is_known(run, tmp_path, name, known):
    head = ar_zoo.heads.PredictiveLogisticMixture(256, 3, num_free=0)
    overrides = dict(image_shape=(4, 6, 3), head=head, known_shape=known, num_classes=None)
    model = randomised("gated_pixel_cnn.tiny", **overrides)
    ar_zoo.save(model, "given")
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    small = image if name == "colorize" else image[:2, :3]
    Image.fromarray(small).save("small.png")
    status, output, _ = run(name, "given", "--image", "small.png", "--num", "2", "--out", "out.png")
    assert (status, output.strip()) == (0, str(tmp_path / "out.png"))
    whole = image if name == "colorize" else small.repeat(2, 0).repeat(2, 1)
    drawn = uses.draw_from_known(model, whole[None].astype("int32"), 2)[0]
    np.testing.assert_array_equal(pixels("out.png")[2:66:16, 2 + 98 : 98 + 98 : 16], drawn[0])
    status, _, error = run("sample", "given", "--num", "1")
    assert (status, error.strip()) == (
        2,
        "error: given is told a picture of what it draws: use `ar-zoo colorize` or `ar-zoo upscale`.",
    )


def test_compare_prints_a_table_and_json(run, small):
    words = ["compare", small / "binary", "--data", small / "grey.npz", "--binarize"]
    status, output, _ = run(*words, "--json", "--plot", "plot.png")
    assert status == 0
    (row,) = json.loads(output)
    model = ar_zoo.load(small / "binary")
    x = ar_zoo.data.read(small / "grey.npz", "valid", binarize=True).values
    np.testing.assert_allclose(row["nats"], -np.mean(model.log_prob(x.astype(int))), rtol=1e-5)
    assert width("plot.png") == 900
    assert f"| {row['bits_per_dim']:.4f} |" in run(*words)[1]


def test_anomalies_prints_a_table_and_json(run, small):
    words = ["anomalies", small / "binary", "--normal", small / "grey.npz", "--odd", "letters", small / "grey.npz"]
    status, output, _ = run(*words, "--binarize", "--json", "--plot", "roc.png")
    assert status == 0
    letters, same = json.loads(output)
    assert same["raw"] == same["corrected"] == same["typicality"] == 0.5, "of the same images, tied pair by pair"
    model, part = ar_zoo.load(small / "binary"), ar_zoo.data.read(small / "grey.npz", "valid")
    drawn = uses.look_alike("letters", part.values)
    generator = np.random.default_rng(0)
    black_and_white = (generator.random(drawn.shape) < drawn / 255).astype(int)
    normal = ar_zoo.data.read(small / "grey.npz", "valid", binarize=True).values.astype(int)
    expected = uses.auroc(-np.asarray(model.log_prob(normal)), -np.asarray(model.log_prob(black_and_white)))
    assert np.isclose(letters["raw"], expected)
    assert width("roc.png") == 640
    table = run(*words, "--binarize", "--group", "2", "--limit", "4")[1]
    assert table.splitlines()[2].startswith("| letters | 2 |")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["inpaint", "digits"], "--image"),
        (["colorize", "digits", "--image", "images.npz:0"], "digits is not given pictures: it must have been trained"),
        (["inpaint", "digits", "--image", "images.npz:7"], "has 7 images in its valid part"),
        (["inpaint", "digits", "--image", "nowhere.png"], "nowhere.png"),
        (["inpaint", "digits", "--image", "shipped:digits:0"], "must be 6x4x1 (height, width, channels)"),
        (["inpaint", "digits", "--image", "images.npz:0", "--keep", "half"], "is no picture"),
        (["inpaint", "digits", "--image", "images.npz:0", "--label", "1", "2"], "`--label` must be one for all"),
        (["inpaint", "digits", "--image", "images.npz:0", "--out", "a.jpg"], "must end in .png"),
        (["inpaint", "letters", "--image", "images.npz:0"], "needs a model of images"),
        (["forecast", "voice", "--data", "shipped:speech"], "--steps"),
        (
            ["forecast", "voice", "--data", "shipped:speech", "--steps", "9", "--index", "99"],
            "`--index` must be from 0",
        ),
        (["forecast", "voice", "--data", "shipped:speech", "--steps", "9", "--start", "0"], "leaves nothing"),
        (["forecast", "voice", "--data", "shipped:speech", "--steps", "9999999"], "`--start` must be from 0"),
        (["forecast", "voice", "--data", "shipped:speech", "--steps", "9", "--level", "90"], "`levels` must lie"),
        (["forecast", "voice", "--data", "shipped:speech", "--steps", "9", "--history", "0"], "history"),
        (
            ["forecast", "voice", "--data", "shipped:speech", "--steps", "-5"],
            "`steps` must be an integer of at least 1",
        ),
        (["forecast", "voice", "--data", "images.npz", "--steps", "9"], "images.npz"),
        (["forecast", "digits", "--data", "images.npz", "--steps", "9"], "a model of series or sound"),
        (["compare", "digits", "digits", "--data", "images.npz"], "is named twice"),
        (["compare", "digits", "--data", "images.npz", "--plot", "a.pdf"], "`--plot` must end in .png"),
        (["compare", "bare", "--data", "images.npz"], "bare symbols"),
        (["compare", "digits", "--data", "text_train.txt"], "holds text, but 'image' is wanted"),
        (["compare", "letters", "--data", "text_train.txt", "--window", "0"], "window"),
        (["anomalies", "letters", "--normal", "images.npz"], "needs a model of images"),
        (["anomalies", "digits", "--normal", "images.npz", "--odd", "rotated"], "must be square"),
        (["anomalies", "digits", "--normal", "images.npz", "--odd", "nothing.npz"], "nothing.npz"),
        (["anomalies", "digits", "--normal", "images.npz", "--odd", "noisy", "--limit", "0"], "limit"),
        (["anomalies", "digits", "--normal", "images.npz", "--odd", "noisy", "--group", "9"], "`size` must be at most"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(run, presets, tmp_path, arguments, says):
    status, output, errors = run(*arguments)
    assert (status, output) == (2, "")
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert says in errors
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in presets.iterdir()}
