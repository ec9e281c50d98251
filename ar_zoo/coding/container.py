"""The compressed file as bytes: a header that is checked, then chunks that are checked; nothing in it is code.

    magic 4 · version 1 · model's digest 16 · probe 4 · header's length 2 · crc32 of all of it 4
    header       JSON, deflated with a dictionary that both sides know
    chunks       batches 2 · length 4 · crc32 of the symbols 4 · crc32 4 · coded bytes

The crc32 of a chunk goes on from the one before, so that chunks cannot change places or files.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib

MAGIC = b"\x89arz"
FORMAT_VERSION = 1
_FRONT = struct.Struct("<4sB16sIHI")
_CHUNK = struct.Struct("<HIII")
_MAX_HEADER = 1 << 16  # bytes of JSON
MAX_BATCHES = (1 << 16) - 1  # of a chunk
# What headers look like. A part of the format: changing it takes another version.
_USUAL = (
    b'"context": {"label": "uint8"}, "kind": "symbols", "kind": "sound", "sample_rate": 8000, "kind": "text", '
    b'"kind": "image", "head": "Bernoulli(2)", "head": "MuLawCategorical(256)", "head": "Categorical(256)", '
    b'"model": "gated_pixel_cnn.mnist", "wavenet.speech8k", "gpt.kjv", "ar_zoo": "0.1.0", "shape": [1000, 28, 28, 1], '
    b'"window": 4000, "window": 256, "batch_size": 64, "runtime": {"constriction": "0.5.0", "cpu": "Intel(R) Xeon(R) '
    b'Processor AMD EPYC", "engine": "tensorflow", "keras": "3.15.1", "machine": "Linux x86_64", "tensorflow": "2.21.0"}}'
)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """The coded symbols of some batches, or, with 0 `batches`, the context."""

    batches: int
    symbols_crc: int
    coded: bytes


@dataclasses.dataclass(frozen=True)
class Container:
    """All that a file holds.

    Attributes:
        digest: 16 bytes that name the model, its configuration and its weights.
        probe: crc32 of the numbers that the encoder's engine computes for symbols that everyone knows.
        header: what the symbols are and what coded them, a dict.
        chunks: in order.
    """

    digest: bytes
    probe: int
    header: dict
    chunks: tuple[Chunk, ...]

    def to_bytes(self) -> bytes:
        header = json.dumps(self.header, sort_keys=True).encode()
        if len(header) > _MAX_HEADER:
            raise ValueError(
                f"The header has {len(header)} bytes; at most {_MAX_HEADER} are allowed. Shorten the names."
            )
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_USUAL)
        header = deflate.compress(header) + deflate.flush()
        front = _FRONT.pack(MAGIC, FORMAT_VERSION, self.digest, self.probe, len(header), 0)[:-4]
        crc = zlib.crc32(front + header)
        parts = [front, struct.pack("<I", crc), header]
        for chunk in self.chunks:
            start = _CHUNK.pack(chunk.batches, len(chunk.coded), chunk.symbols_crc, 0)[:-4]
            crc = zlib.crc32(start + chunk.coded, crc)
            parts += [start, struct.pack("<I", crc), chunk.coded]
        return b"".join(parts)


def parse(data: bytes, source: str = "`data`") -> Container:
    """The parts of a compressed file.

    Args:
        data: its bytes.
        source: where they are from, for errors.

    Raises:
        ValueError: not such a file, one of another version, or one that was cut short or changed, anywhere.

    Example: `parse(compress(model, x)).header["shape"]`
    """
    if data[:4] != MAGIC:
        raise ValueError(f"{source} is not what `ar-zoo compress` writes: its first bytes are {bytes(data[:4])!r}.")
    if len(data) > 4 and data[4] != FORMAT_VERSION:
        raise ValueError(
            f"{source} has format version {data[4]}; this ar_zoo reads version {FORMAT_VERSION} alone. If it is whole, "
            "use the ar_zoo that wrote it."
        )
    if len(data) < _FRONT.size:
        raise ValueError(f"{source} was cut short: it has {len(data)} bytes, and the header alone has more.")
    _, _, digest, probe, length, crc = _FRONT.unpack_from(data)
    place = _FRONT.size + length
    if len(data) < place or zlib.crc32(data[_FRONT.size : place], zlib.crc32(data[: _FRONT.size - 4])) != crc:
        raise ValueError(f"{source} is damaged: its header does not match its checksum. Copy it again.")
    header = _inflated(data[_FRONT.size : place], source)
    chunks = []
    while place < len(data):
        chunk, crc, place = _chunk(data, place, crc, len(chunks) + 1, source)
        chunks.append(chunk)
    return Container(digest, probe, header, tuple(chunks))


def _inflated(deflated: bytes, source: str) -> dict:
    """The header's JSON; no more of it is made than a header may have."""
    try:
        header = json.loads(zlib.decompressobj(-15, zdict=_USUAL).decompress(deflated, _MAX_HEADER))
    except (zlib.error, ValueError, RecursionError) as error:
        raise ValueError(f"{source} is damaged: its header cannot be read ({error}).") from None
    if not isinstance(header, dict):
        raise ValueError(f"{source} is damaged: its header is a {type(header).__name__}.")
    return header


def _chunk(data: bytes, place: int, crc: int, number: int, source: str) -> tuple[Chunk, int, int]:
    """The chunk at `place`, its crc32, and where it ends."""
    start = place + _CHUNK.size
    if start <= len(data):
        batches, length, symbols_crc, expected = _CHUNK.unpack_from(data, place)
        end = start + length
        crc = zlib.crc32(data[start:end], zlib.crc32(data[place : start - 4], crc))
        if end <= len(data) and crc == expected:
            return Chunk(batches, symbols_crc, data[start:end]), crc, end
    raise ValueError(
        f"{source} is damaged: chunk {number} does not match its checksum, or is cut short. Copy it again."
    )
