"""tools/train_table.py: what a row is, how models are fitted to data, and that rows are run once."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import ar_zoo
from ar_zoo.data import read
from tools import train_table

TINY = "gated_pixel_cnn.tiny:num_layers=0,units=4,positions=False,batch_size=4"


@pytest.fixture
def images(tmp_path):
    generator = np.random.default_rng(0)
    values = generator.integers(0, 256, (20, 4, 5, 1), np.uint8)
    np.savez(tmp_path / "images.npz", x_train=values[:12], x_valid=values[12:])
    return tmp_path / "images.npz"


def options(*words):
    return train_table._parser().parse_args([str(word) for word in words])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("made.mnist", ("made.mnist", {})),
        ("made.mnist:units=(500,500),direct=True", ("made.mnist", {"units": (500, 500), "direct": True})),
        ("a.b:head=mixture5,dropout=0.5", ("a.b", {"head": "mixture5", "dropout": 0.5})),
        ("a.b:units=[8,9],shape=(1,(2,3)),x=1", ("a.b", {"units": [8, 9], "shape": (1, (2, 3)), "x": 1})),
    ],
)
def test_a_model_with_its_arguments(spec, expected):
    assert train_table.read_spec(spec) == expected


@pytest.mark.parametrize("spec", ["a.b:units", "a.b:8=units", "a.b:units=8,,"])
def test_arguments_that_cannot_be_read(spec):
    with pytest.raises(ValueError, match="MODEL must be family"):
        train_table.read_spec(spec)


def test_a_row_is_found_again_by_all_that_makes_it(images):
    words = ("--data", images, "--minutes", "1", TINY)
    rows = [train_table.row_of(TINY, options(*words, *more)) for more in ((), (), ("--seed", "1"), ("--binarize",))]
    rows.append(train_table.row_of(TINY, options("--data", images, "--epochs", "1", TINY)))
    names = [row["name"] for row in rows]
    assert names[0] == names[1]
    assert len(set(names)) == 4
    assert rows[0]["training"]["batch_size"] == 4
    assert rows[0]["overrides"] == {"num_layers": 0, "units": 4, "positions": False}
    constant = train_table.row_of(TINY, options(*words, "--schedule", "constant"))["training"]
    assert (constant["average"], constant["final_rate"], constant["beta_2"]) == (None, 1.0, 0.999)


@pytest.mark.parametrize(
    ("name", "given", "binarized", "channels", "shape", "head"),
    [
        ("made.mnist", {}, False, 1, (4, 5, 1), "Categorical(num_symbols=256"),
        ("made.mnist", {}, True, 1, (4, 5, 1), "Bernoulli"),
        ("pixel_cnn_pp.mnist", {}, False, 3, (4, 5, 3), "DiscretizedLogisticMixture(num_components=10, num_levels=256"),
        (
            "gated_pixel_cnn.mnist",
            {"head": "mixture5"},
            False,
            3,
            (4, 5, 3),
            "DiscretizedLogisticMixture(num_components=5",
        ),
        (
            "pixel_cnn_pp.cifar10",
            {},
            False,
            3,
            (4, 5, 3),
            "DiscretizedLogisticMixture(num_components=10, num_levels=256",
        ),
        (
            "gated_pixel_cnn.mnist",
            {"head": "predictive"},
            False,
            3,
            (4, 5, 3),
            "PredictiveLogisticMixture(num_levels=256",
        ),
        ("gated_pixel_cnn.emoji", {}, False, 3, (4, 5, 3), "PredictiveLogisticMixture(num_levels=256"),
        ("gated_pixel_cnn.mnist", {"head": "categorical16"}, False, 1, (4, 5, 1), "Categorical(num_symbols=16"),
        ("pixel_snail.mnist", {}, True, 1, (4, 5, 1), "Bernoulli"),
        ("image_gpt.mnist", {"head": "palette8"}, False, 3, (4, 5), "PaletteCategorical"),
    ],
)
def test_models_are_fitted_to_the_data(name, given, binarized, channels, shape, head):
    from ar_zoo.data.dataset import Data

    part = Data("image", np.zeros((2, 4, 5, channels), np.uint8), source="a test")
    found = train_table.fitted(name, given, part, binarized)
    assert tuple(found.get("image_shape", found.get("event_shape"))) == shape
    assert repr(found["head"]).startswith(head)
    assert found.get("num_classes") is None


def test_what_is_no_model_of_images_or_no_head(images):
    part = read(images)
    with pytest.raises(ValueError, match=r"MODEL must be of images; gpt\.tiny takes"):
        train_table.fitted("gpt.tiny", {}, part, False)
    with pytest.raises(ValueError, match="`head` must be bernoulli, categorical, mixture, predictive or palette"):
        train_table.fitted("made.mnist", {"head": "normal"}, part, False)


def test_a_row_and_its_table(images, tmp_path, monkeypatch):
    """In this process; the slow test below starts processes."""
    monkeypatch.setattr(train_table, "_in_a_process", in_this_process)
    command = ["--data", images, "--epochs", "2", "--at", "1", "--out", tmp_path / "out", TINY, "gpt.tiny"]
    command = [str(word) for word in command]
    assert train_table.main(command) == 1
    (row,) = json.loads((tmp_path / "out" / "table.json").read_text())
    assert (row["steps"], row["dimensions"], row["valid_images"]) == (6, 20, 8)
    assert row["comparable"]
    model = ar_zoo.load(tmp_path / "out" / row["name"] / "run" / "best")
    assert model.num_classes is None
    bits = -np.mean(model.log_prob(np.load(images)["x_valid"])) / np.log(2) / 20
    np.testing.assert_allclose(bits, min(row["valid_bits_per_dim_by_epoch"]), rtol=1e-4)
    text = (tmp_path / "out" / "table.md").read_text()
    assert f"{row['valid_bits_per_dim_by_epoch'][0]:.4f}" in text
    assert "failed: ValueError: MODEL must be of images" in text
    assert (tmp_path / "out" / "table.png").stat().st_size > 1000

    def never(folder, row):
        assert row["model"] == "gpt.tiny", "a finished row is run again"
        return in_this_process(folder, row)

    monkeypatch.setattr(train_table, "_in_a_process", never)
    assert train_table.main(command) == 1
    assert train_table.main(["--out", str(tmp_path / "out"), "--at", "2"]) == 0, "the table again"
    assert "valid, epoch 2" in (tmp_path / "out" / "table.md").read_text()


def in_this_process(folder, row):
    (folder / "row.json").write_text(json.dumps(row))
    return train_table._run_row(folder)


def test_coarser_symbols_are_marked():
    row = dict(spec="image_gpt.mnist:head=palette8", budget={"minutes": 1.0}, schedule="cosine", data="a/b.npz")
    row |= dict(binarize=False, weights=1000, steps=5, seconds=60.0, cpu_minutes=2.0, train_bits_per_dim=1.0)
    row |= dict(valid_bits_per_dim_by_epoch=[2.0, 1.5, 1.75], dimensions=1024, comparable=False)
    lines = train_table.table([row], at=[1, 9]).splitlines()
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[0] == "`image_gpt.mnist:head=palette8` \\*"
    assert cells[-7:] == ["1.0000", "1.7500", "1.5000 (2)", "2.0000", "–", "1,242.12", "1,064.67"]
    assert "not to be compared" in lines[-1]


def test_mistakes_are_one_line(images, capsys):
    for words, says in [
        (["--data", str(images), TINY], "one of `--minutes`"),
        (["--data", str(images), "--epochs", "0", TINY], "`--epochs` must be more than 0"),
        (["--data", str(images), "--epochs", "1", "made.mnist:units"], "MODEL must be"),
        (["--out", "nowhere"], "`--out` nowhere holds no table"),
    ]:
        assert train_table.main(words) == 2
        assert says in capsys.readouterr().err


@pytest.mark.slow
def test_rows_run_in_processes_of_their_own(images, tmp_path):
    command = [
        sys.executable,
        train_table.__file__,
        "--data",
        str(images),
        "--steps",
        "3",
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run([*command, TINY, "gpt.tiny"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert TINY in done.stdout
    assert "MODEL must be of images" in done.stdout
    (row,) = json.loads((tmp_path / "out" / "table.json").read_text())
    assert (row["steps"], len(row["valid_bits_per_dim_by_epoch"])) == (3, 1)
