"""tools/measure_export.py: what it reads of processes, and when a bar is missed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tools import measure_export


def test_memory_of_a_process_and_of_what_it_started():
    assert measure_export.resident_mb() > 20
    assert measure_export.resident_mb(2**22 + 1) == 0, "there is no such process"
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # the grandchild runs
        found = measure_export.tree(os.getpid())
        assert process.pid in found
        assert len(found) >= 3
        process.stdin.write(b"\n")


@pytest.mark.parametrize(
    ("seconds", "peak", "growth", "status"), [(60, 3000, 40, 0), (61, 100, 0, 1), (1, 3001, 0, 1), (1, 100, 41, 1)]
)
def test_bars(monkeypatch, tmp_path, capsys, seconds, peak, growth, status):
    fact = {"preset": "a", "seconds": seconds, "cpu_seconds": 2.0, "peak_mb": peak}
    more = {"after_warm_mb": 500.0, "after_all_mb": 500.0 + growth, "growth_mb": growth}
    monkeypatch.setattr(measure_export, "converted", lambda preset, formats: fact)
    monkeypatch.setattr(measure_export, "growth", lambda *_, **__: more)
    assert measure_export.main(["--presets", "a", "--json", str(tmp_path / "out.json")]) == status
    assert capsys.readouterr().out.count("MISSED") == status
    assert json.loads((tmp_path / "out.json").read_text()) == {"presets": [fact], "in_a_row": more}


@pytest.mark.slow
def test_exports_in_a_row_do_not_grow_the_process():
    """The converter leaks twenty megabytes a call, in a process of its own."""
    assert measure_export.growth("gpt.tiny", 4, ("tflite",), warm=2)["growth_mb"] < measure_export.MAX_GROWTH_MB


@pytest.mark.slow
def test_a_preset_is_converted_within_its_bars():
    fact = measure_export.converted("gated_pixel_cnn.mnist", ("tflite",))
    assert fact["cpu_seconds"] > 1
    assert 500 < fact["peak_mb"] < measure_export.MAX_MB
