"""What a single file of a data set tells before its pixels are judged: format, pages, channels, orientation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.Image import Transpose

from fassd.checks.findings import Finding, finding
from fassd.checks.mask_values import Table, explain_colors, explain_grays
from fassd.core.arrays import Image, MaskValues
from fassd.core.errors import DataError, FileError, ImageError
from fassd.data.dataset import Dataset
from fassd.data.mask_encoding import value_of_color
from fassd.media.formats import Header, opened
from fassd.media.images import read_image
from fassd.media.masks import read_colors, read_values

_COPY_AGAIN = "copy it again from its source; if that is damaged too, remove the pair"
_SAVE_AS_PNG = "export the mask again from the annotation tool, as PNG; what JPEG changed cannot be undone"
_MAX_COLORS = 256


@dataclass(frozen=True)
class ReadFile:
    """A file of a pair, read.

    Attributes:
        findings: what is wrong with it.
        pixels: the image, or the mask's codes; None where it cannot be read as what it should be.
        turn: what EXIF asks for.
        stored: height and width before that turn.
    """

    findings: tuple[Finding, ...]
    pixels: Image | MaskValues | None = None
    turn: Transpose | None = None
    stored: tuple[int, int] = (0, 0)


def read_picture(path: Path, split: str) -> ReadFile:
    """An image, decoded whole."""
    if _is_empty(path):
        return ReadFile((_empty(path, split),))
    try:
        with opened(path) as header:
            found = list(_wrong_suffix(path, split, header))
            if _pages(header) > 1:
                text = f"{_pages(header)} frames or pages; only the first is used"
                found.append(
                    finding("animated-image", split, path, text, "one", "save the others as images of their own")
                )
            turn, (width, height) = header.turn, header.image.size
        image = read_image(path)
        if _is_blank(image):
            text, wanted = "one color at every pixel", "a picture"
            found.append(finding("blank-image", split, path, text, wanted, _COPY_AGAIN))
        return ReadFile(tuple(found), image, turn, (height, width))
    except ImageError as error:
        remedy = "convert it to PNG" if "cannot be read; convert" in error.problem else _COPY_AGAIN
        return ReadFile((finding("unreadable-image", split, path, _fact(error), "a whole picture", remedy),))


def read_mask(path: Path, dataset: Dataset) -> ReadFile:
    """A mask's codes, if it has the channels that the data set's masks should have."""
    split = dataset.split
    if _is_empty(path):
        return ReadFile((_empty(path, split),))
    try:
        with opened(path) as header:
            found = list(_wrong_suffix(path, split, header))
            turn, (width, height) = header.turn, header.image.size
            pages, mode, name = _pages(header), header.image.mode, header.format.name
            found += contradicting_palette(path, dataset, header)
            transparent = mode in ("RGBA", "LA", "PA") and _is_transparent(header)
        if name == "JPEG":
            text, wanted = "a JPEG file, which alters values along borders", "PNG, or another format without loss"
            return ReadFile((finding("jpeg-mask", split, path, text, wanted, _SAVE_AS_PNG),))
        if pages > 1:
            remedy = "save the page that is meant as a file of its own"
            found.append(finding("several-pages", split, path, f"{pages} frames or pages", "one", remedy))
        if transparent or mode == "LA":
            found.append(_alpha(path, split, transparent))
        if mode == "1" and len(dataset.label_space) > 2:
            found.append(_one_bit(path, dataset))
        wrong_channels = _wrong_channels(path, dataset, mode)
        if mode == "LA" or wrong_channels or any(one.kind.name == "colors-for-values" for one in found):
            return ReadFile((*found, *wrong_channels))
        return ReadFile(tuple(found), dataset.encoding.read(path), turn, (height, width))
    except ImageError as error:
        return ReadFile((finding("unreadable-mask", split, path, _fact(error), "a whole mask", _COPY_AGAIN),))
    except DataError as error:
        remedy = "save the mask as PNG with 8 or 16 bits of gray"
        return ReadFile((finding("unreadable-mask", split, path, _fact(error), "class values", remedy),))


def _fact(error: FileError) -> str:
    """What was found, without the advice behind it."""
    return re.split(r"; |: it is ", error.problem)[0]


def _is_blank(image: Image) -> bool:
    # Some pixels tell for nearly every picture that it is not.
    return image.shape[:2] != (1, 1) and all(bool((part == image[0, 0]).all()) for part in (image[::16, ::16], image))


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def _empty(path: Path, split: str) -> Finding:
    return finding("empty-file", split, path, "0 bytes", "a picture", _COPY_AGAIN)


def _wrong_suffix(path: Path, split: str, header: Header) -> tuple[Finding, ...]:
    suffixes = header.format.suffixes
    if path.suffix.lower() in suffixes:
        return ()
    text = f"{header.format.name} content under the name {path.suffix}"
    remedy = f"rename it to {suffixes[0]}, or save it as what its name says"
    return (finding("wrong-suffix", split, path, text, f"a name that ends in {' or '.join(suffixes[:2])}", remedy),)


def _pages(header: Header) -> int:
    return int(getattr(header.image, "n_frames", 1))


def _is_transparent(header: Header) -> bool:
    return bool(np.asarray(header.upright().getchannel("A")).min() < 255)


def _alpha(path: Path, split: str, transparent: bool) -> Finding:
    text = "transparent pixels, whose class is uncertain" if transparent else "a channel for transparency"
    return finding("alpha-mask", split, path, text, "values or colors alone", "save the mask without transparency")


def _one_bit(path: Path, dataset: Dataset) -> Finding:
    wanted = f"8 bits for {len(dataset.label_space)} classes"
    remedy = "export the mask again with 8 bits; which class a pixel had is lost"
    return finding("one-bit", dataset.split, path, "1 bit a pixel", wanted, remedy)


def _wrong_channels(path: Path, dataset: Dataset, mode: str) -> tuple[Finding, ...]:
    """Colors in place of values, or the reverse."""
    colored = mode in ("RGB", "RGBA", "RGBX")
    if dataset.encoding.by_color and mode in ("L", "1", "I;16", "I;16B"):
        return (_values_for_colors(path, dataset),)
    if not dataset.encoding.by_color and colored:
        return (_colors_for_values(path, dataset),)
    return ()


def palette_of(picture: PIL.Image.Image) -> dict[int, int]:
    """The color, as a code, of each index; nothing for a picture without a palette."""
    numbers = picture.getpalette("RGB") or [] if picture.mode == "P" else []
    colors = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False)
    return {index: value_of_color(color) for index, color in enumerate(colors)}


def contradicting_palette(path: Path, dataset: Dataset, header: Header) -> list[Finding]:
    """A palette that shows the classes' own colors, but at other indices than the classes'; at most one finding."""
    coding, colors = dataset.encoding, palette_of(header.image)
    if coding.by_color or not colors:
        return []
    counts = enumerate(header.upright().histogram())
    palette = {index: colors[index] for index, count in counts if count and index in colors}
    if len(set(palette.values())) < 2:
        return []
    owner, table = explain_colors(frozenset(palette.values()), coding, dataset.label_space)
    if owner in ("", "gray") or all(coding.classes.get(i) == coding.classes[table[c]] for i, c in palette.items()):
        return []
    text = f"a palette with the colors of {owner}, whose indices are no classes"
    remedy = 'write class values, or colors with mask_encoding = "colors", in place of a palette; --fix writes values'
    right = {index: table[color] for index, color in palette.items()}
    return [_with_table("colors-for-values", path, dataset, text, "indices that are the classes", remedy, right)]


def _colors_for_values(path: Path, dataset: Dataset) -> Finding:
    colors = np.unique(read_colors(path))
    few = frozenset(map(int, colors[:_MAX_COLORS]))
    owner, table = ("", {}) if len(colors) > _MAX_COLORS else explain_colors(few, dataset.encoding, dataset.label_space)
    wanted = f"one channel of values {dataset.encoding.spell_all()}"
    if owner == "gray":
        return _with_table(
            "colors-for-values",
            path,
            dataset,
            "three equal channels",
            wanted,
            "save one of the channels alone; --fix does it",
            table,
        )
    if table:
        return _with_table(
            "colors-for-values",
            path,
            dataset,
            f"the colors of {owner}",
            wanted,
            'say mask_encoding = "colors" in dataset.toml, or write the values; --fix writes them',
            table,
        )
    if len(colors) > _MAX_COLORS:
        text = f"{len(colors):,} colors, as a photo or an overlay has"
        remedy = "find out what became of the mask, and export the mask again in place of this picture"
        return finding("colors-for-values", dataset.split, path, text, wanted, remedy)
    remedy = 'say mask_encoding = "colors" and give the classes their colors in dataset.toml, or export the values'
    text = f"{len(few)} colors, of no known table"
    return finding("colors-for-values", dataset.split, path, text, wanted, remedy)


def _values_for_colors(path: Path, dataset: Dataset) -> Finding:
    values = frozenset(map(int, np.unique(read_values(path))))
    table: Table = explain_grays(values, dataset.encoding, dataset.label_space)
    remedy = 'say mask_encoding = "values" in dataset.toml, or save the colors'
    text = "one channel of class indices" if table else "one channel"
    more = "; --fix paints them" if table else ""
    return _with_table("values-for-colors", path, dataset, text, "a color for each class", remedy + more, table)


def _with_table(
    name: str, path: Path, dataset: Dataset, found: str, expected: str, remedy: str, table: Table
) -> Finding:
    one = finding(name, dataset.split, path, found, expected, remedy)
    return Finding(one.kind, one.split, one.files, found, expected, remedy, table=table)
