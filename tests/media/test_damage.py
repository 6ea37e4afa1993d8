"""A file that is no sound picture gives one sentence: no traceback, no warning, no exhausted memory."""

from __future__ import annotations

import os
import struct
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.JpegImagePlugin import JpegImageFile
from tests.media.image_files import encoded, png, png_chunk, stored

from fassd.core.errors import FileError, ImageError
from fassd.media import formats
from fassd.media.images import read_image, read_size
from fassd.media.masks import read_values

SCENE = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "is not an image of a known format; expected one of PNG, JPEG, WebP, TIFF, BMP, PPM"),
        (encoded(PIL.Image.new("L", (2, 2)), "GIF"), "is a GIF file, which cannot be read; convert it"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC file"),
        (b"\x89PNG\r\n\x1a\n", "cannot be decoded as PNG"),
        (b"\xff\xd8\xff\xd9", "cannot be decoded as JPEG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "cannot be decoded as WebP"),
        (b"II*\0\0\0\0\0", "cannot be decoded as TIFF"),
        (b"BM", "cannot be decoded as BMP"),
        (b"P6\n2", "cannot be decoded as PPM"),
    ],
)
def test_files_without_a_image_say_so(tmp_path: Path, content: bytes, reason: str) -> None:
    path = stored(tmp_path, content)
    for read in (read_image, read_values, read_size):
        with pytest.raises(ImageError, match=reason) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM"])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    content = encoded(PIL.Image.fromarray(noise), kind)
    path = stored(tmp_path, content[: len(content) // 2])
    with pytest.raises(ImageError, match="damaged, truncated"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.png", "does not exist"),
        ("", "is a folder"),
        ("\0.png", "cannot be opened"),
        ("x" * 300, "cannot be opened .*too long"),
        ("file/inside.png", "cannot be opened"),
    ],
)
def test_paths_that_lead_to_no_file_say_why(tmp_path: Path, name: str, reason: str) -> None:
    stored(tmp_path, b"", "file")
    with pytest.raises(ImageError, match=reason):
        read_image(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path / "pipe")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_forbidden_file_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path, encoded(PIL.Image.new("L", (1, 1)), "PNG"))
    path.chmod(0)
    with pytest.raises(ImageError, match="permissions"):
        read_image(path)


def claiming(kind: str, side: int) -> bytes:
    """A small file whose header claims side x side pixels."""
    if kind == "PNG":
        return png((side, side), b"")
    if kind == "PPM":
        return f"P6\n{side} {side}\n255\n".encode()
    content, number = encoded(PIL.Image.new("L", (345, 345)), kind), ">H" if kind == "JPEG" else "<I"
    return content.replace(struct.pack(number, 345), struct.pack(number, side))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "PPM"])
def test_a_huge_claim_is_refused_undecoded(tmp_path: Path, kind: str) -> None:
    path = stored(tmp_path, claiming(kind, 20000))
    start = time.perf_counter()
    for read in (read_image, read_values, read_size):
        with pytest.raises(ImageError, match="claims 20000 x 20000 pixels; make it smaller, at most 200,000,000"):
            read(path)
    assert time.perf_counter() - start < 1
    assert path.stat().st_size < 200_000


def test_a_huge_webp_is_refused(tmp_path: Path) -> None:
    canvas = (16383 - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + canvas
    with pytest.raises(ImageError, match=r"too many pixels|cannot be decoded"):
        read_size(stored(tmp_path, b"RIFF" + struct.pack("<I", len(body)) + body))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "PPM"])
def test_up_to_the_limit_a_header_is_accepted_in_silence(tmp_path: Path, kind: str) -> None:
    # 196 million pixels, above the 179 million that Pillow itself would let pass.
    assert read_size(stored(tmp_path, claiming(kind, 14000))) == (14000, 14000)


def test_lack_of_memory_gives_one_sentence(tmp_path: Path) -> None:
    path = stored(tmp_path, encoded(PIL.Image.new("L", (1, 1)), "PNG"))
    with patch.object(formats._Png, "load", side_effect=MemoryError), pytest.raises(ImageError, match="memory"):
        read_image(path)


