"""Pedestrians, cyclists and motorcyclists. Modeled around their feet, facing +y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.synthesis.mesh import ROUND, Array, Color, Mesh, Surface, by
from fassd.synthesis.shapes import box, side_disc
from fassd.synthesis.textures import BICYCLE_WHEEL, RIM

Random = np.random.Generator

_SKINS: tuple[Color, ...] = (
    (0.50, 0.30, 0.22),
    (0.42, 0.24, 0.16),
    (0.24, 0.12, 0.07),
    (0.10, 0.05, 0.03),
    (0.55, 0.36, 0.28),
)
_HAIR: tuple[Color, ...] = (
    (0.012, 0.01, 0.008),
    (0.05, 0.028, 0.014),
    (0.14, 0.08, 0.035),
    (0.3, 0.2, 0.09),
    (0.3, 0.3, 0.3),
)
_TOPS: tuple[Color, ...] = (
    (0.02, 0.02, 0.024), (0.03, 0.045, 0.1), (0.5, 0.48, 0.45), (0.35, 0.025, 0.03), (0.06, 0.12, 0.06),
    (0.16, 0.16, 0.17), (0.42, 0.28, 0.04), (0.06, 0.2, 0.35), (0.2, 0.13, 0.07), (0.45, 0.22, 0.26), (0.08, 0.03, 0.1),
)  # fmt: skip
_TROUSERS: tuple[Color, ...] = (
    (0.02, 0.03, 0.065),
    (0.05, 0.075, 0.14),
    (0.016, 0.016, 0.018),
    (0.22, 0.17, 0.11),
    (0.1, 0.1, 0.105),
)


@dataclass(frozen=True)
class Clothes:
    """The surfaces of a person; round ones for balls, plain ones for limbs."""

    skin: Surface
    hair: Surface
    top: Surface
    legs: Surface
    shoes: Surface


def _choose_clothes(random: Random) -> Clothes:
    def pick(colors: tuple[Color, ...], grain: float = 0.0) -> Surface:
        color = np.array(colors[random.integers(len(colors))]) * random.uniform(0.75, 1.25)
        return Surface(tuple(color.tolist()), grain=(grain, 0.15))

    shoes = Surface((0.02, 0.018, 0.016) if random.random() < 0.7 else (0.45, 0.45, 0.43))
    return Clothes(pick(_SKINS), pick(_HAIR), pick(_TOPS, 0.04), pick(_TROUSERS, 0.04), shoes)


def _ball(mesh: Mesh, center: Array, radius: float, surface: Surface, height: float = 0.0) -> None:
    rounded = Surface(surface.color, surface.gloss, surface.emission, surface.grain, cutout=ROUND)
    mesh.ball(center, radius, rounded, height=height)


def _limb(mesh: Mesh, joints: list[Array], radii: tuple[float, ...], surface: Surface) -> None:
    """Tubes from joint to joint with round joints."""
    for start, end, wide, narrow in zip(joints, joints[1:], radii, radii[1:], strict=False):
        mesh.tube(start, end, surface, wide, narrow)
        _ball(mesh, end, narrow, surface)
    _ball(mesh, joints[0], radii[0], surface)


def _head(mesh: Mesh, at: Array, forward: float, clothes: Clothes, helmet: Surface | None) -> None:
    mesh.tube(at - by(0, 0.01, 0.16), at, clothes.skin, 0.055)
    _ball(mesh, at + by(0, 0.02 + forward, -0.012), 0.085, clothes.skin, 0.102)
    if helmet:
        _ball(mesh, at + by(0, forward - 0.01, 0.065), 0.118, helmet, 0.105)
    else:
        _ball(mesh, at + by(0, forward - 0.03, 0.042), 0.094, clothes.hair, 0.1)


def _torso(mesh: Mesh, hip: Array, neck: Array, clothes: Clothes, girth: float) -> None:
    """A torso of two tubes side by side, wider from the front than from the side."""
    for side in (-1, 1):
        low, high = hip + by(side * 0.055, 0, 0), neck + by(side * 0.085, 0, -0.06)
        mesh.tube(low, high, clothes.top, 0.108 * girth, 0.112 * girth)
        _ball(mesh, high, 0.112 * girth, clothes.top, 0.07)
        _ball(mesh, low, 0.105 * girth, clothes.legs, 0.09)
    mesh.tube(hip, neck - by(0, 0, 0.05), clothes.top, 0.12 * girth, 0.125 * girth)


def add_pedestrian(mesh: Mesh, random: Random, umbrella: bool) -> None:
    """A person who walks or stands."""
    clothes = _choose_clothes(random)
    tall = random.uniform(0.9, 1.07) if random.random() < 0.9 else random.uniform(0.62, 0.78)
    swing = random.uniform(0.12, 0.42) if random.random() < 0.7 else 0.04
    girth = random.uniform(0.9, 1.22)
    hip, neck = np.array([0, 0, 0.92]) * tall, np.array([0, 0.03, 1.47]) * tall
    for side, phase in ((-1, 1), (1, -1)):
        reach = phase * swing
        knee = by(side * 0.085, reach * 0.55 + 0.05 * swing, 0.50) * tall
        lifted = swing * (phase < 0)
        ankle = by(side * 0.08, reach - 0.36 * lifted, 0.085 + 0.10 * lifted) * tall
        leg = [hip + by(side * 0.085, 0, 0) * tall, knee, ankle]
        _limb(mesh, leg, (0.088 * girth, 0.062, 0.046), clothes.legs)
        mesh.tube(ankle - by(0, 0.06, 0.045), ankle + by(0, 0.16, -0.05), clothes.shoes, 0.05, 0.035)
        shoulder = neck + by(side * 0.185 * girth, 0, -0.07) * tall
        elbow = shoulder + by(side * 0.05, -reach * 0.35, -0.27) * tall
        wrist = elbow + by(-side * 0.01, -reach * 0.35 + 0.08, -0.23) * tall
        _limb(mesh, [shoulder, elbow, wrist], (0.068 * girth, 0.05, 0.038), clothes.top)
        _ball(mesh, wrist - by(0, 0, 0.05), 0.042, clothes.skin, 0.06)
    _torso(mesh, hip, neck, clothes, girth)
    _belongings(mesh, random, hip, neck, clothes.top)
    if random.random() < 0.3:  # long hair
        _ball(mesh, neck + by(0, -0.06, 0.06), 0.09, clothes.hair, 0.17)
    _head(mesh, neck + by(0, 0.02, 0.15) * tall, 0.0, clothes, None)
    if umbrella:
        cloth = Surface(_TOPS[random.integers(len(_TOPS))], 0.03)
        mesh.tube(neck + by(0.2, 0.15, -0.3), neck + by(0.12, 0.1, 0.62), cloth, 0.012)
        _ball(mesh, neck + by(0.12, 0.1, 0.55), 0.52, cloth, 0.2)


def _belongings(mesh: Mesh, random: Random, hip: Array, neck: Array, coat: Surface) -> None:
    """A coat or a dress, a rucksack, a bag, or nothing."""
    kind = random.random()
    stuff = Surface(_TOPS[random.integers(len(_TOPS))], grain=(0.1, 0.1))
    if kind < 0.22:
        mesh.tube(hip + by(0, 0, 0.12), hip - by(0, 0, 0.38), coat, 0.18, 0.23)
    elif kind < 0.42:
        box(mesh, neck - by(0.14, 0.28, 0.42), neck + by(0.14, -0.1, -0.02), stuff)
    elif kind < 0.6:
        hand = hip + by(0.3, 0, -0.3)
        box(mesh, hand - by(0.05, 0.16, 0.2), hand + by(0.05, 0.16, 0.08), stuff)


def add_bicycle(mesh: Mesh, random: Random) -> None:
    """A bicycle."""
    colors = _TOPS
    paint = Surface(tuple((np.array(colors[random.integers(len(colors))]) * 1.2).tolist()), 0.05)
    dark, radius = Surface((0.02, 0.02, 0.02), 0.02), 0.345
    for y in (-0.53, 0.53):
        side_disc(mesh, (0, y, radius), radius, Surface(dark.color, cutout=BICYCLE_WHEEL))
        # Seen from the front, the flat wheel would vanish.
        mesh.tube((0, y, 0.0), (0, y, 2 * radius), dark, 0.018)
    hub, crank, seat, head = np.array([[0, -0.53, 0.345], [0, -0.08, 0.29], [0, -0.24, 0.80], [0, 0.36, 0.82]])
    for start, end in ((hub, crank), (crank, seat), (crank, head - by(0, 0, 0.1)), (seat, head), (hub, seat)):
        mesh.tube(start, end, paint, 0.021)
    mesh.tube(head + by(0, -0.02, 0.1), (0, 0.53, 0.345), paint, 0.02)
    mesh.tube(seat, seat + by(0, -0.03, 0.14), dark, 0.018)
    mesh.tube(seat + by(0, -0.17, 0.15), seat + by(0, 0.12, 0.15), dark, 0.06, 0.025)
    mesh.tube((-0.29, 0.30, 1.0), (0.29, 0.30, 1.0), dark, 0.018)
    mesh.tube(crank - by(0.1, 0.1, 0.13), crank + by(0.1, 0.1, 0.13), dark, 0.015)
    if random.random() < 0.4:
        box(mesh, (-0.17, 0.42, 0.86), (0.17, 0.72, 1.06), Surface((0.18, 0.11, 0.05), grain=(0.2, 0.05)))
    for y in (-0.53, 0.53):
        for angle in np.linspace(0.2, 2.6, 5):
            offset = np.array([0, np.cos(angle), np.sin(angle)]) * 0.375
            after = np.array([0, np.cos(angle + 0.6), np.sin(angle + 0.6)]) * 0.375
            mesh.tube(np.array([0, y, radius]) + offset, np.array([0, y, radius]) + after, dark, 0.012)


def add_motorcycle(mesh: Mesh, random: Random, lamps: bool) -> None:
    """A motorcycle or a scooter."""
    paint = Surface(_TOPS[random.integers(len(_TOPS))], 0.06)
    dark, steel = Surface((0.02, 0.02, 0.021), 0.03), Surface((0.22, 0.22, 0.23), 0.2)
    rubber = Surface((0.018, 0.018, 0.018), cutout=ROUND)
    for y in (-0.68, 0.70):
        for x in (-0.05, 0.05):
            side_disc(mesh, (x, y, 0.31), 0.31, rubber)
            side_disc(mesh, (x * 1.2, y, 0.31), 0.19, Surface((0.25, 0.25, 0.26), 0.1, cutout=RIM))
        mesh.tube((0, y, 0.0), (0, y, 0.62), Surface((0.018, 0.018, 0.018)), 0.065)
    for x in (-0.09, 0.09):
        mesh.tube((x, 0.70, 0.31), (x, 0.46, 0.98), steel, 0.03)
        mesh.tube((x, -0.68, 0.33), (x, -0.05, 0.42), steel, 0.035)
    _limb(
        mesh,
        [np.array([0, 0.42, 0.80]), np.array([0, 0.02, 0.80]), np.array([0, -0.3, 0.74])],
        (0.15, 0.17, 0.1),
        paint,
    )
    mesh.tube((0, 0.25, 0.42), (0, -0.22, 0.42), dark, 0.17)
    mesh.tube((0, -0.1, 0.83), (0, -0.85, 0.86), dark, 0.13, 0.08)
    mesh.tube((0.14, 0.0, 0.3), (0.16, -0.85, 0.4), steel, 0.045, 0.06)
    mesh.tube((-0.36, 0.36, 1.04), (0.36, 0.36, 1.04), dark, 0.022)
    _ball(mesh, np.array([0, 0.58, 0.86]), 0.12, Surface((0.7, 0.7, 0.66), 0.2, emission=1.3 if lamps else 0.1))
    _ball(mesh, np.array([0, -0.92, 0.82]), 0.06, Surface((0.4, 0.01, 0.01), emission=0.8 if lamps else 0.08))
    mesh.tube((0, 0.95, 0.60), (0, 0.48, 0.66), paint, 0.07)
    mesh.tube((0, -0.98, 0.60), (0, -0.5, 0.70), paint, 0.08)
    panel_at = np.array([[-0.09, -1.0, 0.48], [0.09, -1.0, 0.48], [0.09, -1.0, 0.62], [-0.09, -1.0, 0.62]])
    mesh.quads(panel_at, Surface((0.6, 0.6, 0.58)))


def add_rider(mesh: Mesh, random: Random, motor: bool) -> None:
    """A rider in the saddle, hands on the bar, feet on the pedals or rests."""
    clothes = _choose_clothes(random)
    hip = np.array([0, -0.28, 0.93 if motor else 1.0])
    lean = random.uniform(0.22, 0.4)
    neck = hip + by(0, lean, 0.53)
    bar = np.array([0.28, 0.32, 1.05])
    for side, phase in ((-1, 1), (1, -1)):
        foot = (
            np.array([side * 0.11, -0.06 + 0.15 * phase, 0.32 - 0.12 * phase])
            if not motor
            else np.array([side * 0.2, -0.1, 0.35])
        )
        start = hip + by(side * 0.09, 0, -0.02)
        knee = (start + foot) / 2 + by(side * 0.05, 0.24, 0.08)
        _limb(mesh, [start, knee, foot], (0.09, 0.066, 0.048), clothes.legs)
        mesh.tube(foot - by(0, 0.06, 0.02), foot + by(0, 0.17, -0.03), clothes.shoes, 0.05, 0.036)
        shoulder, hand = neck + by(side * 0.19, 0, -0.07), bar * [side, 1, 1]
        elbow = (shoulder + hand) / 2 + by(side * 0.07, -0.05, -0.07)
        _limb(mesh, [shoulder, elbow, hand], (0.066, 0.052, 0.04), clothes.top)
        _ball(mesh, hand, 0.05, clothes.skin)
    _torso(mesh, hip, neck, clothes, random.uniform(0.95, 1.15))
    cap = Surface(_TOPS[random.integers(len(_TOPS))], 0.06) if motor or random.random() < 0.5 else None
    _head(mesh, neck + by(0, 0.06, 0.15), 0.02, clothes, cap)
