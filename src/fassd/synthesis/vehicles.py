"""Passenger cars, modeled around their middle, front towards +y, on z = 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.synthesis.mesh import ROUND, Array, Color, Mesh, Surface, by
from fassd.synthesis.shapes import box, flank, hull, panel, side_disc, wheel

Random = np.random.Generator

PAINTS: tuple[Color, ...] = (
    (0.48, 0.48, 0.47), (0.27, 0.28, 0.30), (0.11, 0.115, 0.125), (0.014, 0.014, 0.016), (0.02, 0.05, 0.16),
    (0.28, 0.015, 0.015), (0.03, 0.09, 0.07), (0.17, 0.15, 0.12), (0.05, 0.13, 0.24), (0.40, 0.17, 0.02),
    (0.45, 0.43, 0.38), (0.06, 0.065, 0.07),
)  # fmt: skip

GLASS = Surface((0.010, 0.012, 0.014), 0.06)
BLACK = Surface((0.012, 0.012, 0.013), 0.03)
_CHROME = Surface((0.35, 0.35, 0.36), 0.3)
PLATE = Surface((0.62, 0.62, 0.60), 0.03)
_SHADE = Surface((0.008, 0.008, 0.008))
ARCH = Surface((0.006, 0.006, 0.006), cutout=ROUND)


@dataclass(frozen=True)
class Body:
    """The side view of a car: lengths in meters, positions as shares of the length from the middle to the front.

    Attributes:
        length, width, height: over all.
        bonnet, belt, boot: heights of bonnet, window line and boot lid.
        cowl, front, back, tail: where windscreen and rear window meet body and roof.
    """

    length: float
    width: float
    height: float
    bonnet: float
    belt: float
    boot: float
    cowl: float
    front: float
    back: float
    tail: float


BODIES = {
    "hatchback": Body(3.95, 1.72, 1.48, 0.88, 0.95, 0.98, 0.25, 0.08, -0.36, -0.475),
    "saloon": Body(4.65, 1.80, 1.44, 0.85, 0.93, 1.00, 0.21, 0.05, -0.20, -0.34),
    "estate": Body(4.65, 1.80, 1.47, 0.85, 0.93, 0.98, 0.22, 0.06, -0.40, -0.475),
    "off-road": Body(4.55, 1.88, 1.70, 1.02, 1.10, 1.12, 0.24, 0.10, -0.40, -0.47),
    "van": Body(4.9, 1.92, 1.95, 1.08, 1.15, 1.18, 0.34, 0.20, -0.47, -0.485),
    "city car": Body(3.45, 1.64, 1.50, 0.90, 0.97, 1.00, 0.29, 0.12, -0.40, -0.48),
}


def add_car(mesh: Mesh, random: Random, lamps: bool, braking: bool = False) -> None:
    """A passenger car of random shape and color."""
    body = BODIES[str(random.choice(list(BODIES), p=[0.26, 0.22, 0.18, 0.16, 0.08, 0.10]))]
    color = np.array(
        PAINTS[random.choice(len(PAINTS), p=[0.15, 0.15, 0.13, 0.13, 0.08, 0.08, 0.03, 0.04, 0.05, 0.02, 0.06, 0.08])]
    )
    shiny = 0.045 if random.random() < 0.85 else 0.02
    paint = Surface(tuple((color * random.uniform(0.85, 1.15)).tolist()), shiny)
    half = body.length / 2
    _lower_body(mesh, body, paint)
    underside(mesh, body.width, body.length)
    _cabin(mesh, body, paint)
    radius = 0.30 + 0.06 * (body.height > 1.6)
    for x in (-body.width / 2, body.width / 2):
        out = np.sign(x) * 0.012
        for y in (0.62 * half, -0.60 * half):
            side_disc(mesh, (x + out, y, radius + 0.02), radius + 0.055, ARCH)
            wheel(mesh, x + 2 * out, y, radius)
        for y in (0.06, -0.22):  # gaps between doors
            flank(mesh, x + out * 0.5, (y * body.length, y * body.length + 0.02), (0.34, body.belt), BLACK)
        flank(mesh, x + out * 0.5, (-0.46 * half, 0.46 * half), (0.24, 0.33), BLACK)
        for y in (0.0, -0.28):
            flank(
                mesh,
                x + out,
                (y * body.length - 0.28, y * body.length - 0.1),
                (body.belt - 0.14, body.belt - 0.10),
                _CHROME,
            )
        mirror = np.array([x * 1.0, body.cowl * body.length - 0.25, body.belt + 0.02])
        box(mesh, mirror - by(0.1, 0.06, 0), mirror + by(0.1, 0.06, 0.14), paint)
    _face(mesh, body, lamps)
    _rear(mesh, body, lamps, braking)


def underside(mesh: Mesh, width: float, length: float) -> None:
    """The hardly visible underside, which shades the road."""
    x, y = width / 2 * 0.95, length / 2 * 0.97
    mesh.quads([[-x, -y, 0.24], [x, -y, 0.24], [x, y, 0.24], [-x, y, 0.24]], _SHADE)


def _lower_body(mesh: Mesh, body: Body, paint: Surface) -> None:
    sections = np.array(
        [
            # place, top, share of the width
            [0.5, 0.60, 0.0], [0.5, 0.60, 0.80], [0.492, body.bonnet - 0.16, 0.88], [0.455, body.bonnet - 0.04, 0.95],
            [0.38, body.bonnet, 0.99], [body.cowl, body.belt - 0.01, 1.0], [0.0, body.belt, 1.0],
            [body.tail + 0.01, body.boot, 1.0], [-0.475, body.boot - 0.02, 0.96], [-0.49, body.boot - 0.1, 0.92],
            [-0.5, 0.62, 0.86], [-0.5, 0.62, 0.0],
        ]
    )  # fmt: skip
    hull(mesh, np.array([_section(body, *row) for row in sections]), paint)


def _section(body: Body, place: float, top: float, share: float) -> Array:
    """A cross section from the right sill over the bonnet to the left sill."""
    half, low = body.width / 2 * share, 0.20
    shape = [(0.90, low), (0.985, low + 0.10), (1.0, (low + top) / 2), (0.985, top - 0.12 * (top > 0.5)),
             (0.93, top - 0.03), (0.70, top), (0.0, top + 0.02)]  # fmt: skip
    right = [(half * x, place * body.length, max(low, z)) for x, z in shape]
    return np.array(right + [(-x, y, z) for x, y, z in right[-2::-1]])


def _cabin(mesh: Mesh, body: Body, paint: Surface) -> None:
    """Windows, the roof and pillars."""
    half, length, top = body.width / 2, body.length, body.height

    def ring(width: float, front: float, back: float, z: float) -> list[tuple[float, float, float]]:
        inset = 0.25 * width
        points = [(width, front - 0.10), (width, back + 0.06), (width - inset, back), (-(width - inset), back)]
        points += [(-width, back + 0.06), (-width, front - 0.10), (-(width - inset), front), (width - inset, front)]
        return [(x, y, z) for x, y in points]

    base = ring(half * 0.95, body.cowl * length + 0.04, body.tail * length - 0.02, body.belt - 0.03)
    edge = ring(half * 0.76, body.front * length, body.back * length, top - 0.07)
    roof = ring(half * 0.68, body.front * length - 0.12, body.back * length + 0.1, top - 0.01)
    crown = [(x * 0.4, y * 0.5 + (body.front + body.back) * length / 4, top) for x, y, _ in roof]
    hull(mesh, np.array([base, edge]), GLASS, closed=True, smooth=False)
    hull(mesh, np.array([edge, roof, crown, [(0, crown[0][1] - 0.3, top)] * 8]), paint, closed=True)
    for low, high in zip(base, edge, strict=True):
        if abs(low[0]) > half * 0.9:
            mesh.tube(low, high, paint, 0.045)
    for side in (-1, 1):
        for share in (0.46,) if length < 4 else (0.36, 0.70):
            foot = np.array(base[0]) * (1 - share) + np.array(base[1]) * share
            head = np.array(edge[0]) * (1 - share) + np.array(edge[1]) * share
            mirror = by(side, 1, 1)
            mesh.tube(foot * mirror, head * mirror, paint if share > 0.6 else BLACK, 0.045)
        ends = [np.array(edge[k]) * [side, 1, 1] for k in (0, 1)]
        mesh.tube(ends[0], ends[1], paint, 0.04)


def _face(mesh: Mesh, body: Body, lamps: bool) -> None:
    half, y = body.width / 2, body.length / 2 + 0.012
    panel(mesh, (-half * 0.5, half * 0.5), y, (0.50, 0.64), BLACK)
    panel(mesh, (-half * 0.72, half * 0.72), y, (0.24, 0.38), BLACK)
    panel(mesh, (-0.26, 0.26), y + 0.01, (0.42, 0.53), PLATE)
    glow = Surface((0.75, 0.74, 0.70), 0.25, emission=1.2 if lamps else 0.12)
    for side in (-1, 1):
        inner, outer = side * half * 0.54, side * half * 0.87
        corners = [[inner, y, 0.60], [outer, y - 0.07, 0.60], [outer, y - 0.10, 0.74], [inner, y - 0.01, 0.70]]
        mesh.quads(corners, glow)


def _rear(mesh: Mesh, body: Body, lamps: bool, braking: bool) -> None:
    half, y = body.width / 2, -body.length / 2 - 0.012
    panel(mesh, (-0.26, 0.26), y, (0.62, 0.73), PLATE)
    panel(mesh, (-half * 0.75, half * 0.75), y, (0.24, 0.36), BLACK)
    glow = Surface((0.45, 0.012, 0.012), 0.1, emission=2.2 if braking else 0.8 if lamps else 0.05)
    high = body.boot - 0.13
    for side in (-1, 1):
        inner, outer = side * half * 0.58, side * half * 0.89
        corners = [
            [inner, y, high - 0.15],
            [outer, y + 0.04, high - 0.15],
            [outer, y + 0.07, high],
            [inner, y + 0.03, high],
        ]
        mesh.quads(corners, glow)
