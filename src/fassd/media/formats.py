"""Opens image files: recognizes their format, checks the header, and turns every failure into an `ImageError`."""

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
"""Larger images are refused before they are decoded (TIFF and WebP from 179 million pixels on, see `opened`)."""

_MAX_RLE_PIXELS = 16_000_000
_MAX_SCANS, _MAX_JPEG_BYTES = 100, 1 << 28
_FIRST_CHUNK, _TAIL, _MAX_EXIF_BYTES = 8, 1 << 16, 1 << 20
_JPEG_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])", re.DOTALL)
"""The start of a segment. 0xFF in pixel data is followed by 0, or by 0xD0 to 0xD7 where decoding may restart."""

# Pillow reports harmless oddities of headers as Python warnings. They must not reach the terminal, nor become errors
# under -W error. Warning filters belong to the process, and `catch_warnings` blocks must not overlap between threads,
# so a lock serializes them while headers are parsed, under a millisecond. Pixels are decoded in parallel, outside it.
_WARNING_FILTERS = threading.RLock()


@contextmanager
def _silenced() -> Iterator[None]:
    with _WARNING_FILTERS, warnings.catch_warnings():
        # Only Pillow's: should another thread change the filters meanwhile, no other warning is lost.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


class _Png(PngImageFile):
    """PNG without Pillow's warnings. EXIF is found without decoding, and the checksums of pixel data are verified."""

    def load_prepare(self) -> None:
        # Pillow decodes corrupt pixel data without an error, so labels would change unnoticed.
        if self.fp is not None and _png_is_broken(self.fp):
            raise OSError("a checksum of its pixel data is wrong")
        super().load_prepare()

    def load_end(self) -> None:
        with _silenced():
            super().load_end()

    def getexif(self) -> PIL.Image.Exif:
        # Some programs (ImageMagick) write EXIF after the pixel data, and Pillow decodes the pixels to find it.
        if "exif" not in self.info and self.fp is not None and (block := _png_exif(self.fp)):
            self.info["exif"] = b"Exif\0\0" + block
        return PIL.Image.Image.getexif(self)


class _Jpeg(JpegImageFile):
    """JPEG without decompression bombs: every scan of a small file can take as long as decoding the image once."""

    def load_prepare(self) -> None:
        if self.fp is not None and (scans := _jpeg_scans(self.fp)) > _MAX_SCANS:
            raise OSError(f"{scans} scans, more than {_MAX_SCANS}")
        super().load_prepare()


class _Bmp(BmpImageFile):
    """BMP without decompression bombs: Pillow decodes runs in Python, and a few bytes can fill millions of pixels."""

    def load_prepare(self) -> None:
        if self.tile and self.tile[0].codec_name == "bmp_rle" and self.width * self.height > _MAX_RLE_PIXELS:
            raise OSError(f"more than {_MAX_RLE_PIXELS:,} run-length encoded pixels")
        super().load_prepare()


class _Tiff(TiffImageFile):
    """TIFF without Pillow's warnings. They come while pixels are decoded, so TIFFs are decoded one at a time.

    libtiff itself writes a line about damaged pixels to standard error, which Python cannot prevent.
    """

    def load(self) -> Any:
        with _silenced():
            return super().load()


@dataclass(frozen=True)
class ImageFormat:
    """An image file format.

    Attributes:
        name: of the format.
        beginning: regular expression for the first bytes of a file.
        reader: Pillow's class that decodes it.
        suffixes: of file names, in lower case.
        keeps_labels: whether stored values are read back exactly. WebP has no single-channel images, JPEG is lossy,
            and Pillow stretches PGM values to 0..255.
    """

    name: str
    beginning: bytes
    reader: type[ImageFile]
    suffixes: tuple[str, ...]
    keeps_labels: bool


# The readers are called directly, not through `PIL.Image.open`: no other format's parser sees the bytes, and Pillow's
# limit on pixels, a global of the application, stays unchanged. MPO, which many phones write, begins with a JPEG and
# is read as one.
FORMATS = (
    ImageFormat("PNG", rb"\x89PNG\r\n\x1a\n", _Png, (".png",), True),
    ImageFormat("JPEG", rb"\xff\xd8\xff", _Jpeg, (".jpg", ".jpeg", ".jpe", ".mpo"), False),
    ImageFormat("WebP", rb"RIFF....WEBP", WebPImageFile, (".webp",), False),
    ImageFormat("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+", _Tiff, (".tif", ".tiff"), True),
    ImageFormat("BMP", rb"BM", _Bmp, (".bmp",), True),
    ImageFormat("PPM", rb"P[1-6]\s", PpmImageFile, (".ppm", ".pgm", ".pbm", ".pnm"), False),
)

SUFFIXES = frozenset(suffix for known in FORMATS for suffix in known.suffixes)
"""Suffixes of image files, in lower case."""

# Common formats that are not read.
_UNSUPPORTED = {rb"GIF8": "GIF", rb"....ftyp(hei|hev|mif1|msf1)": "HEIC", rb"....ftypavi": "AVIF"}

