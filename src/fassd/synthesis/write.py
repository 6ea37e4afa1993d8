"""Rendered streets with perfect labels, written in the layout of Cityscapes: data that needs no download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from fassd.core.errors import FileError, UsageError
from fassd.core.files import written_whole
from fassd.core.labels import CITYSCAPES
from fassd.synthesis.mesh import Array
from fassd.synthesis.render import Rendering, render
from fassd.synthesis.scene import build_scene

CITY = "rendered"
"""The place that file names give, where Cityscapes has towns."""

SMALLEST, LARGEST = (64, 128), (2048, 4096)
"""Height and width: below, a person is two pixels high; above, memory goes beyond 4 GB."""

_MOST_IMAGES = 1_000_000
_IMAGES = "leftImg8bit"
_TERMS_FILE, _TERMS = "terms.txt", "rendered by fassd, free for any use\n"


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


def require_room(out: Path, split: str) -> None:
    """Refuses a folder that holds anything but other splits of rendered streets.

    Raises:
        FileError: holds other files or this split already, is not a folder, or not readable.
    """
    terms = out / _TERMS_FILE
    try:
        if terms.is_file() and terms.read_text(encoding="utf-8") == _TERMS:
            taken = [place for place in (out / _IMAGES / split, out / "gtFine" / split) if place.exists()]
            if not taken:
                return
            images = sum(1 for _ in (out / _IMAGES / split).rglob("*.png"))
            raise FileError(
                out,
                f"holds {images} rendered street{'s' * (images != 1)} of the split '{split}' already, all of an "
                f"earlier run or what an interrupted one left; nothing is overwritten: to render them anew, remove "
                f"{' and '.join(map(str, taken))}, or give another --split or folder",
            )
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            found = "a folder with files in it" if out.is_dir() else "a file"
            raise FileError(out, f"is {found}; give a new or an empty folder, nothing is overwritten")
    except OSError as error:
        raise FileError(out, f"cannot be read ({error.strerror}); choose another folder") from None


def write_terms(out: Path) -> None:
    """Says in the folder itself that these are nobody's photos; whoever trains on them finds it in the checkpoint.

    Raises:
        FileError: the file cannot be written.
    """
    with written_whole(out / _TERMS_FILE) as temporary:
        temporary.write_text(_TERMS, encoding="utf-8")


def write_street(out: Path, streets: Streets, index: int, rendering: Rendering) -> Path:
    """Writes a street's image and its four label files; returns the image's path.

    Raises:
        FileError: a file cannot be written.
    """
    # Cityscapes counts the frames of a sequence; the labelled one is the 20th.
    stem = f"{CITY}_{index:06}_000019"
    train_ids = CITYSCAPES.raw_id_table()[rendering.label_ids]
    labels = out / "gtFine" / streets.split / CITY
    _write(labels / f"{stem}_gtFine_labelIds.png", rendering.label_ids)
    _write(labels / f"{stem}_gtFine_instanceIds.png", rendering.instance_ids)
    _write(labels / f"{stem}_gtFine_labelTrainIds.png", train_ids)
    _write(labels / f"{stem}_gtFine_color.png", CITYSCAPES.colour_table()[train_ids])
    # The image last: whoever finds one finds its labels too.
    image = out / _IMAGES / streets.split / CITY / f"{stem}_leftImg8bit.png"
    _write(image, rendering.image)
    return image


def _write(path: Path, picture: Array) -> None:
    with written_whole(path) as temporary:
        PIL.Image.fromarray(picture).save(temporary, "PNG", compress_level=4)
