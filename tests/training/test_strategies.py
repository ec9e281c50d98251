"""One device, several, and several processes: the same data and seed end with the same weights."""

from __future__ import annotations

import inspect
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from ar_zoo.training import list_recipes, strategies
from ar_zoo.training.launcher import launch
from tests.training import distributed, runs

_PROGRAM = Path(distributed.__file__)


def start(folder, strategy, **more):
    """What `distributed.py` makes of a strategy."""
    out = folder / f"{strategy}.npz"
    task = json.dumps({"strategy": strategy, "out": str(out), **more})
    if strategy == "multiworker":
        assert launch([sys.executable, str(_PROGRAM), task], 2, folder, attempts=1) == 0
    else:
        subprocess.run([sys.executable, str(_PROGRAM), task], check=True, capture_output=True)
    return dict(np.load(out))


@pytest.fixture
def with_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(_PROGRAM.parents[2]))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        _, dtype, kind, *_ = name.split()
        apart = np.linalg.norm(value - other[name])
        if name.endswith("attention/key/bias"):
            assert apart < 1e-4, name  # no score sees it: it moves by rounding alone
        elif kind == "metric":
            assert apart < 2e-6 * np.linalg.norm(value), name  # metrics are kept in float32
        else:
            assert apart <= {"float64": 1e-10, "float32": 1e-4}[dtype] * np.linalg.norm(value), name


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mirrored", "multiworker"])
def test_strategies_end_with_equal_weights(strategy, tmp_path, with_path):
    """Four families, 50 steps: SGD with momentum in float64, clipped AdamW in float32; and evaluation."""
    one = start(tmp_path, "one", steps=50)
    assert {name.split()[0] for name in one} == set(distributed.FAMILIES)
    assert_same(one, start(tmp_path, strategy, steps=50))


@pytest.mark.slow
def test_two_replicas_are_one_device_where_gradients_are_clipped(tmp_path, with_path):
    what = dict(steps=4, families=["gpt"], dtypes=["float32"])
    assert_same(start(tmp_path, "one", **what), start(tmp_path, "mirrored", **what))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mirrored", "multiworker"])
def test_every_recipe_smokes_under(strategy, tmp_path, with_path):
    """In one process, or two: those of one device have a test each."""
    command = [sys.executable, str(_PROGRAM.parent / "smoke.py"), strategy, str(tmp_path), *list_recipes()]
    if strategy == "multiworker":
        assert launch(command, 2, tmp_path, attempts=1) == 0
    else:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    for name in list_recipes():
        assert (tmp_path / name / "best" / "manifest.json").is_file(), name


@pytest.mark.slow
def test_workers_learn_from_the_same_rounds_of_answers(tmp_path, with_path):
    """Each of two processes draws a round by itself, and learns from its part: as one that draws and learns from all."""
    command = [sys.executable, "-m", "ar_zoo", "train", "gpt_sums_rlvr", "--smoke", "--jit", "off", "--out"]
    for name, more in (("one", []), ("two", ["--strategy", "multiworker", "--workers", "2"])):
        subprocess.run([*command, str(tmp_path / name), *more], check=True, capture_output=True)
    one, two = (runs.checkpoint(tmp_path / name) for name in ("one", "two"))
    names = [name for name in one if name.startswith(("model/", "optimizer/"))]
    assert len(names) > 50
    for name in names:
        value = one[name]
        apart = np.linalg.norm(value.astype("float64") - two[name])
        assert apart <= 1e-4 * max(1e-3, np.linalg.norm(value.astype("float64"))), name
    figures = [
        [float(runs.log(tmp_path / name)[-1][measure]) for measure in ("reward", "kl")] for name in ("one", "two")
    ]
    np.testing.assert_allclose(*figures, rtol=1e-4, atol=1e-6)


