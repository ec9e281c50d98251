"""A token model as Google's LiteRT-LM engine expects it: one TFLite file with several signatures, which share weights.

| signature | takes | gives |
|---|---|---|
| `prefill_N`, of which N = 1 is always there | tokens int32 [1, N], input_pos int32 [N], caches | caches |
| `decode` | the same with N = 1 | logits float32 [1, 1, V], caches |

Caches are `kv_cache_k_i` and `kv_cache_v_i`, float32 [1, heads, slots, size], under the same names in and out: give the
same buffer as both, and the graph writes its new entries into it. Where no symbol of the alphabet starts an event, the
token after the last one does. The engine's bundle (tokenizer, templates) is not part of this.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
from keras import ops

from ar_zoo.core import checks
from ar_zoo.core.cache import KeyValue, map_spec
from ar_zoo.export import manifest
from ar_zoo.export.parity import TOLERANCE
from ar_zoo.export.signatures import Endpoint, Slot, flat, states, trace

FILE = "litert_lm.tflite"
_LETTERS = {"key": "k", "value": "v"}


def check(model, batch_size: int) -> None:
    """Refuses models that the engine cannot drive."""
    checks.steps(model)
    kinds = states(model.cache_spec(2))
    odd = [name for name, kind in kinds.items() if not _is_position(kind) and not _is_cache(name, kind)]
    if odd or model.context_spec or not hasattr(model.head, "logits") or model.head.site_shape or batch_size != 1:
        raise ValueError(
            "`formats` 'litert_lm' is for models of tokens whose only states are keys and values, without context, at a "
            f"batch size of 1; {model.name} keeps {', '.join(odd or kinds)}, has the contexts {list(model.context_spec)} "
            f"and the batch size {batch_size}. Leave 'litert_lm' out of `formats`."
        )


def signatures(model, num_sites: int, prefill=()) -> dict[str, Endpoint]:
    """The engine's endpoints of a model.

    Args:
        model: what `check` accepts.
        num_sites: slots of the caches.
        prefill: sizes of chunks besides 1.

    Example:
        >>> sorted(signatures(ar_zoo.create("gpt.tiny"), 12, (4,)))
        ['decode', 'prefill_1', 'prefill_4']
    """
    spec = model.cache_spec(num_sites)
    kinds = {path: kind for path, kind in flat(spec) if _is_cache(path[-1], kind)}
    layers = list(dict.fromkeys(path[:-1] for path in kinds))
    names = {path: f"kv_cache_{_LETTERS[path[-1]]}_{layers.index(path[:-1])}" for path in kinds}
    caches = [Slot(names[path], (1, *kind.shape), "float32", names[path]) for path, kind in kinds.items()]

    def step(given):
        index, slots = given["input_pos"][0], ops.arange(num_sites)
        seen = ops.expand_dims(ops.where(slots < index, slots, -1), 0)
        held = iter([given[names[path]] if path in names else seen for path, _ in flat(spec)])
        cache = map_spec(lambda kind: next(held), spec)
        prev = ops.where(given["tokens"] < model.head.num_symbols, given["tokens"], -1)
        params, new = model.step(prev, cache, index)
        return {"logits": ops.cast(params, "float32")} | {names[path]: x for path, x in flat(new) if path in names}

    def traced(name, size, leave_out=None):
        slots = [Slot("tokens", (1, size), "int32"), Slot("input_pos", (size,), "int32"), *caches]
        return trace(name, step, slots, names.values(), leave_out)

    made = {f"prefill_{size}": traced(f"prefill_{size}", size, "logits") for size in sorted({1, *prefill})}
    return made | {"decode": traced("decode", 1)}


def measured(file, facts: dict, model) -> float:
    """The largest difference of the file's logits from the model's, when each chunk and then `decode` are run on shared
    cache buffers, as the engine does.

    Raises:
        ValueError: it exceeds 1e-3 (of the largest logit, where that is above 1).
    """
    graph, worst = Aliased(file, facts), 0.0
    for name in facts["signatures"]:
        size = 0 if name == "decode" else int(name.rpartition("_")[2])
        if size >= graph.slots:
            continue  # a chunk as long as an event leaves nothing to decode
        x = np.random.default_rng(size).integers(0, model.head.num_symbols, size + 1)
        tokens = [facts["start_token"], *x[:-1]]
        if size:
            graph.run(name, tokens[:size], 0)
        logits = graph.run("decode", tokens[size:], size)
        wanted = np.asarray(model(x[None].astype("int32")), np.float64)[0, size]
        apart, allowed = np.max(np.abs(wanted - logits)), TOLERANCE * max(1.0, np.max(np.abs(wanted)))
        if not apart <= allowed:
            raise ValueError(
                f"The LiteRT-LM form of {model.name} differs by {apart:.2g} after `{name}`; {allowed:.2g} is allowed. "
                "Please report the model: an operation was converted wrongly."
            )
        worst = max(worst, float(apart))
    return worst


class Aliased:
    """The file in LiteRT, with each cache one buffer that goes in and comes out.

    Args:
        file: its path.
        facts: what the export's manifest says of it, under `litert_lm`.

    Example:
        >>> graph = Aliased("bible/litert_lm.tflite", manifest["litert_lm"])
        >>> graph.run("decode", [62], 0).shape
        (62,)
    """

    def __init__(self, file, facts: dict):
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.options import CpuOptions, Options

        self._model = CompiledModel.from_file(str(file), options=Options(cpu_options=CpuOptions(num_threads=1)))
        decode = facts["signatures"]["decode"]
        caches = {slot["name"]: slot["shape"] for slot in decode["inputs"] if slot["state"]}
        self.slots = next(iter(caches.values()))[2]
        self._caches = {name: self._model.create_input_buffer_by_name("decode", name) for name in caches}
        for name, shape in caches.items():
            self._caches[name].write(np.zeros(shape, np.float32))
        self._logits = self._model.create_output_buffer_by_name("decode", "logits")
        (self._size,) = (slot["shape"][-1] for slot in decode["outputs"] if slot["name"] == "logits")
        self._fed = {}

    def run(self, name: str, tokens, index: int):
        """Feeds tokens whose first has the position `index`; the logits [V] of `decode`."""
        if name not in self._fed:
            create = self._model.create_input_buffer_by_name
            self._fed[name] = {fed: create(name, fed) for fed in ("tokens", "input_pos")}
        self._fed[name]["tokens"].write(np.array(tokens, np.int32)[None])
        self._fed[name]["input_pos"].write(np.arange(index, index + len(tokens), dtype=np.int32))
        logits = {"logits": self._logits} if name == "decode" else {}
        self._model.run_by_name(name, self._fed[name] | self._caches, logits | self._caches)
        return self._logits.read(self._size, np.float32) if logits else None


def write(model, saved_model, file: Path, num_sites: int, prefill, converter) -> dict:
    """Writes and checks the file; gives the manifest's part on it."""
    from ar_zoo.export.saved_model import write_saved_model

    made = signatures(model, num_sites, prefill)
    write_saved_model(made, saved_model)
    for _ in converter.convert(saved_model, {"litert_lm": file}, {"litert_lm": list(made)}):
        pass
    described = {name: manifest.endpoint(end, ()) for name, end in made.items()}
    start = getattr(model, "start_symbol", None)
    facts = {"file": FILE, "start_token": model.head.num_symbols if start is None else start, "signatures": described}
    with quietly():
        return facts | {"parity": measured(file, facts, model)}


@contextlib.contextmanager
def quietly():
    """LiteRT looks for accelerators, and writes to the terminal past Python about each that is not there."""
    errors = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(errors, 2)
        os.close(errors)


def _is_cache(name, kind) -> bool:
    named = name.rpartition("_")[2] in _LETTERS
    return named and isinstance(kind, KeyValue) and len(kind.shape) == 3 and kind.axis == 1


def _is_position(kind) -> bool:
    return isinstance(kind, KeyValue) and kind.dtype == "int32" and len(kind.shape) == 1
