"""Decodes PNG label files several times as fast as general libraries.

Scoring a folder of predictions is mostly decoding. Label files consist of long runs of one value, compressed a
hundredfold; the loops here, which undo DEFLATE (RFC 1951) and PNG's filters (ISO/IEC 15948), copy such runs 8 bytes at
a time. They read gray and palette PNGs of 8 or 16 bits that are not interlaced. For any other file, and for damaged
ones, they return None, and the caller uses the general reader, which says what is wrong.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from fassd.core.arrays import MaskValues
from fassd.kernels.compiled import WORD, compiled, kept, set_word, word_at

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _PALETTE = 0, 3
_TEXTS, _TURN = (b"tEXt", b"zTXt", b"iTXt"), b"Raw profile type exif"
"""The chunks in which older programs (ImageMagick) write EXIF, and its keyword."""
_MAX_BYTES = 1 << 26


def decode_label_png(content: bytes) -> MaskValues | None:
    """The values of a label file.

    Args:
        content: of the file.

    Returns:
        (H, W) uint8 or uint16; None if it is not a plain gray or palette PNG, or is damaged.
    """
    found = _parts(content)
    if found is None:
        return None
    (width, height, depth), compressed = found
    pixel_bytes = depth // 8
    stride = width * pixel_bytes
    filtered = np.empty(height * (stride + 1), np.uint8)
    # A zlib stream begins with a header of 2 bytes and ends with a checksum of 4.
    stream = np.frombuffer(compressed, np.uint8)[2:-4]
    if inflate(stream, filtered) != filtered.size or adler32(filtered) != int.from_bytes(compressed[-4:]):
        return None
    values = np.empty((height, stride), np.uint8)
    if not _unfilter(filtered.reshape(height, stride + 1), pixel_bytes, values):
        return None
    # PNG's 16-bit values are big-endian.
    return values if pixel_bytes == 1 else values.view(np.uint16).byteswap(inplace=True)


def _parts(content: bytes) -> tuple[tuple[int, int, int], bytes] | None:
    """(width, height, bits) and the compressed pixels; None if the file is not plain or a checksum is wrong."""
    if not content.startswith(_SIGNATURE):
        return None
    offset, header, data = len(_SIGNATURE), None, []
    while offset + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, offset)
        end = offset + 12 + length
        if end > len(content):
            return None
        # Chunks whose name begins with a capital are critical.
        if kind[:1].isupper() and zlib.crc32(content[offset + 4 : end - 4]).to_bytes(4) != content[end - 4 : end]:
            return None
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", content[offset + 8 : end - 4]) if length == 13 else None
        elif kind == b"IDAT":
            data.append(content[offset + 8 : end - 4])
        elif kind == b"IEND":
            return _plain(header, b"".join(data))
        elif kind in (b"eXIf", b"acTL", b"tRNS") or (kind in _TEXTS and content.startswith(_TURN, offset + 8)):
            return None
        offset = end
    return None


def _plain(header: tuple[int, ...] | None, data: bytes) -> tuple[tuple[int, int, int], bytes] | None:
    if header is None or len(data) < 6:
        return None
    width, height, depth, kind, compression, filters, interlaced = header
    if (depth, kind) not in ((8, _GRAY), (16, _GRAY), (8, _PALETTE)) or compression or filters or interlaced:
        return None
    if not width or not height or (width * depth // 8 + 1) * height > _MAX_BYTES:
        return None
    # DEFLATE without a preset dictionary.
    return ((width, height, depth), data) if data[0] & 15 == 8 and not data[1] & 32 else None


@kept
def _unfilter(filtered: Any, pixel_bytes: int, out: Any) -> bool:
    """Undoes PNG's filters row by row; returns whether all of them are known."""
    above = np.zeros(out.shape[1], np.uint8)
    for y in range(out.shape[0]):
        kind, row, to = filtered[y, 0], filtered[y, 1:], out[y]
        if kind == 0:
            for x in range(to.size):
                to[x] = row[x]
        elif kind == 1:
            _undo_sub(row, pixel_bytes, to)
        elif kind == 2:
            for x in range(to.size):
                to[x] = row[x] + above[x]
        elif kind == 3:
            for x in range(to.size):
                left = to[x - pixel_bytes] if x >= pixel_bytes else 0
                to[x] = row[x] + (np.int64(left) + above[x]) // 2
        elif kind == 4:
            _undo_paeth(row, above, pixel_bytes, to)
        else:
            return False
        above = to
    return True


@compiled
def _undo_sub(row: Any, pixel_bytes: int, to: Any) -> None:
    for x in range(to.size):
        to[x] = row[x] + to[x - pixel_bytes] if x >= pixel_bytes else row[x]


