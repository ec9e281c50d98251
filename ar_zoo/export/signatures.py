"""What an exported model can be asked: endpoints derived from the contract and the cache's spec, for any family.

| endpoint | takes | gives |
|---|---|---|
| `score` | x [B, *event], contexts | log_prob [B], site_log_prob [B, *grid]; nats |
| `step` | prev [B, 1, *site], index [], states, contexts | params [B, params_size], new states |
| `sample_step` | the same, noise [B, *noise_shape], temperature [] | symbols [B, 1, *site], new states |
| `prefill_N` | prev [B, N, *site], index [], states, contexts | new states, after N sites that are known |
| `step_S`, `sample_step_S` | as without S, with keys and values of S sites only: faster until those are full | |
| `verify_K` | the same for K sites | params [B, K, params_size], new states |
| `begin_block` | prev [B, block, *site], index [], states, contexts | new states |

Those of a model without a step, such as a flow, are two:

| endpoint | takes | gives |
|---|---|---|
| `score` | x [B, *event], contexts | log_prob [B], nats |
| `sample` | noise [B, *event] in (0, 1), temperature [], contexts | x [B, *event] |

An endpoint takes only what its graph reads, and gives only the states that it changes: a pixel's step does not carry
the rows above around. States go by their path in the cache's spec (`layer_0_left`), in the form that
`ar_zoo.core.cache` lists for exported graphs: a delay line comes in as its taps (`…_taps`) and goes out as what is to
be pushed (`…_push`), and for several sites at once as its whole history, oldest first (`…_history`), and as all that is to
be pushed (`…_pushes`); keys and values come in whole (`…_held`), and only the entries to append go out (`…_new`); a link
comes out of `begin_block` for the whole block (`…_block`) and goes into `step` for one site (`…_site`), place
`site number within the block · places / sites of the block`. In ONNX files, where no two tensors share a name, a state
that comes in and goes out goes out as `new_…`.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import tensorflow as tf
from keras import ops

from ar_zoo.core import checks
from ar_zoo.core.cache import KINDS, DelayLine, KeyValue, Link, map_spec


@dataclasses.dataclass(frozen=True)
class Slot:
    """One input or output of an endpoint; `state` names the state that it belongs to."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    state: str | None = None


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A traced function with named inputs and outputs; call `function(**inputs)`."""

    name: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    function: object


def endpoints(model, batch_size: int, num_sites: int, prefill=(), verify=(), cache_sizes=()) -> dict[str, Endpoint]:
    """The endpoints of a model, traced with static shapes.

    Args:
        model: an `AutoregressiveModel`, or another `DensityModel`, which takes no chunks.
        batch_size: rows of every input.
        num_sites: sites of an event.
        prefill, verify: sizes of the chunks that `prefill_N` and `verify_K` take; of a model with blocks none.
        cache_sizes: what `step_S` and `sample_step_S` keep.

    Returns:
        name → `Endpoint`; `begin_block` is there if the model has blocks.

    Example:
        >>> sorted(endpoints(ar_zoo.create("gpt.tiny"), 1, 12))
        ['sample_step', 'score', 'step']
    """
    event = tuple(size or num_sites for size in model.event_shape)
    contexts = [Slot(name, (batch_size, *spec.shape), spec.dtype) for name, spec in model.context_spec.items()]
    if not checks.has_steps(model):
        return _whole_events(model, (batch_size, *event), contexts)
    head, spec = model.head, model.cache_spec(num_sites)
    common = [Slot("index", (), "int32"), *contexts]
    prev = Slot("prev", (batch_size, 1, *head.site_shape), head.symbol_dtype)
    noise = [Slot("noise", (batch_size, *head.noise_shape), "float32"), Slot("temperature", (), "float32")]

    def context(given):
        return {slot.name: given[slot.name] for slot in contexts}

    def score(given):
        site = model.log_prob(given["x"], context=context(given), reduce="site")
        return {"log_prob": ops.sum(site, axis=tuple(range(1, len(site.shape)))), "site_log_prob": site}

    def step(given, spec=spec):
        cache = _nested(spec, "site", given)
        params, new = model.step(given["prev"], cache, given["index"], context(given))
        return {"params": ops.cast(ops.squeeze(params, 1), "float32")} | _changed(spec, cache, new)

    def sample_step(given, spec=spec):
        outputs = step(given, spec)
        drawn = head.sample(outputs.pop("params"), given["noise"], given["temperature"])
        return {"symbols": ops.expand_dims(drawn, 1)} | outputs

    def chunk(given):
        cache = _nested(spec, "chunk", given)
        params, new = model.step(given["prev"], cache, given["index"], context(given))
        return {"params": ops.cast(params, "float32")} | _changed(spec, cache, new)

    def begin_block(given):
        cache = _nested(spec, "block", given)
        return _changed(spec, cache, model.begin_block(given["prev"], cache, given["index"], context(given)))

    names = states(spec)
    made = {"score": trace("score", score, [Slot("x", (batch_size, *event), head.symbol_dtype), *contexts])}
    specs = {"": spec} | {f"_{size}": model.cache_spec(size) for size in cache_sizes}
    for ending, held in specs.items():
        slots = [*common, *_state_slots(held, "site", batch_size)]
        made[f"step{ending}"] = trace(f"step{ending}", partial(step, spec=held), [prev, *slots], names)
        drawing = trace(f"sample_step{ending}", partial(sample_step, spec=held), [prev, *noise, *slots], names)
        made[f"sample_step{ending}"] = drawing
    chunks = {f"prefill_{size}": size for size in prefill} | {f"verify_{size}": size for size in verify}
    for name, size in chunks.items():
        before = Slot("prev", (batch_size, size, *head.site_shape), head.symbol_dtype)
        slots = [before, *common, *_state_slots(spec, "chunk", batch_size)]
        made[name] = trace(name, chunk, slots, names, leave_out="params" if name.startswith("prefill") else None)
    if model.block_sizes is not None:
        if len(set(model.block_sizes)) > 1:
            raise ValueError(f"`model` has blocks of sizes {model.block_sizes}; exports know blocks of one size.")
        for name, kind in names.items():
            if isinstance(kind, Link) and model.block_sizes[0] % kind.size:
                raise ValueError(
                    f"The {kind.size} places of {name!r} do not divide a block of {model.block_sizes[0]} sites."
                )
        before = Slot("prev", (batch_size, model.block_sizes[0], *head.site_shape), head.symbol_dtype)
        slots = [before, *common, *_state_slots(spec, "block", batch_size)]
        made["begin_block"] = trace("begin_block", begin_block, slots, names)
        if any(isinstance(names.get(slot.state), (DelayLine, KeyValue)) for slot in made["begin_block"].outputs):
            raise ValueError("`begin_block` must not push to delay lines or append keys: the host does once a site.")
    return made


def _whole_events(model, shape, contexts) -> dict[str, Endpoint]:
    """Of a model that makes all of an event at once."""

    def context(given):
        return {slot.name: given[slot.name] for slot in contexts}

    def score(given):
        return {"log_prob": model.log_prob(given["x"], context=context(given))}

    def sample(given):
        return {"x": model.draw(given["noise"], context(given), given["temperature"])}

    noise = [Slot("noise", shape, "float32"), Slot("temperature", (), "float32")]
    return {
        "score": trace("score", score, [Slot("x", shape, model.symbol_dtype), *contexts]),
        "sample": trace("sample", sample, [*noise, *contexts]),
    }


def states(spec) -> dict[str, object]:
    """Kinds of state by name: a cache's spec without its nesting."""
    return {_name(path): kind for path, kind in flat(spec)}


