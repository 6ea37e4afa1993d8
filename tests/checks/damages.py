"""What people do to data sets, one row each: how, which files must be named, as what, and what should be advised."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter
from tests.checks.scenes import CAR, NAMES, PERSON, TO_RAW, TO_TRAIN, TREE, painted, save, scene, scenes

from fassd.core.arrays import IGNORE
from fassd.core.labels import CAMVID, CAMVID_RAW

Array = np.ndarray[Any, Any]
Culprit = frozenset[Path]
"""The files of which one must be named: an image or its mask."""

_PLACES = {
    "cityscapes": ("leftImg8bit/{}/*/*.png", "gtFine/{}/*/*_labelIds.png"),
    "camvid": ("{}/*.png", "{}annot/*.png"),
}
_ONE = 3
"""The pair that is damaged."""


class Town:
    """A copy of a healthy set, to be damaged."""

    def __init__(self, root: Path, form: str) -> None:
        self.root = root
        images, masks = _PLACES.get(form, ("images/{}/*.jpg", "masks/{}/*.png"))
        self.images = {split: sorted(root.glob(images.format(split))) for split in ("train", "val")}
        self.masks = {split: sorted(root.glob(masks.format(split))) for split in ("train", "val")}

    def image(self, number: int = _ONE, split: str = "train") -> Path:
        """The file of an image."""
        return self.images[split][number]

    def mask(self, number: int = _ONE, split: str = "train") -> Path:
        """The file of a mask."""
        return self.masks[split][number]

    def pair(self, number: int = _ONE, split: str = "train") -> Culprit:
        """Both files."""
        return frozenset({self.image(number, split), self.mask(number, split)})

    def pairs(self) -> list[Culprit]:
        """All of them."""
        return [self.pair(number, split) for split in self.images for number in range(len(self.images[split]))]


Do = Callable[[Town], Sequence[Culprit]]


@dataclass(frozen=True)
class Damage:
    """A row.

    Attributes:
        name: what was done.
        on: the form of the healthy set, see `MAKERS`.
        do: does it, and gives the culprits.
        kinds: the kinds of fault that may be reported, the best first; one of them must be.
        remedy: an expression that the remedy of a finding must match.
        fixed: whether a corrected copy must be free of faults.
        grade: of the finding.
        found: False for what cannot be found; `why` says so then.
    """

    name: str
    on: str
    do: Do
    kinds: tuple[str, ...]
    remedy: str
    fixed: bool = False
    grade: str = "fault"
    found: bool = True
    why: str = ""


# ------------------------------------------------------------------------------------------- how to damage


def _read(path: Path) -> Array:
    with PIL.Image.open(path) as picture:
        return np.array(picture)


def _mask(change: Callable[[Array], Array], every: bool = False, **options: Any) -> Do:
    """Writes one mask, or every one, anew; those that stay as they are have no part in it."""

    def do(town: Town) -> list[Culprit]:
        culprits = []
        for split, paths in town.masks.items() if every else [("train", [town.mask()])]:
            for path in paths:
                values = _read(path)
                changed = change(values)
                PIL.Image.fromarray(changed).save(path, **({"format": "PNG"} | options))
                if options or not np.array_equal(values, changed):
                    culprits.append(town.pair(town.masks[split].index(path), split))
        return culprits

    return do


def _unnamed(do: Do) -> Do:
    """For damages of a whole split, whose finding names no files."""

    def done(town: Town) -> list[Culprit]:
        do(town)
        return []

    return done


def _image(change: Callable[[PIL.Image.Image], PIL.Image.Image], every: bool = False, **options: Any) -> Do:
    """Writes one image, or every one of the training split, anew."""

    def do(town: Town) -> list[Culprit]:
        for path in town.images["train"] if every else [town.image()]:
            with PIL.Image.open(path) as picture:
                changed = change(picture.convert("RGB"))
            changed.save(path, **({"quality": 95} | options))
        return [town.pair(number) for number in range(len(town.images["train"]))] if every else [town.pair()]

    return do


def _bytes(of: Callable[[Town], Path], change: Callable[[bytes], bytes]) -> Do:
    def do(town: Town) -> list[Culprit]:
        path = of(town)
        path.write_bytes(change(path.read_bytes()))
        return [town.pair()]

    return do


def _describe(more: str) -> Do:
    """Adds to the description."""

    def do(town: Town) -> list[Culprit]:
        path = town.root / "dataset.toml"
        path.write_text(path.read_text() + more)
        return []

    return do


def _remove(of: Callable[[Town], Path]) -> Do:
    def do(town: Town) -> list[Culprit]:
        of(town).unlink()
        return [town.pair()]

    return do


def _rename(of: Callable[[Town], Path], name: Callable[[Path], str]) -> Do:
    def do(town: Town) -> list[Culprit]:
        path = of(town)
        renamed = path.rename(path.with_name(name(path)))
        return [town.pair() | {renamed}]

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


def _encoded(picture: Array, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def _exif(orientation: int) -> PIL.Image.Exif:
    block = PIL.Image.Exif()
    block[0x0112] = orientation
    return block


def _moved(right: int, down: int) -> Callable[[Array], Array]:
    """Shifts with the margin repeated."""

    def move(values: Array) -> Array:
        rows = np.clip(np.arange(values.shape[0]) - down, 0, values.shape[0] - 1)
        columns = np.clip(np.arange(values.shape[1]) - right, 0, values.shape[1] - 1)
        moved: Array = values[rows][:, columns]
        return moved

    return move


def _noise(values: Array) -> Array:
    noise: Array = np.random.default_rng(0).integers(0, _COUNT, values.shape, np.uint8)
    return noise


def _quarter(town: Town) -> list[Culprit]:
    """All pairs cut to squares, and a mask laid on its side."""
    for path in (path for files in (town.images, town.masks) for paths in files.values() for path in paths):
        pixels = _read(path)
        side = min(pixels.shape[:2])
        save(path, pixels[:side, :side], quality=95)
    save(town.mask(), np.rot90(_read(town.mask())))
    return [town.pair()]


def _resized(values: Array, filtering: PIL.Image.Resampling) -> Array:
    """Enlarged from half the size."""
    picture = PIL.Image.fromarray(values)
    small = picture.resize((picture.width // 2, picture.height // 2), PIL.Image.Resampling.NEAREST)
    return np.array(small.resize(picture.size, filtering))


def _through_jpeg(values: Array, quality: int = 90) -> Array:
    with PIL.Image.open(io.BytesIO(_encoded(values, "JPEG", quality=quality))) as picture:
        return np.array(picture)


def _spot(value: Any) -> Callable[[Array], Array]:
    """A few pixels of something else."""

    def change(values: Array) -> Array:
        values = values.copy()
        values[40:46, 60:70] = value
        return values

    return change


def _swap_masks(town: Town) -> list[Culprit]:
    first, second = town.mask(2), town.mask(5)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    return [town.pair(2), town.pair(5)]


def _swap_sizes(town: Town) -> list[Culprit]:
    """Two masks are exchanged, of images of which one was cut to another size before."""
    with PIL.Image.open(town.image(5)) as picture:
        cut = picture.crop((0, 0, 140, 110))
    cut.save(town.image(5), quality=95)
    save(town.mask(5), _read(town.mask(5))[:110, :140])
    return _swap_masks(town)


def _slip_masks(town: Town) -> list[Culprit]:
    """Every mask of a split lies under the name of the next frame."""
    contents = [path.read_bytes() for path in town.masks["train"]]
    for path, content in zip(town.masks["train"], contents[-1:] + contents[:-1], strict=True):
        path.write_bytes(content)
    return [town.pair(number) for number in range(len(contents))]


def _another(town: Town, split: str, image: Array, labels: Array, stem: str = "", **options: Any) -> Culprit:
    """One more pair beside those of a split, in a folder set."""
    stem = stem or f"{split}_more"
    made = town.root / f"images/{split}/{stem}.jpg", town.root / f"masks/{split}/{stem}.png"
    save(made[0], image, **({"quality": 92} | options))
    save(made[1], labels)
    return frozenset(made)


def _leak(change: Callable[[Array], Array], **options: Any) -> Do:
    def do(town: Town) -> list[Culprit]:
        street = scenes("train")[_ONE]
        return [town.pair() | _another(town, "val", change(street.image), street.labels, **options)]

    return do


def _copied(town: Town) -> list[Culprit]:
    """A pair of the training split, byte by byte, under another name in the other split."""
    made = _another(town, "val", scenes("train")[_ONE].image, scenes("train")[_ONE].labels)
    (town.root / "images/val/val_more.jpg").write_bytes(town.image().read_bytes())
    return [town.pair() | made]


def _half_leak(town: Town) -> list[Culprit]:
    street = scenes("train")[_ONE]
    half = PIL.Image.fromarray(street.image).reduce(2)
    return [town.pair() | _another(town, "val", np.array(half), street.labels[::2, ::2])]


def _twice(labels: Callable[[Array], Array]) -> Do:
    """A picture twice in one split."""

    def do(town: Town) -> list[Culprit]:
        made = _another(town, "train", scenes("train")[_ONE].image, labels(scenes("train")[_ONE].labels))
        next(path for path in made if path.suffix == ".jpg").write_bytes(town.image().read_bytes())
        return [town.pair() | made]

    return do


def _one_drive(town: Town) -> list[Culprit]:
    """The next frame of the same drive in the other split: all a little further, other noise."""
    street = scene(900)
    noise = np.random.default_rng(0).normal(0, 4, street.image.shape)
    further = (_moved(4, 2)(street.image) + noise).clip(0, 255).astype(np.uint8)
    first = _another(town, "train", street.image, street.labels, "drive7_000100")
    second = _another(town, "val", further, _moved(4, 2)(street.labels), "drive7_000104")
    return [first | second]


def _second_image(town: Town) -> list[Culprit]:
    made = town.image().with_suffix(".png")
    save(made, scene(50).image)
    return [town.pair() | {made}]


def _other_case(town: Town) -> list[Culprit]:
    return [town.pair() | _another(town, "train", scene(51).image, scene(51).labels, town.image().stem.upper())]


def _lone_mask(town: Town) -> list[Culprit]:
    made = town.mask().with_name("left_over.png")
    save(made, _read(town.mask()))
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
    first = PIL.Image.fromarray(_read(town.mask()))
    first.save(town.mask(), save_all=True, append_images=[first.rotate(180)])
    return [town.pair()]


def _photo_for_mask(town: Town) -> list[Culprit]:
    save(town.mask(), scenes("train")[_ONE].image)
    return [town.pair()]


def _folders_exchanged(town: Town) -> list[Culprit]:
    for split in town.masks:
        for image, mask in zip(town.images[split], town.masks[split], strict=True):
            pixels, labels = _read(image), _read(mask)
            PIL.Image.fromarray(labels).save(image, quality=95)
            PIL.Image.fromarray(pixels).save(mask)
    return town.pairs()


def _camvid_colours(town: Town) -> list[Culprit]:
    """The owners' colour files among the values."""
    table = {name: colour for name, colour, _ in CAMVID_RAW}
    names = [{"Pavement": "Sidewalk", "Pole": "Column_Pole"}.get(name, name) for name in CAMVID.names]
    palette = np.array([table[name] for name in names] + [(0, 0, 0)], np.uint8)
    for paths in town.masks.values():
        for path in paths:
            PIL.Image.fromarray(palette[_read(path)]).save(path)
    return town.pairs()


