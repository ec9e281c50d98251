"""README.md: its tables are what the tool prints, and its Python runs as it is pasted."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

import ar_zoo
from tools import report_presets

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def table(name):
    first, last = report_presets.between(TEXT, name)
    return TEXT[first:last].splitlines()


def test_the_table_of_presets_is_what_the_manifests_say():
    assert table("presets") == report_presets.preset_rows(), "run `python tools/report_presets.py --write`"


def test_the_table_of_models_names_them_all():
    """The weights of the smallest; counting those of the others takes a minute."""
    rows = {row.split("`")[1]: row for row in table("models")[2:]}
    assert list(rows) == ar_zoo.list_models()
    tiny = [name for name in rows if name.endswith(".tiny")]
    assert [rows[name] for name in tiny] == report_presets.model_rows(tiny)[2:], (
        "run `python tools/report_presets.py --write`"
    )


@pytest.mark.slow
def test_the_whole_table_of_models():
    assert table("models") == report_presets.model_rows()


def test_a_missing_marker_is_refused():
    with pytest.raises(ValueError, match="must hold the markers"):
        report_presets.rewritten("no markers", {"models": []})


def test_only_what_is_between_the_markers_is_rewritten():
    text = report_presets.rewritten(TEXT, {"presets": ["| new |"]})
    first, last = report_presets.between(TEXT, "presets")
    assert text == TEXT[:first] + "| new |\n" + TEXT[last:]


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=["screen", "family"])
def test_the_python_runs_when_pasted(block, tmp_path):
    """In a fresh interpreter and an empty folder: what a block registers stays out of the other tests."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "2"}
    result = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "False" not in result.stdout
