"""Houses: facades, roofs, chimneys, dormers, balconies. The front lies along +x and faces -y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.synthesis.facades import Front, choose_front, draw_front
from fassd.synthesis.mesh import Color, Mesh, Surface
from fassd.synthesis.shapes import box
from fassd.synthesis.textures import BARS, texture

Random = np.random.Generator

_ROOFS: tuple[Color, ...] = (
    (0.20, 0.07, 0.04),
    (0.10, 0.06, 0.045),
    (0.06, 0.062, 0.068),
    (0.25, 0.11, 0.06),
    (0.085, 0.08, 0.075),
)


@dataclass(frozen=True)
class House:
    """The measures of a house in meters.

    Attributes:
        width, depth, height: to the eaves.
        roof: height of the ridge above them; 0: flat.
        distance: from the camera; decides the resolution of its textures.
        sides: whether the side walls are visible.
    """

    width: float
    depth: float
    height: float
    roof: float
    distance: float
    sides: bool


def add_house(mesh: Mesh, random: Random, house: House, lit: float) -> None:
    """Adds a house; its side walls look like the front with fewer windows."""
    front = choose_front(random, house.width, house.height, lit)
    scale = float(np.clip(900 * mesh.detail / (house.distance + 8), 4, 32))
    width, depth, height = house.width, house.depth, house.height
    with mesh.part("building"):
        _textured(mesh, _texture(mesh, front, scale), height, ((0, 0), (width, 0)))
        side = Front(
            front.material, front.wall, front.trim, depth, height, front.story, depth / max(1, round(depth / 4)),
            front.window, False, lit, front.seed + 1,
        )  # fmt: skip
        if house.sides:
            row = _texture(mesh, side, scale * 0.7)
            _textured(mesh, row, height, ((width, 0), (width, depth)))
            _textured(mesh, row, height, ((0, depth), (0, 0)))
        else:
            plain = Surface(front.wall, grain=(0.08, 1.2))
            mesh.quads(_upright((width, 0), (width, depth), height), plain)
            mesh.quads(_upright((0, depth), (0, 0), height), plain)
        _roof(mesh, random, house, front)
        if front.material in ("plaster", "stone", "concrete") and random.random() < 0.4:
            _balconies(mesh, random, house, front)


def _upright(start: tuple[float, float], end: tuple[float, float], height: float) -> list[list[float]]:
    return [[*start, 0], [*end, 0], [*end, height], [*start, height]]


def _texture(mesh: Mesh, front: Front, scale: float) -> int:
    mesh.textures.append(texture(draw_front(front, scale)))
    return len(mesh.textures) - 1


def _textured(mesh: Mesh, row: int, height: float, ends: tuple[tuple[float, float], tuple[float, float]]) -> None:
    mesh.quads(_upright(*ends, height), Surface((1, 1, 1), texture=row))


def _roof(mesh: Mesh, random: Random, house: House, front: Front) -> None:
    color = np.array(_ROOFS[random.integers(len(_ROOFS))]) * random.uniform(0.8, 1.2)
    tiles = Surface(tuple(color.tolist()), 0.01, grain=(0.22, 0.22))
    plain = Surface(front.wall, grain=(0.08, 1.0))
    if house.roof:
        _pitched_roof(mesh, random, house, tiles, plain)
        if random.random() < 0.5 and house.roof > 2:
            _dormers(mesh, house, front, tiles)
        return
    width, depth, height = house.width, house.depth, house.height
    coping = Surface(front.trim, grain=(0.05, 0.5))
    box(mesh, (-0.08, -0.12, height), (width + 0.08, 0.25, height + random.uniform(0.25, 0.9)), coping)
    mesh.quads([[0, 0, height], [width, 0, height], [width, depth, height], [0, depth, height]], tiles)
    if random.random() < 0.5:
        x = random.uniform(0.2, 0.6) * width
        box(mesh, (x, depth * 0.3, height), (x + 3, depth * 0.6, height + 2.2), plain)


def _pitched_roof(mesh: Mesh, random: Random, house: House, tiles: Surface, plain: Surface) -> None:
    width, height, ridge, middle = house.width, house.height, house.height + house.roof, house.depth / 2
    left, right, low, eaves = -0.2, width + 0.2, height - 0.1, 0.35
    for start, end, y in ((left, right, -eaves), (right, left, house.depth + eaves)):
        mesh.quads([[start, y, low], [end, y, low], [end, middle, ridge], [start, middle, ridge]], tiles)
    for x in (0.0, width):
        mesh.quads([[x, 0, height], [x, house.depth, height], [x, middle, ridge], [x, middle, ridge]], plain)
    gutter = Surface((0.12, 0.12, 0.12), 0.03)
    box(mesh, (left, -eaves - 0.12, height - 0.2), (right, -eaves + 0.02, height - 0.05), gutter)
    brick = Surface((0.24, 0.10, 0.07), grain=(0.2, 0.15))
    for _ in range(int(random.integers(1, 3))):
        x = random.uniform(0.1, 0.85) * width
        box(mesh, (x, middle - 0.4, ridge - 0.7), (x + 0.7, middle + 0.3, ridge + 0.9), brick)


def _dormers(mesh: Mesh, house: House, front: Front, tiles: Surface) -> None:
    slope = house.roof / (house.depth / 2)
    for x in np.arange(front.bay, house.width - 1.5, front.bay * 2):
        y = 0.9
        bottom = house.height + slope * y - 0.1
        box(mesh, (x, y, bottom), (x + 1.3, y + 1.4 / slope + 0.4, bottom + 1.3), Surface(front.trim))
        mesh.quads(
            [
                [x + 0.2, y - 0.01, bottom + 0.25],
                [x + 1.1, y - 0.01, bottom + 0.25],
                [x + 1.1, y - 0.01, bottom + 1.15],
                [x + 0.2, y - 0.01, bottom + 1.15],
            ],
            Surface((0.03, 0.035, 0.045), 0.3),
        )
        box(mesh, (x - 0.12, y - 0.15, bottom + 1.3), (x + 1.42, y + 1.4 / slope + 0.4, bottom + 1.42), tiles)


def _balconies(mesh: Mesh, random: Random, house: House, front: Front) -> None:
    slab, rails = Surface(front.trim, grain=(0.05, 0.5)), Surface((0.03, 0.032, 0.034), 0.02, cutout=BARS)
    stories, bays = round(house.height / front.story), round(house.width / front.bay)
    every = int(random.integers(1, 4))
    for floor in range(1, stories):
        for bay in range(int(random.integers(2)), bays, every):
            left, right, z = (bay + 0.1) * front.bay, (bay + 0.9) * front.bay, floor * front.story + 0.12
            box(mesh, (left, -1.0, z - 0.16), (right, 0, z), slab)
            ends = (((left, 0), (left, -1)), ((left, -1), (right, -1)), ((right, -1), (right, 0)))
            for start, end in ends:
                length = abs(end[0] - start[0]) + abs(end[1] - start[1])
                corners = [[*start, z], [*end, z], [*end, z + 1.0], [*start, z + 1.0]]
                mesh.quads(corners, rails, repeat=(max(1, round(length / 0.5)), 1))
