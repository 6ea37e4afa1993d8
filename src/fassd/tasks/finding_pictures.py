"""The pictures of findings: what a person needs to see to believe one, small enough for a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fassd.core.errors import FassdError, FileError
from fassd.data.kinds import scan_dataset
from fassd.media.images import read_image
from fassd.media.sheet import small_image, small_mask
from fassd.tasks.page import Shot, jpeg
from fassd.tasks.viewing import VIEWS, pictures, view

if TYPE_CHECKING:
    from fassd.checks.findings import Finding
    from fassd.core.labels import LabelSpace
    from fassd.data.dataset import Dataset, Pair, Scan
    from fassd.media.sheet import Picture

SIDE = 300
"""Largest side of a picture, in pixels."""


class FindingPictures:
    """Draws files of a data set as they stand in it: images with their masks, masks without images, either alone."""

    def __init__(self, spec: str, splits: Iterable[str]) -> None:
        """Looks up where the files of the splits belong.

        Args:
            spec: the data set, "kind:PATH".
            splits: those that were checked.

        Raises:
            UsageError, FileError: as `scan_dataset`.
        """
        self.space: LabelSpace | None = None
        self._pairs: dict[Path, tuple[Dataset, Pair]] = {}
        self._orphans: dict[Path, Dataset] = {}
        for split in splits:
            self._add(scan_dataset(spec, split))

    def shots(self, finding: Finding, file: Path) -> list[Shot]:
        """What shows a finding: for two files both, else image, mask and overlay, as far as they can be read."""
        if finding.partner is not None:
            both = ((file, self._photo(file)), (finding.partner, self._photo(finding.partner)))
            return [jpeg(_place(path), drawn) for path, drawn in both if drawn is not None]
        return [jpeg(caption, drawn, colours_matter=caption == "mask") for caption, drawn in self._views(file)]

    def _add(self, scan: Scan) -> None:
        dataset = scan.dataset
        self.space = self.space or dataset.label_space
        for pair in dataset.pairs:
            self._pairs[pair.image] = self._pairs[pair.mask] = (dataset, pair)
        self._orphans.update(dict.fromkeys(scan.orphans, dataset))

    def _views(self, file: Path) -> Iterator[tuple[str, Picture]]:
        if file in self._pairs:
            dataset, pair = self._pairs[file]
            drawn = pictures(view(dataset, pair), dataset.label_space, SIDE)
            yield from ((name, one) for name, one in zip(VIEWS, drawn, strict=True) if one is not None)
        elif file in self._orphans and (mask := _mask(file, self._orphans[file])) is not None:
            yield "mask", mask
        elif (photo := self._photo(file)) is not None:
            yield "as stored", photo

    def _photo(self, file: Path) -> Picture | None:
        """A file of a pair as its image, any other as it is."""
        try:
            return small_image(read_image(self._pairs[file][1].image if file in self._pairs else file), SIDE)
        except FassdError:
            return None


def _mask(file: Path, dataset: Dataset) -> Picture | None:
    try:
        codes = dataset.coding.read(file)
    except FileError:
        return None
    foreign = np.isin(codes, dataset.coding.foreign(codes))
    return small_mask(dataset.coding.labels(codes), foreign, dataset.label_space, SIDE)


def _place(path: Path) -> str:
    return "/".join(path.parts[-2:])
