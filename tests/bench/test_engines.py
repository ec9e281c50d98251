"""`ar-zoo bench`: one model on each engine, what is measured and how it is said."""

from __future__ import annotations

import json

import pytest

import ar_zoo
from ar_zoo import bench, cli


def test_an_export_is_not_measured_in_tensorflow(exported):
    with pytest.raises(ValueError, match="`engines` must hold more than 'tensorflow' for an export"):
        bench.bench(exported("gpt"), ["tensorflow"])


@pytest.mark.parametrize("json_wanted", [False, True])
def test_command(exported, tmp_path, capsys, json_wanted):
    plot = tmp_path / "speed.png"
    wanted = ["bench", str(exported("wavenet")), "--engines", "litert", "onnx", "--repeats", "1", "--sites", "20"]
    assert cli.main([*wanted, "--plot", str(plot), *(["--json"] if json_wanted else [])]) == 0
    printed = capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    if json_wanted:
        assert [row["engine"] for row in json.loads(printed)] == ["litert", "onnx"]
    else:
        assert [line.split(" | ")[0] for line in printed.splitlines()] == ["| engine", "| ---", "| litert", "| onnx"]


def test_a_model_is_exported_and_compared():
    rows = bench.bench(ar_zoo.create("gpt.tiny"), ("litert", "tensorflow"), repeats=1)
    assert [row["engine"] for row in rows] == ["litert", "tensorflow"]
    assert [row["num_sites"] for row in rows] == [12, 12]
    assert rows[1]["memory_mb"] > rows[0]["memory_mb"], "of this process, with TensorFlow"
    assert rows[1]["prefill_sites_per_s"] > 0
    assert rows[1]["first_site_s"] > rows[1]["site_us"] * 12 / 1e6, "the first draw compiles"


def test_an_export_has_its_batch(exported, tmp_path, capsys):
    folder = str(exported("gpt"))
    with pytest.raises(
        ValueError, match=r"`batch_size` must be 2, the rows that .* was exported for, or left out; got 64"
    ):
        bench.bench(folder, ["litert"], batch_size=64)
    for words, says in (("--batch-size 0", "`batch_size` must be"), ("--plot speed.jpg", "`--plot` must end in .png")):
        assert cli.main(["bench", folder, "--engines", "litert", *words.split()]) == 2
        assert says in capsys.readouterr().err


def test_no_length(exported, capsys):
    for model in (str(exported("wavenet")), "wavenet.tiny"):
        assert cli.main(["bench", model, "--engines", "litert", "--sites", "0"]) == 2
        assert "`num_sites` must be an integer of at least 1" in capsys.readouterr().err


def test_unknown_engine():
    with pytest.raises(ValueError, match=r"`engines` must hold one or more of 'tensorflow', .*; got \['torch'\]"):
        bench.bench(None, ["torch"])