TURNED = PIL.Image.Exif()
TURNED[0x0112] = 6

SEEDS = [
    encoded(SCENE, "PNG", exif=TURNED),
    encoded(SCENE, "PNG", save_all=True, append_images=[SCENE.rotate(180)]),
    encoded(SCENE.convert("L"), "PNG"),
    encoded(SCENE, "JPEG", exif=TURNED),
    encoded(SCENE, "JPEG", progressive=True),
    encoded(SCENE, "TIFF", exif=TURNED),
    encoded(SCENE, "TIFF", compression="tiff_lzw"),
    encoded(SCENE, "WEBP", exif=TURNED),
    encoded(SCENE, "WEBP", lossless=True),
    encoded(SCENE, "BMP"),
    encoded(SCENE.convert("P"), "BMP"),
    encoded(SCENE, "PPM"),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        # Half of the blows fall on the header, which has the more to break.
        place = draw(st.integers(0, len(content) - 1) | st.integers(0, min(99, len(content) - 1)))
        content[place] = draw(st.integers(0, 255) | st.sampled_from([0, 255, content[place] ^ 1]))
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


@given(content=damaged())
@settings(max_examples=400, deadline=None)
def test_damage_gives_an_image_or_an_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = stored(tmp_path_factory.getbasetemp(), content, "damaged")
    with patch.object(formats, "MAX_PIXELS", 1_000_000), warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        try:
            image = read_image(path)
            assert (image.dtype, image.shape) == (np.uint8, (*read_size(path), 3))
        except ImageError as error:
            assert "\n" not in str(error)
        try:
            mask = read_values(path)
            assert (mask.dtype, mask.shape) == (np.uint8, read_size(path))
        except FileError as error:
            assert "\n" not in str(error)
    assert not leaked


def oddities() -> dict[str, bytes]:
    """Sound pixels in files about whose headers Pillow warns."""
    block = b"Exif\0\0II*\0" + struct.pack("<IHHHIIHHII", 8, 2, 0x10F, 2, 9999, 9999, 0x112, 3, 1, 6)
    tiff = encoded(SCENE, "TIFF", tiffinfo={270: "a text of some length"})
    no_frames = png_chunk(b"acTL", bytes(8))
    return {
        "JPEG": encoded(SCENE, "JPEG", exif=block),
        "TIFF": tiff.replace(struct.pack("<HHI", 270, 2, 22), struct.pack("<HHI", 270, 2, 9999)),
        "PNG": png((1, 1), b"\0\1\2\3", before=no_frames),
        "PNG's end": png((1, 1), b"\0\1\2\3", after=no_frames),
    }


@pytest.mark.parametrize("name", oddities())
def test_warnings_of_pillow_neither_show_nor_refuse(tmp_path: Path, name: str) -> None:
    path = stored(tmp_path, oddities()[name])
    with pytest.warns(UserWarning), PIL.Image.open(path) as picture:
        picture.load()
        picture.getexif()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).size
        assert read_size(path)


def test_reading_in_many_threads_leaves_the_warning_filters_alone(tmp_path: Path) -> None:
    paths = [stored(tmp_path, content, name) for name, content in oddities().items()] * 50
    before, limit = list(warnings.filters), PIL.Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        assert all(image.size for image in pool.map(read_image, paths))
    assert list(warnings.filters) == before
    assert limit == PIL.Image.MAX_IMAGE_PIXELS


def test_pixels_are_decoded_in_parallel(tmp_path: Path) -> None:
    path = stored(tmp_path, encoded(PIL.Image.new("RGB", (8, 8)), "JPEG"))
    both = threading.Barrier(2, timeout=5)
    load = JpegImageFile.load

    def wait_and_load(picture: Any) -> Any:
        both.wait()  # passes only if two threads are here at once
        return load(picture)

    with patch.object(JpegImageFile, "load", wait_and_load), ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(read_image, [path, path]))) == 2