def _beside(ending: str, folder: str = "gtFine") -> Do:
    """Another of Cityscapes' label files in place of every labelIds file; the same where there are no objects."""

    def do(town: Town) -> list[Culprit]:
        culprits = []
        for split, paths in town.masks.items():
            for number, path in enumerate(paths):
                other = path.with_name(path.name.replace("labelIds", ending))
                if not np.array_equal(_read(path), _read(other)):
                    culprits.append(town.pair(number, split))
                path.write_bytes(other.read_bytes())
        return culprits

    return do


def _instances_gone(town: Town) -> list[Culprit]:
    gone = town.mask().with_name(town.mask().name.replace("labelIds", "instanceIds"))
    gone.unlink()
    return [town.pair() | {gone}]


def _other_city(town: Town) -> list[Culprit]:
    moved = town.root / "gtFine/train/koeln" / town.mask().name
    moved.parent.mkdir()
    town.mask().rename(moved)
    return [town.pair() | {moved}]


def _listed_twice(town: Town) -> list[Culprit]:
    listing = town.root / "train.csv"
    listing.write_text(listing.read_text() + listing.read_text().splitlines()[_ONE + 1] + "\n")
    return [town.pair() | {listing}]


def _listed_crosswise(town: Town) -> list[Culprit]:
    """Two lines name each other's masks."""
    listing = town.root / "train.csv"
    crossed = {"2.png": "5.png", "5.png": "2.png"}
    listing.write_text(re.sub(r"(?<=train_)[25]\.png", lambda found: crossed[found[0]], listing.read_text()))
    return [town.pair(2), town.pair(5)]


