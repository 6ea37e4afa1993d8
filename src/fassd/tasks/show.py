"""Show: draws a contact sheet of a data set, some frames as image, mask in color and overlay."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.PngImagePlugin import PngInfo

from fassd.core.arrays import IGNORE
from fassd.core.errors import DataError, FileError, UsageError
from fassd.core.files import written_whole
from fassd.core.labels import LabelSpace
from fassd.core.numbers import percent
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.dataset import Pair, Scan
from fassd.data.open_dataset import scan_dataset, splits_of
from fassd.data.pair_preview import PairPreview, draw_views, preview
from fassd.media.formats import opened
from fassd.media.legend import IGNORED, UNKNOWN, Entry
from fassd.media.sheet import Tile, contact_sheet, grid_for

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FRAMES = 200
_MARK = ("Software", "fassd data show")
"""PNG text that identifies a sheet, which may be overwritten."""


@dataclass(frozen=True)
class ShowResult:
    """A contact sheet.

    Attributes:
        path: of the sheet.
        split: the split shown.
        frames: their number on the sheet.
        pairs: number of images with a mask in the split.
        problems: name and problem of each damaged frame on the sheet.
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
) -> ShowResult:
    """Draws a contact sheet; a failure leaves no partial file.

    Args:
        spec: the data set, "kind:PATH".
        split: its name; None takes the first.
        out: a PNG or JPEG, overwritten; None means NAME_SPLIT.png in the working folder, overwritten if it is a sheet.
        images: number of frames, 1 to `MAX_FRAMES`; all if there are fewer.
        seed: of the choice of frames.
        watch: gets a "frame" event for each, with `done` and `total`.

    Raises:
        UsageError: an impossible number, a suffix of no image format, an unknown kind.
        DataError, FileError: the data set is not as its kind describes it, or the sheet cannot be written.
    """
    if not 1 <= images <= MAX_FRAMES:
        raise UsageError(f"--images is {images}; a sheet shows 1 to {MAX_FRAMES} frames")
    if out is not None and out.suffix.lower() not in SHEET_SUFFIXES:
        raise UsageError(f"--out is '{out}'; the sheet's name must end in {', '.join(SHEET_SUFFIXES)}")
    if split is None:
        found = splits_of(spec)
        if not found:
            path = Path(spec.partition(":")[2])
            raise DataError(path, "has no split with images; name a folder that holds the data set")
        split = found[0]
    scan = scan_dataset(spec, split)
    dataset = scan.dataset
    path = out or _default_path(Path(f"{dataset.name}_{dataset.split}.png"))
    if not dataset.pairs:
        raise DataError(scan.lacking[0].image, f"has no mask, and no other image of split '{dataset.split}' has one")
    chosen = sorted(random.Random(seed).sample(range(len(dataset)), min(images, len(dataset))))
    grid = grid_for(len(chosen))
    tiles, counts, problems = [], np.zeros(257, np.int64), []
    for done, index in enumerate(chosen, 1):
        pair = dataset.pairs[index]
        seen = preview(dataset, pair)
        tiles.append(_tile(pair, seen, dataset.label_space, grid.side))
        counts += _pixel_counts(seen)
        if seen.problem:
            problems.append((pair.name, seen.problem))
        watch(Event("frame", {"done": done, "total": len(chosen)}))
    entries = _legend_entries(dataset.label_space, counts)
    sheet = contact_sheet(spec, _subtitle(scan, len(chosen)), tiles, grid, entries)
    with written_whole(path) as temporary:
        if path.suffix.lower() == ".png":
            mark = PngInfo()
            mark.add_text(*_MARK)
            sheet.save(temporary, "PNG", pnginfo=mark)
        else:
            sheet.save(temporary, "JPEG", quality=92, subsampling=0)
    return ShowResult(path, dataset.split, len(chosen), len(dataset), tuple(problems))


def _default_path(path: Path) -> Path:
    """The path, unless it is a file other than a contact sheet."""
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
    views = draw_views(seen, space, side)
    if seen.problem and None not in views:
        notes.append(seen.problem)
    return Tile(pair.name.partition("/")[2] or pair.name, views, "   ".join(notes), seen.problem)


def _pixel_counts(seen: PairPreview) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(257,) pixels of each label and, last, of unknown values."""
    counts = np.zeros(257, np.int64)
    if seen.labels is not None and seen.unknown is not None:
        counts[:256] = np.bincount(seen.labels.ravel(), minlength=256)
        counts[256] = np.count_nonzero(seen.unknown)
        counts[IGNORE] -= counts[256]
    return counts


def _legend_entries(space: LabelSpace, counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[Entry]:
    """The classes that occur, the largest first, then ignored pixels and unknown values."""
    total = max(1, int(counts.sum()))
    found = [(int(counts[index]), label) for index, label in enumerate(space.classes) if counts[index]]
    ranked = sorted(found, key=lambda row: -row[0])
    entries = [Entry(label.color, label.name, percent(count / total)) for count, label in ranked]
    if counts[IGNORE]:
        entries.append(Entry(IGNORED, "ignored", percent(int(counts[IGNORE]) / total)))
    if counts[256]:
        entries.append(Entry(UNKNOWN, "unknown value", percent(int(counts[256]) / total)))
    return entries


def _subtitle(scan: Scan, frames: int) -> str:
    dataset = scan.dataset
    pairs = len(dataset)
    parts = [
        f"split {dataset.split}",
        f"{frames} of {pairs:,} labeled images" if frames < pairs else f"{pairs:,} labeled image{'s' * (pairs != 1)}",
    ]
    if scan.lacking:
        parts.append(f"{len(scan.lacking):,} more have no mask")
    parts.append(f"{len(dataset.label_space)} classes, shares of the pixels shown")
    return "  ·  ".join(parts)
