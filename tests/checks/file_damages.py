"""What people do to the files of a data set: names, contents, formats, lists."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import PIL.ImageFilter
from tests.checks.scenes import save, scene, scenes
from tests.checks.town import (
    AGAIN,
    ONE,
    Culprit,
    Damage,
    Do,
    Town,
    another,
    encoded,
    on_image,
    on_mask,
    read,
    rename,
)


def _bytes(of: Callable[[Town], Path], change: Callable[[bytes], bytes]) -> Do:
    def do(town: Town) -> list[Culprit]:
        path = of(town)
        path.write_bytes(change(path.read_bytes()))
        return [town.pair()]

    return do


def _remove(of: Callable[[Town], Path]) -> Do:
    def do(town: Town) -> list[Culprit]:
        of(town).unlink()
        return [town.pair()]

    return do


def _rename_pair(suffix: str) -> Do:
    """Puts something behind the stems of an image and its mask."""

    def do(town: Town) -> list[Culprit]:
        files = town.image(), town.mask()
        return [frozenset(path.rename(path.with_name(path.stem + suffix + path.suffix)) for path in files)]

    return do


def _middle_broken(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes(byte ^ 0x5A for byte in content[place : place + 60]) + content[place + 60 :]


def _bit_over(content: bytes) -> bytes:
    """A PNG whose pixels differ in a bit and can be unpacked all the same."""
    for place in range(len(content) * 2 // 3, len(content)):
        broken = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        try:
            with PIL.Image.open(io.BytesIO(broken)) as picture:
                picture.load()
                return broken
        except (OSError, SyntaxError):
            continue
    raise AssertionError("every bit is needed to unpack this")


def _second_image(town: Town) -> list[Culprit]:
    made = town.image().with_suffix(".png")
    save(made, scene(50).image)
    return [town.pair() | {made}]


def _other_case(town: Town) -> list[Culprit]:
    return [town.pair() | another(town, "train", scene(51).image, scene(51).labels, town.image().stem.upper())]


def _lone_mask(town: Town) -> list[Culprit]:
    made = town.mask().with_name("left_over.png")
    save(made, read(town.mask()))
    return [frozenset({made})]


def _without_images(town: Town) -> list[Culprit]:
    for path in town.images["val"]:
        path.unlink()
    return []


def _other_names(town: Town) -> list[Culprit]:
    """As many tools name them: every mask is called like its image and `_mask`."""
    renamed = {
        path: path.rename(path.with_name(f"{path.stem}_mask.png")) for paths in town.masks.values() for path in paths
    }
    return [frozenset({*pair, *(renamed[path] for path in pair if path in renamed)}) for pair in town.pairs()]


def _link_to_nowhere(of: Callable[[Town], Path]) -> Do:
    def do(town: Town) -> list[Culprit]:
        path = of(town)
        path.unlink()
        path.symlink_to(path.with_name("moved_away.png"))
        return [town.pair()]

    return do


def _folder_in_place(town: Town) -> list[Culprit]:
    town.mask().unlink()
    town.mask().mkdir()
    return [town.pair()]


def _frames(town: Town) -> list[Culprit]:
    first = PIL.Image.fromarray(read(town.mask()))
    first.save(town.mask(), save_all=True, append_images=[first.rotate(180)])
    return [town.pair()]


def _listed_twice(town: Town) -> list[Culprit]:
    listing = town.root / "train.csv"
    listing.write_text(listing.read_text() + listing.read_text().splitlines()[ONE + 1] + "\n")
    return [town.pair() | {listing}]


_HTML = b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body>Sign in</body></html>\n"
_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


FILES: tuple[Damage, ...] = (
    Damage("a mask is missing", "values", _remove(Town.mask), ("missing-mask",), r"annotate|remove it"),
    Damage("an image is missing", "values", _remove(Town.image), ("extra-mask",), r"add the image|remove the mask"),
    Damage("a mask is left over", "values", _lone_mask, ("extra-mask",), r"remove the mask"),
    Damage(
        "a mask is named otherwise",
        "values",
        rename(Town.mask, lambda path: f"{path.stem}-copy.png"),
        ("missing-mask", "extra-mask"),
        r"name",
    ),
    Damage(
        "a mask has a suffix in capitals",
        "values",
        rename(Town.mask, lambda path: f"{path.stem}.PNG"),
        ("missing-mask", "extra-mask"),
        r"train_3\.PNG exists: rename it$",
    ),
    Damage("every mask is named otherwise", "values", _other_names, ("missing-mask", "extra-mask"), r"name|pattern"),
    Damage(
        "a mask links to nowhere",
        "values",
        _link_to_nowhere(Town.mask),
        ("missing-mask", "unreadable-mask"),
        r"is a broken link",
    ),
    Damage(
        "an image links to nowhere",
        "values",
        _link_to_nowhere(Town.image),
        ("unreadable-image", "extra-mask"),
        r"link or copy the right image",
    ),
    Damage(
        "a folder lies where a mask should",
        "values",
        _folder_in_place,
        ("missing-mask", "unreadable-mask"),
        r"remove it|folder",
    ),
    Damage("a split has masks alone", "values", _without_images, ("empty-split",), r"add the files"),
    Damage("an image is empty", "values", _bytes(Town.image, lambda _: b""), ("empty-file",), AGAIN),
    Damage("a mask is empty", "values", _bytes(Town.mask, lambda _: b""), ("empty-file",), AGAIN),
    Damage(
        "an image is cut short", "values", _bytes(Town.image, lambda b: b[: len(b) // 2]), ("unreadable-image",), AGAIN
    ),
    Damage("a mask is cut short", "values", _bytes(Town.mask, lambda b: b[: len(b) // 2]), ("unreadable-mask",), AGAIN),
    Damage(
        "an image lost its last bytes", "camvid", _bytes(Town.image, lambda b: b[:-40]), ("unreadable-image",), AGAIN
    ),
    Damage("a mask is broken in the middle", "values", _bytes(Town.mask, _middle_broken), ("unreadable-mask",), AGAIN),
    Damage("a bit of a mask has fallen over", "values", _bytes(Town.mask, _bit_over), ("unreadable-mask",), AGAIN),
    Damage("a bit of an image has fallen over", "camvid", _bytes(Town.image, _bit_over), ("unreadable-image",), AGAIN),
    Damage(
        "an image is broken in the middle", "camvid", _bytes(Town.image, _middle_broken), ("unreadable-image",), AGAIN
    ),
    Damage("an image is a web page", "values", _bytes(Town.image, lambda _: _HTML), ("unreadable-image",), AGAIN),
    Damage(
        "an image is a pointer of Git LFS",
        "values",
        _bytes(Town.image, lambda _: _POINTER),
        ("unreadable-image",),
        r"again|git lfs",
    ),
    Damage("an image is zeros", "values", _bytes(Town.image, lambda b: bytes(len(b))), ("unreadable-image",), AGAIN),
    Damage(
        "an image is a HEIC file",
        "values",
        _bytes(Town.image, lambda b: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b),
        ("unreadable-image",),
        r"convert",
    ),
    Damage(
        "an image is a GIF file",
        "values",
        _bytes(Town.image, lambda _: encoded(scenes("train")[ONE].image, "GIF")),
        ("unreadable-image",),
        r"convert",
    ),
    Damage(
        "a PNG is called .jpg", "values", on_image(lambda p: p, format="PNG"), ("wrong-suffix",), r"rename", fixed=True
    ),
    Damage(
        "a JPEG is called .png",
        "camvid",
        on_image(lambda p: p, format="JPEG"),
        ("wrong-suffix",),
        r"rename",
        fixed=True,
    ),
    Damage(
        "a TIFF mask is called .png",
        "values",
        on_mask(lambda v: v, format="TIFF"),
        ("wrong-suffix",),
        r"rename|save",
        fixed=True,
    ),
    Damage("two images share a stem", "values", _second_image, ("duplicate-stem",), r"rename|remove one"),
    Damage("two names differ in case alone", "values", _other_case, ("unreadable-name",), r"rename"),
    Damage("a name has a line break", "values", _rename_pair("\n"), ("unreadable-name",), r"rename"),
    Damage("a name is not UTF-8", "values", _rename_pair("\udce9t\udce9"), ("unreadable-name",), r"rename"),
    Damage("a mask has two frames", "values", _frames, ("several-pages",), r"page|frame"),
    Damage("a pair is listed twice", "list", _listed_twice, ("duplicate-stem", "duplicate"), r"remove one|line"),
)
