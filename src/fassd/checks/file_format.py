"""Checks of a single file of a pair: format, pages, channels, palette, EXIF orientation."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.Image import Transpose

from fassd.checks.findings import Finding, finding
from fassd.checks.mask_values import explain_colors, explain_grays
from fassd.core.arrays import Image, MaskValues
from fassd.core.errors import DataError, FileError, ImageError
from fassd.data.dataset import Dataset
from fassd.data.mask_encoding import value_of_color
from fassd.media.formats import ImageHeader, opened
from fassd.media.images import read_image
from fassd.media.masks import read_colors, read_values

_COPY_AGAIN = "copy it again from its source; if that is damaged too, remove the pair"
_SAVE_AS_PNG = "export the mask again from the annotation tool, as PNG; what JPEG changed cannot be undone"
_MAX_COLORS = 256


@dataclass(frozen=True)
class ReadFile:
    """A file of a pair, read.

    Attributes:
        findings: its problems.
        pixels: the image, or the mask's values; None where the file cannot be used.
        turn: the EXIF orientation.
        stored: height and width before that orientation is applied.
    """

    findings: tuple[Finding, ...]
    pixels: Image | MaskValues | None = None
    turn: Transpose | None = None
    stored: tuple[int, int] = (0, 0)


def check_image_file(path: Path, split: str) -> ReadFile:
    """Reads and checks an image file."""
    if _is_empty(path):
        return ReadFile((_empty_file(path, split),))
    try:
        with opened(path) as header:
            found = [*_wrong_suffix(path, split, header)]
            pages = _page_count(header)
            turn, (width, height) = header.turn, header.image.size
        if pages > 1:
            text, fix = f"{pages} frames or pages; only the first is used", "save the others as separate images"
            found.append(finding("animated-image", split, path, text, "one", fix))
        image = read_image(path)
    except ImageError as error:
        fix = "convert it to PNG" if "cannot be read; convert" in error.problem else _COPY_AGAIN
        return ReadFile((finding("unreadable-image", split, path, _without_advice(error), "an intact image", fix),))
    if _is_blank(image):
        found.append(finding("blank-image", split, path, "one color at every pixel", "a photo", _COPY_AGAIN))
    return ReadFile(tuple(found), image, turn, (height, width))


def check_mask_file(path: Path, dataset: Dataset) -> ReadFile:
    """Reads and checks a mask file; `pixels` is None where its channels are not those of the data set's masks."""
    split = dataset.split
    if _is_empty(path):
        return ReadFile((_empty_file(path, split),))
    try:
        with opened(path) as header:
            found = [*_wrong_suffix(path, split, header)]
            turn, (width, height) = header.turn, header.image.size
            pages, mode, name = _page_count(header), header.image.mode, header.format.name
            found += palette_findings(path, dataset, header)
            transparent = mode in ("RGBA", "LA", "PA") and np.asarray(header.upright().getchannel("A")).min() < 255
        if name == "JPEG":
            text, expected = "a JPEG file, which alters values along borders", "PNG, or another lossless format"
            return ReadFile((finding("jpeg-mask", split, path, text, expected, _SAVE_AS_PNG),))
        if pages > 1:
            fix = "save the right page as a separate file"
            found.append(finding("several-pages", split, path, f"{pages} frames or pages", "one", fix))
        if transparent or mode == "LA":
            text = "transparent pixels, whose class is uncertain" if transparent else "a channel for transparency"
            fix = "save the mask without transparency"
            found.append(finding("alpha-mask", split, path, text, "values or colors only", fix))
        if mode == "1" and len(dataset.label_space) > 2:
            expected = f"8 bits for {len(dataset.label_space)} classes"
            fix = "export the mask again with 8 bits; the classes cannot be recovered from this file"
            found.append(finding("one-bit", split, path, "1 bit a pixel", expected, fix))
        colored = mode in ("RGB", "RGBA", "RGBX")
        if dataset.encoding.by_color and mode in ("L", "1", "I;16", "I;16B"):
            found.append(_values_for_colors(path, dataset))
        elif not dataset.encoding.by_color and colored:
            found.append(_colors_for_values(path, dataset))
        wrong_channels = any(one.kind.name in ("values-for-colors", "colors-for-values") for one in found)
        values = None if wrong_channels or mode == "LA" else dataset.encoding.read(path)
        return ReadFile(tuple(found), values, turn, (height, width))
    except ImageError as error:
        text, expected, fix = _without_advice(error), "an intact mask", _COPY_AGAIN
        return ReadFile((finding("unreadable-mask", split, path, text, expected, fix),))
    except DataError as error:
        text, expected, fix = _without_advice(error), "class values", "save the mask as PNG with 8 or 16 bits of gray"
        return ReadFile((finding("unreadable-mask", split, path, text, expected, fix),))


