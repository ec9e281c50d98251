"""tools/hosts: the C++ host draws what the Python runtime draws, and the page for other languages says what is so."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import ar_zoo
import ar_zoo.runtime
from ar_zoo.core.noise import uniform_noise
from ar_zoo.runtime.artifact import read_manifest
from tests.export.families import FAMILIES, randomised

HOSTS = pathlib.Path(__file__).resolve().parents[2] / "tools" / "hosts"
PAGE = (HOSTS / "README.md").read_text(encoding="utf-8")

LABEL = {"gated_pixel_cnn": 1, "wavenet": 1, "gpt": None}
LENGTH = {"gated_pixel_cnn": None, "wavenet": 20, "gpt": 9}  # longer than exported, and shorter


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Runs a freshly built host: (arguments) → the finished process."""
    program = tmp_path_factory.mktemp("host") / "host"
    subprocess.run(["make", "-C", HOSTS, f"PYTHON={sys.executable}", f"OUT={program}"], check=True)

    def run(*arguments):
        words = [str(argument) for argument in (program, *arguments)]
        return subprocess.run(words, capture_output=True, text=True, encoding="utf-8", check=False)

    return run


def drawn(host, folder, tmp_path, *arguments):
    """(symbols that the host drew, what it wrote on stdout); files go to `tmp_path`."""
    result = host(folder, "--out", tmp_path / "out", "--symbols", tmp_path / "symbols", *arguments)
    assert result.returncode == 0, result.stderr
    return np.fromfile(tmp_path / "symbols", "<i4"), result.stdout


def refused(host, *arguments):
    result = host(*arguments)
    assert result.returncode == 1, result.stderr
    return result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_draws_the_same_symbols(family, host, exported, tmp_path):
    """Three events from graphs for two, with a label, a temperature and a length: bit for bit what Python draws."""
    asked = {"seed": 5, "temperature": 1.5} | ({"num_sites": LENGTH[family]} if LENGTH[family] else {})
    words = [word for name, value in asked.items() for word in (f"--{name.replace('_', '-')}", value)]
    words += ["--label", LABEL[family]] if LABEL[family] is not None else []
    symbols, _ = drawn(host, exported(family), tmp_path, "--num", 3, *words)
    want = ar_zoo.runtime.load(exported(family)).sample(3, context=LABEL[family], **asked)
    assert len(np.unique(want)) > 1
    np.testing.assert_array_equal(symbols.reshape(want.shape), want)


@pytest.mark.slow
def test_outputs_that_are_one_tensor(host, tmp_path):
    """All layers start a row alike: TFLite keeps one tensor for them, and LiteRT one name."""
    small = randomised(ar_zoo.create("gated_pixel_cnn.tiny", dilations=(1, 1)))
    ar_zoo.export(small, tmp_path / "export", formats="tflite", batch_size=1, progress=False)
    runtime = ar_zoo.runtime.load(tmp_path / "export")
    begun = runtime._sampler.begin_block.outputs
    addresses = [array.ctypes.data for array in begun.values()]
    assert len(set(addresses)) < len(addresses)
    symbols, _ = drawn(host, tmp_path / "export", tmp_path, "--num", 2)
    want = runtime.sample(2)
    np.testing.assert_array_equal(symbols.reshape(want.shape), want)


@pytest.mark.slow
def test_what_is_written_is_what_was_drawn(host, exported, tmp_path):
    symbols, _ = drawn(host, exported("gated_pixel_cnn"), tmp_path)
    header, pixels = (tmp_path / "out_0.pgm").read_bytes().split(b"255\n", 1)
    assert header == b"P5 10 4 "  # two channels lie beside each other
    np.testing.assert_array_equal(np.frombuffer(pixels, np.uint8), symbols * 85)

    symbols, _ = drawn(host, exported("wavenet"), tmp_path, "--rate", 16000)
    sound, rate = soundfile.read(tmp_path / "out_0.wav", dtype="int16")
    raw = ar_zoo.runtime.load(exported("wavenet")).decode(symbols)
    assert rate == 16000
    np.testing.assert_array_equal(sound, np.clip(np.round(raw.astype(np.float64) * 32768), -32768, 32767))

    drawn(host, exported("wavenet"), tmp_path)
    assert soundfile.info(tmp_path / "out_0.wav").samplerate == 11025, "the manifest's"

    symbols, text = drawn(host, exported("gpt"), tmp_path)
    assert text == ar_zoo.runtime.load(exported("gpt")).decode(symbols) + "\n"


@pytest.mark.slow
def test_a_damaged_export_is_refused(host, exported, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(exported("gpt"), folder)
    graph, manifest = folder / "sample_step.tflite", folder / "manifest.json"
    whole, described = graph.read_bytes(), manifest.read_text(encoding="utf-8")
    graph.write_bytes(whole[:1000])
    assert re.search(
        r"sample_step\.tflite has 1000 bytes, its manifest says \d+: it was cut short", refused(host, folder)
    )
    graph.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "does not match its sha256" in refused(host, folder)
    graph.unlink()
    assert "sample_step.tflite is missing" in refused(host, folder)
    graph.write_bytes(whole)
    manifest.write_text(described[: len(described) // 2], encoding="utf-8")
    assert "manifest.json is cut short or damaged" in refused(host, folder)
    manifest.write_text(described.replace('"KeyValue"', '"Stack"'), encoding="utf-8")
    assert "no state of the kind Stack" in refused(host, folder)
    manifest.write_text(described.replace('"sample_step.tflite"', '"../sample_step.tflite"'), encoding="utf-8")
    assert "outside its folder" in refused(host, folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--num", 0), r"`--num` must be an integer from 1 to 1000000; got \"0\""),
        (("--temperature", "warm"), r"`--temperature` must be a number from 0 .* got \"warm\""),
        (("--num-sites", 13), r"`--num-sites` must be an integer from 1 to 12"),
        (("--label", 1), "`--label`: this model takes none"),
    ],
)
def test_a_bad_argument_is_refused(words, error, host, exported):
    assert re.search(error, refused(host, exported("gpt"), *words))


def test_the_test_vectors_of_the_page():
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([\d., ]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) >= 6
    for *numbers, shown in rows:
        seed, row, site, size = map(int, numbers)
        want = uniform_noise(seed, [row], site, site + 1, (size,))[0, 0]
        np.testing.assert_array_equal(np.array(shown.split(", "), np.float32), want)


def test_the_page_names_every_field_of_a_manifest(exported):
    manifests = [read_manifest(exported(family)) for family in FAMILIES]
    names = {name for manifest in manifests for name in manifest}
    names |= {name for manifest in manifests for state in manifest["states"].values() for name in state}
    names |= {name for manifest in manifests for context in manifest["context"].values() for name in context}
    names |= {name for manifest in manifests for endpoint in manifest["endpoints"].values() for name in endpoint}
    assert sorted(name for name in names if f"`{name}`" not in PAGE) == []


def test_the_host_stays_short():
    assert len((HOSTS / "host.cpp").read_text(encoding="utf-8").splitlines()) < 200
