"""Every kind of picture becomes the array that it shows, every mask the values that it holds."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.media.image_files import encoded, exif, png, png_chunk, stored

from fassd.core.errors import DataError
from fassd.media.formats import FORMATS, SUFFIXES
from fassd.media.images import read_image, read_size
from fassd.media.masks import read_values

COLOR = (200, 100, 50)
GRAY = 124  # what Pillow makes of COLOR
SCENE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}


PALETTE = png_chunk(b"PLTE", bytes(range(6)))

# ---------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize(
    ("mode", "kind", "expected"),
    [
        ("RGB", "PNG", COLOR),
        ("RGB", "JPEG", COLOR),
        ("RGB", "WEBP", COLOR),
        ("RGB", "TIFF", COLOR),
        ("RGB", "BMP", COLOR),
        ("RGB", "PPM", COLOR),
        ("RGB", "MPO", COLOR),
        ("RGBA", "PNG", COLOR),
        ("RGBX", "TIFF", COLOR),
        ("CMYK", "TIFF", COLOR),
        ("CMYK", "JPEG", COLOR),  # stored inverted, as Adobe began to
        ("YCbCr", "TIFF", COLOR),
        ("LAB", "TIFF", COLOR),
        ("P", "PNG", (204, 102, 51)),  # the palette's nearest
        ("P", "BMP", (204, 102, 51)),
        ("PA", "TIFF", (204, 102, 51)),
        ("L", "PNG", (GRAY,) * 3),
        ("L", "JPEG", (GRAY,) * 3),
        ("LA", "PNG", (GRAY,) * 3),
        ("LA", "TIFF", (GRAY,) * 3),
    ],
)
def test_any_color_mode_becomes_rgb(tmp_path: Path, mode: str, kind: str, expected: tuple[int, int, int]) -> None:
    picture = PIL.Image.new("RGB", (4, 3), COLOR)
    picture = picture.convert("P").convert("PA") if mode == "PA" else picture.convert(mode)
    image = read_image(stored(tmp_path, encoded(picture, kind)))
    assert image.shape == (3, 4, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit_is_black_and_white(tmp_path: Path, kind: str) -> None:
    picture = PIL.Image.fromarray(np.array([[True, False]]))
    image = read_image(stored(tmp_path, encoded(picture, kind)))
    assert image[..., 0].tolist() == [[255, 0]]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([[0, 255, 256, 51234, 65535]], "<u2"), "PNG", [0, 0, 1, 200, 255]),
        (np.array([[0, 255, 256, 51234, 65535]], "<u2"), "TIFF", [0, 0, 1, 200, 255]),
        (np.array([[0, 255, 256, 51234, 65535]], ">u2"), "TIFF", [0, 0, 1, 200, 255]),
        (np.array([[0, 255, 256, 51234, 65535]], "<u2"), "PPM", [0, 0, 1, 200, 255]),
        (np.array([[-5, 256, 65535]], "<i4"), "TIFF", [0, 1, 255]),
        (np.array([[-5, 2**23, 2**31 - 1]], "<i4"), "TIFF", [0, 1, 255]),
        (np.array([[0.0, 0.5, 1.0]], "f4"), "TIFF", [0, 128, 255]),
        (np.array([[-1.0, 100.0, 255.0]], "f4"), "TIFF", [0, 100, 255]),
        (np.array([[0.0, 32767.5, 65535.0]], "f4"), "TIFF", [0, 128, 255]),
        (np.array([[np.nan, np.inf, 1.0]], "f4"), "TIFF", [0, 0, 255]),
        (np.array([[0.0, 1e30]], "f4"), "TIFF", [0, 255]),
    ],
)
def test_deep_gray_is_scaled_and_not_clipped(
    tmp_path: Path, values: np.ndarray[Any, Any], kind: str, expected: list[int]
) -> None:
    image = read_image(stored(tmp_path, encoded(PIL.Image.fromarray(values), kind)))
    assert image[0].tolist() == [[value] * 3 for value in expected]


def test_colors_of_16_bits_keep_their_upper_8(tmp_path: Path) -> None:
    row = b"\0" + struct.pack(">6H", 0x1234, 0xFFFF, 0, 0x80FF, 1, 256)
    assert read_image(stored(tmp_path, png((2, 1), row, 16))).tolist() == [[[0x12, 255, 0], [0x80, 0, 1]]]


def test_gray_of_12_bits_keeps_its_upper_8(tmp_path: Path) -> None:
    entries = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1), (278, 1), (279, 3)]
    tags = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    tiff = b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + struct.pack("<I", 0)
    path = stored(tmp_path, tiff + bytes([0x12, 0x3F, 0xFF]))
    assert read_image(path)[0, :, 0].tolist() == [0x12, 0xFF]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(PIL.Image.new("RGBA", (1, 1), (9, 9, 9, 0)), "PNG"), id="rgba"),
        pytest.param(encoded(PIL.Image.new("LA", (1, 1), (9, 0)), "TIFF"), id="gray with alpha"),
        pytest.param(png((1, 1), b"\0\1", 8, 3, PALETTE + png_chunk(b"tRNS", b"\xff\0")), id="one palette index"),
        pytest.param(png((1, 1), b"\0\1", 8, 3, PALETTE + png_chunk(b"tRNS", b"\x09\0")), id="palette with alpha"),
        pytest.param(png((1, 1), b"\0\x07", 8, 0, png_chunk(b"tRNS", b"\0\x07")), id="one gray"),
        pytest.param(png((1, 1), b"\0\x07\x08", 16, 0, png_chunk(b"tRNS", b"\x07\x08")), id="one deep gray"),
        pytest.param(png((1, 1), b"\0\1\2\3", 8, 2, png_chunk(b"tRNS", b"\0\1\0\2\0\3")), id="one color"),
    ],
)
def test_what_is_transparent_becomes_white(tmp_path: Path, content: bytes) -> None:
    assert read_image(stored(tmp_path, content)).tolist() == [[[255, 255, 255]]]


def test_half_transparent_black_becomes_gray(tmp_path: Path) -> None:
    picture = PIL.Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    assert read_image(stored(tmp_path, encoded(picture, "PNG"))).tolist() == [[[127, 127, 127]]]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, kind: str) -> None:
    first, second = PIL.Image.new("RGB", (16, 8), COLOR), PIL.Image.new("RGB", (16, 8), "blue")
    path = stored(tmp_path, encoded(first, kind, save_all=True, append_images=[second]))
    assert np.abs(read_image(path).astype(int) - COLOR).max() <= 3
    assert read_size(path) == (8, 16)


def test_an_image_can_be_written_to(tmp_path: Path) -> None:
    image = read_image(stored(tmp_path, encoded(PIL.Image.new("RGB", (4, 3), COLOR), "PNG")))
    assert image.flags.writeable
    assert image.flags.c_contiguous


# --------------------------------------------------------------------------------------------- orientation

UPRIGHT: dict[int, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.swapaxes(0, 1),
    6: lambda seen: seen[::-1].swapaxes(0, 1),
    7: lambda seen: seen[::-1, ::-1].swapaxes(0, 1),
    8: lambda seen: seen[:, ::-1].swapaxes(0, 1),
}
"""By EXIF's definition: the stored first row and column are the visual top and left, top and right, ..."""


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", LOSSLESS)
def test_images_are_turned_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    content = encoded(PIL.Image.fromarray(SCENE), kind, exif=exif(orientation), **LOSSLESS[kind])
    path = stored(tmp_path, content)
    expected = UPRIGHT[orientation](SCENE)
    assert np.array_equal(read_image(path), expected)
    assert read_size(path) == expected.shape[:2]


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_masks_are_turned_like_their_images(tmp_path: Path, kind: str, orientation: int) -> None:
    labels = SCENE[..., 0]
    path = stored(tmp_path, encoded(PIL.Image.fromarray(labels), kind, exif=exif(orientation)))
    assert np.array_equal(read_values(path), UPRIGHT[orientation](labels))


