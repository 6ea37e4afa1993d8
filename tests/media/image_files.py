"""Picture files, encoded by Pillow or written chunk by chunk where no program would write them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import PIL.Image


def encoded(picture: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file of a format by Pillow's name."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def stored(folder: Path, content: bytes, name: str = "picture") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(content)
    return path


def exif(orientation: int) -> PIL.Image.Exif:
    """A block of EXIF that says how to turn the picture."""
    block = PIL.Image.Exif()
    block[0x0112] = orientation
    return block


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    size: tuple[int, int],
    rows: bytes,
    depth: int = 8,
    color: int = 2,
    before: bytes = b"",
    after: bytes = b"",
    interlaced: int = 0,
) -> bytes:
    """A PNG file, RGB of 8 bits unless it is said, with chunks before and after its pixels; `size` is width, height."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, color, 0, 0, interlaced))
    pixels = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + after + png_chunk(b"IEND", b"")