@compiled
def _undo_paeth(row: Any, above: Any, pixel_bytes: int, to: Any) -> None:
    equal = 0  # the number of latest bytes that equal those above them
    for x in range(pixel_bytes):
        to[x] = row[x] + above[x]
        equal = equal + 1 if row[x] == 0 else 0
    x = pixel_bytes
    while x < to.size:
        # While the row repeats the one above, a byte with difference 0 repeats it, too.
        while equal >= pixel_bytes and x + WORD <= to.size and word_at(row, x) == 0:
            set_word(to, x, word_at(above, x))
            x += WORD
        while equal >= pixel_bytes and x < to.size and row[x] == 0:
            to[x] = above[x]
            x += 1
        if x == to.size:
            return
        left, up, corner = np.int64(to[x - pixel_bytes]), np.int64(above[x]), np.int64(above[x - pixel_bytes])
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        best = left if to_left <= to_up and to_left <= to_corner else (up if to_up <= to_corner else corner)
        to[x] = row[x] + best
        equal = equal + 1 if to[x] == above[x] else 0
        x += 1


# DEFLATE's lengths and distances: the base value of a symbol, and the number of extra bits.
_LENGTHS = np.array(
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258],
    np.int64,
)
_LENGTH_BITS = np.array([0] * 8 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4 + [0], np.int64)
_DISTANCE_BITS = np.array([0, 0, *(bits for bits in range(14) for _ in range(2))], np.int64)
_DISTANCES = np.concatenate([[1], 1 + np.cumsum(1 << _DISTANCE_BITS)[:-1]]).astype(np.int64)
_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64)
# A word of equal parts of 1, 2 or 4 bytes is the part times this factor; 0 where parts do not fill a word.
_REPEATS = np.array([0, 0x0101010101010101, 0x0001000100010001, 0, 0x0000000100000001, 0, 0, 0, 0], np.int64)
_LONGEST = 15
_ADLER, _EVERY_OTHER = 65521, 0x00FF00FF00FF00FF
_STORED, _FIXED, _DYNAMIC = 0, 1, 2
_END = 256


@kept
def inflate(source: Any, out: Any) -> int:  # noqa: PLR0911 - compiled
    """Decompresses a DEFLATE stream into `out`; returns the number of bytes, or -1 if it is damaged or too long."""
    literals, distances = np.empty(1 << _LONGEST, np.int32), np.empty(1 << _LONGEST, np.int32)
    bit, written = 0, 0
    while True:
        if bit + 3 > source.size * 8:
            return -1
        last, kind = _bits(source, bit, 1), _bits(source, bit + 1, 2)
        bit += 3
        if kind == _STORED:
            byte = (bit + 7) // 8
            if byte + 4 > source.size:
                return -1
            length = source[byte] | source[byte + 1] << 8
            byte += 4
            if byte + length > source.size or written + length > out.size:
                return -1
            # Loops, not slices, which take seconds to compile.
            for k in range(length):
                out[written + k] = source[byte + k]
            written, bit = written + length, (byte + length) * 8
        else:
            bit = _read_codes(source, bit, literals, distances) if kind == _DYNAMIC else bit
            if kind == _FIXED:
                _fixed_codes(literals, distances)
            elif kind != _DYNAMIC:
                return -1
            if bit < 0:
                return -1
            bit, written = _inflate_block(source, bit, literals, distances, out, written)
            if bit < 0:
                return -1
        if last:
            return written


@kept
def adler32(data: Any) -> int:
    """The checksum at the end of a zlib stream (RFC 1950), of at most 2^26 bytes, or it would overflow."""
    size: int = data.size
    plain, weighted, x = 1, size, 0
    while x + WORD <= size:
        begin, word = x, word_at(data, x)
        while x + WORD <= size and word_at(data, x) == word:
            x += WORD
        # Products whose upper bits are the sum of a word's bytes, plain and weighted by position.
        even, odd, count = word & _EVERY_OTHER, word >> 8 & _EVERY_OTHER, (x - begin) // WORD
        of_word = (even + odd) * 0x0001000100010001 >> 48
        by_place = (even * 0x0000000200040006 >> 48) + (odd * 0x0001000300050007 >> 48)
        plain += count * of_word
        # A byte counts for itself and for every later byte; over equal words this is an arithmetic series.
        weighted += count * ((size - begin) * of_word - by_place) - count * (count - 1) // 2 * WORD * of_word
    for k in range(x, size):
        last: Any = np.int64(data[k])
        plain, weighted = plain + last, weighted + (size - k) * last
    return weighted % _ADLER << 16 | plain % _ADLER


