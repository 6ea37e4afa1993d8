"""Label files of the plain kind, decoded several times as fast as by a general library.

Scoring a folder of predictions is mostly decoding. Label files are extreme pictures: long runs of one value, a
hundredfold compressed. `inflate`, and the loops here, which undo PNG's filters (ISO/IEC 15948), copy such runs whole.
They read grey or palette PNGs of 8 or 16 bits that are not interlaced; whatever else, and whatever is damaged, they
decline, so that the careful reader gets it and says what is wrong.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from fassd.core.arrays import Codes
from fassd.kernels.compiled import WORD, compiled, kept, set_word, word_at
from fassd.kernels.inflate import adler32, inflate

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_TEXTS, _TURN = (b"tEXt", b"zTXt", b"iTXt"), b"Raw profile type exif"
"""Where older programs (ImageMagick) write EXIF, and under what name."""
_MOST_BYTES = 1 << 26


def decode_label_png(content: bytes) -> Codes | None:
    """The values of a label file.

    Args:
        content: the whole file.

    Returns:
        (H, W) uint8 or uint16; None if it is no plain grey or palette PNG, or a damaged one.
    """
    found = _parts(content)
    if found is None:
        return None
    (width, height, depth), compressed = found
    each = depth // 8
    stride = width * each
    filtered = np.empty(height * (stride + 1), np.uint8)
    # Two bytes say how zlib compressed, four at the end are a sum over the bytes that it was given.
    stream = np.frombuffer(compressed, np.uint8)[2:-4]
    if inflate(stream, filtered) != filtered.size or adler32(filtered) != int.from_bytes(compressed[-4:]):
        return None
    values = np.empty((height, stride), np.uint8)
    if not _unfilter(filtered.reshape(height, stride + 1), each, values):
        return None
    # PNG's values begin with the higher byte, ours with the lower.
    return values if each == 1 else values.view(np.uint16).byteswap(inplace=True)


def _parts(content: bytes) -> tuple[tuple[int, int, int], bytes] | None:
    """Width, height, bits, and the compressed pixels; None unless all is plain and every sum is right."""
    if not content.startswith(_SIGNATURE):
        return None
    place, header, data = len(_SIGNATURE), None, []
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if end > len(content):
            return None
        # What has a capital is needed to show the picture.
        if kind[:1].isupper() and zlib.crc32(content[place + 4 : end - 4]).to_bytes(4) != content[end - 4 : end]:
            return None
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", content[place + 8 : end - 4]) if length == 13 else None
        elif kind == b"IDAT":
            data.append(content[place + 8 : end - 4])
        elif kind == b"IEND":
            return _plain(header, b"".join(data))
        elif kind in (b"eXIf", b"acTL", b"tRNS") or (kind in _TEXTS and content.startswith(_TURN, place + 8)):
            return None
        place = end
    return None


def _plain(header: tuple[int, ...] | None, data: bytes) -> tuple[tuple[int, int, int], bytes] | None:
    if header is None or len(data) < 6:
        return None
    width, height, depth, kind, compression, filters, interlaced = header
    if (depth, kind) not in ((8, _GREY), (16, _GREY), (8, _PALETTE)) or compression or filters or interlaced:
        return None
    if not width or not height or (width * depth // 8 + 1) * height > _MOST_BYTES:
        return None
    # Deflated by zlib, without a dictionary agreed beforehand.
    return ((width, height, depth), data) if data[0] & 15 == 8 and not data[1] & 32 else None


@kept
def _unfilter(filtered: Any, each: int, out: Any) -> bool:
    """Undoes PNG's filters row by row; whether all of them exist. `each` is a pixel's bytes."""
    above = np.zeros(out.shape[1], np.uint8)
    for y in range(out.shape[0]):
        kind, row, to = filtered[y, 0], filtered[y, 1:], out[y]
        if kind == 0:
            for x in range(to.size):
                to[x] = row[x]
        elif kind == 1:
            _undo_sub(row, each, to)
        elif kind == 2:
            for x in range(to.size):
                to[x] = row[x] + above[x]
        elif kind == 3:
            for x in range(to.size):
                left = to[x - each] if x >= each else 0
                to[x] = row[x] + (np.int64(left) + above[x]) // 2
        elif kind == 4:
            _undo_paeth(row, above, each, to)
        else:
            return False
        above = to
    return True


@compiled
def _undo_sub(row: Any, each: int, to: Any) -> None:
    for x in range(to.size):
        to[x] = row[x] + to[x - each] if x >= each else row[x]


@compiled
def _undo_paeth(row: Any, above: Any, each: int, to: Any) -> None:
    equal = 0  # how many of the last bytes are those above them
    for x in range(each):
        to[x] = row[x] + above[x]
        equal = equal + 1 if row[x] == 0 else 0
    x = each
    while x < to.size:
        # As long as the row repeats the one above, so does every byte without a difference.
        while equal >= each and x + WORD <= to.size and word_at(row, x) == 0:
            set_word(to, x, word_at(above, x))
            x += WORD
        while equal >= each and x < to.size and row[x] == 0:
            to[x] = above[x]
            x += 1
        if x == to.size:
            return
        left, up, corner = np.int64(to[x - each]), np.int64(above[x]), np.int64(above[x - each])
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        best = left if to_left <= to_up and to_left <= to_corner else (up if to_up <= to_corner else corner)
        to[x] = row[x] + best
        equal = equal + 1 if to[x] == above[x] else 0
        x += 1
