"""Where a run's steps are computed: one device, all of this host's, several hosts, or a TPU."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import time

from ar_zoo.training.status import STRATEGIES, WorkersLeft

TIMEOUT = 120.0
# Seconds without a sign of life until a worker counts as gone. TensorFlow's ten are few for a busy host.
HEARTBEAT = 30.0


def make_strategy(name: str, tpu: str | None = None, timeout: float = TIMEOUT):
    """A `tf.distribute.Strategy`. Make it before anything else of TensorFlow: hosts are introduced to each other only then.

    Args:
        name: one of `STRATEGIES`. `"multiworker"` takes its hosts from the environment variable TF_CONFIG, which
            `cluster` writes.
        tpu: name or address of the TPU; `None` for the local one.
        timeout: for how many seconds other hosts may be missing at the start.

    Example:
        >>> make_strategy("mirrored").num_replicas_in_sync
        1
    """
    import tensorflow as tf

    if name not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {', '.join(map(repr, STRATEGIES))}; got {name!r}.")
    if tpu is not None and name != "tpu":
        raise ValueError(f"`tpu` goes with `strategy` 'tpu'; got {tpu!r} with {name!r}.")
    if name == "one":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return _once(name, tf.distribute.MirroredStrategy)
    if name == "tpu":
        return _once((name, tpu), lambda: _on_tpu(tpu))
    workers, index = read_cluster(os.environ.get("TF_CONFIG"))
    return _once((name, *workers), lambda: _on_workers(workers, index, timeout))


def wait_for_all(strategy) -> None:
    """Returns when all workers have come here."""
    import tensorflow as tf

    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        strategy.run(_meeting())


@functools.cache
def _meeting():
    """What each worker has to take part in, traced once."""
    import tensorflow as tf

    return tf.function(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(1.0)))


def is_chief(strategy) -> bool:
    """Whether this process is the one that writes files."""
    return strategy.extended.should_checkpoint


def cluster(workers: list[str], index: int) -> str:
    """What TF_CONFIG has to say.

    Args:
        workers: `HOST:PORT` of each, in the same order everywhere.
        index: which of them this process is.

    Example:
        >>> cluster(["10.0.0.1:2222", "10.0.0.2:2222"], 0)
        '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
    """
    _check_cluster(workers, index)
    return json.dumps({"cluster": {"worker": list(workers)}, "task": {"type": "worker", "index": index}})


def _check_cluster(workers, index):
    for worker in workers:
        host, _, port = str(worker).rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"`hosts` must be HOST:PORT each; got {worker!r}.")
    if len(set(workers)) < len(workers):
        raise ValueError(f"`hosts` must differ; got {', '.join(workers)}.")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(workers):
        raise ValueError(f"`index` must be in 0..{len(workers) - 1}, one of the {len(workers)} hosts; got {index}.")


def read_cluster(text: str | None) -> tuple[list[str], int]:
    """The workers of a TF_CONFIG, and which one this is."""
    how = "Give --workers N, or --hosts and --index, or set it as TensorFlow's guide to multi-worker training says."
    if not text:
        raise ValueError(f"`strategy` 'multiworker' needs its hosts, and TF_CONFIG is not set. {how}")
    try:
        found = json.loads(text)
        workers = [*found["cluster"].get("chief", []), *found["cluster"].get("worker", [])]
        index = int(found["task"]["index"])
        if found["task"]["type"] == "worker":
            index += len(found["cluster"].get("chief", []))
        _check_cluster(workers, index)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"TF_CONFIG does not describe workers ({error!r}); it is {text[:200]!r}. {how}") from None
    return workers, index


def meet(workers: list[str], index: int, timeout: float = TIMEOUT) -> None:
    """Waits until all workers have come to their addresses. (TensorFlow would wait for ever, and would not say for whom.)

    Raises:
        ConnectionError: this worker's own port is taken.
        TimeoutError: others did not come in time; names them.
    """
    missing, deadline = {worker for place, worker in enumerate(workers) if place != index}, time.monotonic() + timeout
    port = int(workers[index].rpartition(":")[2])
    with socket.socket() as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            here.bind(("", port))
        except OSError as error:
            raise ConnectionError(
                f"Port {port} of this host, worker {index}, cannot be used: {error.strerror}."
            ) from None
        here.listen(len(workers))
        while missing:
            missing = {worker for worker in missing if not _answers(worker)}
            if missing and time.monotonic() > deadline:
                raise TimeoutError(
                    f"Worker {index} waited {timeout:.0f} seconds for {', '.join(sorted(missing))}, which did not answer. "
                    "Start the same command there, and see that the ports can be reached."
                )
            if missing:
                time.sleep(0.2)


def _answers(worker: str) -> bool:
    host, _, port = worker.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=2):
        return True
    return False


_made = {}


def _once(key, make):
    """One of a kind for the process: workers introduce themselves once, and two that share devices mix up their sums."""
    if key not in _made:
        _made[key] = make()
    return _made[key]


def _on_workers(workers, index, timeout):
    import tensorflow as tf
    from tensorflow.python.eager import context

    try:
        meet(workers, index, timeout)
    except (TimeoutError, ConnectionError) as error:  # another start, with other ports perhaps, may succeed
        raise WorkersLeft(str(error)) from None
    state = context.context()  # the strategy configures it, and has no argument for this
    state.configure_coordination_service = functools.partial(
        state.configure_coordination_service, heartbeat_timeout_in_ms=int(1000 * HEARTBEAT)
    )
    return tf.distribute.MultiWorkerMirroredStrategy()


def _on_tpu(name):
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name or "local")
        if name:
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError, OSError) as error:
        said = str(error).strip().splitlines()
        raise ValueError(
            f"`strategy` 'tpu' found no TPU {name or 'on this host'}: "
            f"{said[0][:200] if said else type(error).__name__}. Name one with --tpu, or take another strategy."
        ) from None
