"""Cityscapes as its owners distribute it: `leftImg8bit/SPLIT/CITY` beside `gtFine/SPLIT/CITY`.

Splits are the folders below `leftImg8bit`. `train_extra` was only annotated coarsely, so its masks come from
`gtCoarse`; `train_coarse` and `val_coarse` are the coarse masks of the other splits. The masks of `test` are not
published: the files with their names hold only ignored values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fassd.core.arrays import IGNORE
from fassd.core.errors import DataError, MissingSplit, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES, CITYSCAPES_CLASSES, CITYSCAPES_TO_CAMVID, LabelSpace
from fassd.data.dataset import Dataset, Pair, Scan, sort_out
from fassd.data.mask_encoding import MaskEncoding, by_value

_IMAGES, _FINE, _COARSE = "leftImg8bit", "gtFine", "gtCoarse"
_IMAGE_ENDING = f"_{_IMAGES}.png"
_ONLY_COARSE = "train_extra"
_COARSE_SPLIT = "_coarse"
_TERMS = "Cityscapes license: not commercial; research, teaching, own experiments; must not be passed on"


_ENCODINGS = {
    "labelIds": MaskEncoding(
        {row.label_id: IGNORE if row.ignored else row.train_id for row in CITYSCAPES_CLASSES if row.label_id >= 0}
    ),
    "labelTrainIds": by_value(CITYSCAPES),
}
"""The mask encodings, by the end of the files' names."""


@dataclass(frozen=True)
class _Place:
    """Where a split lies: its images, its masks, and "gtFine" or "gtCoarse"."""

    images: Path
    masks: Path
    annotation: str


def scan_cityscapes(spec: str, root: Path, split: str, into: LabelSpace | None) -> Scan:
    """Cityscapes from the folder that holds `leftImg8bit` and `gtFine`.

    A split is read from its labelIds masks, or from labelTrainIds where it has no labelIds. Samples are named
    city/stem and sorted by name.

    Raises:
        MissingSplit: no images, or no folder of masks.
        DataError: the folder has another layout.
        UsageError: a label space other than Cityscapes' and CamVid's was asked for.
    """
    space = CITYSCAPES if into is None else into
    if space not in (CITYSCAPES, CAMVID):
        raise UsageError(
            f"{spec} has the classes of '{CITYSCAPES.name}' and no table into '{space.name}'; describe it as a folder: "
            f"data set with [to.{space.name}], or choose weights or data that share its classes"
        )
    if not (root / _IMAGES).is_dir():
        raise DataError(root, f"has no folder {_IMAGES}; give cityscapes:PATH with the folder that holds it")
    place = _place(root, split)
    images = _images(place.images)
    if not images or not place.masks.is_dir():
        raise MissingSplit(root, f"has no split '{split}': {_explain(root, place)}")
    ending = _ending(place)
    pairs = [
        Pair(name, image, place.masks / f"{name}_{place.annotation}_{ending}.png")
        for name, image in sorted(images.items())
    ]
    encoding = _ENCODINGS[ending]
    if space == CAMVID:
        encoding = encoding.translated(CITYSCAPES.table_into(CAMVID, CITYSCAPES_TO_CAMVID))
    masks = sorted(place.masks.glob(f"*/[!.]*_{place.annotation}_{ending}.png"))
    # Rendered streets state their own terms.
    stated = root / "terms.txt"
    terms = stated.read_text(encoding="utf-8").strip() if stated.is_file() else _TERMS
    return sort_out(Dataset(spec, split, space, encoding, (), terms), pairs, masks)


def cityscapes_splits(root: Path) -> list[str]:
    """The splits that have images and masks; images with fine and coarse masks give two splits."""
    if not (root / _IMAGES).is_dir():
        return []
    names = sorted(path.name for path in (root / _IMAGES).iterdir() if path.is_dir() and _images(path))
    splits = dict.fromkeys(names + [name + _COARSE_SPLIT for name in names if name != _ONLY_COARSE])
    return [split for split in splits if _place(root, split).masks.is_dir()]


def instance_map_of(mask: Path) -> Path:
    """The instanceIds file beside a labelIds or labelTrainIds mask; whether it exists is not checked."""
    return mask.with_name(f"{mask.stem.rpartition('_')[0]}_instanceIds.png")


def _place(root: Path, split: str) -> _Place:
    folder = split.removesuffix(_COARSE_SPLIT)
    annotation = _COARSE if folder != split or split == _ONLY_COARSE else _FINE
    return _Place(root / _IMAGES / folder, root / annotation / folder, annotation)


def _images(folder: Path) -> dict[str, Path]:
    """Images by city/stem."""
    return {
        f"{path.parent.name}/{path.name.removesuffix(_IMAGE_ENDING)}": path
        for path in folder.glob(f"*/*{_IMAGE_ENDING}")
        # Unpacking an archive on macOS leaves metadata files whose names begin with a dot.
        if not path.name.startswith(".") and path.is_file()
    }


def _ending(place: _Place) -> str:
    """The end of the names of the split's masks; the first known one if there are no masks."""
    for ending in _ENCODINGS:
        if next(place.masks.glob(f"*/[!.]*_{place.annotation}_{ending}.png"), None):
            return ending
    return next(iter(_ENCODINGS))


def _explain(root: Path, place: _Place) -> str:
    """What a split lacks, and the splits that exist."""
    lacking = f"{place.images}/CITY/*{_IMAGE_ENDING}"
    if _images(place.images):
        lacking = f"{place.masks}/CITY/*_{place.annotation}_{next(iter(_ENCODINGS))}.png"
    return f"nothing matches {lacking}; there are: {', '.join(cityscapes_splits(root)) or 'no others'}"
