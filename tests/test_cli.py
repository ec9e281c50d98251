"""`ar-zoo`, command by command, on tiny presets: what it prints, what it writes, and how it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

import ar_zoo
from ar_zoo import cli
from ar_zoo.heads import Categorical

ALPHABET = "\n abcde"
MODELS = {
    "digits": (
        "gated_pixel_cnn.tiny",
        dict(image_shape=(6, 4, 1), head=Categorical(4, source_levels=256), num_classes=3),
    ),
    "voice": ("wavenet.tiny", dict(num_classes=None)),
    "letters": ("gpt.tiny", dict(head=Categorical(len(ALPHABET), alphabet=ALPHABET))),
    "bare": ("gpt.tiny", {}),
}


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """A folder with a tiny preset for each kind of data, and data that fit them."""
    folder = tmp_path_factory.mktemp("presets")
    random = np.random.default_rng(0)
    for name, (model, overrides) in MODELS.items():
        made = ar_zoo.create(model, **overrides)
        for weight in made.weights:
            if weight.dtype.startswith("float"):
                weight.assign(random.normal(scale=0.5, size=weight.shape))
        ar_zoo.save(made, folder / name)
    images = random.integers(0, 256, (10, 6, 4, 1), np.uint8)
    np.savez(
        folder / "images.npz", x_train=images, x_valid=images[:7], y_train=np.arange(10) % 3, y_valid=np.arange(7) % 3
    )
    (folder / "text_train.txt").write_text("abcde abc\n" * 5)
    (folder / "text_valid.txt").write_text("edcba e d\n" * 3)
    return folder


@pytest.fixture
def run(presets, tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder beside the presets; returns (status, output, errors)."""
    for path in presets.iterdir():
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["list"],
        ["train"],
        ["sample"],
        ["score"],
        ["export"],
        ["compress"],
        ["decompress"],
        ["bench"],
        ["inpaint"],
        ["forecast"],
        ["compare"],
        ["anomalies"],
        ["web"],
        ["demo"],
    ],
)
def test_help_teaches_by_example_without_tensorflow(command):
    program = (
        "import sys\nfrom ar_zoo import cli\ntry:\n    cli.main(sys.argv[1:])\n"
        "finally:\n    assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *command, "--help"], capture_output=True, text=True, check=True
    )
    assert "usage: ar-zoo" in result.stdout
    assert not command or f"examples:\n  ar-zoo {command[0]}" in result.stdout


