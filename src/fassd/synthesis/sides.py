"""Builds both sides of a street: ground, pavements, houses, gardens, parks, trees and lamps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fassd.synthesis.buildings import House, add_house
from fassd.synthesis.facades import Front, draw_front
from fassd.synthesis.furniture import add_bush, add_fence, add_hedge, add_lamp_post, add_tree, add_wall
from fassd.synthesis.mesh import Mesh, Surface
from fassd.synthesis.plan import FARTHEST, NEAREST, Plan
from fassd.synthesis.textures import texture

Random = np.random.Generator

CURB = 0.13
_ASPHALT = Surface((1, 1, 1), pattern="asphalt")
_LAWN = Surface((0.085, 0.125, 0.032), pattern="grass")
_CURBSTONE = Surface((0.30, 0.29, 0.28), grain=(0.1, 0.3))
_BEYOND = 60.0
"""The extent of side streets, in meters from the street."""

_LOTS = ("house at the street", "house in a garden", "lawn", "yard")
_LOT_SHARES = {
    "city": (0.87, 0.04, 0.04, 0.05), "town": (0.6, 0.22, 0.08, 0.1),
    "suburb": (0.08, 0.72, 0.12, 0.08), "park": (0.06, 0.14, 0.66, 0.14),
}  # fmt: skip


def _strip(
    mesh: Mesh, plan: Plan, across: tuple[float, float], along: tuple[float, float], z: float, surface: Surface
) -> None:
    """A strip of ground along the road."""
    stops = np.unique(np.clip([*np.arange(along[0], 40, 5), *np.arange(40, along[1], 15), *along], *along))
    corners = [
        [plan.road.place(x, y, z) for x, y in ((across[0], y0), (across[1], y0), (across[1], y1), (across[0], y1))]
        for y0, y1 in pairwise(stops)
    ]
    mesh.quads(corners, surface)


def lay_ground(mesh: Mesh, random: Random, plan: Plan) -> None:
    """Road, side streets, curbs, pavements and verges; lawn everywhere else."""
    tone = random.uniform(0.17, 0.34)
    tint = random.uniform(0.86, 1.0)
    paving = Surface((tone, tone * (0.5 + 0.5 * tint), tone * tint * 0.96), pattern="paving")
    half = plan.road.half_width
    with mesh.at("terrain"):
        mesh.quads([[-400, -20, -0.05], [400, -20, -0.05], [400, 700, -0.05], [-400, 700, -0.05]], _LAWN)
    with mesh.at("road"):
        _strip(mesh, plan, (-half, half), (-8, FARTHEST + 30), 0.0, _ASPHALT)
        for start, end in plan.junctions:
            for side in (-1, 1):
                _strip(mesh, plan, _ordered(side * half, side * (half + _BEYOND)), (start, end), 0.0, _ASPHALT)
    for side in (-1, 1):
        for block in plan.blocks():
            _lay_pavement(mesh, plan, side, block, paving)


def _lay_pavement(mesh: Mesh, plan: Plan, side: int, block: tuple[float, float], paving: Surface) -> None:
    """Curb, verge and pavement of one side of a block, and its pavements along the side streets."""
    start, end = block
    half = plan.road.half_width
    stone, inner = half + 0.16, half + plan.verge[side > 0]

    def lay(near: float, far: float, along: tuple[float, float], height: float, surface: Surface) -> None:
        _strip(mesh, plan, _ordered(side * near, side * far), along, height, surface)

    with mesh.at("sidewalk"):
        _curb(mesh, plan, side, start, end)
        lay(half - 0.01, stone, block, CURB, _CURBSTONE)
        lay(max(inner, stone), plan.front(side), block, CURB, paving)
        # A few millimeters lower, so that overlapping strips have a definite order.
        if end < FARTHEST:
            lay(half, half + _BEYOND, (end - 2.5, end), CURB - 0.004, paving)
        if start > NEAREST:
            lay(half, half + _BEYOND, (start, start + 2.5), CURB - 0.004, paving)
        if inner > stone:
            lay(stone, inner, block, CURB - 0.002, paving)
    if inner > stone:
        with mesh.at("terrain"):
            lay(stone, inner, (start + 3, end - 3), CURB + 0.01, _LAWN)


def _ordered(one: float, other: float) -> tuple[float, float]:
    return min(one, other), max(one, other)


def _curb(mesh: Mesh, plan: Plan, side: int, start: float, end: float) -> None:
    """The vertical face of the curb, and its ends at side streets."""
    edge = side * (plan.road.half_width - 0.01)
    stops = np.unique(np.clip([*np.arange(start, 40, 5), *np.arange(40, end, 15), start, end], start, end))
    for y0, y1 in pairwise(stops):
        mesh.quads(
            [
                plan.road.place(edge, y0),
                plan.road.place(edge, y1),
                plan.road.place(edge, y1, CURB),
                plan.road.place(edge, y0, CURB),
            ],
            _CURBSTONE,
        )
    far = side * (plan.road.half_width + _BEYOND)
    for y in (start, end):
        if NEAREST < y < FARTHEST:
            mesh.quads(
                [
                    plan.road.place(edge, y),
                    plan.road.place(far, y),
                    plan.road.place(far, y, CURB),
                    plan.road.place(edge, y, CURB),
                ],
                _CURBSTONE,
            )


def build_sides(mesh: Mesh, random: Random, plan: Plan, lit: float) -> None:
    """The lots on both sides, the ends of the side streets, and the houses at the end of the street."""
    # A texture of bricks or stones for garden walls, 4 x 4 meters.
    material, color = (("brick", (0.26, 0.12, 0.075)), ("stone", (0.34, 0.31, 0.26)))[random.integers(2)]
    front = Front(material, color, color, 4, 4, 4, 4, (0.5, 0.5), False, 0, int(random.integers(2**31)))
    mesh.textures.append(texture(draw_front(front, 30, plain=True)))
    brick = len(mesh.textures) - 1
    for side in (-1, 1):
        for start, end in plan.blocks():
            _block(
                mesh, random, plan, side, (start + 2.5 * (start > NEAREST), end - 2.5 * (end < FARTHEST)), lit, brick
            )
        _line(mesh, random, plan, side, lit > 0.3)
        for start, end in plan.junctions:
            _side_street_end(mesh, random, plan, side, (start + end) / 2, lit)
    for x in np.arange(-70, 70, 16):
        height = random.uniform(8, 20)
        place = plan.road.place(float(x), FARTHEST + 30)
        with mesh.at("building", place):
            add_house(mesh, random, House(15.5, 12, height, random.choice([0.0, 3.5]), 240, False), lit)
        if random.random() < 0.6:
            with mesh.at("vegetation", (place[0] + random.uniform(0, 10), place[1] - random.uniform(4, 15))):
                add_tree(mesh, random, random.uniform(8, 14), plan.autumn, 14)


def _block(
    mesh: Mesh, random: Random, plan: Plan, side: int, along: tuple[float, float], lit: float, brick: int
) -> None:
    """Fills a block with lots."""
    position = along[0]
    while along[1] - position > 6:
        low, high = {"city": (11, 24), "town": (8, 16), "suburb": (14, 24), "park": (18, 40)}[plan.kind]
        length = min(random.uniform(low, high), along[1] - position)
        if along[1] - position - length < 6:
            length = along[1] - position
        middle = position + length / 2
        # Facades run to the right as seen from the road.
        start = position if side < 0 else position + length
        heading = plan.road.heading(middle) - side * np.pi / 2
        lot = str(random.choice(_LOTS, p=_LOT_SHARES[plan.kind]))
        with mesh.at("terrain", plan.road.place(side * plan.front(side), start, CURB), heading):
            corner = position == along[0] or position + length > along[1] - 0.1
            _add_lot(mesh, random, plan, lot, (length, max(abs(middle), 6.0), corner), lit, brick)
        position += length


def _add_lot(
    mesh: Mesh, random: Random, plan: Plan, lot: str, measures: tuple[float, float, bool], lit: float, brick: int
) -> None:
    """A lot along +x; `measures`: its length, its distance from the camera, and whether it is at a corner."""
    length, distance, corner = measures
    stories = {"city": random.integers(3, 7), "town": random.integers(2, 5)}.get(plan.kind, random.integers(1, 3))
    height = float(stories) * random.uniform(3.0, 3.6) + 0.6
    roof = 0.0 if random.random() < 0.3 and plan.kind != "suburb" else random.uniform(2.2, 4.2)
    if lot == "house at the street":
        add_house(mesh, random, House(length - 0.02, 11, height, roof, distance, corner), lit)
        return
    mesh.quads([[0, 0, 0.005], [length, 0, 0.005], [length, 40, 0.005], [0, 40, 0.005]], _LAWN)
    _edge(mesh, random, length, lot, brick)
    trees = {"house in a garden": 1, "lawn": 5, "yard": 1}[lot] + int(random.integers(0, 3))
    setback = random.uniform(5, 9)
    if lot == "house in a garden":
        width = length * random.uniform(0.6, 0.85)
        place, house = ((length - width) / 2, setback), House(width, 10, height, roof, distance + 6, True)
    else:
        far = random.uniform(24, 38)
        place, house = (0.5, far), House(length - 1, 10, height * 1.3, roof, distance + far, True)
    with mesh.at("building", place):
        add_house(mesh, random, house, lit)
    for _ in range(trees):
        x, y = random.uniform(1.5, length - 1.5), random.uniform(1.6, setback - 1 if lot == "house in a garden" else 20)
        with mesh.at("vegetation", (x, y)):
            add_tree(mesh, random, random.uniform(5, 12), plan.autumn, 40 if distance < 30 else 20)
    for _ in range(int(random.integers(1, 5))):
        with mesh.at("vegetation", (random.uniform(1, length - 1), random.uniform(0.9, 3.5))):
            add_bush(mesh, random, random.uniform(0.6, 1.5))


def _edge(mesh: Mesh, random: Random, length: float, lot: str, brick: int) -> None:
    """The fence, hedge or wall between lot and pavement, with a gap for a gate."""
    kinds = ("hedge", "wall", "bars", "pickets", "net", "open")
    shares = (0.05, 0.4, 0.25, 0.0, 0.3, 0.0) if lot == "yard" else (0.26, 0.2, 0.2, 0.16, 0.06, 0.12)
    kind = str(random.choice(kinds, p=shares))
    gate = random.uniform(0.3, 0.7) * length
    for start, end in ((0.1, gate - 0.7), (gate + 0.7, length - 0.1)):
        with mesh.at("fence", (start, 0.15)):
            if kind == "hedge":
                add_hedge(mesh, random, end - start, random.uniform(0.9, 1.9))
            elif kind == "wall":
                add_wall(mesh, random, end - start, brick if length < 30 else -1)
            elif kind != "open":
                add_fence(mesh, random, end - start, kind)


def _line(mesh: Mesh, random: Random, plan: Plan, side: int, lamps_on: bool) -> None:
    """Trees and lamps along the curb."""
    near_curb = plan.road.half_width + 0.6
    verge = plan.verge[side > 0]
    if random.random() < (0.8 if verge else 0.4) and plan.pavement[side > 0] > 2.2:
        pitch, height = random.uniform(7, 14), random.uniform(5.5, 11)
        for along in np.arange(random.uniform(3, 12), 180, pitch):
            if not plan.at_junction(along, 4) and random.random() < 0.85:
                place = plan.road.place(side * (near_curb + verge * 0.4 + 0.2), float(along), CURB)
                with mesh.at("vegetation", place, random.uniform(0, 6)):
                    clumps = 44 if along < 25 else 26 if along < 60 else 14
                    add_tree(mesh, random, height * random.uniform(0.85, 1.15), plan.autumn, clumps)
    if random.random() < 0.8:
        for along in np.arange(random.uniform(6, 20), 180, random.uniform(22, 34)):
            if not plan.at_junction(along, 1):
                with mesh.at("pole", plan.road.place(side * (near_curb - 0.1), float(along), CURB)):
                    add_lamp_post(mesh, random, -side * random.uniform(1.2, 2.2), lamps_on)
    if random.random() < 0.12:
        with mesh.at("fence", plan.road.place(side * (near_curb - 0.25), 8 + 14.0, CURB), -np.pi / 2):
            add_fence(mesh, random, 14, "barrier" if random.random() < 0.5 else "bars")


def _side_street_end(mesh: Mesh, random: Random, plan: Plan, side: int, along: float, lit: float) -> None:
    """Houses along a side street and at its end."""
    far = plan.front(side) + 55
    turn = -side * np.pi / 2
    with mesh.at("building", plan.road.place(side * far, along + side * 20, 0), turn):
        add_house(mesh, random, House(40, 10, random.uniform(8, 18), 3.0, 70, False), lit)
    for edge in (-1, 1):
        for step in (13.0, 31.0):
            x = side * (plan.front(side) + step)
            y = along + edge * 8.2
            # Facades face the side street.
            heading = np.pi if edge < 0 else 0.0
            shift = 17.0 / 2 * (1 if edge < 0 else -1)
            with mesh.at("building", (plan.road.place(x + shift, y)[0], y, CURB), heading):
                add_house(mesh, random, House(17, 9, random.uniform(6, 16), 2.5, 45, False), lit)
    if random.random() < 0.7:
        with mesh.at("vegetation", plan.road.place(side * (far - 20), along + 5, CURB)):
            add_tree(mesh, random, random.uniform(6, 10), plan.autumn, 20)
