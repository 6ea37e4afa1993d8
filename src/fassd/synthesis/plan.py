"""The plan of a street: lanes, curbs, crossings and markings. All other objects are placed by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.synthesis.ground import Mark, Road

Random = np.random.Generator

LANE = 3.25
PARKING = 2.15
NEAREST, FARTHEST = -14.0, 210.0
"""The extent of the street, in meters from the camera."""

KINDS = ("city", "town", "suburb", "park")


@dataclass(frozen=True)
class Plan:
    """The layout of a street; meters to the right of its middle, and along it from the camera.

    Attributes:
        kind: of surroundings.
        road: its course, width and markings.
        lanes: in each direction.
        parked: whether cars park at the curb, left and right.
        pavement: width of the pavement, left and right.
        verge: width of the lawn between curb and pavement, left and right.
        junctions: (start, end) of each side street.
        zebras: positions of zebra crossings.
        own_lane: the middle of the camera's lane.
        signals: whether the first junction has traffic lights.
        autumn: whether leaves are colored.
    """

    kind: str
    road: Road
    lanes: int
    parked: tuple[bool, bool]
    pavement: tuple[float, float]
    verge: tuple[float, float]
    junctions: tuple[tuple[float, float], ...]
    zebras: tuple[float, ...]
    own_lane: float
    signals: bool
    autumn: bool

    def lane(self, number: int) -> float:
        """The middle of a lane; lanes count from the middle of the road to the right, negative ones to the left."""
        return (abs(number) - 0.5) * LANE * (1 if number > 0 else -1)

    def front(self, side: int) -> float:
        """Meters from the middle of the road to the far edge of the pavement; `side` is -1 or 1."""
        which = side > 0
        return self.road.half_width + self.verge[which] + self.pavement[which]

    def at_junction(self, along: float, margin: float = 0.0) -> bool:
        """Whether there is a side street."""
        return any(start - margin < along < end + margin for start, end in self.junctions)

    def blocks(self) -> list[tuple[float, float]]:
        """The stretches between the side streets."""
        edges = [NEAREST, *(edge for junction in self.junctions for edge in junction), FARTHEST]
        return list(zip(edges[::2], edges[1::2], strict=True))


def choose_plan(random: Random) -> Plan:
    """A random street."""
    kind = str(random.choice(KINDS, p=[0.42, 0.28, 0.18, 0.12]))
    lanes = int(random.choice([1, 2], p=[0.62, 0.38]))
    parked = (bool(random.random() < 0.55), bool(random.random() < 0.6))
    half_width = lanes * LANE + PARKING * any(parked) + random.uniform(0.1, 0.5)
    pavement = (random.uniform(1.8, 4.2), random.uniform(1.8, 4.2))
    verge = tuple(random.uniform(1, 2.6) if random.random() < (0.15 if kind == "city" else 0.4) else 0.0 for _ in "lr")
    junctions = []
    if random.random() < 0.72:
        start = random.uniform(16, 60)
        junctions.append((start, start + random.uniform(8, 13)))
        if random.random() < 0.5:
            start += random.uniform(55, 90)
            junctions.append((start, start + random.uniform(8, 13)))
    zebras = [start - 4.2 for start, _ in junctions if random.random() < 0.6]
    if random.random() < 0.25:
        zebras.append(random.uniform(9, 40))
    zebras = [along for along in zebras if not any(start - 4.3 < along < end for start, end in junctions)]
    rails = (-LANE / 2, LANE / 2) if random.random() < 0.24 else ()
    own = int(random.integers(1, lanes + 1))
    curve = random.normal(0, 0.0009) if random.random() < 0.6 else 0.0
    signals = bool(junctions and random.random() < 0.65)
    marks = _marks(random, lanes, half_width, parked, junctions, zebras)
    road = Road(curve, half_width, tuple(marks), rails, random.uniform(0.085, 0.15), random.uniform(0, 1))
    return Plan(
        kind, road, lanes, parked, pavement, (verge[0], verge[1]), tuple(junctions), tuple(zebras),
        (own - 0.5) * LANE, signals, bool(random.random() < 0.2),
    )  # fmt: skip


def _marks(
    random: Random,
    lanes: int,
    half_width: float,
    parked: tuple[bool, bool],
    junctions: list[tuple[float, float]],
    zebras: list[float],
) -> list[Mark]:
    """Lane markings, which stop before side streets and zebra crossings, and stop lines."""
    breaks = sorted(
        [(start - 1, end + 1) for start, end in junctions] + [(along - 0.6, along + 3.8) for along in zebras]
    )
    edges = [-10.0, *(edge for gap in breaks for edge in gap), 230.0]
    stretches = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start + 2]
    yellow, double = bool(random.random() < 0.15), bool(lanes > 1 and random.random() < 0.6)
    plain = lanes == 1 and random.random() < 0.25
    marks: list[Mark] = []
    for start, end in stretches:
        if double:
            marks += [Mark(x - 0.06, x + 0.06, start, end, yellow=yellow) for x in (-0.14, 0.14)]
        elif not plain:
            marks.append(Mark(-0.06, 0.06, start, end, 9.0, 3.0, yellow=yellow))
        for lane in range(1, lanes):
            for x in (-lane * LANE, lane * LANE):
                marks.append(Mark(x - 0.06, x + 0.06, start, end, 12.0, 4.0))
        for side, used in zip((-1, 1), parked, strict=True):
            if used:
                x = side * (half_width - PARKING)
                marks.append(Mark(x - 0.05, x + 0.05, start, end, 0.0 if double else 2.0, 1.0))
    marks += [Mark(-half_width + 0.4, half_width - 0.4, along, along + 3.2, bars=1.0) for along in zebras]
    for start, end in junctions:
        stop = start - (5.4 if start - 4.2 in zebras else 1.6)
        marks.append(Mark(0.1, lanes * LANE, stop, stop + 0.5))
        marks.append(Mark(-lanes * LANE, -0.1, end + 1.2, end + 1.7))
    return marks