@pytest.mark.parametrize("deep", [np.dtype("<u2"), np.dtype("<i4"), np.dtype("f4")])
def test_deep_gray_is_turned_too(tmp_path: Path, deep: np.dtype[Any]) -> None:
    values = np.array([[0, 65535]]).astype(deep)
    path = stored(tmp_path, encoded(PIL.Image.fromarray(values), "TIFF", exif=exif(6)))
    assert read_image(path)[..., 0].tolist() == [[0], [255]]


def test_exif_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    content = encoded(PIL.Image.fromarray(SCENE), "PNG")
    block = png_chunk(b"eXIf", exif(6).tobytes().removeprefix(b"Exif\0\0"))
    path = stored(tmp_path, content[:-12] + block + content[-12:])
    assert np.array_equal(read_image(path), UPRIGHT[6](SCENE))
    assert read_size(path) == (7, 5)


@pytest.mark.parametrize("piece", [100, 5000, 1 << 17])
@pytest.mark.parametrize("before", [b"", b"tEXt"])
def test_exif_behind_many_pixels_of_a_png_counts(tmp_path: Path, piece: int, before: bytes) -> None:
    """However its writer cut the pixels into chunks, and whatever stands between."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    content = encoded(PIL.Image.fromarray(noise), "PNG")
    pixels = b"".join(content[8:][at + 4 + 4 : at + 4 + 4 + length] for at, length in _chunks(content))
    cut = b"".join(png_chunk(b"IDAT", pixels[at : at + piece]) for at in range(0, len(pixels), piece))
    text = png_chunk(before, b"Comment\0IDAT" + b"x" * 70_000) if before else b""
    block = png_chunk(b"eXIf", exif(6).tobytes().removeprefix(b"Exif\0\0"))
    path = stored(tmp_path, content[:33] + cut + text + block + content[-12:])
    assert read_size(path) == (300, 200)
    assert np.array_equal(read_image(path), UPRIGHT[6](noise))


def _chunks(content: bytes) -> list[tuple[int, int]]:
    """Where the chunks of pixels begin behind the signature, and their lengths."""
    place, found = 8, []
    while place < len(content):
        length = int.from_bytes(content[place : place + 4])
        found += [(place - 8, length)] if content[place + 4 : place + 8] == b"IDAT" else []
        place += 12 + length
    return found


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage"])
def test_damaged_exif_does_not_spoil_the_image(tmp_path: Path, block: bytes) -> None:
    for kind, options in LOSSLESS.items():
        if kind != "TIFF":  # a TIFF's EXIF is the picture's own header
            path = stored(tmp_path, encoded(PIL.Image.fromarray(SCENE), kind, exif=block, **options))
            assert np.array_equal(read_image(path), SCENE)


def test_a_real_phone_like_photo_is_upright(data_root: Path) -> None:
    path = data_root / "photos" / "boston_exif_orientation6.jpg"
    assert read_size(path) == (540, 405)
    assert read_image(path).shape == (540, 405, 3)


# --------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize(
    ("values", "mode", "kind"),
    [
        ([[0, 11, 255]], "L", "PNG"),
        ([[0, 11, 255]], "L", "TIFF"),
        ([[0, 11, 255]], "L", "BMP"),
        ([[0, 11, 255]], "P", "PNG"),
        ([[0, 11, 255]], "P", "TIFF"),
        ([[0, 11, 255]], "P", "BMP"),
        ([[0, 11, 255]], "I;16", "PNG"),
        ([[0, 11, 255]], "I;16", "TIFF"),
        ([[0, 1, 1]], "1", "PNG"),
        ([[0, 1, 1]], "1", "TIFF"),
        ([[0, 1, 1]], "1", "BMP"),
    ],
)
def test_masks_keep_their_values(tmp_path: Path, values: list[list[int]], mode: str, kind: str) -> None:
    array = np.array(values, {"I;16": np.uint16, "1": bool}.get(mode, np.uint8))
    picture = PIL.Image.fromarray(array)
    if mode == "P":
        picture.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
    mask = read_values(stored(tmp_path, encoded(picture, kind)))
    assert mask.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    assert mask.tolist() == values


@pytest.mark.parametrize(("depth", "row"), [(2, [3, 0, 1, 2]), (4, [11, 0, 15, 7])])
def test_masks_of_few_bits_keep_their_values(tmp_path: Path, depth: int, row: list[int]) -> None:
    packed = int("".join(f"{value:0{depth}b}" for value in row), 2).to_bytes(depth // 2, "big")
    assert read_values(stored(tmp_path, png((4, 1), b"\0" + packed, depth, 0))).tolist() == [row]


@pytest.mark.parametrize(
    ("picture", "kind", "reason"),
    [
        (PIL.Image.new("RGB", (2, 2)), "PNG", "mode RGB"),
        (PIL.Image.new("RGBA", (2, 2)), "PNG", "mode RGBA"),
        (PIL.Image.new("LA", (2, 2)), "PNG", "mode LA"),
        (PIL.Image.new("F", (2, 2)), "TIFF", "mode F"),
        (PIL.Image.new("L", (2, 2)), "WEBP", "one channel of class indices was expected"),
        (PIL.Image.new("L", (2, 2)), "JPEG", "invents classes"),
        (PIL.Image.new("L", (2, 2)), "PPM", "may alter class indices"),
    ],
)
def test_what_cannot_be_a_mask_is_refused(tmp_path: Path, picture: PIL.Image.Image, kind: str, reason: str) -> None:
    path = stored(tmp_path, encoded(picture, kind))
    with pytest.raises(DataError, match=reason) as caught:
        read_values(path)
    assert caught.value.path == path


def test_a_tiff_with_jpeg_inside_is_no_mask(tmp_path: Path) -> None:
    path = stored(tmp_path, encoded(PIL.Image.new("L", (8, 8)), "TIFF", compression="jpeg"))
    with pytest.raises(DataError, match="invents classes"):
        read_values(path)


def test_every_suffix_belongs_to_one_format() -> None:
    suffixes = [suffix for known in FORMATS for suffix in known.suffixes]
    assert len(suffixes) == len(set(suffixes)) == len(SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
