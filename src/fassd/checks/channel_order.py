"""Images whose red and blue look exchanged, as when one program writes BGR and the next reads RGB.

Two things tell. A sky is never much redder than the rest of its picture: at sunset everything is red. And where all
images of a split are of one color class by class, one that fits its siblings only with red and blue exchanged stands
out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.checks.pair_facts import UNSEEN
from fassd.checks.split_tally import SplitStats

_PLAIN = 10
"""Levels of red - blue that are more than chance."""
_FEWEST = 8
"""Images from which siblings tell something."""
_LIES = 6.0
"""The agreement of a mask with its image, see `Alignment.here`, from which it surely lies on it."""
_LEAST_SPREAD = 6.0
_FAR = 9.0


def exchanged_channels(tally: SplitStats) -> Iterator[Finding]:
    """One finding for the images with a red sky, one for those that differ from their siblings."""
    redness = tally.redness.astype(np.float32)
    redness[tally.redness == UNSEEN] = np.nan
    if not np.isfinite(redness).any():
        return
    by_sky = _red_skies(redness, tally.fits, tally.dataset.label_space.names)
    by_siblings = _unlike_siblings(redness) & ~by_sky
    remedy = "look at them; save them as RGB (OpenCV reads and writes BGR)"
    for which, text in (
        (by_sky, "a sky that is redder than the rest"),
        (by_siblings, "colors that fit the other images with red and blue exchanged"),
    ):
        files = tuple(tally.dataset.pairs[index].image for index in np.flatnonzero(which))
        if files:
            yield Finding(
                FINDING_KINDS["channel-order"], tally.dataset.split, files, text, "red, green, blue in order", remedy
            )


def _red_skies(redness: Any, fits: Any, names: tuple[str, ...]) -> Any:
    skies = [place for place, name in enumerate(names) if name.lower() == "sky"]
    if len(skies) != 1:
        return np.zeros(len(redness), bool)
    # Under a mask that does not lie on its image, what is called sky is anything.
    sky = np.where(fits >= _LIES, redness[:, skies[0]], np.nan)
    with np.errstate(invalid="ignore"):
        red = (sky > _PLAIN) & (sky - redness[:, -1] > _PLAIN)
        blue = sky < -_PLAIN
    # Where skies are red or gray and never blue, the whole split went the same way.
    known = int(np.isfinite(sky).sum())
    if known >= _FEWEST and red.sum() >= 0.2 * known and not blue.any():
        return np.isfinite(redness[:, -1])
    return red


def _unlike_siblings(redness: Any) -> Any:
    seen = np.isfinite(redness)
    if len(redness) < _FEWEST or not seen[:, -1].any():
        return np.zeros(len(redness), bool)
    common = seen.sum(0) >= _FEWEST
    values = redness[:, common]
    usual = np.nanmedian(values, axis=0)
    spread = np.maximum(1.48 * np.nanmedian(np.abs(values - usual), axis=0), _LEAST_SPREAD)

    def strangeness(of: Any) -> Any:
        known = np.isfinite(of)
        distance = np.minimum(((of - usual) / spread) ** 2, _FAR)
        return np.where(known, distance, 0).sum(1) / np.maximum(known.sum(1), 1)

    lead = strangeness(values) - strangeness(-values)
    tells = (lead < -1).sum() >= 0.9 * seen[:, -1].sum()
    return (lead > 2) & seen[:, -1] if tells else np.zeros(len(redness), bool)