@compiled
def _inflate_block(  # noqa: PLR0911 - compiled
    source: Any, bit: int, literals: Any, distances: Any, out: Any, written: int
) -> tuple[int, int]:
    """Decodes one block; returns the bit after it, -1 if it is damaged, and the number of bytes written so far."""
    mask, end = (1 << _LONGEST) - 1, source.size * 8
    while bit <= end:
        window = _window(source, bit)
        code = literals[window & mask]
        if code < 0:
            return -1, written
        symbol, used = code >> 4, code & 15
        if symbol < _END:
            if written >= out.size:
                return -1, written
            out[written] = symbol
            written += 1
            bit += used
            continue
        if symbol == _END:
            return bit + used, written
        symbol -= _END + 1
        if symbol >= _LENGTHS.size:
            return -1, written
        more = _LENGTH_BITS[symbol]
        length = _LENGTHS[symbol] + ((window >> used) & ((1 << more) - 1))
        used += more
        code = distances[(window >> used) & mask]
        if code < 0 or code >> 4 >= _DISTANCES.size:
            return -1, written
        used += code & 15
        more = _DISTANCE_BITS[code >> 4]
        back = _DISTANCES[code >> 4] + ((window >> used) & ((1 << more) - 1))
        bit += used + more
        if back > written or written + length > out.size:
            return -1, written
        _repeat(out, written, length, back)
        written += length
    return -1, written


@compiled
def _repeat(out: Any, begin: int, length: int, back: int) -> None:
    """Writes `length` bytes, each a copy of the byte `back` positions earlier."""
    repeats = _REPEATS[min(back, WORD)]
    if begin + length + WORD > out.size:
        for k in range(begin, begin + length):
            out[k] = out[k - back]
    # In the other branches the last word may write too far; those bytes are overwritten later.
    elif repeats:
        pattern = (word_at(out, begin - back) & ((1 << 8 * back) - 1)) * repeats
        for k in range(begin, begin + length, WORD):
            set_word(out, k, pattern)
    elif back >= WORD:
        for k in range(begin, begin + length, WORD):
            set_word(out, k, word_at(out, k - back))
    else:
        for k in range(begin, begin + length):
            out[k] = out[k - back]


@compiled
def _window(source: Any, bit: int) -> int:
    """At least the next 48 bits: a length and a distance with their extra bits have at most 48."""
    first, window = bit >> 3, 0
    if first + WORD <= source.size:
        window = word_at(source, first)
    else:
        for k in range(source.size - first):
            window |= source[first + k] << (8 * k)
    return window >> (bit & 7)


@compiled
def _bits(source: Any, bit: int, count: int) -> int:
    return _window(source, bit) & ((1 << count) - 1)


@compiled
def _fill(table: Any, lengths: Any) -> bool:
    """Fills a table: any `_LONGEST` bits -> symbol * 16 + code length, or -1. Returns whether the lengths are valid."""
    table[:] = -1
    counts = np.zeros(_LONGEST + 1, np.int64)
    for length in lengths:
        counts[length] += 1
    counts[0] = 0
    code, following = 0, np.zeros(_LONGEST + 2, np.int64)
    for length in range(1, _LONGEST + 1):
        following[length] = code
        code = (code + counts[length]) << 1
        if following[length] + counts[length] > 1 << length:
            return False
    for symbol in range(lengths.size):
        length = lengths[symbol]
        if length:
            backwards, rest = 0, following[length]
            for _ in range(length):
                backwards, rest = backwards << 1 | (rest & 1), rest >> 1
            following[length] += 1
            for k in range(backwards, table.size, 1 << length):
                table[k] = symbol << 4 | length
    return True


@compiled
def _fixed_codes(literals: Any, distances: Any) -> None:
    lengths = np.full(288, 8, np.int64)
    lengths[144:256] = 9
    lengths[256:280] = 7
    _fill(literals, lengths)
    _fill(distances, np.full(30, 5, np.int64))


@compiled
def _read_codes(source: Any, bit: int, literals: Any, distances: Any) -> int:  # noqa: PLR0911 - compiled
    """Reads the code tables of a dynamic block; returns the bit after them, or -1."""
    count, count_far = _bits(source, bit, 5) + 257, _bits(source, bit + 5, 5) + 1
    own = np.zeros(19, np.int64)
    for k in range(_bits(source, bit + 10, 4) + 4):
        own[_ORDER[k]] = _bits(source, bit + 14 + 3 * k, 3)
    bit += 14 + 3 * (_bits(source, bit + 10, 4) + 4)
    if not _fill(literals, own):
        return -1
    lengths, k = np.zeros(count + count_far, np.int64), 0
    while k < lengths.size:
        if bit >= source.size * 8:
            return -1
        code = literals[_bits(source, bit, _LONGEST)]
        if code < 0:
            return -1
        symbol, repeats, value = code >> 4, 1, code >> 4
        bit += code & 15
        if symbol == 16:
            if k == 0:
                return -1
            value, repeats = lengths[k - 1], 3 + _bits(source, bit, 2)
            bit += 2
        elif symbol == 17:
            value, repeats = 0, 3 + _bits(source, bit, 3)
            bit += 3
        elif symbol == 18:
            value, repeats = 0, 11 + _bits(source, bit, 7)
            bit += 7
        if k + repeats > lengths.size:
            return -1
        for _ in range(repeats):
            lengths[k] = value
            k += 1
    if not _fill(literals, lengths[:count]) or not _fill(distances, lengths[count:]):
        return -1
    return bit