def test_keras_still_needs_our_step():
    """When this fails, a part of `ar_zoo/core/replicas.py` may have nothing left to do: try without."""
    reduced = inspect.getsource(keras.src.backend.tensorflow.trainer.reduce_per_replica)
    assert 'strategy.reduce("MEAN", v, axis=0)' in reduced, "metrics without an axis cannot be averaged over processes"
    step = inspect.getsource(keras.optimizers.Optimizer._backend_update_step)
    assert "self._all_reduce_sum_gradients(grads_and_vars)" in step, "gradients are added up after they are clipped"


def test_workers_that_do_not_come_are_named():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        missing = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(
            TimeoutError, match=f"Worker 0 waited 0 seconds for {missing}, which did not answer. Start the same"
        ):
            strategies.meet([f"127.0.0.1:{free_port()}", missing], 0, timeout=0.3)


def test_workers_that_come_late_are_met():
    hosts, done, met = [f"127.0.0.1:{free_port()}" for _ in range(3)], threading.Event(), []

    def come(index):
        strategies.meet(hosts, index, 20)
        met.append(index)
        with socket.socket() as here:  # as TensorFlow's server does from now on
            here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            here.bind(("127.0.0.1", int(hosts[index].rpartition(":")[2])))
            here.listen()
            done.wait(20)

    late = [threading.Timer(0.3 * index, come, (index,)) for index in range(3)]
    for timer in late:
        timer.start()
    deadline = time.monotonic() + 15
    while len(met) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    done.set()
    for timer in late:
        timer.join()
    assert sorted(met) == [0, 1, 2]


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=f"Port {port} of this host, worker 0, cannot be used: Address already in use"
        ):
            strategies.meet([f"127.0.0.1:{port}", "127.0.0.1:1"], 0, timeout=1)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def task(host, index) -> str:
    return json.dumps({"cluster": {"worker": [host]}, "task": {"type": "worker", "index": index}})


def test_clusters():
    text = strategies.cluster(["a:1", "b:2"], 1)
    assert strategies.read_cluster(text) == (["a:1", "b:2"], 1)
    with_chief = {"cluster": {"chief": ["c:1"], "worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    assert strategies.read_cluster(json.dumps(with_chief)) == (["c:1", "a:1"], 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: strategies.make_strategy("many"), "`strategy` must be one of 'one', 'mirrored', 'multiworker', 'tpu'; got 'many'"),
        (lambda: strategies.make_strategy("one", tpu="v4"), "`tpu` goes with `strategy` 'tpu'; got 'v4' with 'one'"),
        (lambda: strategies.make_strategy("tpu"), "`strategy` 'tpu' found no TPU on this host: "),
        (lambda: strategies.read_cluster(None), "needs its hosts, and TF_CONFIG is not set. Give --workers N, or"),
        (lambda: strategies.read_cluster("{}"), r"TF_CONFIG does not describe workers \(KeyError\('cluster'\)\); it is '{}'"),
        (lambda: strategies.cluster(["a"], 0), "`hosts` must be HOST:PORT each; got 'a'"),
        (lambda: strategies.cluster(["a:65536"], 0), "`hosts` must be HOST:PORT each; got 'a:65536'"),
        (lambda: strategies.read_cluster(task("a", 0)), "TF_CONFIG does not describe workers .*`hosts` must be HOST:PORT"),
        (lambda: strategies.read_cluster(task("a:1", -1)), r"TF_CONFIG does not describe workers .*`index` must be in 0\.\.0"),
        (lambda: strategies.cluster(["a:1", "a:1"], 0), "`hosts` must differ; got a:1, a:1"),
        (lambda: strategies.cluster(["a:1"], 1), r"`index` must be in 0\.\.0, one of the 1 hosts; got 1"),
        (lambda: strategies.cluster(["a:1"], None), r"`index` must be in 0\.\.0, one of the 1 hosts; got None"),
        (lambda: strategies.cluster([3], 0), "`hosts` must be HOST:PORT each; got 3"),
        (lambda: launch(["true"], 2.5, "nowhere"), r"`workers` must be an integer of at least 1; got 2\.5"),
        (lambda: launch(["true"], 0, "nowhere"), "`workers` must be an integer of at least 1; got 0"),
    ],
)  # fmt: skip
def test_what_cannot_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()
