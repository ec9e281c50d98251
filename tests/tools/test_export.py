"""tools/export.py is `ar-zoo export`."""

from __future__ import annotations

import pytest

from ar_zoo.cli import convert
from tools import export


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as ended:
        export.main(["--help"])
    assert ended.value.code == 0
    assert "examples:\n  ar-zoo export gated_pixel_cnn.mnist digits" in capsys.readouterr().out


def test_it_is_the_command(monkeypatch):
    asked = []
    monkeypatch.setattr(convert, "_export", lambda options: asked.append(options) or 3)
    assert export.main(["gpt.kjv", "out", "--formats", "onnx", "--prefill", "16"]) == 3
    assert (asked[0].model, asked[0].folder, asked[0].formats, asked[0].prefill) == ("gpt.kjv", "out", ["onnx"], [16])


def test_a_mistake_is_one_line(capsys, tmp_path):
    assert export.main(["nowhere", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()
