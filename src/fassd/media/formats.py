"""The kinds of picture files that are read: how each begins, what reads it, what of it may be trusted."""

from __future__ import annotations

import re
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

import PIL.ExifTags
import PIL.Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fassd.core.errors import FassdError, ImageError

MAX_PIXELS = 200_000_000
"""Larger pictures are refused undecoded (TIFF and WebP from 179 million on, see `opened`)."""

_MOST_PIXELS_IN_RUNS = 16_000_000
_MAX_SCANS, _MOST_JPEG_BYTES = 100, 1 << 28
_FIRST_CHUNK, _TAIL, _MOST_EXIF_BYTES = 8, 1 << 16, 1 << 20
_JPEG_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])", re.DOTALL)
"""What opens a segment; 0xFF in pixels is followed by 0, or by 0xD0 to 0xD7 where decoding may restart."""

# Pillow reports harmless oddities of headers as Python warnings, which must neither reach the terminal nor
# turn into errors under -W error. Filters belong to the whole process and `catch_warnings` may not overlap
# between threads, so a lock serializes our uses: while headers are parsed, under a millisecond. Pixels, the
# slow part, are decoded outside it and in parallel.
_WARNING_FILTERS = threading.RLock()


@contextmanager
def _silenced() -> Iterator[None]:
    with _WARNING_FILTERS, warnings.catch_warnings():
        # Pillow's alone: should a foreign thread's change of the filters overlap, nothing else stays silent.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


class _Png(PngImageFile):
    """PNG without Pillow's warnings, with EXIF found without decoding, and with its checksums looked at."""

    def load_prepare(self) -> None:
        # Pillow inflates broken pixels and gives what comes of it; labels would change without a word.
        if self.fp is not None and _png_is_broken(self.fp):
            raise OSError("a checksum of its pixels is wrong")
        super().load_prepare()

    def load_end(self) -> None:
        with _silenced():
            super().load_end()

    def getexif(self) -> PIL.Image.Exif:
        # Some programs (ImageMagick) write EXIF behind the pixels, and Pillow decodes these to get there.
        if "exif" not in self.info and self.fp is not None and (block := _png_exif(self.fp)):
            self.info["exif"] = b"Exif\0\0" + block
        return PIL.Image.Image.getexif(self)


class _Jpeg(JpegImageFile):
    """JPEG without bombs: each scan of a small file may cost as much time as decoding the whole picture."""

    def load_prepare(self) -> None:
        if self.fp is not None and (scans := _jpeg_scans(self.fp)) > _MAX_SCANS:
            raise OSError(f"{scans} scans, where {_MAX_SCANS} are plenty")
        super().load_prepare()


class _Bmp(BmpImageFile):
    """BMP without bombs: Pillow unpacks runs in Python, where a row of a few bytes may fill millions of pixels."""

    def load_prepare(self) -> None:
        if self.tile and self.tile[0].codec_name == "bmp_rle" and self.width * self.height > _MOST_PIXELS_IN_RUNS:
            raise OSError(f"more than {_MOST_PIXELS_IN_RUNS:,} pixels in runs")
        super().load_prepare()


class _Tiff(TiffImageFile):
    """TIFF without Pillow's warnings. Here they come with the pixels, so TIFFs are decoded one at a time.

    About damaged pixels libtiff itself writes a line to the error output, which Python cannot prevent.
    """

    def load(self) -> Any:
        with _silenced():
            return super().load()


@dataclass(frozen=True)
class PictureFormat:
    """One kind of file: how it begins, what reads it, and how its files are called.

    `keeps_labels` is true where a stored value is read back as it was: WebP has no single channel, JPEG is
    approximate, and Pillow stretches PGM values to 0..255.
    """

    name: str
    beginning: bytes
    reader: type[ImageFile]
    suffixes: tuple[str, ...]
    keeps_labels: bool


# The readers are called directly rather than through `PIL.Image.open`: no other format's parser ever sees the
# bytes, and Pillow's own limit on pixels, a global that belongs to the application, need not be changed. MPO,
# the kind of JPEG that many phones write, is read as the JPEG that it begins with.
FORMATS = (
    PictureFormat("PNG", rb"\x89PNG\r\n\x1a\n", _Png, (".png",), True),
    PictureFormat("JPEG", rb"\xff\xd8\xff", _Jpeg, (".jpg", ".jpeg", ".jpe", ".mpo"), False),
    PictureFormat("WebP", rb"RIFF....WEBP", WebPImageFile, (".webp",), False),
    PictureFormat("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+", _Tiff, (".tif", ".tiff"), True),
    PictureFormat("BMP", rb"BM", _Bmp, (".bmp",), True),
    PictureFormat("PPM", rb"P[1-6]\s", PpmImageFile, (".ppm", ".pgm", ".pbm", ".pnm"), False),
)

SUFFIXES = frozenset(suffix for known in FORMATS for suffix in known.suffixes)
"""How the names of pictures end, in lower case."""

# Pictures that people do have and must convert.
_FOREIGN = {rb"GIF8": "GIF", rb"....ftyp(hei|hev|mif1|msf1)": "HEIC", rb"....ftypavi": "AVIF"}

