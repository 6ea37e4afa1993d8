"""Finds the masks of the images of an unknown folder: one rule for all pairs."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from fassd.core.errors import DataError
from fassd.core.numbers import evenly_spaced
from fassd.drafts.groups import SPLIT, Folder, Group, Item, groups_below

PairPaths: TypeAlias = tuple[str, PurePosixPath, PurePosixPath]
"""Split ("" where none is named), image and mask, relative to the root."""

_LESS_WANTED = re.compile(
    r"instance|object|inst(?=[^a-z]|$)|colou?r|vis(?=[^a-z]|$)|overlay|blend|pred|depth|dispar|edge|panoptic|human",
    re.IGNORECASE,
)
_TRAIN_IDS = re.compile("trainids", re.IGNORECASE)
_SAMPLED_GROUPS, _SAMPLED_ITEMS = 32, 12


@dataclass(frozen=True)
class Rule:
    """How the path of a mask follows from that of its image: some folders and the affixes are replaced.

    Attributes:
        depth: number of folders before the replaced ones.
        images: the replaced folders, possibly with SPLIT.
        masks: the folders in their place.
        image_affixes: beginning and ending of the images' stems that masks lack.
        mask_affixes: beginning and ending of the masks' stems that images lack.
        suffix: of the masks.
    """

    depth: int
    images: Folder
    masks: Folder
    image_affixes: tuple[str, str]
    mask_affixes: tuple[str, str]
    suffix: str

    def mask_of(self, image: Item) -> PurePosixPath | None:
        """The expected mask of an image; None if the rule does not apply to it."""
        replaced = slice(self.depth, self.depth + len(self.images))
        before, after = self.image_affixes
        stem = image.path.stem
        if image.folder[replaced] != self.images or len(stem) < len(before + after):
            return None
        if not stem.startswith(before) or not stem.endswith(after):
            return None
        middle = stem[len(before) : len(stem) - len(after)]
        folder = (*image.folder[: self.depth], *self.masks, *image.folder[replaced.stop :])
        parts = (part.replace(SPLIT, image.split) for part in folder)
        return PurePosixPath(*parts, f"{self.mask_affixes[0]}{middle}{self.mask_affixes[1]}{self.suffix}")


@dataclass(frozen=True)
class FoundPairs:
    """The pairs of a folder.

    Attributes:
        pairs: every image that has a mask, in order.
        images: the pattern of images for `dataset.toml`; "" if no pattern fits.
        masks: the same for masks.
        lacking: number of images of the same splits without a mask.
        unlabeled: number of images in splits without any mask.
        others: where there are other, unused masks of the same images.
    """

    pairs: tuple[PairPaths, ...]
    images: str
    masks: str
    lacking: int
    unlabeled: int
    others: tuple[str, ...]


def find_pairs(root: Path) -> FoundPairs:
    """Finds the images and masks of a folder.

    Raises:
        DataError: no images, no masks, or only JPEG masks.
    """
    groups = groups_below(root)
    if not groups:
        raise DataError(root, "holds no images; name the folder of a data set")
    masks = [group for group in groups if group.content == "masks"]
    photos = [group for group in groups if group.content == "photos"]
    rules = _rules(photos, masks)
    if not rules:
        _raise_no_pairs(root, photos, masks)
    rule = rules[0]
    belongs = [
        (item, mask)
        for group in photos
        for item in group.items
        if (mask := rule.mask_of(item)) is not None and mask != item.path
    ]
    existing = {item.path for group in masks for item in group.items}
    pairs = sorted((item.split, item.path, mask) for item, mask in belongs if mask in existing)
    images, mask_pattern = _patterns(rule, [item for item, mask in belongs if mask in existing])
    others = tuple(dict.fromkeys(_place(other) for other in rules[1:] if other.images == rule.images))
    masked = {split for split, _, _ in pairs}
    unlabeled = sum(item.split not in masked for item, _ in belongs)
    return FoundPairs(tuple(pairs), images, mask_pattern, len(belongs) - len(pairs) - unlabeled, unlabeled, others)


def _raise_no_pairs(root: Path, photos: list[Group], masks: list[Group]) -> None:
    """Raises a DataError: no image has a mask."""
    if not masks:
        named = [
            group for group in photos if _LABELED.search("/".join((*group.items[0].folder, group.items[0].ending)))
        ]
        if named:
            raise DataError(
                root / named[0].items[0].path,
                "is where a mask was expected but looks like a photo or a JPEG; save masks as PNG, with one value or "
                "color for each class",
            )
        count = sum(len(group.items) for group in photos)
        raise DataError(root, f"holds {count} images, but no masks were found{_other_annotations(root)}")
    if not photos:
        raise DataError(root, f"holds {sum(len(group.items) for group in masks)} masks, but no images were found")
    example, other = photos[0].items[0].path, masks[0].items[0].path
    raise DataError(
        root,
        f"holds images such as {example} and masks such as {other}, but no rule relates their names; give each "
        'mask the stem of its image, or write a list "image,mask" and name it as pairs in dataset.toml',
    )


def _other_annotations(root: Path) -> str:
    """Advice on other annotations in a folder without masks."""
    for ending, advice in _OTHER_ANNOTATIONS.items():
        example = min((path for path in root.rglob(f"*{ending}") if path.is_file()), default=None)
        if example is not None:
            return f"; {example.relative_to(root)} {advice}"
    return ""


_OUTLINES = "may hold outlines: export them as masks, one PNG for each image"
_OTHER_ANNOTATIONS = {
    ".gif": "cannot be read as a mask: save such files as PNG",
    ".npy": "may hold labels: save such files as PNG",
    ".mat": "may hold labels: save such files as PNG",
    ".json": _OUTLINES,
    ".xml": _OUTLINES,
}
_LABELED = re.compile(r"mask|label|annot|gt|truth|seg", re.IGNORECASE)


def _rules(photos: list[Group], masks: list[Group]) -> list[Rule]:
    """The rules that relate sampled images to masks, the best first."""
    by_stem: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for group in masks:
        for item in group.items:
            for stem in {item.middle, item.path.stem}:
                by_stem[item.split, stem].append(item)
    votes: Counter[Rule] = Counter()
    for place in evenly_spaced(len(photos), _SAMPLED_GROUPS):
        items = photos[place].items
        for image in (items[index] for index in evenly_spaced(len(items), _SAMPLED_ITEMS)):
            for stem in dict.fromkeys((image.path.stem, image.middle)):
                near = [_rule(image, mask, stem) for mask in by_stem[image.split, stem]]
                votes.update({rule for rule in near if rule is not None})
    if not votes:
        return []
    most = max(votes.values())
    serious = [rule for rule, count in votes.items() if 2 * count >= most]
    return sorted(serious, key=_preference)


def _preference(rule: Rule) -> tuple[bool, bool, int, int, str]:
    """Sort key: plain class masks before colored, instance and predicted ones, short rules before long ones."""
    place = _place(rule)
    length = len(rule.images) + len(rule.masks)
    return (
        bool(_LESS_WANTED.search(place)),
        bool(_TRAIN_IDS.search(place)),
        length,
        sum(map(len, (*rule.image_affixes, *rule.mask_affixes))),
        place,
    )


def _rule(image: Item, mask: Item, stem: str) -> Rule | None:
    """The rule that relates one image to one mask whose stems share `stem`."""
    depth = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(image.folder, mask.folder, strict=False)))
    rest, other = image.folder[depth:], mask.folder[depth:]
    tail = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(rest[::-1], other[::-1], strict=False)))
    before, after = _around(image.path.stem, stem)
    mask_before, mask_after = _around(mask.path.stem, stem)
    if before and before == mask_before:
        before = mask_before = ""
    if after and after == mask_after:
        after = mask_after = ""
    return Rule(
        depth,
        rest[: len(rest) - tail],
        other[: len(other) - tail],
        (before, after),
        (mask_before, mask_after),
        mask.path.suffix,
    )


def _around(whole: str, part: str) -> tuple[str, str]:
    before, _, after = whole.partition(part) if part else ("", "", whole)
    return before, after


def _place(rule: Rule) -> str:
    """The place of a rule's masks, for messages."""
    before, after = rule.mask_affixes
    return "/".join((*rule.masks, f"{before}*{after}{rule.suffix}"))


def _patterns(rule: Rule, images: list[Item]) -> tuple[str, str]:
    """The patterns of images and masks for `dataset.toml`; both "" if no pattern fits."""
    folders = {item.folder for item in images}
    if len(folders) != 1 or any(rule.image_affixes):
        return "", ""
    (folder,) = folders
    masks = (*folder[: rule.depth], *rule.masks, *folder[rule.depth + len(rule.images) :])
    if re.search(r"[][*?]|[{}]", "".join((*folder, *masks, *rule.mask_affixes)).replace(SPLIT, "")):
        return "", ""
    suffixes = {item.path.suffix for item in images}
    stem = f"{rule.mask_affixes[0]}{{stem}}{rule.mask_affixes[1]}{rule.suffix}"
    ending = suffixes.pop() if len(suffixes) == 1 else ""
    return "/".join((*folder, f"*{ending}")), "/".join((*masks, stem))
