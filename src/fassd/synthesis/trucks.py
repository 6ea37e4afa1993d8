"""Trucks, buses and trams, modeled around their middle, front towards +y, on z = 0."""

from __future__ import annotations

import numpy as np

from fassd.synthesis.mesh import Color, Mesh, Surface
from fassd.synthesis.shapes import box, flank, hull, panel, side_disc, wheel
from fassd.synthesis.vehicles import ARCH, BLACK, GLASS, PAINTS, PLATE, underside

Random = np.random.Generator


def _slab(mesh: Mesh, width: float, ends: tuple[float, float], heights: tuple[float, float], surface: Surface) -> None:
    """A long box with rounded edges, for buses and cabs."""
    outline = np.array([(0.96, 0), (1, 0.05), (1, 0.9), (0.985, 0.96), (0.92, 1), (0, 1.005)])
    shape = np.concatenate([outline, outline[-2::-1] * [-1, 1]])
    rings = []
    for place, share in (
        (ends[0], 0.0),
        (ends[0], 0.93),
        (ends[0] - 0.12, 1),
        (ends[1] + 0.12, 1),
        (ends[1], 0.93),
        (ends[1], 0.0),
    ):
        z = heights[0] + shape[:, 1] * (heights[1] - heights[0])
        rings.append(np.stack([shape[:, 0] * width / 2 * share, np.full(len(shape), place), z], 1))
    hull(mesh, np.array(rings), surface)


def _lights(mesh: Mesh, half: float, front: float, back: float, lamps: bool) -> None:
    white = Surface((0.75, 0.74, 0.7), 0.2, emission=1.2 if lamps else 0.12)
    red = Surface((0.4, 0.01, 0.01), 0.1, emission=0.8 if lamps else 0.06)
    for side in (-1, 1):
        x = (side * half * 0.62, side * half * 0.88)
        panel(mesh, x, front + 0.02, (0.62, 0.80), white)
        panel(mesh, x, back - 0.02, (0.85, 1.15), red)
    panel(mesh, (-0.26, 0.26), back - 0.02, (0.55, 0.67), PLATE)
    panel(mesh, (-0.26, 0.26), front + 0.02, (0.45, 0.57), PLATE)


def add_truck(mesh: Mesh, random: Random, lamps: bool) -> None:
    """A truck with a box or a tarpaulin behind the cab."""
    paint = Surface(PAINTS[random.integers(len(PAINTS))], 0.04)
    load_color = np.array(
        [(0.6, 0.6, 0.58), (0.5, 0.5, 0.48), (0.03, 0.09, 0.25), (0.35, 0.03, 0.03), (0.06, 0.2, 0.1)][
            random.integers(5)
        ]
    )
    load = Surface(tuple(load_color.tolist()), 0.015, grain=(0.05, 0.6))
    length, height = random.uniform(6.5, 9.5), random.uniform(3.0, 3.7)
    front, back, half = length / 2, -length / 2, 1.225
    _slab(mesh, 2.35, (front, front - 1.9), (0.55, 2.75), paint)
    underside(mesh, 2.4, length)
    panel(mesh, (-1.02, 1.02), front + 0.015, (1.55, 2.45), GLASS)
    panel(mesh, (-0.8, 0.8), front + 0.015, (0.85, 1.35), BLACK)
    box(mesh, (-1.15, front - 0.3, 0.35), (1.15, front + 0.03, 0.62), BLACK)
    for side in (-1, 1):
        flank(mesh, side * 1.19, (front - 1.35, front - 0.4), (1.55, 2.35), GLASS)
        box(mesh, (side * 1.3 - 0.08, front - 0.35, 1.6), (side * 1.3 + 0.08, front - 0.2, 2.2), BLACK)
        flank(mesh, side * 1.0, (back + 2.2, front - 2.6), (0.45, 0.9), BLACK)
        for y in (front - 1.1, back + 1.1, back + 2.1):
            wheel(mesh, side * 1.2, y, 0.48, 0.3)
    box(mesh, (-half, back, 1.0), (half, front - 2.1, height), load)
    box(mesh, (-0.5, back + 0.3, 0.6), (0.5, front - 1.5, 1.0), BLACK)
    stripe = Surface(tuple((0.85 - load_color).clip(0.03, 0.6).tolist()), 0.015)
    z = random.uniform(1.5, 2.4)
    for side in (-1, 1):
        flank(mesh, side * (half + 0.01), (back + 0.8, front - 3.0), (z, z + 0.5), stripe)
    panel(mesh, (-0.02, 0.02), back - 0.012, (1.05, height - 0.05), BLACK)
    panel(mesh, (-half, half), back - 0.012, (0.92, 1.02), BLACK)
    _lights(mesh, half, front, back, lamps)


