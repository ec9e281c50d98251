"""Drawing tokens after prompts: one compiled loop, with processors, per-row stop and log-probabilities."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from keras import ops

from ar_zoo.core import arguments, checks
from ar_zoo.core.generate import compiled, draw_site
from ar_zoo.core.noise import uniform_noise
from ar_zoo.heads.base import draw_weighted, greedy_or, most_likely, positive
from ar_zoo.sampling.guidance import Guidance, guided
from ar_zoo.sampling.processors import chain, listed
from ar_zoo.sampling.prompts import drawable, lay_out, read_prompts, rows_of, step_arguments

_PIECES = 50  # in which a loop runs whose progress is shown


@dataclasses.dataclass(frozen=True)
class Generated:
    """What was drawn, row by row.

    Attributes:
        tokens: int32 arrays of the new tokens; what stopped a row is its end.
        finished: bool [B], whether a row was stopped, and not cut off at `num_tokens`.
        log_probs: float32 arrays in nats, of each new token under the model itself, before processors and temperature; or
            `None`.
    """

    tokens: list[np.ndarray]
    finished: np.ndarray
    log_probs: list[np.ndarray] | None = None


def generate(
    model,
    prompts,
    num_tokens: int,
    processors=(),
    temperature: float = 1.0,
    seed: int = 0,
    stop=(),
    context=None,
    log_probs: bool = False,
    progress: bool = False,
    guidance: Guidance | None = None,
) -> Generated:
    """Continues prompts of any lengths, together in one batch.

    The same seed gives the same tokens, whatever the other rows are; without processors those of `model.sample`.

    Args:
        model: of tokens, drawn one by one: gpt, llama, recurrent_lm, wavenet, …
        prompts: a text or a list of texts, if the head reads text; an int array [n] or a list of them, a row each. Rows may
            be empty.
        num_tokens: how many are drawn at most.
        processors: functions such as `top_k(50)`, applied in this order (`ar_zoo.sampling.processors`).
        temperature: divides what the processors leave; 0 takes the most likely tokens. Where truncation should see the
            tempered distribution, put `sampling.temperature(…)` before it among the processors and leave this at 1.
        seed: an integer of at least 0.
        stop: tokens, and sequences of tokens, that end a row; they are its last tokens. A text stands for the tokens that it
            has alone: where a model writes it in others, in one with what follows say, it does not end the row.
        context: as in `model.sample`, of families that take one.
        log_probs: whether to return them.
        progress: show a bar over the tokens.
        guidance: a `Guidance`, for classifier-free guidance.

    Raises:
        ValueError: an argument is not as above, or processors left nothing to draw.

    Example:
        >>> generate(model, ["In the beginning", "And"], 64, [top_k(50)], seed=1, stop=["."]).tokens[1].shape
        (23,)
    """
    run = _Run(model, prompts, num_tokens, processors, temperature, seed, stop, context, log_probs, guidance)
    size = -(-num_tokens // _PIECES) if progress else num_tokens
    stops = range(size, num_tokens + size, size)
    if progress:
        from tqdm import tqdm

        stops = tqdm(stops, desc="generating", unit="piece")
    for stop_at in stops:
        if not run.over:
            run.advance(stop_at)
    return run.result()


def stream(model, prompt, num_tokens: int, processors=(), *, every: int = 4, **arguments_of_generate) -> Iterator[int]:
    """The tokens of `generate` for one prompt, as they come.

    Args:
        model, prompt, num_tokens, processors: as in `generate`; one prompt.
        every: tokens that are drawn before they are handed out; the first comes alone.
        **arguments_of_generate: `temperature`, `seed`, `stop`, `context`, `guidance`.

    Example:
        >>> for token in stream(model, "In the beginning", 64):
        ...     print(model.head.decode([token]), end="", flush=True)
    """
    arguments.whole(every=every)
    named = {"temperature": 1.0, "seed": 0, "stop": (), "context": None, "guidance": None}
    unknown = sorted(set(arguments_of_generate) - set(named))
    if unknown:
        raise ValueError(f"`stream` takes {', '.join(named)} of generate's arguments; got {', '.join(unknown)}.")
    run = _Run(model, prompt, num_tokens, processors, log_probs=False, **(named | arguments_of_generate))
    if run.num_rows != 1:
        raise ValueError(f"`prompt` must be one; got {run.num_rows}. `generate` takes several.")
    return run.as_they_come(every)


class _Run:
    """One call of `generate` between its pieces: `state` is what the loop goes on from, the rest stays."""

    def __init__(self, model, prompts, num_tokens, processors, temperature, seed, stop, context, log_probs, guidance):
        temperature = arguments.temperature(temperature)
        drawable(model)
        self.model, self.process = model, chain(*listed(processors))
        if guidance is not None and not isinstance(guidance, Guidance):
            raise ValueError(f"`guidance` must be None or a Guidance, such as `Guidance(1.5)`; got {guidance!r}.")
        rows = rows_of(model, prompts)
        self.num_rows = len(rows)
        context = checks.context_of_samples(model, context, len(rows))
        if guidance is not None:
            weak = checks.context_of_samples(model, guidance.context, len(rows))
            context = {name: np.concatenate([value, weak[name]]) for name, value in context.items()}
            rows = rows + guidance.weak_prompts(model, rows)
        slots = lay_out(model, rows, num_tokens)
        self.first, self.num_tokens = slots.first, int(num_tokens)
        self.given = {
            "noise": noise_of(model, slots, seed)[: self.num_rows],
            "positions": slots.positions if slots.ragged else None,
            "context": context,
            "temperature": np.float32(temperature),
            "stops": stop_sequences(model, stop),
            "first": np.int32(slots.first),
            "scale": None if guidance is None else np.float32(guidance.scale),
        }
        self.given = tf.nest.map_structure(lambda value: None if value is None else tf.constant(value), self.given)
        nothing = np.zeros(self.num_rows, bool)
        self.state = {"index": slots.first, "tokens": slots.tokens, "done": nothing, "stuck": nothing}
        if log_probs:
            self.state["log_probs"] = np.zeros((self.num_rows, slots.tokens.shape[1]), np.float32)
        self.state = tf.nest.map_structure(tf.constant, self.state)
        self.state["cache"] = read_prompts(model, slots, context)

    def advance(self, num_tokens):
        """Draws until rows have `num_tokens` new tokens, or all have stopped."""
        function = functools.partial(loop, process=self.process)
        draw = compiled(self.model, ("generate", self.process), function)
        self.state = draw(self.state, self.given, tf.constant(self.first + min(num_tokens, self.num_tokens)))
        refuse_stuck(self.state["stuck"].numpy(), self.new_tokens())

    @property
    def over(self):
        return bool(tf.reduce_all(self.state["done"]))

    def new_tokens(self):
        new = self.state["tokens"].numpy()[: self.num_rows, self.first :]
        return [row[row >= 0] for row in new]

    def result(self):
        tokens, log_probs = self.new_tokens(), None
        if "log_probs" in self.state:
            each = self.state["log_probs"].numpy()[:, self.first :]
            log_probs = [values[: len(row)] for values, row in zip(each, tokens, strict=True)]
        return Generated(tokens, self.state["done"].numpy(), log_probs)

    def as_they_come(self, every):
        given = 0
        for stop in (1, *range(1 + every, self.num_tokens + every, every)):
            self.advance(stop)
            (new,) = self.new_tokens()
            yield from new[given:].tolist()
            given = len(new)
            if self.over:
                return


def loop(model, state, given, stop, process):
    """Draws the slots from `state["index"]` to before `stop`, or until all rows are done. Guided, weak rows come last."""
    spec, first, positions = model.cache_spec(state["tokens"].shape[1]), given["first"], given["positions"]
    num_rows = state["done"].shape[0]

    def body(state):
        index, tokens, more = state["index"], state["tokens"], step_arguments(model)
        if positions is not None:
            more["positions"] = tf.gather(positions, index, axis=1)[:, None]
        uniform = tf.gather(given["noise"], index, axis=1)[:, 0]

        def draw(params):
            logits = model.head.logits(ops.cast(params, "float32"))
            bent = logits if given["scale"] is None else guided(logits, given["scale"])
            bent = process(bent, tokens[:num_rows], index, first)
            return draw_token(bent, uniform, given["temperature"]), logits[:num_rows], bent

        prev = before(tokens, index)
        (drawn, logits, bent), cache = draw_site(model, spec, prev, state["cache"], index, given["context"], draw, more)
        stuck = ~(ops.max(bent, axis=-1) > -np.inf) & ~state["done"]
        drawn = tf.where(state["done"] | stuck, -1, drawn)
        tokens = ops.slice_update(tokens, [0, index], tf.tile(drawn, [tokens.shape[0] // num_rows])[:, None])
        done = state["done"] | stuck | stopped(tokens[:num_rows], given["stops"], index, first)
        new = {"index": index + 1, "tokens": tokens, "done": done, "stuck": state["stuck"] | stuck, "cache": cache}
        if "log_probs" in state:
            each = tf.gather(ops.log_softmax(logits, axis=-1), tf.maximum(drawn, 0), axis=1, batch_dims=1)
            new["log_probs"] = ops.slice_update(state["log_probs"], [0, index], each[:, None])
        return [new]

    going = lambda state: (state["index"] < stop) & ~tf.reduce_all(state["done"])  # noqa: E731
    return tf.while_loop(going, body, [state])[0]


def refuse_stuck(stuck, new_tokens):
    """Refuses rows [B] of whose tokens processors suppressed all."""
    for row in np.flatnonzero(stuck):
        raise ValueError(
            f"`processors` left nothing to draw: new token {len(new_tokens[row])} of row {row} has no finite logit. Weaken "
            "or drop one of them."
        )


def before(tokens, index):
    """`prev` of a slot, int32 [B, 1]."""
    return tf.where(index > 0, tf.gather(tokens, tf.maximum(index - 1, 0), axis=1), -1)[:, None]


def draw_token(logits, uniform, temperature):
    """One token a row, int32 [B]: what `head.sample` draws, and never one whose logit is -inf.

    The rounding of sums lets a uniform fall on a token without weight, once in millions: the next one that has some is it.
    """
    tempered = logits / positive(temperature)
    weights = ops.exp(tempered - ops.max(tempered, axis=-1, keepdims=True))
    drawn, symbols = draw_weighted(weights, uniform), ops.arange(logits.shape[-1])
    after = ops.logical_and(weights > 0, symbols >= ops.expand_dims(drawn, -1))
    drawn = ops.min(ops.where(after, symbols, logits.shape[-1]), axis=-1)
    last = ops.max(ops.where(weights > 0, symbols, 0), axis=-1)
    return greedy_or(temperature, most_likely(logits), ops.minimum(drawn, last))


def stopped(tokens, stops, index, first):
    """Bool [B]: whether a row's new tokens up to slot `index` end with one of the sequences `stops` [n, L]."""
    length = stops.shape[1]
    latest = tf.gather(tokens, tf.maximum(index - length + 1 + tf.range(length), 0), axis=1)
    alike = tf.reduce_all((stops == latest[:, None]) | (stops < 0), axis=-1)
    sizes = tf.reduce_sum(tf.cast(stops >= 0, tf.int32), axis=-1)
    return tf.reduce_any(alike & (sizes > 0) & (sizes <= index - first + 1), axis=-1)