def _listed_in_both(town: Town) -> list[Culprit]:
    """A line of the training split stands in the other split's list too."""
    line = (town.root / "train.csv").read_text().splitlines()[_ONE + 1]
    listing = town.root / "val.csv"
    listing.write_text(f"{listing.read_text()}{line}\n")
    return [town.pair()]


def _lookup(table: dict[int, int], dtype: Any = np.uint8) -> Callable[[Array], Array]:
    """Values through a table, those outside it as they are."""

    def change(values: Array) -> Array:
        full = np.arange(1 << 16)
        full[list(table)] = list(table.values())
        return full[values].astype(dtype)

    return change


def _grey_of_colours(values: Array) -> Array:
    return np.array(PIL.Image.fromarray(painted(values)).convert("L"))


def _by_frequency(values: Array) -> PIL.Image.Image:
    """An indexed PNG as graphics programs write it: the right colours under indices of their own."""
    return PIL.Image.fromarray(painted(values)).quantize(16, dither=PIL.Image.Dither.NONE)


def _indexed(town: Town) -> list[Culprit]:
    for paths in town.masks.values():
        for path in paths:
            _by_frequency(_read(path)).save(path)
    return town.pairs()


def _overlay(values: Array) -> Array:
    mixed = 0.5 * painted(values) + 0.5 * scenes("train")[_ONE].image
    return mixed.astype(np.uint8)


