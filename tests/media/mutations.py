"""Randomly mutated images: image number n has always the same bytes under the same name.

Run as a program it writes images into a folder, to inspect those that a failing test names:
`python -m tests.media.mutations FOLDER NUMBER...`
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from tests.media.image_files import encoded, exif, png, png_chunk

Random = np.random.Generator

SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".gif", ".txt", ".PNG")
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(number: int) -> tuple[bytes, str]:
    """Bytes and suffix of picture `number`."""
    random = np.random.default_rng([11, number])
    names = sorted(healthy())
    name = names[random.integers(len(names))]
    content = healthy()[name]
    for _ in range(1 + random.geometric(0.5)):
        content = MUTATIONS[random.integers(len(MUTATIONS))](random, content)
    own = "." + name.split()[0]
    return content, own if random.random() < 0.5 else SUFFIXES[random.integers(len(SUFFIXES))]


# ------------------------------------------------------------------------------------------- what is mutated


@cache
def healthy() -> dict[str, bytes]:
    """Sound pictures of every kind; each name begins with the usual suffix."""
    random = np.random.default_rng(0)
    colors = np.kron(random.integers(0, 256, (5, 7, 3)), np.ones((9, 9, 1))).astype(np.uint8)
    rgb = PIL.Image.fromarray(colors)
    gray, palette, cmyk = rgb.convert("L"), rgb.convert("P"), rgb.convert("CMYK")
    deep = PIL.Image.fromarray(colors[..., 0].astype(np.uint16) * 257)
    clear = rgb.convert("RGBA")
    clear.putalpha(gray)
    turned = {"exif": _camera_exif(6)}
    frames = {"save_all": True, "append_images": [rgb.rotate(180), rgb.rotate(90, expand=True)]}
    sorts: dict[str, tuple[PIL.Image.Image, str, dict[str, Any]]] = {
        "png rgb": (rgb, "PNG", turned),
        "png gray": (gray, "PNG", {}),
        "png deep": (deep, "PNG", {}),
        "png palette": (palette, "PNG", {"transparency": 3}),
        "png one bit": (gray.convert("1"), "PNG", {}),
        "png clear": (clear, "PNG", {}),
        "png animated": (rgb, "PNG", frames),
        "jpg rgb": (rgb, "JPEG", turned),
        "jpg gray": (gray, "JPEG", {}),
        "jpg cmyk": (cmyk, "JPEG", {}),
        "jpg progressive": (rgb, "JPEG", {"progressive": True}),
        "jpg restarts": (rgb, "JPEG", {"restart_marker_blocks": 2, "subsampling": "4:2:0"}),
        "jpg phone": (rgb, "MPO", {"save_all": True, "append_images": [gray.convert("RGB")]}),
        "webp lossy": (rgb, "WEBP", turned),
        "webp lossless": (clear, "WEBP", {"lossless": True}),
        "webp animated": (rgb, "WEBP", {"save_all": True, "append_images": [rgb.rotate(180)]}),
        "gif animated": (palette, "GIF", {"save_all": True, "append_images": [palette.rotate(180)]}),
        "tif raw": (rgb, "TIFF", turned),
        "tif pages": (gray, "TIFF", {"save_all": True, "append_images": [rgb, palette]}),
        "tif lzw": (palette, "TIFF", {"compression": "tiff_lzw"}),
        "tif deflate": (deep, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "tif jpeg": (rgb, "TIFF", {"compression": "jpeg"}),
        "tif packbits": (cmyk, "TIFF", {"compression": "packbits"}),
        "tif fax": (gray.convert("1"), "TIFF", {"compression": "group4"}),
        "tif float": (PIL.Image.fromarray(colors[..., 0] / np.float32(9)), "TIFF", {}),
        "tif big": (gray, "TIFF", {"big_tiff": True}),
        "bmp rgb": (rgb, "BMP", {}),
        "bmp palette": (palette, "BMP", {}),
        "ppm rgb": (rgb, "PPM", {}),
        "pgm deep": (deep, "PPM", {}),
    }
    return {name: encoded(picture, kind, **options) for name, (picture, kind, options) in sorts.items()} | _by_hand()


def _by_hand() -> dict[str, bytes]:
    """Kinds that Pillow reads and does not write."""
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, 8 * 9 * 6, np.uint8).tobytes()
    deep_rows = b"".join(b"\0" + noise[48 * row : 48 * row + 48] for row in range(9))
    plain = " ".join(map(str, noise[:72])).encode()
    runs = bytes([4, 7, 4, 9, 0, 0]) * 6 + b"\0\1"
    bmp = struct.pack("<IiiHHIIiiII", 40, 8, 6, 1, 8, 1, len(runs), 0, 0, 16, 0) + noise[:64] + runs
    return {
        "png deep colors": png((8, 9), deep_rows, 16),
        "png interlaced": png((1, 1), b"\0\1\2\3", interlaced=1),
        "ppm plain": b"P3 4 6 255 " + plain,
        "pgm plain": b"P2\n# by hand\n8 9\n255\n" + plain,
        "pbm raw": b"P4 16 9\n" + noise[:18],
        "bmp runs": b"BM" + struct.pack("<IHHI", 14 + len(bmp), 0, 0, 14 + 40 + 64) + bmp,
    }


def _camera_exif(orientation: int) -> PIL.Image.Exif:
    block = exif(orientation)
    block[0x010F] = "a maker of cameras"
    return block


# -------------------------------------------------------------------------------------- blows at any file


def _truncate(random: Random, content: bytes) -> bytes:
    return content[: random.integers(len(content) + 1)]


def _flip_bits(random: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for place in _places(random, content, 1 + random.geometric(0.3)):
        changed[place] ^= 1 << random.integers(8)
    return bytes(changed)


def _set_bytes(random: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for place in _places(random, content, 1 + random.geometric(0.4)):
        changed[place] = (0, 255, int(random.integers(256)))[random.integers(3)]
    return bytes(changed)


def _places(random: Random, content: bytes, count: int) -> list[int]:
    """Half of the blows fall on the header, which has the more to break."""
    if not content:
        return []
    ends = [min(120, len(content)) if random.random() < 0.5 else len(content) for _ in range(count)]
    return [int(random.integers(end)) for end in ends]


def _insert(random: Random, content: bytes) -> bytes:
    place, noise = random.integers(len(content) + 1), random.bytes(random.geometric(0.1))
    return content[:place] + noise + content[place:]


def _remove(random: Random, content: bytes) -> bytes:
    place = random.integers(len(content) + 1)
    return content[:place] + content[place + random.geometric(0.1) :]


def _repeat(random: Random, content: bytes) -> bytes:
    first, last = sorted(random.integers(len(content) + 1, size=2))
    return content[:last] + content[first:last] * int(random.integers(1, 4)) + content[last:]


def _set_number(random: Random, content: bytes) -> bytes:
    """Somewhere near the front a number of 2 or 4 bytes becomes an extreme one: 0 x N, 65,535 wide."""
    shape = str(random.choice(["<H", ">H", "<I", ">I"]))
    if len(content) < 5:
        return content
    place = random.integers(min(len(content) - 4, 80))
    value = _EXTREMES[random.integers(len(_EXTREMES))] & (0xFFFF if shape[1] == "H" else 0xFFFFFFFF)
    number = struct.pack(shape, value)
    return content[:place] + number + content[place + len(number) :]


def _mix_headers(random: Random, content: bytes) -> bytes:
    """The beginning of another kind before these bytes."""
    other = _other(random)
    return other[: random.integers(2, min(100, len(other)))] + content[random.integers(len(content) + 1) :]


def _append(random: Random, content: bytes) -> bytes:
    """Two files in one, as hidden archives and motion photos are."""
    return content + (b"PK\3\4", b"", b"\0" * 1000)[random.integers(3)] + _other(random)


def _other(random: Random) -> bytes:
    files = list(healthy().values())
    return files[random.integers(len(files))]


# ----------------------------------------------------------------------------------- blows at one format
# Each leaves files of another format to `_flip_bits`.


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of a PNG's chunks."""
    place, found = 8, []
    while content.startswith(b"\x89PNG\r\n\x1a\n") and place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        found.append((kind, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def _mutate_chunks(random: Random, content: bytes) -> bytes:
    """Chunks changed, dropped, doubled and shuffled under valid checksums, so that decoders look at them."""
    chunks = _chunks(content)
    if not chunks:
        return _flip_bits(random, content)
    place = random.integers(len(chunks))
    kind, inside = chunks[place]
    blow = random.integers(5)
    if blow == 0:
        chunks[place] = kind, _flip_bits(random, inside)
    elif blow == 1:
        del chunks[place]
    elif blow == 2:
        chunks.insert(random.integers(len(chunks) + 1), (kind, inside))
    elif blow == 3:
        chunks.insert(random.integers(len(chunks) + 1), _odd_chunk(random))
    else:
        chunks = [chunks[index] for index in random.permutation(len(chunks))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def _odd_chunk(random: Random) -> tuple[bytes, bytes]:
    """Texts, profiles and EXIF that swell, tables that are too short, frames that are not there."""
    swollen = zlib.compress(bytes(1 << 21))
    odd = [
        (b"zTXt", b"text\0\0" + swollen),
        (b"iTXt", b"text\0\1\0\0\0" + swollen),
        (b"tEXt", b"text\0" + b"x" * 100_000),
        (b"iCCP", b"profile\0\0" + swollen),
        (b"eXIf", _looping_exif()),
        (b"tRNS", random.bytes(int(random.integers(9)))),
        (b"PLTE", random.bytes(int(random.integers(9)))),
        (b"acTL", struct.pack(">II", _EXTREMES[random.integers(len(_EXTREMES))], 0)),
        (b"fcTL", random.bytes(26)),
        (b"IDAT", zlib.compress(random.bytes(40))),
        (b"IHDR", struct.pack(">IIBBBBB", *random.choice([0, 1, 3, 65535], 2), *random.choice([0, 1, 2, 3, 16], 5))),
        (b"gAMA", b""),
        (b"pHYs", b"\0"),
    ]
    return odd[random.integers(len(odd))]


def _looping_exif() -> bytes:
    """An EXIF block of 65,535 entries whose directories point at themselves."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    return b"II*\0" + struct.pack("<IH", 8, 0xFFFF) + entry * 2000 + struct.pack("<I", 8)


def _mutate_segments(random: Random, content: bytes) -> bytes:
    """JPEG segments: another coding of the frame, restart markers at random, EXIF that points at itself."""
    if not content.startswith(b"\xff\xd8"):
        return _flip_bits(random, content)
    blow = random.integers(5)
    if blow == 0:
        # Extended, progressive, lossless, arithmetic: none fits what follows.
        marker = bytes([0xFF, random.choice([0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB])])
        return re.sub(rb"\xff[\xc0-\xc2]", lambda _: marker, content, count=1)
    if blow == 1:
        place = random.integers(len(content) + 1)
        return content[:place] + bytes([0xFF, random.integers(0xD0, 0xD8)]) + content[place:]
    if blow == 2:
        return re.sub(rb"\xff[\xd0-\xd7]", lambda _: bytes([0xFF, 0xD0 + random.integers(8)]), content)
    if blow == 3:
        block = b"Exif\0\0" + _looping_exif()
        return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]
    # The same scan over and over, as in bombs of progressive files.
    scan = content.find(b"\xff\xda")
    return content[:-2] + content[scan:-2] * int(random.integers(1, 20)) + b"\xff\xd9" if scan > 0 else content


def _mutate_tags(random: Random, content: bytes) -> bytes:
    """An entry of a TIFF's directory: another tag, type, count or value; or the directory points at itself."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None or len(content) < 14:
        return _flip_bits(random, content)
    start = struct.unpack_from(f"{order}I", content, 4)[0]
    if start + 2 > len(content):
        return _flip_bits(random, content)
    entries = struct.unpack_from(f"{order}H", content, start)[0]
    place = start + 2 + 12 * int(random.integers(max(1, entries)))
    if place + 12 > len(content):
        return _flip_bits(random, content)
    tag, kind, count, value = struct.unpack_from(f"{order}HHII", content, place)
    blow, extreme = random.integers(5), _EXTREMES[random.integers(len(_EXTREMES))]
    if blow == 4:
        return _looped(content, order, start + 2 + 12 * entries, start)
    row = [
        (int(random.choice([256, 258, 259, 262, 273, 277, 278, 279, 317, 339, 0x112])), kind, count, value),
        (tag, int(random.integers(20)), count, value),
        (tag, kind, extreme, value),
        (tag, kind, count, extreme),
    ][blow]
    return content[:place] + struct.pack(f"{order}HHII", *row) + content[place + 12 :]


def _looped(content: bytes, order: str, end: int, start: int) -> bytes:
    return content[:end] + struct.pack(f"{order}I", start) + content[end + 4 :]


MUTATIONS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _truncate,
    _flip_bits,
    _set_bytes,
    _insert,
    _remove,
    _repeat,
    _set_number,
    _mix_headers,
    _append,
    _mutate_chunks,
    _mutate_chunks,
    _mutate_segments,
    _mutate_segments,
    _mutate_tags,
    _mutate_tags,
)

if __name__ == "__main__":
    for chosen in map(int, sys.argv[2:]):
        written, ending = mutated(chosen)
        Path(sys.argv[1], f"{chosen:06}{ending}").write_bytes(written)
