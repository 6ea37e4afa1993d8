"""Patterns of the ground: asphalt with markings, wear and rails; paving; grass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.synthesis.mesh import Array
from fassd.synthesis.textures import Texture


@dataclass(frozen=True)
class Mark:
    """A painted rectangle, in meters across and along the street; it may repeat.

    Attributes:
        left, right: across; positive to the right of the middle of the road.
        start, end: along.
        period, length: of dashes along the street; 0: solid.
        bars: distance of the bars of a zebra crossing; 0: none.
        yellow: instead of white.
    """

    left: float
    right: float
    start: float
    end: float
    period: float = 0.0
    length: float = 0.0
    bars: float = 0.0
    yellow: bool = False


@dataclass(frozen=True)
class Road:
    """The course and the surface of the road.

    Attributes:
        curve: 1 / meters: the middle of the road lies at x = curve y^2 / 2.
        half_width: from the middle to the curb.
        marks: painted on it.
        rails: positions of tram tracks, meters across.
        tone: brightness of the asphalt.
        wear: 0 new paint .. 1 old.
    """

    curve: float
    half_width: float
    marks: tuple[Mark, ...]
    rails: tuple[float, ...]
    tone: float
    wear: float

    def across(self, x: Array, y: Array) -> Array:
        """Meters to the right of the middle of the road."""
        position: Array = x - self.curve * y * y / 2
        return position

    def place(self, across: float, along: float, height: float = 0.0) -> tuple[float, float, float]:
        """World coordinates of a point."""
        return across + self.curve * along * along / 2, along, height

    def heading(self, along: float) -> float:
        """The direction of the road, radians to the left."""
        return float(-np.arctan(self.curve * along))


def _cover(value: Array, low: float, high: float, blur: Array) -> Array:
    """The share of a sample of width `blur` around `value` that lies between `low` and `high`."""
    covered: Array = np.clip((np.minimum(value + blur / 2, high) - np.maximum(value - blur / 2, low)) / blur, 0, 1)
    return covered


def _repeated(value: Array, period: float, length: float, blur: Array) -> Array:
    phase = (value + length / 2) % period - length / 2
    share = _cover(phase, 0, length, np.minimum(blur, period)) + _cover(phase, period, period + length, blur)
    far = np.clip(blur / period * 1.5 - 0.5, 0, 1)
    covered: Array = np.minimum(share, 1) * (1 - far) + length / period * far
    return covered


@dataclass(frozen=True)
class Spot:
    """Samples on the ground.

    Attributes:
        across, along: meters, in the street's own coordinates.
        wide, deep: meters that a sample covers across and along.
        noise: one period of noise.
    """

    across: Array
    along: Array
    wide: Array
    deep: Array
    noise: Texture

    def grain(self, size: float, stretch: float = 1.0) -> Array:
        """Noise with 256 texels to `size` meters."""
        texels = np.sqrt(self.wide * self.deep) * (256 / size)
        return self.noise.sample(self.across / size, self.along / (size * stretch), texels)[:, 0]


def paint(pattern: str, spot: Spot, road: Road) -> Array:
    """Color factors (n, 3) of a pattern."""
    return {"asphalt": _asphalt, "paving": _paving, "grass": _grass}[pattern](spot, road)


def _asphalt(spot: Spot, road: Road) -> Array:
    coarse, fine = spot.grain(19.0, 2.5), spot.grain(2.3)
    gray = road.tone * (1 + 0.05 * coarse + 0.09 * fine)
    lane = road.half_width / max(1, round(road.half_width / 3.3))
    track = np.cos((spot.across / lane) * 4 * np.pi)
    inside = np.abs(spot.across) < road.half_width
    gray *= np.where(inside, 1 + 0.035 * track, 1)
    patch = spot.grain(61.0, 1.0) > 1.55
    gray *= np.where(patch, np.float32(0.88), 1)
    seam = _cover(np.abs(spot.across - 0.35), 0, 0.03, spot.wide) * 0.25
    gutter = _cover(np.abs(spot.across), road.half_width - 0.35, road.half_width, spot.wide) * 0.18
    gray *= (1 - seam) * (1 - gutter)
    color = gray[:, None] * np.array([1.0, 0.985, 0.96], np.float32)
    for rail in road.rails:
        for side in (-0.7175, 0.7175):
            steel = _cover(spot.across, rail + side - 0.035, rail + side + 0.035, spot.wide)[:, None]
            color = color * (1 - steel) + np.array([0.30, 0.29, 0.28], np.float32) * steel
            groove = _cover(spot.across, rail + side + 0.035, rail + side + 0.075, spot.wide)[:, None]
            color = color * (1 - groove * 0.8)
    worn = np.clip(1.15 - road.wear * (0.45 + 0.35 * fine + 0.3 * coarse), 0.12, 1)
    for mark in road.marks:
        _add_mark(color, mark, spot, worn)
    return color


def _add_mark(color: Array, mark: Mark, spot: Spot, worn: Array) -> None:
    near = np.flatnonzero(
        (spot.across > mark.left - spot.wide)
        & (spot.across < mark.right + spot.wide)
        & (spot.along > mark.start - spot.deep)
        & (spot.along < mark.end + spot.deep)
    )
    if not len(near):
        return
    across, along, wide, deep = spot.across[near], spot.along[near], spot.wide[near], spot.deep[near]
    share = _cover(across, mark.left, mark.right, wide) * _cover(along, mark.start, mark.end, deep)
    if mark.period:
        share *= _repeated(along - mark.start, mark.period, mark.length, deep)
    if mark.bars:
        share *= _repeated(across - mark.left, mark.bars, mark.bars / 2, wide)
    share = (share * worn[near])[:, None]
    white = np.array([0.62, 0.42, 0.07] if mark.yellow else [0.62, 0.61, 0.58], np.float32)
    color[near] = color[near] * (1 - share) + white * share


def _paving(spot: Spot, road: Road) -> Array:
    coarse, fine = spot.grain(13.0), spot.grain(1.7)
    slab = 0.5
    along = spot.along / slab
    across = spot.across / slab + (np.floor(along) % 2) * 0.5
    joint = np.maximum(_repeated(across * slab, slab, 0.02, spot.wide), _repeated(spot.along, slab, 0.02, spot.deep))
    tone = spot.noise.sample(np.floor(across) * 0.137, np.floor(along) * 0.211, np.ones(len(along), np.float32))[:, 0]
    sharp = np.clip(1 - spot.deep * 2, 0, 1)
    gray = (1 + 0.06 * coarse + 0.05 * fine + 0.05 * tone * sharp) * (1 - 0.45 * joint)
    spots = spot.grain(5.0) > 2.1
    paved: Array = (gray * np.where(spots, np.float32(0.8), 1))[:, None] * np.ones(3, np.float32)
    return paved


def _grass(spot: Spot, road: Road) -> Array:
    coarse, middle, fine = spot.grain(31.0), spot.grain(6.0), spot.grain(0.9)
    light = 1 + 0.14 * coarse + 0.14 * middle + 0.26 * fine
    dry = np.clip(0.25 * coarse + 0.2 * middle, -0.3, 0.7)[:, None]
    color = light[:, None] * (1 + dry * np.array([0.7, 0.18, 0.2], np.float32))
    grown: Array = np.maximum(color, np.float32(0.15))
    return grown