def flat(nested, path=()) -> list:
    """(path, item) for each item of nested dicts."""
    if not isinstance(nested, dict):
        return [(path, nested)]
    return [pair for name, item in nested.items() for pair in flat(item, (*path, name))]


def _name(path) -> str:
    return "_".join(path)


def _form(kind, part):
    """How a graph for a `part` of an event ("site", "chunk" or "block") takes a state: as it is, or under a name of its
    own with a shape of its own."""
    if isinstance(kind, DelayLine):
        return ("history", (kind.depth, *kind.shape)) if part == "chunk" else ("taps", (len(kind.taps), *kind.shape))
    if isinstance(kind, KeyValue):
        return "held", kind.shape
    if isinstance(kind, Link):
        return part, (() if part == "site" else (kind.size,)) + tuple(kind.shape)
    return None, kind.shape


def _state_slots(spec, part, batch_size) -> list[Slot]:
    slots = []
    for state, kind in states(spec).items():
        form, shape = _form(kind, part)
        slots.append(Slot(f"{state}_{form}" if form else state, (batch_size, *shape), kind.dtype, state))
    return slots


def _nested(spec, part, given, path=()):
    """The cache that a model's `step` or `begin_block` takes, from an endpoint's inputs."""
    if not isinstance(spec, KINDS):
        return {name: _nested(item, part, given, (*path, name)) for name, item in spec.items()}
    form, _ = _form(spec, part)
    return {form: given[_name((*path, form))]} if form else given[_name(path)]


