"""Symbols of a model ↔ the bytes of a compressed file."""

from __future__ import annotations

import dataclasses
import math
import zlib

import numpy as np
from tqdm import tqdm

from ar_zoo.coding import container, identity
from ar_zoo.coding import context as contexts
from ar_zoo.coding.container import Chunk, Container
from ar_zoo.coding.ranges import Decoder, Encoder
from ar_zoo.coding.rows import Rows, checked, rows_of, symbols_in
from ar_zoo.coding.steps import probe, steps_of, walk
from ar_zoo.core.pretrained import list_pretrained, load

BATCH_SIZE = 64
_CHUNK_BYTES = 1 << 14  # a chunk ends with the batch that fills it


@dataclasses.dataclass(frozen=True)
class Compressed:
    """A compressed file, and how well it went.

    Attributes:
        data: the file's bytes.
        dimensions: how many symbols are in it.
        model_bits: the model's own code length, the sum of -log2 of each symbol's probability.
    """

    data: bytes
    dimensions: int
    model_bits: float


def compress(
    model, x, context=None, window: int | None = None, batch_size: int = BATCH_SIZE, progress: bool = False
) -> bytes:
    """Codes symbols without loss, in about as many bits as the model's `-log2` of their probability.

    Args:
        model: any model with a discrete head, or the name of a preset. Who decodes needs the same weights.
        x: int symbols [N, *event_shape]; where the length is free also one stream [T], which is cut into windows that
            know nothing of each other.
        context: as in `log_prob`, for events. It is stored in the file, deflated.
        window: sites of a window; by default the model's longest event, or 4,000.
        batch_size: rows that are coded side by side: more are faster and need more memory.
        progress: show a bar.

    Returns:
        the bytes of a file, for `decompress`.

    Raises:
        ValueError: `x` or another argument does not fit the model.

    Example:
        >>> data = compress("gated_pixel_cnn.mnist", digits)
        >>> np.array_equal(decompress(None, data), digits)
        True
    """
    model, facts = opened(model)
    return encode(model, x, facts, context, window, batch_size, progress).data


def encode(model, x, facts, context=None, window=None, batch_size=BATCH_SIZE, progress=False) -> Compressed:
    """As `compress`, with the model's own code length beside the bytes; `facts` go into the header."""
    x, window = checked(model, x, window)
    rows, encoder = rows_of(model, x.shape, window, batch_size), Encoder()
    header = {"head": f"{type(model.head).__name__}({model.head.num_symbols})", "runtime": identity.runtime(), **facts}
    header |= {"shape": list(x.shape), "batch_size": rows.batch_size} | ({"window": window} if window else {})
    if context is not None and window:
        raise ValueError("`context` has a row for each event, and a stream has none. Cut the stream into rows first.")
    context, chunks = contexts.named(model, context, rows.count), []
    if context:
        header["context"], deflated = contexts.stored(model, context)
        chunks.append(Chunk(0, 0, deflated))
    steps, nats = steps_of(model, rows.batch_size, rows.sites), 0.0
    probed, crc, batches = probe(model, steps), 0, 0
    with _bar(progress, "compressing", rows) as bar:
        for first in rows.firsts:
            sites, lengths = rows.batch(first, x)
            walk(steps, sites, lengths, _of_batch(model, context, rows, first), encoder.code, bar.update)
            crc, batches = zlib.crc32(symbols_in(sites, lengths), crc), batches + 1
            if len(encoder) >= _CHUNK_BYTES or first == rows.firsts[-1] or batches == container.MAX_BATCHES:
                chunks.append(Chunk(batches, crc, encoder.coded()))
                nats, encoder, crc, batches = nats + encoder.nats, Encoder(), 0, 0
    file = Container(identity.digest_of(model), probed, header, tuple(chunks))
    return Compressed(file.to_bytes(), int(x.size), nats / math.log(2))