def palette_of(image: PIL.Image.Image) -> dict[int, int]:
    """The color of each index, as a mask value; empty without a palette."""
    numbers = image.getpalette("RGB") or [] if image.mode == "P" else []
    colors = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False)
    return {index: value_of_color(color) for index, color in enumerate(colors)}


def palette_findings(path: Path, dataset: Dataset, header: ImageHeader) -> list[Finding]:
    """A finding if the palette holds the classes' colors at other indices than the classes'; otherwise none."""
    encoding, colors = dataset.encoding, palette_of(header.image)
    if encoding.by_color or not colors:
        return []
    counts = enumerate(header.upright().histogram())
    palette = {index: colors[index] for index, count in counts if count and index in colors}
    if len(set(palette.values())) < 2:
        return []
    source, table = explain_colors(frozenset(palette.values()), encoding, dataset.label_space)
    classes = encoding.classes
    if source in ("", "gray") or all(classes.get(index) == classes[table[color]] for index, color in palette.items()):
        return []
    text = f"a palette with the colors of {source}, whose indices are no classes"
    fix = 'write class values, or colors with mask_encoding = "colors", in place of a palette; --fix writes values'
    one = finding("colors-for-values", dataset.split, path, text, "indices that are the classes", fix)
    return [replace(one, table={index: table[color] for index, color in palette.items()})]


def _colors_for_values(path: Path, dataset: Dataset) -> Finding:
    colors = np.unique(read_colors(path))
    few = frozenset(map(int, colors[:_MAX_COLORS]))
    source, table = (
        ("", {}) if len(colors) > _MAX_COLORS else explain_colors(few, dataset.encoding, dataset.label_space)
    )
    expected = f"one channel of values {dataset.encoding.spell_all()}"
    if source == "gray":
        text, fix = "three equal channels", "save one of the channels; --fix does it"
    elif table:
        text = f"the colors of {source}"
        fix = 'set mask_encoding = "colors" in dataset.toml, or write the values; --fix writes them'
    elif len(colors) > _MAX_COLORS:
        text = f"{len(colors):,} colors, as in a photo or an overlay"
        fix = "find the right file, or export the mask again in place of this image"
    else:
        text = f"{len(few)} colors, of no known table"
        fix = 'set mask_encoding = "colors" and give the classes their colors in dataset.toml, or export the values'
    return replace(finding("colors-for-values", dataset.split, path, text, expected, fix), table=table)


def _values_for_colors(path: Path, dataset: Dataset) -> Finding:
    values = frozenset(map(int, np.unique(read_values(path))))
    table = explain_grays(values, dataset.encoding, dataset.label_space)
    fix = 'set mask_encoding = "values" in dataset.toml, or save the colors' + ("; --fix writes them" if table else "")
    text = "one channel of class indices" if table else "one channel"
    return replace(finding("values-for-colors", dataset.split, path, text, "a color for each class", fix), table=table)


def _without_advice(error: FileError) -> str:
    return re.split(r"; |: it is ", error.problem)[0]


def _is_blank(image: Image) -> bool:
    # A sample of pixels suffices for nearly every image that is not blank.
    return image.shape[:2] != (1, 1) and all(bool((part == image[0, 0]).all()) for part in (image[::16, ::16], image))


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def _empty_file(path: Path, split: str) -> Finding:
    return finding("empty-file", split, path, "0 bytes", "an image file", _COPY_AGAIN)


def _wrong_suffix(path: Path, split: str, header: ImageHeader) -> tuple[Finding, ...]:
    suffixes = header.format.suffixes
    if path.suffix.lower() in suffixes:
        return ()
    text = f"{header.format.name} content under the name {path.suffix}"
    fix = f"rename it to {suffixes[0]}, or save it in the format of its name"
    return (finding("wrong-suffix", split, path, text, f"a name that ends in {' or '.join(suffixes[:2])}", fix),)


def _page_count(header: ImageHeader) -> int:
    return int(getattr(header.image, "n_frames", 1))