EXCHANGING = (Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
"""The transposes that exchange width and height."""

_FLIPS = (Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM)
_TURNS = dict(enumerate(_FLIPS + EXCHANGING, start=2))
"""The transpose that makes an image upright, by EXIF orientation; orientation 1 is upright."""


@dataclass(frozen=True)
class ImageHeader:
    """An opened image file, its pixels not yet decoded.

    Attributes:
        format: of the file.
        image: Pillow's lazy image.
        turn: the transpose that makes it upright; None if it is upright.
        raw_mode: how pixels are stored, such as "L;4" for 4 bits of gray.
    """

    format: ImageFormat
    image: ImageFile
    turn: Transpose | None
    raw_mode: str

    def upright(self) -> PIL.Image.Image:
        """The decoded image, upright by its EXIF orientation."""
        self.image.load()
        return self.image if self.turn is None else self.image.transpose(self.turn)


@contextmanager
def opened(path: Path) -> Iterator[ImageHeader]:
    """Opens an image file and reads its header. Any failure, here or in the `with` block, becomes an `ImageError`."""
    with _stream(path) as stream:
        name = "an image"
        try:
            found = _format_of(path, stream.read(16))
            name = found.name
            stream.seek(0)
            with _silenced():
                image = found.reader(stream)
                turn = _turn(image)
            if image.width * image.height > MAX_PIXELS:
                claim = f"claims {image.width} x {image.height} pixels"
                raise ImageError(path, f"{claim}; make it smaller, at most {MAX_PIXELS:,} are read")
            arguments = image.tile[0].args if image.tile else None
            raw_mode = str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
            yield ImageHeader(found, image, turn, raw_mode)
        except FassdError:
            raise
        except PIL.Image.DecompressionBombError:
            # The readers of WebP and TIFF also check Pillow's own limit, which is slightly lower.
            raise ImageError(path, f"has too many pixels for {name}; make it smaller") from None
        except MemoryError:
            raise ImageError(path, "needs more memory than is available; make it smaller") from None
        except Exception as error:
            # On damaged files Pillow raises nearly anything, from SyntaxError to struct.error.
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            causes = "it is damaged, truncated or of a rare kind; copy it again or save it anew"
            raise ImageError(path, f"cannot be decoded as {name} ({reason}): {causes}") from error


def _stream(path: Path) -> BinaryIO:
    # Given a stream, Pillow does not map the file into memory: another program that truncates a mapped file would kill
    # this process.
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(path, "is a folder where an image was expected; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "is not a regular file; save the image to a file first")
        if status.st_size == 0:
            raise ImageError(path, "is empty (0 bytes); copy or download it again")
        return path.open("rb")
    except FileNotFoundError:
        raise ImageError(path, "does not exist; check the name") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise ImageError(path, f"cannot be opened ({reason}); check its name and permissions") from None


def _format_of(path: Path, beginning: bytes) -> ImageFormat:
    for known in FORMATS:
        if re.match(known.beginning, beginning, re.DOTALL):
            return known
    names = ", ".join(known.name for known in FORMATS)
    for pattern, name in _UNSUPPORTED.items():
        if re.match(pattern, beginning, re.DOTALL):
            raise ImageError(path, f"is a {name} file, which cannot be read; convert it to one of {names}")
    raise ImageError(path, f"is not an image of a known format; expected one of {names}")


def _turn(image: ImageFile) -> Transpose | None:
    """The transpose that makes the image upright, by EXIF alone; browsers ignore XMP as well, Pillow does not."""
    image.info.pop("xmp", None)
    image.info.pop("XML:com.adobe.xmp", None)
    if isinstance(image, TiffImageFile):
        return None  # Pillow turns TIFFs while loading and gives their upright size.
    try:
        return _TURNS.get(image.getexif().get(PIL.ExifTags.Base.Orientation, 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error):
        return None  # The pixels are usable even where the EXIF block is damaged.


def _png_exif(stream: Any) -> bytes | None:
    """The content of a PNG's eXIf chunk, wherever it is. Moves the stream; Pillow seeks before it reads."""
    for kind, length in _png_chunks(stream, _last_pixels(stream)):
        if kind == b"eXIf":
            return bytes(stream.read(min(length, _MAX_EXIF_BYTES)))
    return None


def _last_pixels(stream: Any) -> int:
    """The offset of a PNG's last IDAT chunk, found from the end of the file; of its first chunk if that fails.

    libpng writes IDAT chunks of 8 KiB: stepping over all of them would take longer than the rest of the header.
    """
    start = max(_FIRST_CHUNK, int(stream.seek(0, SEEK_END)) - _TAIL)
    stream.seek(start)
    tail = stream.read(_TAIL)
    position = int(tail.rfind(b"IDAT")) - 4
    following = position
    while 0 <= following <= len(tail) - 12:
        length, kind = struct.unpack_from(">I4s", tail, following)
        following += 12 + length
        # Pixel data may contain the bytes IDAT, but hardly a valid sequence of chunks up to the end.
        if kind == b"IEND":
            return start + position
    return _FIRST_CHUNK


def _png_is_broken(stream: Any) -> bool:
    """Whether the checksum of a complete IDAT chunk is wrong. Keeps the position of the stream."""
    position, broken = stream.tell(), False
    for kind, length in _png_chunks(stream):
        if kind == b"IDAT":
            content = stream.read(length)
            checksum = stream.read(4)
            broken |= len(checksum) == 4 and zlib.crc32(kind + content).to_bytes(4) != checksum
    stream.seek(position)
    return broken


def _png_chunks(stream: Any, position: int = _FIRST_CHUNK) -> Iterator[tuple[bytes, int]]:
    """Kind and length of every chunk from an offset on; the stream is at the chunk's content."""
    stream.seek(position)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        yield kind, length
        position += 12 + length
        stream.seek(position)


def _jpeg_scans(stream: Any) -> int:
    """The scans of a JPEG up to its end marker (motion photos append a video). Keeps the position of the stream."""
    position = stream.tell()
    stream.seek(0)
    content = stream.read(_MAX_JPEG_BYTES)
    stream.seek(position)
    scans, end = 0, 2
    while (found := _JPEG_MARKER.search(content, end)) and found[1] != b"\xd9":
        scans += found[1] == b"\xda"
        end = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
    return scans
