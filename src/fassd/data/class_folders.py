"""Images sorted into a folder for each class, as ImageNet: FOLDER/train/CLASS/image.jpg."""

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
from fassd.data.dataset import file_size
from fassd.data.transforms import draw_crop, jitter
from fassd.media.formats import SUFFIXES
from fassd.media.images import read_image, read_size

SHOWN = 224 / 256
"""Share of an image's shorter side that a central view shows: 224 of 256 pixels, as is usual on ImageNet."""


@dataclass(frozen=True)
class ClassFolders:
    """Images of known class, in a stable order: sorted by class, then by name.

    Attributes:
        folder: the folder with the splits.
        split: "train" or "val".
        classes: names of the classes; `val` has those of `train`.
        names: paths of the images below the folder of the split.
        targets: the class of every image.
    """

    folder: Path
    split: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    targets: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.resolve().name

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> Path:
        """The file of an image."""
        return self.folder / self.split / self.names[index]

    def image(self, index: int, views: Augmentation | None = None) -> Image:
        """An image, (H, W, 3) uint8 RGB.

        Args:
            index: of the image.
            views: the augmentation of `random_view`; a JPEG is then decoded no larger than that needs. None: full size.

        Raises:
            ImageError: the file is damaged or missing.
        """
        path = self.path(index)
        if views is None:
            return read_image(path)
        return read_image(path, views.scale[1] * _usual_factor(read_size(path), views.crop_size))


def open_class_folders(folder: Path, split: str, classes: Sequence[str] | None = None) -> ClassFolders:
    """The images of a split.

    Args:
        folder: with a folder for each split, which has a folder for each class. Hidden files and folders are ignored.
        split: the name of the split.
        classes: the allowed classes; None takes them from the split's folders.

    Raises:
        MissingSplit: there is no folder of that name.
        DataError: fewer than two class folders, one without images, or one that is not in `classes`.
        FileError: a folder is missing or cannot be listed.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise FileError(folder, f"{found}; expected a folder that holds train/CLASS/IMAGES and val/CLASS/IMAGES")
    root = folder / split
    if not root.is_dir():
        raise MissingSplit(folder, f"has no folder '{split}'; expected {split}/CLASS/IMAGES below it")
    found_names = _class_names(root)
    known = tuple(found_names if classes is None else classes)
    if len(known) < 2:
        raise DataError(root, f"holds only the class '{known[0]}'; give at least two class folders")
    unknown = sorted(set(found_names) - set(known))
    if unknown:
        raise DataError(root, f"has the class '{unknown[0]}', which train lacks; remove or rename its folder")
    names, targets = list[str](), list[int]()
    for name in found_names:
        images = _images_below(root, name)
        names += images
        targets += [known.index(name)] * len(images)
    return ClassFolders(folder, split, known, tuple(names), tuple(targets))


def _class_names(root: Path) -> list[str]:
    entries = [entry for entry in _listed(root) if not entry.name.startswith(".")]
    names = sorted(entry.name for entry in entries if entry.is_dir())
    if not names:
        loose = any(Path(entry.name).suffix.lower() in SUFFIXES for entry in entries)
        what = "holds images, but no folders" if loose else "holds no folders"
        raise DataError(root, f"{what}; sort the images into a folder for each class")
    return names


def _images_below(root: Path, name: str) -> list[str]:
    """Paths of a class's images below the folder of the split, sorted; deeper folders are included."""
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
        raise DataError(root / name, f"holds no images; looked for names ending in {', '.join(sorted(SUFFIXES))}")
    return sorted(found)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise FileError(folder, f"cannot be listed ({error.strerror}); check its permissions") from None


def image_list_digest(images: ClassFolders) -> str:
    """SHA-256 of the list of files, in order: classes, names and sizes, not contents; see `file_list_digest`.

    Raises:
        DataError: a file is missing.
    """
    digest = hashlib.sha256(f"{images.split} {' '.join(images.classes)}\n".encode())
    for index, name in enumerate(images.names):
        digest.update(f"{name} {file_size(images.path(index))}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def random_view(image: Image, augmentation: Augmentation, random: np.random.Generator) -> Image:
    """A view for training: randomly flipped, resized, cropped to `augmentation.crop_size`, and color-jittered.

    Images come in all sizes, so `scale` is relative to the size at which the crop shows `SHOWN` of the image's shorter
    side: with a scale of `SHOWN` the crop shows all of that side, with 2.5 a third of it.

    Args:
        image: (H, W, 3) uint8 RGB.
        augmentation: of the recipe.
        random: source of randomness.
    """
    usual = _usual_factor(image.shape, augmentation.crop_size)
    low, high = augmentation.scale
    own = msgspec.structs.replace(augmentation, scale=(low * usual, high * usual))
    view = draw_crop(image.shape[:2], own, random).of_image(image)
    return jitter(view, augmentation.color_jitter, random, out=view) if augmentation.color_jitter else view


def central_view(image: Image, crop: tuple[int, int]) -> Image:
    """A view for validation: the middle of the image, `SHOWN` of its shorter side, resized to `crop`.

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
    """The factor by which an image is resized so that the crop shows `SHOWN` of its shorter side."""
    height, width = size[:2]
    return float(max(crop[0] / height, crop[1] / width)) / SHOWN
