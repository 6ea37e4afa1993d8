"""Pictures sorted into folders by class, as ImageNet is handed out: FOLDER/train/CLASS/picture.jpg."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image as Pillow

from fassd.core.arrays import Image
from fassd.core.errors import DataError, FileError, MissingSplit
from fassd.core.recipe import Augmentation
from fassd.data.transforms import draw_crop, jitter
from fassd.media.formats import SUFFIXES
from fassd.media.images import read_image, read_size

SHOWN = 224 / 256
"""Share of an image's shorter side that the square in its middle shows: 224 of 256 pixels, as is usual on ImageNet."""


@dataclass(frozen=True)
class ClassFolders:
    """Pictures of known class, in a stable order: classes by name, pictures by name within each.

    Attributes:
        folder: that holds the splits.
        split: "train" or "val".
        classes: names of the classes; those of `train` for `val` too.
        names: of the pictures, below the split's folder.
        targets: the class of each picture.
    """

    folder: Path
    split: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    targets: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.resolve().name

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> Path:
        """The file of a picture."""
        return self.folder / self.split / self.names[index]

    def image(self, index: int, views: Augmentation | None = None) -> Image:
        """A picture, (H, W, 3) uint8 RGB.

        Args:
            index: which.
            views: what `random_view` will cut from it: JPEG is read no larger than that takes. None reads all of it.

        Raises:
            ImageError: it is damaged, or gone.
        """
        path = self.path(index)
        if views is None:
            return read_image(path)
        return read_image(path, views.scale[1] * _usual_factor(read_size(path), views.crop_size))


def open_class_folders(folder: Path, split: str, classes: Sequence[str] | None = None) -> ClassFolders:
    """The pictures of a split.

    Args:
        folder: with a folder for each split, and in it one for each class. Hidden files and folders do not count.
        split: which part.
        classes: that the split may have; None takes them from its folders.

    Raises:
        MissingSplit: there is no folder of that name.
        DataError: no class folders, fewer than two of them, one without pictures, or one that is not in `classes`.
        FileError: a folder is missing or cannot be listed.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise FileError(folder, f"{found}; expected a folder that holds train/CLASS/PICTURES and val/CLASS/PICTURES")
    root = folder / split
    if not root.is_dir():
        raise MissingSplit(folder, f"has no folder '{split}'; expected {split}/CLASS/PICTURES below it")
    found_names = _class_names(root)
    known = tuple(found_names if classes is None else classes)
    if len(known) < 2:
        raise DataError(root, f"holds the single class '{known[0]}'; to tell classes apart takes at least two folders")
    foreign = sorted(set(found_names) - set(known))
    if foreign:
        raise DataError(root, f"has the class '{foreign[0]}', which train lacks; remove its folder or rename it")
    names, targets = list[str](), list[int]()
    for name in found_names:
        pictures = _pictures_below(root, name)
        names += pictures
        targets += [known.index(name)] * len(pictures)
    return ClassFolders(folder, split, known, tuple(names), tuple(targets))


def _class_names(root: Path) -> list[str]:
    entries = [entry for entry in _listed(root) if not entry.name.startswith(".")]
    names = sorted(entry.name for entry in entries if entry.is_dir())
    if not names:
        loose = any(Path(entry.name).suffix.lower() in SUFFIXES for entry in entries)
        what = "holds pictures, but no folders" if loose else "holds no folders"
        raise DataError(root, f"{what}; sort the pictures into one folder for each class")
    return names


def _pictures_below(root: Path, name: str) -> list[str]:
    """Names of a class's pictures below the split's folder, sorted; deeper folders count as well."""
    found, waiting = list[str](), [root / name]
    while waiting:
        for entry in _listed(waiting.pop()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif Path(entry.name).suffix.lower() in SUFFIXES:
                found.append(os.path.relpath(entry.path, root))
    if not found:
        raise DataError(root / name, f"holds no pictures; looked for names ending in {', '.join(sorted(SUFFIXES))}")
    return sorted(found)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise FileError(folder, f"cannot be listed ({error.strerror}); check its permissions") from None


def digest_of_pictures(pictures: ClassFolders) -> str:
    """SHA-256 of the list of files, in order: classes, names and sizes, but no contents; it stays when the set moves.

    Raises:
        DataError: a file vanished.
    """
    digest = hashlib.sha256(f"{pictures.split} {' '.join(pictures.classes)}\n".encode())
    for index, name in enumerate(pictures.names):
        path = pictures.path(index)
        try:
            digest.update(f"{name} {path.stat().st_size}\n".encode(errors="surrogateescape"))
        except OSError as error:
            raise DataError(path, f"cannot be read ({error.strerror}); is the disk still there?") from None
    return digest.hexdigest()


def random_view(image: Image, augmentation: Augmentation, random: np.random.Generator) -> Image:
    """What an iteration sees of an image: randomly flipped, resized, cropped to `augmentation.crop_size`, jittered.

    Pictures come in all sizes, so that `scale` counts from the size at which a crop shows `SHOWN` of the picture's
    shorter side: a scale of `SHOWN` fits the crop into the picture, one of 2.5 shows a third of the side.

    Args:
        image: (H, W, 3) uint8 RGB.
        augmentation: of the recipe.
        random: where chance comes from.
    """
    usual = _usual_factor(image.shape, augmentation.crop_size)
    low, high = augmentation.scale
    own = msgspec.structs.replace(augmentation, scale=(low * usual, high * usual))
    view = draw_crop(image.shape[:2], own, random).of_image(image)
    return jitter(view, augmentation.color_jitter, random, out=view) if augmentation.color_jitter else view


def central_view(image: Image, crop: tuple[int, int]) -> Image:
    """What a picture is judged by: its middle, `SHOWN` of the shorter side, resized to `crop`.

    Args:
        image: (H, W, 3) uint8 RGB.
        crop: height and width.
    """
    factor = _usual_factor(image.shape, crop)
    height, width = crop[0] / factor, crop[1] / factor
    left, top = (image.shape[1] - width) / 2, (image.shape[0] - height) / 2
    window = (left, top, left + width, top + height)
    resized = Pillow.fromarray(image).resize((crop[1], crop[0]), Pillow.Resampling.BILINEAR, window)
    return np.asarray(resized)


def _usual_factor(size: tuple[int, ...], crop: tuple[int, int]) -> float:
    """By how much a picture is resized so that the crop shows `SHOWN` of its shorter side."""
    height, width = size[:2]
    return float(max(crop[0] / height, crop[1] / width)) / SHOWN
