"""Peers run in a process of their own; what goes wrong there is said."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

import ar_zoo
from ar_zoo.bench import peers
from ar_zoo.bench.cases import CASES, QUICK
from tools import measure_training

SCRIPTS = Path(__file__).resolve().parents[2] / "tools" / "peers"


@pytest.fixture
def run(tmp_path):
    def run(program, python=None):
        script = tmp_path / "peer.py"
        script.write_text(program)
        return peers.measured(script, python, ar_zoo.create("gpt.tiny"), batch=2, sites=12, threads=3, repeats=1)

    return run


def test_a_peer_gets_our_size_and_threads(run, tmp_path):
    program = (
        "import json, os, sys\njson.dump([json.loads(sys.argv[1]), os.environ['OMP_NUM_THREADS']], open(FILE, 'w'))"
    )
    program = (
        f"FILE = {str(tmp_path / 'got')!r}\n{program}\nprint('noise')\nprint(json.dumps(dict(seconds=6, version='v')))"
    )
    assert run(program) == {"sites_per_s": 4.0, "site_us": 5e5, "version": "v"}
    size, threads = json.loads((tmp_path / "got").read_text())
    assert threads == "3"
    assert size == {
        **dict(family="gpt", num_layers=2, num_heads=4, num_kv_heads=2, units=16, hidden_units=None, num_symbols=5),
        **dict(batch_size=2, num_sites=12, threads=3, repeats=1),
    }


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import no_such_library", "not installed: No module named 'no_such_library'"),
        ("raise SystemExit('one event at a time')", "it failed: one event at a time"),
        ("raise ValueError('why')", "it failed: ValueError: why"),
    ],
)
def test_a_peer_that_is_left_out_says_why(run, program, says):
    assert run(program) == {"left_out": says}


def test_a_peer_finds_what_it_shares_with_others(run, tmp_path):
    (tmp_path / "shared_by_peers.py").write_text("seconds = 6")
    shown = "import json, shared_by_peers\nprint(json.dumps(dict(seconds=shared_by_peers.seconds, version='v')))"
    assert run(shown).get("left_out") is None
    assert run(shown, python=sys.executable)["sites_per_s"] == 4.0


def test_a_python_that_is_not_there(run):
    assert run("", python="/nowhere/python") == {"left_out": "/nowhere/python does not run: No such file or directory"}


def test_another_python_does_not_see_ours(run, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/ours")
    shown = "import json, os\nprint(json.dumps(dict(seconds=1, version=os.environ.get('PYTHONPATH', 'none'))))"
    assert run(shown, python=sys.executable)["version"] == "none"


def test_every_peer_has_its_script_and_asks_for_what_it_is_given():
    named = {script for case in CASES + QUICK for script in case.peers.values()}
    trained = {script for case in measure_training.CASES for script, _ in case.peers}
    helpers = {"rounds.py", "pace.py", "hub_model.py"}
    assert named | trained | helpers == {path.name for path in SCRIPTS.glob("*.py")}
    for case in QUICK:
        model = ar_zoo.create(case.preset, **case.overrides)
        given = {name for name in peers.SIZES if hasattr(model, name)}
        given |= {"num_symbols", "batch_size", "num_sites", "threads", "repeats"}
        for script in case.peers.values():
            tree = ast.parse((SCRIPTS / script).read_text())
            asked = {
                node.slice.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Subscript) and getattr(node.value, "id", None) == "size"
            }
            assert asked, script
            assert asked <= given, script
