"""Findings of a data set check: one row for each kind, and the findings themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from PIL.Image import Transpose


@dataclass(frozen=True)
class FindingKind:
    """A row of `FINDING_KINDS`.

    Attributes:
        name: the identifier in reports.
        severity: an "error" spoils training or scores; an "info" is worth knowing.
        title: the problem in a few words.
    """

    name: str
    severity: Literal["error", "info"]
    title: str


@dataclass(frozen=True)
class Finding:
    """One problem of a data set; files with the same cause share one finding.

    Attributes:
        kind: the row of `FINDING_KINDS`.
        split: where; empty for the whole data set.
        files: the affected files; exactly one if there is a `related_file`.
        found: what was found.
        expected: what was expected.
        fix: what to do.
        related_file: the second file of a finding about two, such as the image that a leak repeats.
        table: the correct mask value for each value found, where one table corrects all files.
        tables: the same for single files, where each file needs its own table.
        turn: the flip or rotation that aligns the masks with their images.
    """

    kind: FindingKind
    split: str
    files: tuple[Path, ...]
    found: str
    expected: str
    fix: str
    related_file: Path | None = None
    table: Mapping[int, int] = field(default_factory=dict)
    tables: Mapping[Path, Mapping[int, int]] = field(default_factory=dict)
    turn: Transpose | None = None

    def table_of(self, file: Path) -> Mapping[int, int]:
        """The table that corrects one of the files; empty where none does."""
        return self.tables.get(file, self.table)


FINDING_KINDS = {
    kind.name: kind
    for kind in (
        # Files that are missing, superfluous, or cannot be read.
        FindingKind("missing-mask", "error", "images without a mask"),
        FindingKind("extra-mask", "error", "masks without an image"),
        FindingKind("duplicate-stem", "error", "two images with one stem"),
        FindingKind("unreadable-name", "error", "file names that are not portable"),
        FindingKind("empty-file", "error", "empty files"),
        FindingKind("unreadable-image", "error", "images that cannot be read"),
        FindingKind("unreadable-mask", "error", "masks that cannot be read"),
        FindingKind("wrong-suffix", "error", "suffixes that do not match the content"),
        FindingKind("several-pages", "error", "masks with several frames or pages"),
        FindingKind("animated-image", "info", "images with several frames or pages"),
        FindingKind("empty-split", "error", "splits without images"),
        FindingKind("unmatched-partial", "error", "[[partially_annotated]] entries that match no image"),
        FindingKind("no-such-split", "info", "missing train or val splits"),
        # Masks that are not aligned with their image.
        FindingKind("size-differs", "error", "masks of another size than their image"),
        FindingKind("turned-by-exif", "error", "EXIF orientation of image and mask differs"),
        FindingKind("flipped-mask", "error", "masks that are mirrored or rotated relative to their image"),
        FindingKind("shifted-mask", "error", "masks that are shifted relative to their image"),
        FindingKind("swapped-mask", "error", "masks that fit another image better than their own"),
        # Masks with values other than described.
        FindingKind("unknown-values", "error", "unknown values"),
        FindingKind("colors-for-values", "error", "colors where class indices were expected"),
        FindingKind("values-for-colors", "error", "class indices where colors were expected"),
        FindingKind("black-and-white", "error", "black and white (0 and 255) where 0 and 1 were expected"),
        FindingKind("one-bit", "error", "1-bit masks, which hold two classes at most"),
        FindingKind("off-by-one", "error", "values one too high or one too low"),
        FindingKind("label-ids", "error", "labelIds where train ids were expected"),
        FindingKind("train-ids", "error", "train ids where labelIds were expected"),
        FindingKind("instance-ids", "error", "instanceIds where classes were expected"),
        FindingKind("stretched-values", "error", "values that were multiplied, for example for display"),
        FindingKind("jpeg-mask", "error", "masks with JPEG artifacts"),
        FindingKind("blurred-mask", "error", "masks with mixed values along borders"),
        FindingKind("noise-mask", "error", "masks of noise"),
        FindingKind("alpha-mask", "error", "masks with transparency"),
        FindingKind("mostly-ignored", "error", "masks in which nearly everything is ignored"),
        FindingKind("constant-mask", "error", "masks with one value everywhere"),
        # Images.
        FindingKind("blank-image", "error", "images of one color"),
        FindingKind("channel-order", "error", "images whose red and blue seem swapped"),
        FindingKind("leak", "error", "the same image in two splits"),
        FindingKind("near-leak", "error", "nearly the same image in two splits"),
        FindingKind("two-masks", "error", "one image with different masks"),
        # Worth knowing.
        FindingKind("duplicate", "info", "the same image more than once in a split"),
        FindingKind("sequence-in-two-splits", "info", "frames of one drive in two splits"),
        FindingKind("unseen-class", "info", "classes that do not occur in a split"),
        FindingKind("partially-annotated", "info", "frames with annotations of some classes only"),
        FindingKind("missing-instances", "info", "masks without instanceIds, which the official scores need"),
        FindingKind("not-compared", "info", "candidates that were too many to compare"),
        FindingKind("skipped-file", "info", "image files skipped because of their suffix"),
    )
}


def finding(name: str, split: str, file: Path, found: str, expected: str, fix: str) -> Finding:
    """A finding of the kind with this name, about one file."""
    return Finding(FINDING_KINDS[name], split, (file,), found, expected, fix)


def merge_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Merges findings with the same cause into one with many files, in the order in which the causes first appear."""
    alike: defaultdict[tuple[object, ...], list[Finding]] = defaultdict(list)
    for one in findings:
        # A finding about two files stays separate. What a table corrects is kept apart from what none does.
        separate = one.files if one.related_file else ()
        fixable = bool(one.table or one.tables)
        cause = one.kind, one.split, separate, one.found, one.expected, one.fix, one.related_file, one.turn, fixable
        alike[cause].append(one)
    merged = []
    for same in alike.values():
        first, files = same[0], tuple(file for one in same for file in one.files)
        if all(one.table == first.table and not one.tables for one in same):
            merged.append(replace(first, files=files))
        else:
            tables = {file: one.table_of(file) for one in same for file in one.files}
            merged.append(replace(first, files=files, table={}, tables=tables))
    return merged