def stop_sequences(model, stop) -> np.ndarray:
    """int32 [n, L] from tokens and sequences of them (or texts): filled up with -1 on the left, and with rows of it.

    Both sizes are rounded up, so that what is compiled serves others.
    """
    try:
        stop = [stop] if isinstance(stop, (str, bytes)) else list(stop)
    except TypeError:
        stop = [stop]
    sequences = [_sequence(model, each) for each in stop]
    longest = max((len(row) for row in sequences), default=1)
    stops = np.full([-(-size // 4) * 4 for size in (max(len(stop), 1), longest)], -1, np.int32)
    for row, sequence in zip(stops, sequences, strict=False):
        row[len(row) - len(sequence) :] = sequence
    return stops


def _sequence(model, stop) -> np.ndarray:
    """The tokens of one of them: of a text all, what would start a prompt too."""
    tokens = model.head.encode(stop) if isinstance(stop, str) and model.head.reads_text else stop
    several = isinstance(tokens, (str, list, tuple)) or np.ndim(tokens)
    rows = rows_of(model, tokens if several else [tokens], "stop") if not several or len(tokens) else []
    if len(rows) != 1:
        raise ValueError(f"`stop` must hold tokens, or sequences of one or more tokens; {stop!r} is none.")
    return rows[0]


def noise_of(model, slots, seed) -> np.ndarray:
    """float32 [B, S, 1]: each slot's noise is that of its row, and of its number in it."""
    batch, size = slots.tokens.shape
    noise = uniform_noise(seed, range(batch), 0, size, model.head.noise_shape)
    for row, length in zip(noise, slots.lengths, strict=True):
        row[:] = np.roll(row, slots.first - length, axis=0)
    return noise