def decompress(model, data: bytes, progress: bool = False, source: str = "`data`") -> np.ndarray:
    """The symbols that `compress` was given.

    Args:
        model: what coded them, or its name; `None` for the shipped preset that the file names. Nothing is fetched.
        data: the bytes of a file.
        progress: show a bar.
        source: where the bytes are from, for errors.

    Returns:
        int32 [N, *event_shape] or [T]: exactly what went in, or nothing.

    Raises:
        ValueError: the file is damaged or of another version; the model has other weights; or this machine does not
            compute the numbers that the symbols were coded with.

    Example: `decompress(None, compress("gpt.kjv", symbols))`
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ValueError(f"`data` must be the bytes of a file; got {type(data).__name__}.")
    file = container.parse(bytes(data), source)
    model = model_of(model, file, source)
    shape, rows, context, coded = _layout(model, file, source)
    steps = steps_of(model, rows.batch_size, rows.sites)
    try:
        if probe(model, steps) != file.probe:
            raise ValueError("the probe differs")
        symbols = _decoded(model, steps, rows, context, coded, progress)
    except ValueError as error:
        raise ValueError(
            f"{source} is whole, but this machine does not compute the numbers that it was coded with ({error}). "
            f"{identity.differences(file.header.get('runtime'))} Decode it where these are the same."
        ) from None
    return symbols.reshape(shape)


def _decoded(model, steps, rows: Rows, context: dict, coded: tuple[Chunk, ...], progress: bool) -> np.ndarray:
    """All symbols, flat."""
    firsts, parts = iter(rows.firsts), []
    with _bar(progress, "decompressing", rows) as bar:
        for number, chunk in enumerate(coded, 1):
            decoder, crc = Decoder(chunk.coded), 0
            for first in [next(firsts) for _ in range(chunk.batches)]:
                sites, lengths = rows.batch(first)
                walk(steps, sites, lengths, _of_batch(model, context, rows, first), decoder.code, bar.update)
                parts.append(symbols_in(sites, lengths).ravel())
                crc = zlib.crc32(parts[-1], crc)
            if crc != chunk.symbols_crc:
                raise ValueError(f"the symbols of chunk {number} differ")
    return np.concatenate(parts)


def _layout(model, file: Container, source: str) -> tuple[list, Rows, dict, tuple[Chunk, ...]]:
    """Shape of the symbols, their rows and context, and the chunks that hold them. A header is not believed, but checked."""
    header, coded = file.header, file.chunks
    try:
        shape, dtypes = header["shape"], header.get("context", {})
        rows, context = rows_of(model, shape, header.get("window"), header["batch_size"]), {}
        if dtypes:
            context, coded = contexts.restored(model, dtypes, coded[0].coded, rows.count), coded[1:]
        if rows.batch_size != header["batch_size"] or sum(chunk.batches for chunk in coded) != len(rows.firsts):
            raise ValueError("it lacks chunks, or has too many")
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"{source} is damaged or not complete: {type(error).__name__} {error}.") from None
    return shape, rows, context, coded


def opened(model) -> tuple:
    """A model or the name of one, as the model and what a header says of it."""
    facts = {"model": model} if isinstance(model, str) and model in list_pretrained() else {}
    model = load(model) if isinstance(model, str) else model
    if getattr(getattr(model, "head", None), "num_symbols", None) is None or not hasattr(model, "step"):
        raise ValueError(f"`model` must be an autoregressive model with a discrete head; got {type(model).__name__}.")
    return model, facts


def model_of(model, file: Container, source: str):
    """The model that is given, or the shipped one that a header names, if it has the weights that coded the file."""
    name = _name_in(file.header)
    if model is None:
        model = file.header.get("model")
        if model not in list_pretrained():
            raise ValueError(f"{source} was coded by {name}, which does not ship here. Pass it as `model`.")
    model, _ = opened(model)
    if identity.digest_of(model) != file.digest:
        raise ValueError(
            f"{source} was coded by {name} with other weights or another configuration than this model's. Pass the one that "
            "coded it."
        )
    return model


def _name_in(header) -> str:
    return repr(header.get("model", f"a model with the head {header.get('head')}"))[:120]


def _of_batch(model, context: dict, rows: Rows, first: int) -> dict:
    """The context of a batch; rows beyond the last have the last one's."""
    return contexts.of_batch(model, context, np.minimum(np.arange(first, first + rows.batch_size), rows.count - 1))


def _bar(progress: bool, what: str, rows: Rows):
    return tqdm(total=rows.total, desc=what, unit="site", unit_scale=True, disable=not progress)