def _changed(spec, old, new) -> dict:
    """Those entries of a new cache that are not the very tensors that came in, by name."""
    map_spec(lambda kind, before, after: None, spec, old, new)  # the same names, or a KeyError that says which
    before = dict(flat(old))
    return {_name(path): tensor for path, tensor in flat(new) if tensor is not before.get(path)}


def trace(name, function, slots, owners=(), leave_out=None) -> Endpoint:
    """`function`, which takes and gives a dict, as a graph that takes those slots which it reads.

    `owners` are the names of the states; an output's name is its state's, or that and the form: `…_push`. The output
    `leave_out` is not given.
    """
    names = [slot.name for slot in slots]
    twice = sorted({slot for slot in names if names.count(slot) > 1})
    if twice:
        raise ValueError(f"`{name}` has two inputs {', '.join(twice)}: rename the model's states or contexts.")
    wanted = lambda given: {key: value for key, value in function(given).items() if key != leave_out}  # noqa: E731
    concrete = _concrete(wanted, slots, slots)
    used = _inputs_used(concrete, slots)
    if len(used) < len(slots):
        concrete = _concrete(wanted, slots, used)
    outputs = []
    for output, spec in concrete.structured_outputs.items():
        if not spec.shape.is_fully_defined():
            raise ValueError(f"`{name}` gives {output!r} of shape {spec.shape}: use static shapes in the model.")
        owner = next((state for state in (output, output.rpartition("_")[0]) if state in owners), None)
        outputs.append(Slot(output, tuple(spec.shape), spec.dtype.name, owner))
    return Endpoint(name, tuple(used), tuple(outputs), concrete)


def _concrete(function, slots, used):
    """`function` as a graph whose inputs are `used`; the other slots, which do not matter, are zeros."""
    names = {slot.name for slot in used}

    def traced(*tensors):
        given = dict(zip((slot.name for slot in used), tensors, strict=True))
        given |= {slot.name: tf.zeros(slot.shape, slot.dtype) for slot in slots if slot.name not in names}
        return function(given)

    signature = [tf.TensorSpec(slot.shape, slot.dtype, name=slot.name) for slot in used]
    return tf.function(traced, input_signature=signature, autograph=False).get_concrete_function()


def _inputs_used(concrete, slots) -> list[Slot]:
    """The slots that some output depends on."""
    reached, waiting = set(), [output.op for output in concrete.outputs]
    while waiting:
        operation = waiting.pop()
        if operation.name not in reached:
            reached.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs]
            waiting += operation.control_inputs
    return [slot for slot, tensor in zip(slots, concrete.inputs, strict=False) if tensor.op.name in reached]
