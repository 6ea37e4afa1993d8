"""Rendered streets with perfect labels, written in the layout of Cityscapes: data that needs no download."""

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
"""The place that file names give, where Cityscapes has towns."""

SMALLEST, LARGEST = (64, 128), (2048, 4096)
"""Height and width: below, a person is two pixels high; above, memory goes beyond 4 GB."""

_MOST_IMAGES = 1_000_000
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True)
class Streets:
    """A set of rendered streets.

    Attributes:
        images: how many.
        size: height, width, in pixels.
        seed: of the whole set; image i depends on seed, size and i alone.
        split: the folder beside those of Cityscapes' own splits.

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
    """Street number `index` of a set: always the same, however many are asked for."""
    random = np.random.default_rng([streets.seed, index])
    return render(build_scene(random, streets.size), random)


def drawn_folders(out: Path, split: str) -> tuple[Path, Path]:
    """The folders of a split's images and of its labels."""
    return out / "leftImg8bit" / split / CITY, out / "gtFine" / split / CITY


def files_of_street(out: Path, split: str, index: int) -> dict[str, Path]:
    """The places of a street's files: "image", and its labels by what they hold."""
    images, labels = drawn_folders(out, split)
    # Cityscapes counts the frames of a sequence; the labeled one is the 20th.
    stem = f"{CITY}_{index:06}_000019"
    kinds = ("labelIds", "instanceIds", "labelTrainIds", "color")
    return {kind: labels / f"{stem}_gtFine_{kind}.png" for kind in kinds} | {
        "image": images / f"{stem}_leftImg8bit.png"
    }


def is_whole(out: Path, split: str, index: int) -> bool:
    """Whether all files of a street are there, to their ends."""
    return all(_ends_as_png(path) for path in files_of_street(out, split, index).values())


def write_street(out: Path, split: str, index: int, rendering: Rendering) -> None:
    """Writes a street's four label files and its image.

    Raises:
        FileError: a file cannot be written.
    """
    train_ids = CITYSCAPES.label_id_table()[rendering.label_ids]
    pictures = {
        "labelIds": rendering.label_ids,
        "instanceIds": rendering.instance_ids,
        "labelTrainIds": train_ids,
        "color": CITYSCAPES.color_table()[train_ids],
        # The image last: whoever finds one finds its labels too.
        "image": rendering.image,
    }
    files = files_of_street(out, split, index)
    for kind, picture in pictures.items():
        with written_whole(files[kind]) as temporary:
            PIL.Image.fromarray(picture).save(temporary, "PNG", compress_level=4)


def _ends_as_png(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(_PNG_END)))
        return stream.read() == _PNG_END
