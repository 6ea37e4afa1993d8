"""Writes rendered streets with perfect labels in the layout of Cityscapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from fassd.core.errors import UsageError
from fassd.core.files import written_whole
from fassd.core.labels import CITYSCAPES
from fassd.synthesis.render import Rendering, render
from fassd.synthesis.scene import build_scene

CITY = "rendered"
"""The city in file names."""

SMALLEST, LARGEST = (64, 128), (2048, 4096)
"""Limits of (height, width): below, a person is two pixels high; above, rendering takes more than 4 GB of memory."""

_MOST_IMAGES = 1_000_000
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True)
class Streets:
    """A set of rendered streets.

    Attributes:
        images: their number.
        size: (height, width) in pixels.
        seed: of the set; image i depends only on seed, size and i.
        split: the name of its folder.

    Raises:
        UsageError: a value is out of range.
    """

    images: int = 50
    size: tuple[int, int] = (512, 1024)
    seed: int = 0
    split: str = "train"

    def __post_init__(self) -> None:
        height, width = self.size
        given = f"--size is {height}x{width}"
        if height < SMALLEST[0] or width < SMALLEST[1]:
            raise UsageError(f"{given}; the smallest is {SMALLEST[0]}x{SMALLEST[1]} (height x width)")
        if height > LARGEST[0] or width > LARGEST[1]:
            raise UsageError(f"{given}; the largest is {LARGEST[0]}x{LARGEST[1]} (height x width)")
        if not 0.5 <= width / height <= 4:
            raise UsageError(f"{given}; a street needs a width between half and four times the height")
        if not 1 <= self.images <= _MOST_IMAGES:
            raise UsageError(f"--images is {self.images}; 1 to {_MOST_IMAGES} are possible")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; it must not be negative")
        if not self.split or not self.split.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"--split is '{self.split}'; letters, digits, '-' and '_' make a folder's name")


def render_street(streets: Streets, index: int) -> Rendering:
    """Street number `index` of a set; it does not depend on the number of images."""
    random = np.random.default_rng([streets.seed, index])
    return render(build_scene(random, streets.size), random)


def folders_of_split(out: Path, split: str) -> tuple[Path, Path]:
    """The folders of a split's images and labels."""
    return out / "leftImg8bit" / split / CITY, out / "gtFine" / split / CITY


def files_of_street(out: Path, split: str, index: int) -> dict[str, Path]:
    """The paths of a street's files: "image", and its four label files by their Cityscapes names."""
    images, labels = folders_of_split(out, split)
    # Cityscapes numbers the frames of a sequence and labels the 20th.
    stem = f"{CITY}_{index:06}_000019"
    kinds = ("labelIds", "instanceIds", "labelTrainIds", "color")
    return {kind: labels / f"{stem}_gtFine_{kind}.png" for kind in kinds} | {
        "image": images / f"{stem}_leftImg8bit.png"
    }


def is_complete(out: Path, split: str, index: int) -> bool:
    """Whether all files of a street exist and are not truncated."""
    return all(_ends_as_png(path) for path in files_of_street(out, split, index).values())


def write_street(out: Path, split: str, index: int, rendering: Rendering) -> None:
    """Writes a street's four label files and its image.

    Raises:
        FileError: a file cannot be written.
    """
    train_ids = CITYSCAPES.label_id_table()[rendering.label_ids]
    arrays = {
        "labelIds": rendering.label_ids,
        "instanceIds": rendering.instance_ids,
        "labelTrainIds": train_ids,
        "color": CITYSCAPES.color_table()[train_ids],
        # The image comes last: if it exists, so do its labels.
        "image": rendering.image,
    }
    files = files_of_street(out, split, index)
    for kind, array in arrays.items():
        with written_whole(files[kind]) as temporary:
            PIL.Image.fromarray(array).save(temporary, "PNG", compress_level=4)


def _ends_as_png(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(_PNG_END)))
        return stream.read() == _PNG_END