def add_bus(mesh: Mesh, random: Random, lamps: bool) -> None:
    """A city bus."""
    colors: tuple[Color, ...] = (
        (0.42, 0.02, 0.02),
        (0.55, 0.35, 0.03),
        (0.55, 0.55, 0.53),
        (0.03, 0.11, 0.3),
        (0.08, 0.25, 0.12),
    )
    paint = Surface(colors[random.integers(len(colors))], 0.04)
    length, height, half = random.uniform(10.5, 12.5), 3.05, 1.26
    front, back = length / 2, -length / 2
    _slab(mesh, 2 * half, (front, back), (0.32, height), paint)
    underside(mesh, 2 * half, length)
    _coach_windows(mesh, (half, front, back), (1.15, 2.55), 1.45)
    panel(mesh, (-1.12, 1.12), front + 0.015, (1.0, 2.45), GLASS)
    panel(mesh, (-1.12, 1.12), front + 0.018, (1.0, 1.22), BLACK)  # the dashboard behind the glass
    panel(mesh, (-0.02, 0.02), front + 0.02, (1.0, 2.45), BLACK)
    panel(mesh, (-0.9, 0.9), front + 0.02, (0.45, 0.58), BLACK)
    for side in (-1, 1):
        box(mesh, (side * 1.38 - 0.09, front + 0.05, 1.7), (side * 1.38 + 0.09, front + 0.2, 2.25), BLACK)
    panel(mesh, (-0.95, 0.95), front + 0.02, (2.55, 2.88), BLACK)
    sign = Surface((0.9, 0.5, 0.06), emission=0.9)
    panel(mesh, (-0.6, 0.5), front + 0.03, (2.64, 2.79), sign)
    panel(mesh, (-1.0, 1.0), back - 0.015, (1.55, 2.5), GLASS)
    for side in (-1, 1):
        for y in (front - 2.6, back + 3.1):
            side_disc(mesh, (side * (half + 0.008), y, 0.5), 0.58, ARCH)
            wheel(mesh, side * (half + 0.02), y, 0.48, 0.3)
    for y in (front - 1.3, 0.3):  # doors, on the right
        flank(mesh, half + 0.02, (y - 0.62, y + 0.62), (0.36, 2.5), BLACK)
        for part in (-0.56, 0.04):
            flank(mesh, half + 0.03, (y + part, y + part + 0.52), (0.5, 2.42), GLASS)
    _lights(mesh, half, front, back, lamps)


def _coach_windows(mesh: Mesh, body: tuple[float, float, float], z: tuple[float, float], pitch: float) -> None:
    """A band of windows on both sides: half the width, front and back."""
    half, front, back = body
    for side in (-1, 1):
        flank(mesh, side * (half + 0.008), (back + 0.3, front - 0.25), (z[0] - 0.06, z[1] + 0.06), BLACK)
        count = round((front - back - 0.7) / pitch)
        for y in np.linspace(back + 0.4, front - 0.35, count + 1)[:-1]:
            step = (front - back - 0.75) / count
            flank(mesh, side * (half + 0.014), (y + 0.04, y + step - 0.04), z, GLASS)


def add_tram(mesh: Mesh, random: Random, lamps: bool) -> None:
    """A tram of two or three cars."""
    colors: tuple[Color, ...] = (
        (0.55, 0.4, 0.05),
        (0.42, 0.02, 0.03),
        (0.05, 0.2, 0.12),
        (0.5, 0.5, 0.5),
        (0.05, 0.15, 0.35),
    )
    paint = Surface(colors[random.integers(len(colors))], 0.05)
    cream = Surface((0.58, 0.55, 0.46), 0.05)
    cars = int(random.integers(2, 4))
    half, height, each = 1.2, 3.4, 9.0
    for car in range(cars):
        front = cars * each / 2 - car * each - 0.15
        back = front - each + 0.3
        _slab(mesh, 2 * half, (front, back), (0.25, height), cream)
        for side in (-1, 1):
            flank(mesh, side * (half + 0.006), (back + 0.2, front - 0.2), (0.3, 1.1), paint)
            flank(mesh, side * (half + 0.006), (back + 0.2, front - 0.2), (2.75, 3.1), paint)
        _coach_windows(mesh, (half, front, back), (1.25, 2.6), 1.6)
        box(mesh, (-0.7, back + 1.5, height), (0.7, front - 1.5, height + 0.28), Surface((0.2, 0.2, 0.2)))
        box(mesh, (-0.9, back - 0.3, 0.5), (0.9, back, height - 0.3), BLACK)
    front, back = cars * each / 2 - 0.15, -cars * each / 2 + 0.15
    underside(mesh, 2 * half, front - back)
    for y, sign in ((front, 1), (back, -1)):
        panel(mesh, (-1.1, 1.1), y + 0.015 * sign, (0.3, 1.05), paint)
        panel(mesh, (-1.0, 1.0), y + 0.02 * sign, (1.45, 2.6), GLASS)
        panel(mesh, (-0.03, 0.03), y + 0.025 * sign, (1.45, 2.6), BLACK)
        panel(mesh, (-0.7, 0.7), y + 0.02 * sign, (2.8, 3.12), BLACK)
        panel(mesh, (-0.4, 0.4), y + 0.03 * sign, (2.88, 3.04), Surface((0.9, 0.55, 0.08), emission=0.9))
    arm = Surface((0.05, 0.05, 0.055))
    mesh.tube((0, front - 4, height + 0.2), (0, front - 5, height + 0.9), arm, 0.03)
    mesh.tube((0, front - 5, height + 0.9), (0, front - 4, height + 1.6), arm, 0.03)
    mesh.tube((-0.7, front - 4, height + 1.6), (0.7, front - 4, height + 1.6), arm, 0.04)
    _lights(mesh, half, front, back, lamps)
