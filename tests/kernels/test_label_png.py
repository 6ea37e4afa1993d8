"""The quick decoder beside Pillow: equal on every plain file, silent on every other."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from fassd.kernels.label_png import adler32, decode_label_png

Map = np.ndarray[Any, Any]


def random_map(seed: int, depth: int) -> Map:
    """Blocks with some noise, of any size."""
    random = np.random.default_rng(seed)
    height, width, block = random.integers(1, 70), random.integers(1, 200), random.choice([1, 4, 30])
    highest = random.choice([2, 34, 1 << depth])
    shape = (height // block + 1, width // block + 1)
    values = random.integers(0, highest, shape).repeat(block, 0).repeat(block, 1)[:height, :width]
    noisy = random.random(values.shape) < random.choice([0.0, 0.01, 0.5])
    return np.where(noisy, random.integers(0, highest, values.shape), values).astype(f"u{depth // 8}")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    values: Map, filters: list[int], level: int = 9, strategy: int = zlib.Z_DEFAULT_STRATEGY, pieces: int = 1
) -> bytes:
    """A file with a filter of one's choice in each row, written as the standard says."""
    each, height = values.dtype.itemsize, values.shape[0]
    plain = values.astype(f">u{each}").view(np.uint8).reshape(height, -1).astype(np.int64)
    padded = np.pad(plain, ((1, 0), (each, 0)))
    left, up, corner = padded[1:, :-each], padded[:-1, each:], padded[:-1, :-each]
    near = [abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)]
    paeth = np.where((near[0] <= near[1]) & (near[0] <= near[2]), left, np.where(near[1] <= near[2], up, corner))
    guesses = [0 * plain, left, up, (left + up) // 2, paeth]
    rows = [
        bytes([kind]) + ((plain[y] - guesses[kind][y]) % 256).astype(np.uint8).tobytes()
        for y, kind in enumerate(filters)
    ]
    packer = zlib.compressobj(level, strategy=strategy)
    packed = packer.compress(b"".join(rows)) + packer.flush()
    cuts = [len(packed) * piece // pieces for piece in range(pieces + 1)]
    data = b"".join(chunk(b"IDAT", packed[a:b]) for a, b in pairwise(cuts))
    head = struct.pack(">IIBBBBB", values.shape[1], height, 8 * each, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


@given(
    seed=st.integers(0, 2**32 - 1),
    depth=st.sampled_from([8, 16]),
    level=st.sampled_from([0, 1, 6, 9]),
    strategy=st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE]),
    pieces=st.integers(1, 4),
)
@settings(max_examples=150, deadline=None)
def test_every_filter_and_every_kind_of_block_is_undone(
    seed: int, depth: int, level: int, strategy: int, pieces: int
) -> None:
    values = random_map(seed, depth)
    filters = np.random.default_rng(seed).integers(0, 5, values.shape[0]).tolist()
    content = png(values, filters, level, strategy, pieces)
    decoded = decode_label_png(content)
    assert decoded is not None
    assert decoded.dtype == values.dtype
    assert np.array_equal(decoded, values)
    assert np.array_equal(np.array(Pillow.open(io.BytesIO(content))), values)


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_what_pillow_writes_is_read(mode: str) -> None:
    values = random_map(5, 16 if mode == "I;16" else 8)
    picture = Pillow.fromarray(values)
    if mode == "P":
        picture.putpalette(bytes(range(256)) * 3)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    decoded = decode_label_png(stream.getvalue())
    assert decoded is not None
    assert np.array_equal(decoded, values)


GOOD = png(random_map(1, 8), [0] * random_map(1, 8).shape[0])
PACKED = GOOD[41:-16]
OTHERS = {
    "nothing": b"",
    "no PNG": b"GIF89a" + bytes(100),
    "cut within the pixels": GOOD[: len(GOOD) // 2],
    "cut before the end": GOOD[:-12],
    "colors": chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
    "4 bits": chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 4, 0, 0, 0, 0)),
    "interlaced": chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1)),
    "0 wide": chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 1, 8, 0, 0, 0, 0)),
    "a bomb": chunk(b"IHDR", struct.pack(">IIBBBBB", 65535, 65535, 16, 0, 0, 0, 0)),
    "turned by EXIF": chunk(b"eXIf", b"MM") + GOOD[8:],
    "turned by EXIF in a text": GOOD[:33] + chunk(b"zTXt", b"Raw profile type exif\0\0") + GOOD[33:],
    "a broken palette": GOOD[:33] + chunk(b"PLTE", bytes(6))[:-1] + b"?" + GOOD[33:],
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_plain_is_left_to_others(name: str) -> None:
    content = OTHERS[name]
    if content[4:8] in (b"IHDR", b"eXIf"):
        content = GOOD[:8] + content + chunk(b"IDAT", zlib.compress(bytes(2))) + chunk(b"IEND", b"")
    assert decode_label_png(content) is None


@given(st.integers(8, len(GOOD) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_changes_no_value_unnoticed(place: int, change: int) -> None:
    damaged = bytearray(GOOD)
    damaged[place] ^= change
    decoded = decode_label_png(bytes(damaged))
    assert decoded is None or np.array_equal(decoded, random_map(1, 8))


@given(st.integers(0, len(PACKED) * 8 - 1))
@settings(max_examples=300, deadline=None)
def test_what_was_damaged_before_the_chunks_were_summed_up_is_declined(bit: int) -> None:
    damaged = bytearray(PACKED)
    damaged[bit // 8] ^= 1 << bit % 8
    decoded = decode_label_png(GOOD[:33] + chunk(b"IDAT", bytes(damaged)) + chunk(b"IEND", b""))
    assert decoded is None or np.array_equal(decoded, random_map(1, 8))


@settings(deadline=None)  # the first example may compile the kernel
@given(st.binary(max_size=99), st.integers(0, 400))
def test_the_sum_over_the_bytes_is_zlibs(few: bytes, more: int) -> None:
    data = few + more * b"\xff" + few
    assert adler32(np.frombuffer(data, np.uint8)) == zlib.adler32(data)


@given(st.binary(max_size=300), st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_any_bytes_as_a_stream_are_declined_or_decoded_as_zlib_does(stream: bytes, height: int) -> None:
    """With right sums around wrong content, the loops alone stand between a stranger's file and the memory."""
    stream = b"\x78\x9c" + stream + bytes(4)
    head = struct.pack(">IIBBBBB", 20, height, 8, 0, 0, 0, 0)
    content = GOOD[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
    decoded = decode_label_png(content)
    if decoded is not None:
        plain = zlib.decompressobj(-15).decompress(stream[2:])
        assert len(plain) == height * 21
