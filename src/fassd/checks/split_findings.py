"""What only the masks of a split together can tell besides their values: which of them say next to nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.checks.split_tally import MOSTLY, SplitStats

_NAMED = 12
"""Classes that are named where more are not seen."""
_NO_TABLE: Mapping[int, int] = MappingProxyType({})


def lone_mask_findings(tally: SplitStats, explained: Collection[Path]) -> Iterator[Finding]:
    """Masks that say next to nothing: one value, or nearly everything ignored.

    Args:
        tally: the split.
        explained: masks whose values mean something else, of which this may be a consequence.
    """
    pairs = tally.dataset.pairs
    ignored, constant = (
        [index for index in masks if pairs[index].mask not in explained] for masks in (tally.ignored, tally.constant)
    )
    total = int((tally.masks != 0).sum())
    classes = len(tally.dataset.label_space)
    if ignored:
        text, wanted = f"at least {MOSTLY:.0%} of the pixels ignored", "classes on most of the picture"
        remedy = "look at the mask; annotate it, or take the pair out"
        yield about_masks("mostly-ignored", tally, ignored, text, wanted, remedy)
    # Sets that look for rare things hold many pictures of nothing but background.
    rare = len(constant) <= max(2, total / 10) or len(constant) == total
    if constant and rare and classes > 2:
        remedy = "look at the mask; export it again, or take the pair out"
        yield about_masks("constant-mask", tally, constant, "one value at every pixel", "several classes", remedy)


def notes(tally: SplitStats, wrong: int) -> Iterator[Finding]:
    """What is worth knowing of a split; `wrong` is the number of masks whose values mean something else."""
    dataset = tally.dataset
    unseen = [name for name, share in tally.shares().items() if share == 0]
    if unseen and tally.pixels[:-1].any() and 2 * wrong < len(dataset):
        more = f" and {len(unseen) - _NAMED} more" if len(unseen) > _NAMED else ""
        text = f"no pixel of {', '.join(unseen[:_NAMED])}{more}"
        remedy = "none is needed; a network cannot learn them here, and their scores are empty"
        yield Finding(FINDING_KINDS["unseen-class"], dataset.split, (), text, "every class", remedy)
    partly = [index for index, pair in enumerate(dataset.pairs) if pair.annotated is not None]
    if partly:
        text, wanted = "only some classes annotated, as dataset.toml says", "every class"
        remedy = "none is needed; they are learned and scored among the annotated classes alone"
        yield about_masks("partly-marked", tally, partly, text, wanted, remedy)


def about_masks(
    name: str,
    tally: SplitStats,
    pairs: Sequence[int],
    found: str,
    expected: str,
    remedy: str,
    table: Mapping[int, int] = _NO_TABLE,
) -> Finding:
    """A finding about the masks of some pairs."""
    files: tuple[Path, ...] = tuple(tally.dataset.pairs[index].mask for index in sorted(pairs))
    return Finding(FINDING_KINDS[name], tally.dataset.split, files, found, expected, remedy, table=table)