def _clear_border(colours: Array) -> Array:
    clear = np.full((*colours.shape[:2], 1), 255, np.uint8)
    clear[:10] = 60
    return np.concatenate([colours, clear], 2)


def _smooth(colours: Array) -> Array:
    return np.array(PIL.Image.fromarray(colours).filter(PIL.ImageFilter.BoxBlur(1)))


def _mostly(value: int) -> Callable[[Array], Array]:
    def change(values: Array) -> Array:
        changed = np.full_like(values, value)
        changed[50:54, 80:85] = values[50:54, 80:85]
        changed[50, 80:85] = 0
        return changed

    return change


def _flat(value: int) -> Callable[[Array], Array]:
    return lambda values: np.full_like(values, value)


def _exchange(picture: PIL.Image.Image) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.array(picture)[..., ::-1])


_HTML = b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body>Sign in</body></html>\n"
_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
_RAW = {label: int(TO_RAW[train]) for train, label in enumerate(range(len(NAMES)))} | {IGNORE: 1}
_COUNT = len(NAMES)

AGAIN = r"again"
ANNOTATE = r"annotat|export|look at"
PHOTO = r"photo|picture|export the mask"

DAMAGES = (
    # --- files
    Damage("a mask is missing", "values", _remove(Town.mask), ("missing-mask",), r"annotate|take it out"),
    Damage("an image is missing", "values", _remove(Town.image), ("extra-mask",), r"add the image|take the mask out"),
    Damage("a mask is left over", "values", _lone_mask, ("extra-mask",), r"take the mask out"),
    Damage(
        "a mask is named otherwise",
        "values",
        _rename(Town.mask, lambda path: f"{path.stem}-copy.png"),
        ("missing-mask", "extra-mask"),
        r"name",
    ),
    Damage(
        "a mask has a suffix in capitals",
        "values",
        _rename(Town.mask, lambda path: f"{path.stem}.PNG"),
        ("missing-mask", "extra-mask"),
        r"train_3\.PNG lies there: rename it",
    ),
    Damage("every mask is named otherwise", "values", _other_names, ("missing-mask", "extra-mask"), r"name|pattern"),
    Damage(
        "a mask links to nowhere",
        "values",
        _link_to_nowhere(Town.mask),
        ("missing-mask", "unreadable-mask"),
        r"is a link to a file that is not there",
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
        r"take it out|folder",
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
        _bytes(Town.image, lambda _: _encoded(scenes("train")[_ONE].image, "GIF")),
        ("unreadable-image",),
        r"convert",
    ),
    Damage(
        "a PNG is called .jpg", "values", _image(lambda p: p, format="PNG"), ("wrong-suffix",), r"rename", fixed=True
    ),
    Damage(
        "a JPEG is called .png", "camvid", _image(lambda p: p, format="JPEG"), ("wrong-suffix",), r"rename", fixed=True
    ),
    Damage(
        "a TIFF mask is called .png",
        "values",
        _mask(lambda v: v, format="TIFF"),
        ("wrong-suffix",),
        r"rename|save",
        fixed=True,
    ),
    Damage("two images share a stem", "values", _second_image, ("duplicate-stem",), r"rename|take one out"),
    Damage("two names differ in case alone", "values", _other_case, ("unreadable-name",), r"rename"),
    Damage("a name has a line break", "values", _rename_pair("\n"), ("unreadable-name",), r"rename"),
    Damage("a name is not UTF-8", "values", _rename_pair("\udce9t\udce9"), ("unreadable-name",), r"rename"),
    Damage("a mask has two frames", "values", _frames, ("several-pages",), r"page|frame"),
    Damage("a pair is listed twice", "list", _listed_twice, ("duplicate-stem", "duplicate"), r"take one out|line"),
    # --- geometry
    Damage("a mask has half the size", "values", _mask(lambda v: v[::2, ::2]), ("size-differs",), r"size|export"),
    Damage(
        "a mask is one pixel wider",
        "values",
        _mask(lambda v: np.pad(v, ((0, 0), (0, 1)), mode="edge")),
        ("size-differs",),
        r"size|export",
    ),
    Damage(
        "a mask is transposed",
        "values",
        _mask(lambda v: v.T),
        ("size-differs", "turned-by-exif"),
        r"turn|transpose|export",
    ),
    Damage(
        "an image was cropped later",
        "values",
        _image(lambda p: p.crop((8, 4, 152, 116))),
        ("size-differs",),
        r"size|export",
    ),
    Damage(
        "an image is a thumbnail", "values", _image(lambda p: p.resize((40, 30))), ("size-differs",), r"size|export"
    ),
    Damage(
        "EXIF turns an image by 90 degrees",
        "values",
        _image(lambda p: p, exif=_exif(6)),
        ("turned-by-exif",),
        r"EXIF|orient|turn",
        fixed=True,
    ),
    Damage(
        "EXIF turns an image upside down",
        "values",
        _image(lambda p: p, exif=_exif(3)),
        ("turned-by-exif",),
        r"EXIF|orient|turn",
        fixed=True,
    ),
    Damage(
        "EXIF mirrors an image",
        "values",
        _image(lambda p: p, exif=_exif(2)),
        ("turned-by-exif",),
        r"EXIF|orient|turn",
        fixed=True,
    ),
    Damage(
        "EXIF turns a mask",
        "values",
        _mask(lambda v: v, exif=_exif(8)),
        ("turned-by-exif",),
        r"EXIF|orient|turn",
        fixed=True,
    ),
    Damage(
        "a mask is mirrored", "values", _mask(lambda v: v[:, ::-1]), ("flipped-mask",), r"mirror|flip|turn", fixed=True
    ),
    Damage(
        "a mask is upside down", "values", _mask(lambda v: v[::-1]), ("flipped-mask",), r"mirror|flip|turn", fixed=True
    ),
    Damage(
        "a mask is turned by 180 degrees",
        "values",
        _mask(lambda v: v[::-1, ::-1]),
        ("flipped-mask",),
        r"mirror|flip|turn",
        fixed=True,
    ),
    Damage("a square mask lies on its side", "values", _quarter, ("flipped-mask",), r"by a quarter, clockwise"),
    Damage(
        "every mask is mirrored",
        "values",
        _mask(lambda v: v[:, ::-1], every=True),
        ("flipped-mask",),
        r"mirror|flip|turn",
        fixed=True,
    ),
    Damage("a mask is shifted to the right", "values", _mask(_moved(14, 0)), ("shifted-mask",), r"shift|move"),
    Damage("a mask is shifted down", "values", _mask(_moved(0, 11)), ("shifted-mask",), r"shift|move"),
    Damage("every mask is shifted", "values", _mask(_moved(-12, 9), every=True), ("shifted-mask",), r"shift|move"),
    Damage("two masks are exchanged", "values", _swap_masks, ("swapped-mask",), r"its own mask|exchange"),
    Damage("two masks of other sizes are exchanged", "values", _swap_sizes, ("swapped-mask",), r"exchange"),
    Damage("two lines name each other's masks", "list", _listed_crosswise, ("swapped-mask",), r"its own mask|exchange"),
    Damage("every mask lies one frame late", "values", _slip_masks, ("swapped-mask",), r"its own mask|exchange"),
    # --- values
    Damage("a value without a meaning", "values", _mask(_spot(200)), ("foreign-values",), r"200|\[codes\]|correct"),
    Damage(
        "another value beside the one that is ignored",
        "camvid",
        _mask(_spot(12)),
        ("foreign-values",),
        r"write 11 in its place",
    ),
    Damage(
        "colours were turned into grey",
        "values",
        _mask(lambda v: np.array(PIL.Image.fromarray(painted(v)).convert("L")), every=True),
        ("colours-for-values",),
        r"in place of their greys",
        fixed=True,
    ),
    Damage(
        "a mask is noise",
        "values",
        _mask(_noise),
        ("noise-mask",),
        r"export it again",
    ),
    Damage(
        "an image is black",
        "values",
        _image(lambda i: PIL.Image.new("RGB", i.size)),
        ("blank-image",),
        AGAIN,
    ),
    Damage(
        "a mask has another suffix",
        "values",
        _rename(Town.mask, lambda path: f"{path.stem}.tiff"),
        ("missing-mask", "extra-mask"),
        r"train_3\.tiff lies there: rename it",
    ),
    Damage("one class too many", "values", _mask(_spot(_COUNT)), ("foreign-values",), r"ignore = 9|correct"),
    Damage("a colour without a meaning", "colours", _mask(_spot((1, 2, 3))), ("foreign-values",), r"\[codes\]|correct"),
    Damage(
        "ignored pixels are written otherwise",
        "values",
        _mask(_lookup({IGNORE: 254}), every=True),
        ("foreign-values",),
        r"ignore = 254",
    ),
    Damage(
        "a mask is black and white",
        "values",
        _mask(lambda v: np.where(v == CAR, 255, 0).astype(np.uint8)),
        ("black-and-white",),
        r"export|annotat",
    ),
    Damage(
        "every mask is black and white",
        "values",
        _mask(lambda v: np.where(v == CAR, 255, 0).astype(np.uint8), every=True),
        ("black-and-white",),
        r"export|classes",
    ),
    Damage(
        "every mask of two classes is black and white",
        "binary",
        _mask(_lookup({1: 255}), every=True),
        ("black-and-white",),
        r"write 1 in place of 255",
        fixed=True,
    ),
    Damage(
        "a mask of two classes is black and white",
        "binary",
        _mask(_lookup({1: 255})),
        ("black-and-white",),
        r"write 1 in place of 255",
        fixed=True,
    ),
    Damage(
        "every mask of two classes counts from 1",
        "binary",
        _mask(_lookup({0: 1, 1: 2}), every=True),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage("a mask has one bit", "values", _mask(lambda v: v == CAR), ("one-bit",), r"8 bits"),
    Damage(
        "every mask counts from 1",
        "values",
        _mask(_lookup({n: n + 1 for n in range(_COUNT)}), every=True),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage(
        "every mask counts from 1, 0 is ignored",
        "values",
        _mask(_lookup({IGNORE: 0} | {n: n + 1 for n in range(_COUNT)}), every=True),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage(
        "CamVid counts from 1",
        "camvid",
        _mask(lambda v: ((v + 1) % 12).astype(np.uint8), every=True),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage(
        "a mask counts from 1",
        "values",
        _mask(_lookup({n: n + 1 for n in range(_COUNT)})),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage(
        "labelIds for train ids",
        "trainids",
        _mask(_lookup({int(TO_TRAIN[n]): int(TO_RAW[n]) for n in range(_COUNT)} | {IGNORE: 0}), every=True),
        ("raw-ids",),
        r"train ?ids|\[codes\]",
        fixed=True,
    ),
    Damage(
        "labelIds for train ids in one mask",
        "trainids",
        _mask(_lookup({int(TO_TRAIN[n]): int(TO_RAW[n]) for n in range(_COUNT)} | {IGNORE: 0})),
        ("raw-ids",),
        r"train ?ids|\[codes\]",
        fixed=True,
    ),
    Damage(
        "train ids for labelIds",
        "cityscapes",
        _mask(_lookup({int(TO_RAW[n]): int(TO_TRAIN[n]) for n in range(_COUNT)} | {1: 255}), every=True),
        ("train-ids",),
        r"labelTrainIds",
        fixed=True,
    ),
    Damage(
        "train ids for labelIds in one mask",
        "cityscapes",
        _mask(_lookup({int(TO_RAW[n]): int(TO_TRAIN[n]) for n in range(_COUNT)} | {1: 255})),
        ("train-ids",),
        r"labelTrainIds",
        fixed=True,
    ),
    Damage(
        "instanceIds for labelIds", "cityscapes", _beside("instanceIds"), ("instance-ids",), r"labelIds", fixed=True
    ),
    Damage(
        "the colour pictures for labelIds",
        "cityscapes",
        _beside("color"),
        ("colours-for-values",),
        r"values|labelIds",
        fixed=True,
    ),
    Damage(
        "colours for values",
        "values",
        _mask(painted, every=True),
        ("colours-for-values",),
        r"coding = \"colours\"|values",
        fixed=True,
    ),
    Damage("colours for values in one mask", "values", _mask(painted), ("colours-for-values",), r"values", fixed=True),
    Damage(
        "unknown colours for values",
        "values",
        _mask(lambda v: np.stack([v * 20, 255 - v, v], -1)),
        ("colours-for-values",),
        r"colours",
    ),
    Damage(
        "three equal channels",
        "values",
        _mask(lambda v: np.stack([v] * 3, -1)),
        ("colours-for-values",),
        r"one of the channels",
        fixed=True,
    ),
    Damage(
        "the owners' colours in CamVid",
        "camvid",
        _camvid_colours,
        ("colours-for-values",),
        r"values|colours",
        fixed=True,
    ),
    Damage(
        "values for colours",
        "colours",
        lambda town: _to_values(town, every=True),
        ("values-for-colours",),
        r"coding = \"values\"|colours",
        fixed=True,
    ),
    Damage(
        "values for colours in one mask",
        "colours",
        lambda town: _to_values(town, every=False),
        ("values-for-colours",),
        r"colours|paint",
        fixed=True,
    ),
    Damage(
        "the grey of colours for values",
        "values",
        _mask(_grey_of_colours, every=True),
        ("foreign-values", "colours-for-values"),
        r"colour|export|correct",
    ),
    Damage(
        "an indexed PNG of a graphics program",
        "values",
        _indexed,
        ("colours-for-values",),
        r"palette|colour",
        fixed=True,
    ),
    Damage(
        "values spread for viewing",
        "values",
        _mask(_lookup({n: n * 28 for n in range(_COUNT)}), every=True),
        ("stretched-values",),
        r"divide",
        fixed=True,
    ),
    Damage(
        "values spread in one mask",
        "values",
        _mask(_lookup({n: n * 28 for n in range(_COUNT)})),
        ("stretched-values",),
        r"divide",
        fixed=True,
    ),
    Damage(
        "8 bits spread to 16",
        "values",
        _mask(lambda v: v.astype(np.uint16) * 257, every=True),
        ("stretched-values",),
        r"divide",
        fixed=True,
    ),
    Damage(
        "16 bits with their bytes exchanged",
        "values",
        _mask(lambda v: v.astype(np.uint16) << 8, every=True),
        ("stretched-values",),
        r"divide|bytes",
        fixed=True,
    ),
    Damage("values are inverted", "values", _mask(lambda v: 255 - v), ("foreign-values",), r"invert|correct|subtract"),
    Damage("a mask is a JPEG", "values", _mask(lambda v: v, format="JPEG", quality=95), ("jpeg-mask",), r"PNG"),
    Damage(
        "values went through JPEG",
        "values",
        _mask(lambda v: _through_jpeg(v, 75)),
        ("jpeg-mask", "blurred-mask", "foreign-values"),
        r"export",
    ),
    Damage("colours went through JPEG", "colours", _mask(_through_jpeg), ("jpeg-mask",), r"export|nearest"),
    Damage("a colour mask is a JPEG", "colours", _mask(lambda v: v, format="JPEG"), ("jpeg-mask",), r"PNG"),
    Damage(
        "a mask was resized with mixing",
        "values",
        _mask(lambda v: _resized(v, PIL.Image.Resampling.BILINEAR)),
        ("blurred-mask", "foreign-values"),
        r"nearest|export",
    ),
    Damage(
        "colours were resized with mixing",
        "colours",
        _mask(lambda v: _resized(v, PIL.Image.Resampling.BICUBIC)),
        ("blurred-mask", "jpeg-mask"),
        r"nearest|export",
    ),
    Damage(
        "colours are smooth at borders",
        "colours",
        _mask(_smooth),
        ("blurred-mask", "jpeg-mask"),
        r"nearest|export|smooth",
    ),
    Damage("colours with a clear border", "colours", _mask(_clear_border), ("alpha-mask",), r"transparen"),
    Damage(
        "red and blue of a mask are exchanged",
        "colours",
        _mask(lambda v: v[..., ::-1].copy(), every=True),
        ("foreign-values",),
        r"RGB|exchange",
        fixed=True,
    ),
    Damage(
        "red and blue of one mask are exchanged",
        "colours",
        _mask(lambda v: v[..., ::-1].copy()),
        ("foreign-values",),
        r"RGB|exchange",
        fixed=True,
    ),
    Damage(
        "a photo lies among the masks",
        "values",
        _photo_for_mask,
        ("colours-for-values",),
        PHOTO,
    ),
    Damage("an overlay lies among the masks", "values", _mask(_overlay), ("colours-for-values",), PHOTO),
    Damage("images and masks are exchanged", "values", _folders_exchanged, ("colours-for-values",), PHOTO),
    Damage(
        "colours in a WebP with losses",
        "colours",
        _mask(lambda v: v, format="WEBP", quality=80),
        ("jpeg-mask", "blurred-mask", "wrong-suffix"),
        r"export|PNG",
    ),
    Damage(
        "ignored pixels are written as the first class",
        "values",
        _mask(_lookup({IGNORE: 0}), every=True),
        ("foreign-values",),
        r"",
        found=False,
        why="a class's value does not tell what was meant, and part of any class may look unlike the rest",
    ),
    Damage(
        "two small classes are exchanged in a mask",
        "values",
        _mask(_lookup({CAR: PERSON, PERSON: CAR})),
        ("foreign-values",),
        r"",
        found=False,
        why="borders lie right and both values are classes; only somebody who knows cars from people sees it",
    ),
    Damage(
        "a mask holds floating point",
        "values",
        _mask(lambda v: v.astype(np.float32), format="TIFF"),
        ("unreadable-mask",),
        r"8 or 16 bits",
    ),
    Damage("nearly everything is ignored", "values", _mask(_mostly(IGNORE)), ("mostly-ignored",), ANNOTATE),
    Damage("everything is ignored", "values", _mask(_flat(IGNORE)), ("mostly-ignored", "constant-mask"), ANNOTATE),
    Damage("a mask was never begun", "values", _mask(_flat(0)), ("constant-mask",), ANNOTATE),
    Damage("a mask is all trees", "values", _mask(_flat(TREE)), ("constant-mask",), ANNOTATE),
    Damage("every mask was never begun", "values", _mask(_flat(0), every=True), ("constant-mask",), ANNOTATE),
    Damage(
        "a mask lies in another city", "cityscapes", _other_city, ("missing-mask", "extra-mask"), r"name|add|annotate"
    ),
    # --- images
    Damage(
        "red and blue of every image are exchanged",
        "values",
        _image(_exchange, every=True),
        ("channel-order",),
        r"red|channel|RGB",
    ),
    Damage(
        "red and blue of an image are exchanged", "values", _image(_exchange), ("channel-order",), r"red|channel|RGB"
    ),
    Damage("a frame lies in both splits", "values", _copied, ("leak", "near-leak"), r"one of|remove|take"),
    Damage("a pair is listed in both splits", "list", _listed_in_both, ("leak",), r"one of|remove|take"),
    Damage(
        "a frame is saved again in the other split",
        "values",
        _leak(lambda i: i, quality=60),
        ("near-leak", "leak"),
        r"one of|remove|take",
    ),
    Damage(
        "a frame is brighter in the other split",
        "values",
        _leak(lambda i: (i * 1.12).clip(0, 255).astype(np.uint8)),
        ("near-leak", "leak"),
        r"one of|remove|take",
    ),
    Damage(
        "a frame has half its size in the other split",
        "values",
        _half_leak,
        ("near-leak", "leak"),
        r"one of|remove|take",
    ),
    Damage(
        "one picture has two masks",
        "values",
        _twice(lambda v: np.where(v == CAR, 0, v)),
        ("two-masks",),
        r"mask|one of",
    ),
    Damage(
        "partly marked frames are named wrongly",
        "values",
        _describe('[[partial]]\nframes = "street_*"\nmarked = ["car"]\n'),
        ("unmatched-partial",),
        r"correct the pattern",
    ),
    # --- worth knowing
    Damage("a picture is twice in a split", "values", _twice(lambda v: v), ("duplicate",), r"", grade="note"),
    Damage("a drive is in both splits", "values", _one_drive, ("sequence-in-two-splits",), r"", grade="note"),
    Damage("instanceIds are missing", "cityscapes", _instances_gone, ("missing-instances",), r"instance", grade="note"),
    Damage(
        "a class is never seen",
        "values",
        _unnamed(_mask(_lookup({CAR: 0}), every=True)),
        ("unseen-class",),
        r"",
        grade="note",
    ),
)


def _to_values(town: Town, every: bool) -> list[Culprit]:
    for split, paths in town.masks.items():
        for path, street in zip(paths, scenes(split), strict=True):
            if every or path == town.mask():
                save(path, street.labels)
    return town.pairs() if every else [town.pair()]
