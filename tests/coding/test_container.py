"""The file's bytes: what goes in comes out, and nothing else does."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from ar_zoo.coding import decompress
from ar_zoo.coding.container import FORMAT_VERSION, Chunk, Container, parse

FILE = Container(
    bytes(range(16)),
    123456789,
    {"model": "gpt.kjv", "shape": [9], "runtime": {"engine": "tensorflow"}},
    (Chunk(0, 0, b"context"), Chunk(2, 77, bytes(range(40))), Chunk(1, 78, b"")),
)


def test_what_is_written_is_read():
    assert parse(FILE.to_bytes()) == FILE


def test_a_usual_header_is_small():
    runtime = {
        "engine": "tensorflow",
        "ar_zoo": "0.1.0",
        "tensorflow": "2.21.0",
        "keras": "3.15.1",
        "constriction": "0.5.0",
        "machine": "Linux x86_64",
        "cpu": "Intel(R) Xeon(R) Processor",
    }
    header = {"model": "gpt.kjv", "head": "Categorical(num_symbols=62, alphabet='\\n !')", "kind": "text"}
    header |= {"shape": [100_000], "window": 256, "batch_size": 64, "runtime": runtime}
    assert len(Container(bytes(16), 1, header, ()).to_bytes()) < 150


@pytest.mark.parametrize("place", range(len(FILE.to_bytes())))
def test_no_byte_may_change(place):
    data = bytearray(FILE.to_bytes())
    data[place] ^= 0x10
    with pytest.raises(ValueError, match=r"^digits\.arz "):
        parse(bytes(data), "digits.arz")


def test_no_byte_of_the_first_chunks_may_be_missing():
    """A cut between chunks is for the decoder to see, who knows how many batches there are."""
    data = FILE.to_bytes()
    ends = []
    for length in range(len(data)):
        try:
            ends.append(len(parse(data[:length]).chunks))
        except ValueError as error:
            assert "`data`" in str(error)  # noqa: PT017
    assert ends == [0, 1, 2]


def test_chunks_may_not_change_places_nor_files():
    data = FILE.to_bytes()
    last = data[-14:]
    middle = data[-14 - 54 : -14]
    with pytest.raises(ValueError, match="chunk 2 does not match"):
        parse(data[: -14 - 54] + last + middle)
    other = Container(bytes(16), FILE.probe, FILE.header, FILE.chunks).to_bytes()
    with pytest.raises(ValueError, match="chunk 3 does not match"):
        parse(data[:-14] + other[-14:])


def test_other_files_and_versions_are_named():
    data = FILE.to_bytes()
    with pytest.raises(ValueError, match="is not what `ar-zoo compress` writes"):
        parse(b"PK\x03\x04 and so on")
    for version in (0, FORMAT_VERSION + 1):
        with pytest.raises(ValueError, match=f"format version {version}; this ar_zoo reads version {FORMAT_VERSION}"):
            parse(data[:4] + bytes([version]) + data[5:])


def test_a_header_that_inflates_without_end_is_not_inflated():
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(b" " * 10_000_000) + deflate.flush()
    assert len(bomb) < 1 << 16
    front = FILE.to_bytes()[:25] + len(bomb).to_bytes(2, "little")
    crc = zlib.crc32(front + bomb).to_bytes(4, "little")
    with pytest.raises(ValueError, match="header cannot be read"):
        parse(front + crc + bomb)


def test_headers_that_are_too_long_are_refused():
    noise = np.random.default_rng(0).bytes(40_000).hex()
    with pytest.raises(ValueError, match="Shorten the names"):
        Container(bytes(16), 1, {"model": noise}, ()).to_bytes()


@pytest.mark.parametrize("data", ["abc", None, 5])
def test_what_is_no_bytes(data):
    with pytest.raises(ValueError, match="`data` must be the bytes of a file"):
        decompress(None, data)