EXCHANGING = (Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
"""The turns after which width and height have changed places."""

_FLIPS = (Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM)
_TURNS = dict(enumerate(_FLIPS + EXCHANGING, start=2))
"""What makes a picture upright, by EXIF orientation; 1 means upright already."""


@dataclass(frozen=True)
class Header:
    """A picture with its pixels unread; `raw_mode` tells how they are stored, "L;4" for 4 bits of gray."""

    format: PictureFormat
    picture: ImageFile
    turn: Transpose | None
    raw_mode: str

    def upright(self) -> PIL.Image.Image:
        """The pixels, decoded and turned as EXIF asks."""
        self.picture.load()
        return self.picture if self.turn is None else self.picture.transpose(self.turn)


@contextmanager
def opened(path: Path) -> Iterator[Header]:
    """Reads the header; whatever goes wrong then and in the block becomes a ImageError."""
    with _stream(path) as stream:
        name = "a picture"
        try:
            found = _format(path, stream.read(16))
            name = found.name
            stream.seek(0)
            with _silenced():
                picture = found.reader(stream)
                turn = _turn(picture)
            if picture.width * picture.height > MAX_PIXELS:
                claim = f"claims {picture.width} x {picture.height} pixels"
                raise ImageError(path, f"{claim}; make it smaller, at most {MAX_PIXELS:,} are read")
            yield Header(found, picture, turn, _raw_mode(picture))
        except FassdError:
            raise
        except PIL.Image.DecompressionBombError:
            # The readers of WebP and TIFF check Pillow's own, slightly lower limit once more.
            raise ImageError(path, f"has too many pixels for {name}; make it smaller") from None
        except MemoryError:
            raise ImageError(path, "needs more memory than there is; make it smaller") from None
        except Exception as error:
            # Damaged bytes make Pillow raise nearly anything, from SyntaxError to struct.error.
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            remedy = "it is damaged, cut short or of a rare kind; copy it again or save it anew"
            raise ImageError(path, f"cannot be decoded as {name} ({reason}): {remedy}") from error


def _stream(path: Path) -> BinaryIO:
    # Given a stream and not a name, Pillow does not map the file into memory, where another program that
    # shortens it would kill this one.
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(path, "is a folder where a picture was expected; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "is not a regular file; save the picture to a file first")
        if status.st_size == 0:
            raise ImageError(path, "is empty (0 bytes); copy or download it again")
        return path.open("rb")
    except FileNotFoundError:
        raise ImageError(path, "does not exist; check the name") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise ImageError(path, f"cannot be opened ({reason}); check its name and permissions") from None


def _format(path: Path, beginning: bytes) -> PictureFormat:
    for known in FORMATS:
        if re.match(known.beginning, beginning, re.DOTALL):
            return known
    names = ", ".join(known.name for known in FORMATS)
    for pattern, name in _FOREIGN.items():
        if re.match(pattern, beginning, re.DOTALL):
            raise ImageError(path, f"is a {name} file, which cannot be read; convert it to one of {names}")
    raise ImageError(path, f"is not a picture of a known format; expected one of {names}")


def _turn(picture: ImageFile) -> Transpose | None:
    """What makes the picture upright, from EXIF alone: like browsers, and unlike Pillow, XMP is not asked."""
    picture.info.pop("xmp", None)
    picture.info.pop("XML:com.adobe.xmp", None)
    if isinstance(picture, TiffImageFile):
        return None  # Pillow turns these itself while loading and states the upright size.
    try:
        return _TURNS.get(picture.getexif().get(PIL.ExifTags.Base.Orientation, 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error):
        return None  # A damaged EXIF block does not spoil the pixels.


def _png_exif(stream: Any) -> bytes | None:
    """The content of a PNG's eXIf chunk, wherever it stands. Moves the stream, which Pillow positions itself."""
    for kind, length in _png_chunks(stream, _last_pixels(stream)):
        if kind == b"eXIf":
            return bytes(stream.read(min(length, _MOST_EXIF_BYTES)))
    return None


def _last_pixels(stream: Any) -> int:
    """Where a PNG's last chunk of pixels begins, told from the file's end; else where its first chunk does.

    libpng cuts pixels into chunks of 8 KiB: stepping over them all takes longer than anything else in a header.
    """
    start = max(_FIRST_CHUNK, int(stream.seek(0, SEEK_END)) - _TAIL)
    stream.seek(start)
    tail = stream.read(_TAIL)
    place = int(tail.rfind(b"IDAT")) - 4
    following = place
    while 0 <= following <= len(tail) - 12:
        length, kind = struct.unpack_from(">I4s", tail, following)
        following += 12 + length
        # Four bytes of pixels may spell IDAT, but hardly be followed by chunk after chunk up to the end.
        if kind == b"IEND":
            return start + place
    return _FIRST_CHUNK


def _png_is_broken(stream: Any) -> bool:
    """Whether the checksum of a whole chunk of pixels is wrong. Leaves the stream where it is."""
    place, broken = stream.tell(), False
    for kind, length in _png_chunks(stream):
        if kind == b"IDAT":
            content = stream.read(length)
            checksum = stream.read(4)
            broken |= len(checksum) == 4 and zlib.crc32(kind + content).to_bytes(4) != checksum
    stream.seek(place)
    return broken


def _png_chunks(stream: Any, place: int = _FIRST_CHUNK) -> Iterator[tuple[bytes, int]]:
    """The kind and length of each chunk from a place on, the stream standing at its content."""
    stream.seek(place)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        yield kind, length
        place += 12 + length
        stream.seek(place)


def _jpeg_scans(stream: Any) -> int:
    """How many scans a JPEG has, up to its end: motion photos have a film behind it. Leaves the stream where it is."""
    place = stream.tell()
    stream.seek(0)
    content = stream.read(_MOST_JPEG_BYTES)
    stream.seek(place)
    scans, end = 0, 2
    while (found := _JPEG_MARKER.search(content, end)) and found[1] != b"\xd9":
        scans += found[1] == b"\xda"
        end = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
    return scans


def _raw_mode(picture: ImageFile) -> str:
    arguments = picture.tile[0].args if picture.tile else None
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
