"""What a check of a data set can find: one row per kind of finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL.Image import Transpose


@dataclass(frozen=True)
class FindingKind:
    """A row of `FINDING_KINDS`.

    Attributes:
        name: as reports and tests call it.
        grade: a "fault" spoils training or scores; a "note" is worth knowing.
        title: what is wrong, in a few words.
    """

    name: str
    grade: Literal["fault", "note"]
    title: str


@dataclass(frozen=True)
class Finding:
    """One thing found in a data set; files with the same cause share one.

    Attributes:
        kind: which row of `FINDING_KINDS`.
        split: where; empty for the whole set.
        files: what it is about, the culprit first. With `partner`, one file; else all that have this cause.
        found: what is there.
        expected: what should be there.
        remedy: what to do.
        partner: the other file of the two that the finding is about, such as the frame that a leak repeats.
        table: the right code for each that the masks hold, where one table mends them.
        tables: the same for single files, where each has a table of its own.
        turn: what makes the masks fit, where a turn or a flip does.
    """

    kind: FindingKind
    split: str
    files: tuple[Path, ...]
    found: str
    expected: str
    remedy: str
    partner: Path | None = None
    table: Mapping[int, int] = field(default_factory=dict)
    tables: Mapping[Path, Mapping[int, int]] = field(default_factory=dict)
    turn: Transpose | None = None

    def table_of(self, file: Path) -> Mapping[int, int]:
        """What mends one of the files; empty where no table does."""
        return self.tables.get(file, self.table)


FINDING_KINDS = {
    kind.name: kind
    for kind in (
        # Files that are missing, superfluous, or cannot be read.
        FindingKind("missing-mask", "fault", "images without a mask"),
        FindingKind("extra-mask", "fault", "masks without an image"),
        FindingKind("duplicate-stem", "fault", "two images with one stem"),
        FindingKind("unreadable-name", "fault", "file names that other systems cannot read"),
        FindingKind("empty-file", "fault", "empty files"),
        FindingKind("unreadable-image", "fault", "images that cannot be read"),
        FindingKind("unreadable-mask", "fault", "masks that cannot be read"),
        FindingKind("wrong-suffix", "fault", "names that tell another format than the content"),
        FindingKind("several-pages", "fault", "masks with several frames or pages"),
        FindingKind("animated-image", "note", "images with several frames or pages"),
        FindingKind("empty-split", "fault", "splits without images"),
        FindingKind("unmatched-partial", "fault", "partially annotated frames that are not there"),
        FindingKind("no-such-split", "note", "usual splits that are not there"),
        # Masks whose pixels do not lie on their image's.
        FindingKind("size-differs", "fault", "masks of another size than their image"),
        FindingKind("turned-by-exif", "fault", "EXIF turns one of image and mask alone"),
        FindingKind("flipped-mask", "fault", "masks that are mirrored or turned against their image"),
        FindingKind("shifted-mask", "fault", "masks that are shifted against their image"),
        FindingKind("swapped-mask", "fault", "masks that fit another image better than their own"),
        # Masks whose values mean something else than the description says.
        FindingKind("foreign-values", "fault", "values that mean no class"),
        FindingKind("colors-for-values", "fault", "colors where class indices were expected"),
        FindingKind("values-for-colors", "fault", "class indices where colors were expected"),
        FindingKind("black-and-white", "fault", "black and white (0 and 255) where 0 and 1 were expected"),
        FindingKind("one-bit", "fault", "1-bit masks, which hold two classes at most"),
        FindingKind("off-by-one", "fault", "values one too high or one too low"),
        FindingKind("raw-ids", "fault", "labelIds where train ids were expected"),
        FindingKind("train-ids", "fault", "train ids where labelIds were expected"),
        FindingKind("instance-ids", "fault", "instanceIds where classes were expected"),
        FindingKind("stretched-values", "fault", "values that were multiplied, as for viewing"),
        FindingKind("jpeg-mask", "fault", "masks that went through JPEG"),
        FindingKind("blurred-mask", "fault", "masks with mixed values along borders"),
        FindingKind("noise-mask", "fault", "masks of noise"),
        FindingKind("alpha-mask", "fault", "masks with transparency"),
        FindingKind("mostly-ignored", "fault", "masks in which nearly everything is ignored"),
        FindingKind("constant-mask", "fault", "masks with one value everywhere"),
        # Images.
        FindingKind("blank-image", "fault", "images of one color"),
        FindingKind("channel-order", "fault", "images whose red and blue look exchanged"),
        FindingKind("leak", "fault", "the same picture in two splits"),
        FindingKind("near-leak", "fault", "nearly the same picture in two splits"),
        FindingKind("two-masks", "fault", "one picture with different masks"),
        # Worth knowing.
        FindingKind("duplicate", "note", "the same picture more than once in a split"),
        FindingKind("sequence-in-two-splits", "note", "frames of one drive in two splits"),
        FindingKind("unseen-class", "note", "classes that a split never shows"),
        FindingKind("partly-marked", "note", "frames on which only some classes were annotated"),
        FindingKind("missing-instances", "note", "masks without instanceIds, which the official scores need"),
        FindingKind("not-compared", "note", "more likenesses than are looked at one by one"),
        FindingKind("skipped-file", "note", "files that are no pictures by their names, and are skipped"),
    )
}


def finding(name: str, split: str, file: Path, found: str, expected: str, remedy: str) -> Finding:
    """A finding of the kind with this name, about one file."""
    return Finding(FINDING_KINDS[name], split, (file,), found, expected, remedy)
