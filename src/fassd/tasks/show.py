"""A contact sheet of a data set: some of its frames as image, mask in color and overlay."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL.PngImagePlugin import PngInfo

from fassd.core.arrays import IGNORE
from fassd.core.errors import DataError, FileError, UsageError
from fassd.core.files import written_whole
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.open_dataset import scan_dataset, splits_of
from fassd.data.pair_preview import PairPreview, pictures, view
from fassd.media.formats import opened
from fassd.media.legend import FOREIGN, IGNORED, Entry
from fassd.media.sheet import Picture, Tile, contact_sheet, grid_for

if TYPE_CHECKING:
    from fassd.core.labels import LabelSpace
    from fassd.data.dataset import Dataset, Pair, Scan

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")
MOST_FRAMES = 200
_MARK = ("Software", "fassd data show")


@dataclass(frozen=True)
class Shown:
    """What was drawn.

    Attributes:
        path: the sheet.
        split: which part of the set.
        frames: on the sheet.
        pairs: images with a mask in the split.
        problems: name and problem of each frame on the sheet that is not whole.
    """

    path: Path
    split: str
    frames: int
    pairs: int
    problems: tuple[tuple[str, str], ...]


def show(
    spec: str,
    split: str | None = None,
    out: Path | None = None,
    images: int = 8,
    seed: int = 0,
    watch: Watch = ignore_events,
) -> Shown:
    """Draws a contact sheet and writes it whole or not at all.

    Args:
        spec: the data set, "kind:PATH".
        split: which part; None takes the first.
        out: a PNG or JPEG, overwritten; None means NAME_SPLIT.png in the working folder, overwritten if it is a sheet.
        images: how many frames, 1 to `MOST_FRAMES`; all if there are fewer.
        seed: which; the same seed shows the same frames.
        watch: gets a "frame" event for each, with `done` and `total`.

    Raises:
        UsageError: an impossible number, a suffix that is no picture's, an unknown kind.
        DataError, FileError: the set is not as its kind describes it, or the sheet cannot be written.
    """
    if not 1 <= images <= MOST_FRAMES:
        raise UsageError(f"--images is {images}; a sheet shows 1 to {MOST_FRAMES} frames")
    if out is not None and out.suffix.lower() not in SHEET_SUFFIXES:
        raise UsageError(f"--out is '{out}'; the sheet's name must end in {', '.join(SHEET_SUFFIXES)}")
    scan = scan_dataset(spec, split or _first_split(spec))
    dataset = scan.dataset
    path = out or _own_path(Path(f"{dataset.name}_{dataset.split}.png"))
    if not dataset.pairs:
        raise DataError(scan.lacking[0].image, f"has no mask, and no other image of split '{dataset.split}' has one")
    chosen = sorted(random.Random(seed).sample(range(len(dataset)), min(images, len(dataset))))
    grid = grid_for(len(chosen))
    tiles, counts, problems = [], np.zeros(257, np.int64), []
    for done, index in enumerate(chosen, 1):
        pair = dataset.pairs[index]
        seen = view(dataset, pair)
        tiles.append(_tile(pair, seen, dataset.label_space, grid.side))
        counts += _counts(seen)
        if seen.problem:
            problems.append((pair.name, seen.problem))
        watch(Event("frame", {"done": done, "total": len(chosen)}))
    entries = _entries(dataset.label_space, counts)
    _write(contact_sheet(spec, _subtitle(scan, len(chosen)), tiles, grid, entries), path)
    return Shown(path, dataset.split, len(chosen), len(dataset), tuple(problems))


def _first_split(spec: str) -> str:
    found = splits_of(spec)
    if not found:
        raise DataError(Path(spec.partition(":")[2]), "has no split with images; name a folder that holds the data set")
    return found[0]


def _own_path(path: Path) -> Path:
    """The path, if there is nothing or an earlier sheet."""
    if path.exists():
        try:
            with opened(path) as header:
                ours = header.image.info.get(_MARK[0]) == _MARK[1]
        except FileError:
            ours = False
        if not ours:
            raise FileError(path, "exists and is no contact sheet; name another file with --out, or remove it")
    return path


def _tile(pair: Pair, seen: PairPreview, space: LabelSpace, side: int) -> Tile:
    notes = []
    if seen.image is not None:
        notes.append(f"{seen.image.shape[1]} x {seen.image.shape[0]}")
    if pair.annotated is not None:
        notes.append(f"partially annotated: {len(pair.annotated)} of {len(space)} classes")
    drawn = pictures(seen, space, side)
    if seen.problem and None not in drawn:
        notes.append(seen.problem)
    return Tile(pair.name.partition("/")[2] or pair.name, drawn, "   ".join(notes), seen.problem)


def _counts(seen: PairPreview) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Pixels of each label, and in the last place those that mean nothing."""
    counts = np.zeros(257, np.int64)
    if seen.labels is not None and seen.foreign is not None:
        counts[:256] = np.bincount(seen.labels.ravel(), minlength=256)
        counts[256] = np.count_nonzero(seen.foreign)
        counts[IGNORE] -= counts[256]
    return counts


def _entries(space: LabelSpace, counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[Entry]:
    """The classes that occur, the largest first, then what is no class."""
    total = max(1, int(counts.sum()))
    found = [(int(counts[index]), label) for index, label in enumerate(space.classes) if counts[index]]
    ranked = sorted(found, key=lambda row: -row[0])
    entries = [Entry(label.color, label.name, _percent(count / total)) for count, label in ranked]
    if counts[IGNORE]:
        entries.append(Entry(IGNORED, "ignored", _percent(int(counts[IGNORE]) / total)))
    if counts[256]:
        entries.append(Entry(FOREIGN, "foreign value", _percent(int(counts[256]) / total)))
    return entries


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _subtitle(scan: Scan, frames: int) -> str:
    dataset: Dataset = scan.dataset
    pairs = len(dataset)
    parts = [
        f"split {dataset.split}",
        f"{frames} of {pairs:,} labeled images" if frames < pairs else f"{pairs:,} labeled image{'s' * (pairs != 1)}",
    ]
    if scan.lacking:
        parts.append(f"{len(scan.lacking):,} more have no mask")
    parts.append(f"{len(dataset.label_space)} classes, shares of the pixels shown")
    return "  ·  ".join(parts)


def _write(sheet: Picture, path: Path) -> None:
    with written_whole(path) as temporary:
        if path.suffix.lower() == ".png":
            mark = PngInfo()
            mark.add_text(*_MARK)
            sheet.save(temporary, "PNG", pnginfo=mark)
        else:
            sheet.save(temporary, "JPEG", quality=92, subsampling=0)
