"""Images whose red and blue seem swapped, as when one program writes BGR and the next reads RGB.

Two signs are used. A sky is never much redder than the rest of its image; at sunset everything is red. And where the
images of a split agree in the color of each class, an image that agrees only after swapping red and blue stands out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.checks.pair_stats import UNSEEN
from fassd.checks.split_stats import SplitStats

_CLEARLY_RED = 10
"""Levels of red - blue that are more than chance."""
_MIN_IMAGES = 8
"""Images from which a split has a usual color of each class."""
_ALIGNED = 6.0
"""The agreement of a mask with its image, see `Alignment.here`, from which it is surely aligned."""
_MIN_SPREAD = 6.0
_MAX_DISTANCE = 9.0


def channel_order_findings(stats: SplitStats) -> Iterator[Finding]:
    """One finding for the images with a red sky, one for those that differ from the other images."""
    redness = stats.redness.astype(np.float32)
    redness[stats.redness == UNSEEN] = np.nan
    if not np.isfinite(redness).any():
        return
    by_sky = _red_skies(redness, stats.fits, stats.dataset.label_space.names)
    by_others = _unlike_others(redness) & ~by_sky
    fix = "look at the images; save them as RGB (OpenCV reads and writes BGR)"
    for which, text in (
        (by_sky, "a sky that is redder than the rest"),
        (by_others, "colors that agree with the other images only after swapping red and blue"),
    ):
        files = tuple(stats.dataset.pairs[index].image for index in np.flatnonzero(which))
        if files:
            expected = "channels in the order red, green, blue"
            yield Finding(FINDING_KINDS["channel-order"], stats.dataset.split, files, text, expected, fix)


def _red_skies(redness: Any, fits: Any, names: tuple[str, ...]) -> Any:
    """(pairs,) bool: the images with a red sky; all of them where no sky of the split is blue."""
    skies = [place for place, name in enumerate(names) if name.lower() == "sky"]
    if len(skies) != 1:
        return np.zeros(len(redness), bool)
    # Under a misaligned mask, the pixels labeled sky may show anything.
    sky = np.where(fits >= _ALIGNED, redness[:, skies[0]], np.nan)
    with np.errstate(invalid="ignore"):
        red = (sky > _CLEARLY_RED) & (sky - redness[:, -1] > _CLEARLY_RED)
        blue = sky < -_CLEARLY_RED
    # Where skies are red or gray and never blue, all images of the split are swapped.
    known = int(np.isfinite(sky).sum())
    if known >= _MIN_IMAGES and red.sum() >= 0.2 * known and not blue.any():
        return np.isfinite(redness[:, -1])
    return red


def _unlike_others(redness: Any) -> Any:
    """(pairs,) bool: the images whose classes have the usual colors only after swapping red and blue."""
    seen = np.isfinite(redness)
    if len(redness) < _MIN_IMAGES or not seen[:, -1].any():
        return np.zeros(len(redness), bool)
    common = seen.sum(0) >= _MIN_IMAGES
    values = redness[:, common]
    usual = np.nanmedian(values, axis=0)
    spread = np.maximum(1.48 * np.nanmedian(np.abs(values - usual), axis=0), _MIN_SPREAD)

    def distance_to_usual(of: Any) -> Any:
        known = np.isfinite(of)
        squared = np.minimum(((of - usual) / spread) ** 2, _MAX_DISTANCE)
        return np.where(known, squared, 0).sum(1) / np.maximum(known.sum(1), 1)

    excess = distance_to_usual(values) - distance_to_usual(-values)
    conclusive = (excess < -1).sum() >= 0.9 * seen[:, -1].sum()
    return (excess > 2) & seen[:, -1] if conclusive else np.zeros(len(redness), bool)