def test_the_package_runs_as_a_module():
    result = subprocess.run([sys.executable, "-m", "ar_zoo", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ar_zoo.__version__


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["draw"], "invalid choice: 'draw'"),
        (["sample"], "required: model"),
        (["sample", "gated_pixel_cnn.mnisst"], "'gated_pixel_cnn.mnisst' is not known"),
        (["sample", "digits", "--num", "many"], "--num"),
        (["sample", "digits", "--num", "0"], "num_samples"),
        (["sample", "digits", "--out", "digits.jpg"], "`--out` must end in .png"),
        (["sample", "digits", "--label", "4"], "context['label']"),
        (["sample", "digits", "--temperature", "-1"], "temperature"),
        (["sample", "digits", "--prefix", "nowhere.png"], "nowhere.png"),
        (["sample", "digits", "--prefix", "text_train.txt"], "text_train.txt"),
        (["sample", "letters", "--prefix", "xyz"], "'x', 'y', 'z'"),
        (["sample", "letters", "--sites", "2", "--prefix", "abc"], "prefix"),
        (["sample", "letters", "--label", "1"], "takes none"),
        (["sample", "voice", "--seconds", "0"], "num_sites"),
        (["sample", "voice", "--prefix", "text_train.txt"], "cannot be read as sound"),
        (["sample", "bare", "--prefix", "abc"], "draws symbols"),
        (["compress", "letters", "nowhere.txt", "a.arz"], "nowhere.txt is no file"),
        (["compress", "letters", "text_train.txt", "images.npz"], "images.npz exists"),
        (["compress", "digits", "images.npz", "a.arz"], "it holds x_train, x_valid"),
        (["compress", "letters", "text_train.txt", "a.arz", "--window", "0"], "window"),
        (["decompress", "text_train.txt", "a.txt"], "is not what `ar-zoo compress` writes"),
        (["decompress", "nowhere.arz", "a.txt"], "nowhere.arz"),
        (["score", "digits"], "required: data"),
        (["score", "digits", "nowhere.npz"], "nowhere.npz"),
        (["score", "digits", "text_train.txt"], "holds text, but 'image' is wanted"),
        (["score", "digits", "shipped:digits"], "`x` must have shape [batch, 6, 4, 1]; got [1, 28, 28, 1]"),
        (["score", "digits", "images.npz", "--split", "all"], "split"),
        (["score", "digits", "images.npz", "--limit", "0"], "limit"),
        (["score", "letters", "shipped:text"], "the alphabet"),
        (["score", "letters", "text_train.txt", "--window", "99"], "at most 12"),
        (["score", "bare", "text_train.txt"], "bare symbols"),
        (["train", "gated_pixel_cnn"], "'gated_pixel_cnn' is not known"),
        (["train", "gpt_kjv", "--data", "nowhere.txt"], "nowhere.txt"),
        (["export", "digits", "out", "--formats", "jpeg"], "invalid choice: 'jpeg'"),
        (["export", "digits", "out", "--batch-size", "0"], "batch_size"),
        (["export", "gpt.tiny", "out", "--untrained", "--max-loss", "0.1"], "`--max-loss` is for quantised exports"),
        (
            ["export", "gpt.tiny", "out", "--untrained", "--validation", "x.txt"],
            "`--validation` is for quantised exports",
        ),
        (["export", "gpt.tiny", "out", "--untrained", "--sites", "0"], "`num_sites` must be"),
        (["export", "maf.tiny", "out"], "'maf.tiny' has no trained weights"),
        (["export", "digits", "out", "--untrained"], "'digits' is not known"),
        (["web", "out", "--port", "99999"], "port"),
        (["web", "out", "--no-serve", "--models", "nowhere"], "'nowhere' is not known"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(run, presets, tmp_path, arguments, says):
    status, output, errors = run(*arguments)
    assert status == 2
    assert output == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert says in errors
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in presets.iterdir()}


def test_a_damaged_preset_is_one_line(run, tmp_path):
    (tmp_path / "digits" / "weights.safetensors").write_bytes(b"")
    status, _, errors = run("sample", "digits")
    assert (status, errors.count("\n")) == (2, 1)
    assert "weights.safetensors has 0 bytes" in errors


def test_list_names_models_with_their_weights(run):
    status, output, _ = run("list", "wavenet.tiny")
    assert status == 0
    assert output.split() == ["wavenet.tiny", f"{ar_zoo.num_weights('wavenet.tiny'):,}"]


def test_list_recipes(run):
    status, output, _ = run("list", "--recipes")
    assert status == 0
    assert "gpt_kjv" in {line.split()[0] for line in output.splitlines()}


def test_list_pretrained_shows_manifests(run, presets, monkeypatch):
    monkeypatch.setattr("ar_zoo.core.pretrained.shipped_folder", lambda name: presets)
    monkeypatch.setattr("ar_zoo.cli.models.shipped_folder", lambda name: presets)
    ar_zoo.save(ar_zoo.create("gpt.tiny"), presets / "scored", metrics={"valid_bits_per_dim": 1.25}, licence="CC0-1.0")
    try:
        _, output, _ = run("list", "--pretrained")
    finally:
        shutil.rmtree(presets / "scored")
    (line,) = [line for line in output.splitlines() if line.startswith("scored")]
    assert "valid_bits_per_dim 1.25; licence: CC0-1.0" in line


def test_train_hands_the_rest_to_the_recipe(run):
    status, output, _ = run("train", "gpt_kjv", "--help")
    assert status == 0
    assert "usage: ar-zoo train gpt_kjv" in output


def test_sample_draws_a_grid_of_images(run, tmp_path):
    status, output, _ = run("sample", "digits", "--num", "6", "--label", "0", "1", "2", "--seed", "4")
    assert status == 0
    assert output.strip() == str(tmp_path / "digits.png")
    expected = ar_zoo.load("digits").sample(6, seed=4, context=np.array([0, 1, 2, 0, 1, 2]))
    times = 96 // 6
    picture = np.asarray(Image.open("digits.png"))
    assert picture.shape == (2 + 2 * (6 * times + 2), 2 + 3 * (4 * times + 2))
    first = picture[2 : 2 + 6 * times : times, 2 : 2 + 4 * times : times]
    np.testing.assert_array_equal(first, expected[0, ..., 0] * 64 + 32)


def test_sample_completes_a_picture(run):
    pixels = np.random.default_rng(1).integers(0, 256, (6, 4), np.uint8)
    Image.fromarray(pixels).save("whole.png")
    run("sample", "digits", "--prefix", "whole.png", "--num", "1", "--out", "completed.png")
    completed = np.asarray(Image.open("completed.png"))[2:-2:16, 2:-2:16]
    np.testing.assert_array_equal(completed[:3], pixels[:3] // 64 * 64 + 32)


def test_sample_writes_sound_with_its_waveform(run, tmp_path):
    status, output, _ = run(
        "sample", "voice", "--seconds", "0.5", "--sample-rate", "100", "--num", "2", "--out", "a.wav"
    )
    assert status == 0
    assert output.split() == [str(tmp_path / name) for name in ("a_1.wav", "a_1.png", "a_2.wav", "a_2.png")]
    samples, rate = soundfile.read("a_2.wav")
    assert (len(samples), rate) == (50, 100)
    model = ar_zoo.load("voice")
    np.testing.assert_allclose(samples, model.head.decode(model.sample(2, num_sites=50)[1]), atol=1 / 32768)

    run("sample", "voice", "--sites", "60", "--sample-rate", "100", "--prefix", "a_2.wav", "--out", "b.wav")
    np.testing.assert_allclose(soundfile.read("b.wav")[0][:50], samples, atol=1 / 32768)
    _, _, errors = run("sample", "voice", "--prefix", "a_2.wav")
    assert "100 samples per second; 8000 are wanted" in errors


def test_sound_has_the_sample_rate_of_its_preset(run, tmp_path):
    model = ar_zoo.load("voice")
    model.sample_rate = 200
    ar_zoo.save(model, tmp_path / "slow_voice")
    run("sample", "slow_voice", "--seconds", "0.5")
    samples, rate = soundfile.read("slow_voice.wav")
    assert (len(samples), rate) == (100, 200)
    assert "200 samples per second; 8000 are wanted" in run("sample", "voice", "--prefix", "slow_voice.wav")[2]
    status, _, errors = run("score", "slow_voice", "shipped:speech")
    assert status == 2
    assert "8000 samples per second, but 200 is wanted" in errors


def test_sample_prints_text_or_writes_it(run, tmp_path):
    status, output, _ = run("sample", "letters", "--sites", "10", "--prefix", "abc", "--seed", "2")
    assert status == 0
    assert output.startswith("abc")
    assert len(output) == 11
    (tmp_path / "start.md").write_text("abc")
    run("sample", "letters", "--sites", "10", "--prefix", "start.md", "--seed", "2", "--out", "page.txt")
    assert (tmp_path / "page.txt").read_text() == output


def test_sample_writes_bare_symbols(run, tmp_path):
    run("sample", "bare", "--num", "2")
    rows = np.loadtxt("bare.txt", dtype=int)
    np.testing.assert_array_equal(rows, ar_zoo.load("bare").sample(2))


def test_score_prints_a_table_and_json(run):
    status, output, _ = run("score", "digits", "images.npz", "--json")
    assert status == 0
    (row,) = json.loads(output)
    model, images = ar_zoo.load("digits"), np.load("images.npz")["x_valid"]
    nats = -np.sum(model.log_prob(model.head.encode(images), context=np.arange(7) % 3))
    assert (row["data"], row["split"], row["events"], row["dimensions"]) == ("images.npz", "valid", 7, 7 * 24)
    np.testing.assert_allclose(row["nats"], nats, rtol=1e-5)
    np.testing.assert_allclose(row["bits_per_dim"], nats / np.log(2) / (7 * 24), rtol=1e-5)

    _, table, _ = run("score", "digits", "images.npz", "images.npz", "--limit", "2")
    header, *rows = table.splitlines()
    assert header.split() == ["data", "split", "events", "dimensions", "nats", "bits/dim"]
    assert [line.split()[:4] for line in rows] == [["images.npz", "valid", "2", "48"]] * 2


def test_an_extra_that_is_not_installed(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    status, _, errors = run("compress", "letters", "text_train.txt", "a.arz")
    assert status == 2
    assert "pip install 'ar_zoo[coding]'" in errors


def test_compress_and_decompress(run, tmp_path):
    status, output, _ = run("compress", "letters", "text_train.txt", "a.arz")
    assert status == 0
    assert output.startswith(f"{(tmp_path / 'a.arz').stat().st_size:,} bytes for 50 symbols, ")
    assert output.splitlines()[1] == str(tmp_path / "a.arz")
    status, output, _ = run("decompress", "a.arz", "again.txt", "--model", "letters")
    assert (status, output) == (0, f"{tmp_path / 'again.txt'}\n")
    assert (tmp_path / "again.txt").read_bytes() == (tmp_path / "text_train.txt").read_bytes()

    status, _, errors = run("decompress", "a.arz", "text_valid.txt", "--model", "letters")
    assert (status, errors.count("\n")) == (2, 1)
    assert "text_valid.txt exists" in errors
    assert run("decompress", "a.arz", "text_valid.txt", "--model", "letters", "--force")[0] == 0
    status, _, errors = run("decompress", "a.arz", "b.txt")
    assert (status, errors.count("\n")) == (2, 1)
    assert "Pass it as `model`" in errors
    status, _, errors = run("decompress", "a.arz", "b.txt", "--model", "bare")
    assert "other weights or another configuration" in errors


@pytest.mark.slow
def test_export_lists_what_it_wrote(run, tmp_path):
    status, output, _ = run("export", "letters", "out", "--formats", "tflite")
    assert status == 0
    listed = {line.split(maxsplit=1)[1] for line in output.splitlines()}
    assert str(tmp_path / "out" / "sample_step.tflite") in listed
    assert ar_zoo.runtime.load("out").decode(ar_zoo.runtime.load("out").sample(1)[0])


@pytest.mark.slow
def test_export_of_a_model_that_is_not_trained(run, tmp_path):
    assert run("export", "maf.tiny", "out", "--formats", "tflite", "--untrained")[0] == 0
    assert ar_zoo.runtime.load("out").sample(3).shape == (3, 4)


def test_demo_says_where_it_is_missing(run, monkeypatch, tmp_path):
    monkeypatch.setattr("ar_zoo.cli.show.shipped_folder", lambda name: tmp_path / "installed")
    status, _, errors = run("demo")
    assert status == 2
    assert "make demo" in errors
