"""Street furniture: lamps, signs, traffic lights, trees, hedges, fences, walls. On z = 0, facing -y."""

from __future__ import annotations

import numpy as np

from fassd.synthesis.mesh import ROUND, Array, Color, Mesh, Surface, by
from fassd.synthesis.shapes import box, panel
from fassd.synthesis.textures import BARRIER, BARS, LEAVES, NET, PICKETS, TUFTS

Random = np.random.Generator

_STEEL = Surface((0.20, 0.21, 0.21), 0.03)
_DARK_STEEL = Surface((0.045, 0.05, 0.05), 0.02)
_WHITE = (0.68, 0.68, 0.66)
_RED = (0.50, 0.012, 0.018)
_BLUE = (0.012, 0.09, 0.38)
_YELLOW = (0.62, 0.42, 0.02)


def _disc(mesh: Mesh, center: Array, radius: float, color: Color, depth: float, emission: float = 0.0) -> None:
    x, y, z = center
    panel_corners = [[x - radius, y - depth, z - radius], [x + radius, y - depth, z - radius],
                     [x + radius, y - depth, z + radius], [x - radius, y - depth, z + radius]]  # fmt: skip
    mesh.quads(panel_corners, Surface(color, 0.02, emission, cutout=ROUND))


def _triangle(mesh: Mesh, center: Array, radius: float, color: Color, depth: float) -> None:
    x, y, z = center
    tip = [x, y - depth, z + radius]
    mesh.quads(
        [[x - radius * 0.9, y - depth, z - radius * 0.55], [x + radius * 0.9, y - depth, z - radius * 0.55], tip, tip],
        Surface(color, 0.02),
    )


def _board(mesh: Mesh, center: Array, size: tuple[float, float], color: Color, depth: float) -> None:
    x, y, z = center
    panel(mesh, (x - size[0] / 2, x + size[0] / 2), y - depth, (z - size[1] / 2, z + size[1] / 2), Surface(color, 0.02))


def _sign_face(mesh: Mesh, random: Random, at: Array, kind: str) -> None:
    gray, black = (0.16, 0.16, 0.16), (0.02, 0.02, 0.02)
    if kind in ("limit", "closed", "no entry"):
        _disc(mesh, at, 0.325, gray, -0.012)
        _disc(mesh, at, 0.32, _RED, 0.0)
        if kind == "no entry":
            _board(mesh, at, (0.42, 0.11), _WHITE, 0.012)
            return
        _disc(mesh, at, 0.245, _WHITE, 0.012)
        if kind == "limit":
            for x in (-0.09, 0.075):
                _disc(mesh, at + by(x, 0, 0), 0.085, black, 0.02)
                _disc(mesh, at + by(x, 0, 0), 0.04, _WHITE, 0.028)
    elif kind == "warning":
        _triangle(mesh, at, 0.42, gray, -0.012)
        _triangle(mesh, at, 0.40, _RED, 0.0)
        _triangle(mesh, at, 0.27, _WHITE, 0.012)
        _board(mesh, at - by(0, 0, 0.03), (0.045, 0.17), black, 0.02)
    elif kind == "priority":
        for size, color, depth in ((0.40, _WHITE, 0.0), (0.28, _YELLOW, 0.012)):
            corner = np.array([[0, 0, -size], [size, 0, 0], [0, 0, size], [-size, 0, 0]])
            mesh.quads(at + corner - by(0, depth, 0), Surface(color, 0.02))
    elif kind == "arrow":
        _disc(mesh, at, 0.32, _BLUE, 0.0)
        _board(mesh, at, (0.07, 0.36), _WHITE, 0.012)
        _triangle(mesh, at + by(0, 0, 0.14), 0.14, _WHITE, 0.02)
    elif kind == "parking":
        _board(mesh, at, (0.56, 0.56), _BLUE, 0.0)
        _board(mesh, at - by(0.08, 0, 0.0), (0.07, 0.36), _WHITE, 0.012)
        _disc(mesh, at + by(0.04, 0, 0.09), 0.115, _WHITE, 0.012)
        _disc(mesh, at + by(0.04, 0, 0.09), 0.05, _BLUE, 0.02)
    else:
        _way_sign(mesh, random, at)


def _way_sign(mesh: Mesh, random: Random, at: Array) -> None:
    """A direction sign with two illegible lines."""
    color = (_BLUE, _YELLOW, (0.02, 0.2, 0.08))[random.integers(3)]
    width = random.uniform(1.1, 2.2)
    _board(mesh, at, (width, 0.62), _WHITE, 0.0)
    _board(mesh, at, (width - 0.06, 0.56), color, 0.012)
    ink = (0.02, 0.02, 0.02) if color == _YELLOW else _WHITE
    for row in (0.12, -0.13):
        line = at + by(random.uniform(-0.15, 0.1), 0, row)
        _board(mesh, line, (width * random.uniform(0.4, 0.65), 0.09), ink, 0.02)


SIGN_KINDS = ("limit", "closed", "no entry", "warning", "priority", "arrow", "parking", "way")


def add_sign(mesh: Mesh, random: Random) -> None:
    """One or two traffic signs on a post."""
    high = random.uniform(2.2, 2.7)
    with mesh.part("pole"):
        mesh.tube((0, 0, 0), (0, 0, high + 0.3), _STEEL, 0.04)
    with mesh.part("traffic sign"):
        at = np.array([0.0, -0.06, high])
        kind = SIGN_KINDS[random.choice(len(SIGN_KINDS), p=[0.18, 0.1, 0.12, 0.16, 0.12, 0.1, 0.12, 0.1])]
        _sign_face(mesh, random, at, kind)
        if random.random() < 0.4 and kind != "way":
            _board(mesh, at - by(0, 0, 0.52), (0.56, 0.26), _WHITE, 0.0)
            _board(mesh, at - by(0, 0, 0.52), (0.36, 0.07), (0.03, 0.03, 0.03), 0.012)


def _signal_head(mesh: Mesh, at: Array, state: int) -> None:
    """Red above amber above green; `state` counts from above."""
    with mesh.part("traffic light"):
        x, y, z = at
        box(mesh, (x - 0.17, y - 0.13, z - 0.5), (x + 0.17, y + 0.13, z + 0.5), Surface((0.018, 0.02, 0.02), 0.03))
        colors: tuple[Color, ...] = ((0.95, 0.03, 0.02), (0.95, 0.45, 0.02), (0.03, 0.8, 0.35))
        for row, color in enumerate(colors):
            on = row == state
            dim = (color[0] * 0.12, color[1] * 0.12, color[2] * 0.12)
            lamp = at + by(0, 0, 0.31 - 0.31 * row)
            _disc(mesh, lamp, 0.125, color if on else dim, 0.14, 2.0 if on else 0.0)
            box(mesh, lamp + by(-0.13, -0.27, 0.11), lamp + by(0.13, -0.13, 0.135), Surface((0.015, 0.015, 0.015)))


def add_traffic_light(mesh: Mesh, random: Random, reach: float, state: int) -> None:
    """A traffic light; if `reach` is not 0, with a second one on a mast arm of that many meters to the right."""
    with mesh.part("pole"):
        mesh.tube((0, 0, 0), (0, 0, 5.6 if reach else 3.4), _DARK_STEEL, 0.085, 0.06)
        if reach:
            mesh.tube((0, 0, 5.45), (reach, 0, 5.7), _DARK_STEEL, 0.07, 0.045)
    _signal_head(mesh, np.array([0.0, -0.22, 2.75]), state)
    if reach:
        _signal_head(mesh, np.array([reach, -0.18, 5.35]), state)
    if random.random() < 0.5:
        with mesh.part("traffic sign"):
            _sign_face(mesh, random, np.array([0.0, -0.14, 3.75]), "priority")


def add_lamp_post(mesh: Mesh, random: Random, reach: float, lit: bool) -> None:
    """A street lamp that leans over the road by `reach` meters to the right."""
    with mesh.part("pole"):
        high = random.uniform(6.5, 9.0)
        mesh.tube((0, 0, 0), (0, 0, 1.1), _DARK_STEEL, 0.10)
        mesh.tube((0, 0, 0), (0, 0, high - 0.5), _DARK_STEEL, 0.075, 0.05)
        mesh.tube((0, 0, high - 0.5), (reach * 0.3, 0, high - 0.05), _DARK_STEEL, 0.05, 0.04)
        mesh.tube((reach * 0.3, 0, high - 0.05), (reach, 0, high), _DARK_STEEL, 0.04)
        head = Surface((0.9, 0.8, 0.55), emission=2.5) if lit else Surface((0.30, 0.30, 0.29), 0.05)
        mesh.tube((reach * 0.75, 0, high - 0.02), (reach * 1.1, 0, high - 0.02), head, 0.10, 0.07)


def add_bollard(mesh: Mesh, random: Random) -> None:
    """A short post that keeps cars off the pavement."""
    with mesh.part("pole"):
        mesh.tube((0, 0, 0), (0, 0, 0.9), _DARK_STEEL, 0.06)
        mesh.tube((0, 0, 0.68), (0, 0, 0.78), Surface((0.6, 0.6, 0.58)), 0.062)


def add_bin(mesh: Mesh, random: Random) -> None:
    """A litter bin or a switch box, which Cityscapes ignores."""
    if random.random() < 0.5:
        mesh.tube(
            (0, 0, 0.0),
            (0, 0, 0.95),
            Surface(((0.03, 0.1, 0.05), (0.06, 0.06, 0.065), (0.5, 0.2, 0.02))[random.integers(3)], 0.02),
            0.24,
        )
    else:
        box(mesh, (-0.45, -0.2, 0), (0.45, 0.2, 1.25), Surface((0.24, 0.25, 0.23), 0.01, grain=(0.08, 0.3)))


_GREENS: tuple[Color, ...] = (
    (0.055, 0.095, 0.022),
    (0.075, 0.115, 0.025),
    (0.04, 0.075, 0.022),
    (0.10, 0.12, 0.03),
    (0.05, 0.085, 0.035),
)
_AUTUMN: tuple[Color, ...] = ((0.22, 0.13, 0.02), (0.20, 0.07, 0.015), (0.16, 0.14, 0.03))


def _foliage(random: Random, autumn: bool) -> list[Surface]:
    greens = _AUTUMN if autumn and random.random() < 0.7 else _GREENS
    color = np.array(greens[random.integers(len(greens))]) * random.uniform(0.85, 1.3)
    return [
        Surface(tuple((color * share).tolist()), grain=(0.18, 0.12), texture=leaf, cutout=leaf)
        for leaf, share in zip(LEAVES, (0.85, 1.0, 1.15), strict=True)
    ]


def add_tree(mesh: Mesh, random: Random, height: float, autumn: bool, clumps: int = 34) -> None:
    """A tree: a forked trunk, and a crown of clumps of leaves around the branches."""
    bark = Surface(
        ((0.075, 0.06, 0.045), (0.12, 0.11, 0.09), (0.05, 0.042, 0.035))[random.integers(3)], grain=(0.3, 0.12)
    )
    surfaces = _foliage(random, autumn)
    bole = height * random.uniform(0.28, 0.4)
    crown = np.array([random.uniform(0.26, 0.36), random.uniform(0.26, 0.36), 0.0]) * height
    crown[2] = (height - bole) * 0.52
    middle = np.array([0, 0, bole + (height - bole) * 0.48])
    thick = 0.035 * height**0.85
    with mesh.part("vegetation"):
        fork = np.array([random.normal(0, 0.12), random.normal(0, 0.12), bole])
        mesh.tube((0, 0, -0.1), fork, bark, thick, thick * 0.75)
        for _ in range(6):
            tip = middle + random.normal(0, 0.45, 3) * crown
            mesh.tube(fork - by(0, 0, 0.1), tip, bark, thick * 0.5, thick * 0.12)
        for _ in range(clumps):
            direction = random.standard_normal(3)
            direction /= np.linalg.norm(direction)
            out = random.uniform(0.25, 1) ** 0.6
            place = middle + direction * crown * out * 0.86
            place[2] = max(place[2], bole * 0.92)
            # Leaves inside and below the crown get less light from the sky.
            shade = (0.55 + 0.45 * out) * (0.82 + 0.22 * direction[2])
            size = float(crown.mean()) * random.uniform(0.34, 0.52)
            mesh.ball(place, size, surfaces[random.integers(3)], shade, height=size * random.uniform(0.75, 0.95))


def add_bush(mesh: Mesh, random: Random, size: float) -> None:
    """A low shrub."""
    surfaces = _foliage(random, False)
    with mesh.part("vegetation"):
        for _ in range(9):
            x, y = random.normal(0, 0.4, 2) * size
            radius = size * random.uniform(0.3, 0.48)
            mesh.ball(
                (x, y, radius * random.uniform(0.7, 1.3)),
                radius,
                surfaces[random.integers(3)],
                random.uniform(0.75, 1.05),
            )


def add_hedge(mesh: Mesh, random: Random, length: float, height: float, depth: float = 0.7) -> None:
    """A clipped hedge along +x."""
    color = np.array(_GREENS[random.integers(len(_GREENS))]) * random.uniform(0.7, 1.0)
    solid = Surface(tuple(color.tolist()), grain=(0.5, 0.05))
    ragged = Surface(tuple(color.tolist()), grain=(0.5, 0.05), cutout=TUFTS)
    with mesh.part("vegetation"):
        box(mesh, (0, 0, 0), (length, depth, height - 0.12), solid)
        repeat = (max(1, round(length / 2.5)), 1)
        for y in (-0.03, depth * 0.33, depth * 0.66, depth + 0.03):
            corners = [[0, y, 0], [length, y, 0], [length, y, height + 0.06], [0, y, height + 0.06]]
            mesh.quads(corners, ragged, repeat=repeat)


def add_fence(mesh: Mesh, random: Random, length: float, kind: str) -> None:
    """A transparent fence along +x: bars, pickets, net or barrier."""
    cutout, height, pitch, color = {
        "bars": (BARS, random.uniform(1.0, 1.6), 0.5, (0.025, 0.03, 0.03)),
        "pickets": (
            PICKETS,
            random.uniform(0.9, 1.3),
            0.42,
            (0.45, 0.43, 0.38) if random.random() < 0.5 else (0.16, 0.1, 0.055),
        ),
        "net": (NET, random.uniform(1.3, 2.2), 0.45, (0.1, 0.15, 0.11)),
        "barrier": (BARRIER, 0.75, 2.0, (0.33, 0.34, 0.35)),
    }[kind]
    surface = Surface(color, 0.02, grain=(0.08, 0.4), cutout=cutout)
    with mesh.part("fence"):
        corners = [[0, 0, 0.05], [length, 0, 0.05], [length, 0, height], [0, 0, height]]
        mesh.quads(corners, surface, repeat=(max(1, round(length / pitch)), 1))
        solid = Surface(color, 0.02)
        for x in np.linspace(0, length, max(2, round(length / 2.5))):
            mesh.tube((x, 0, 0), (x, 0, height + 0.06), solid, 0.045)


def add_wall(mesh: Mesh, random: Random, length: float, brick: int) -> None:
    """A garden wall along +x; `brick` is the row of a texture of 4 x 4 meters, or -1 for concrete."""
    height = random.uniform(0.9, 2.3)
    tone = random.uniform(0.8, 1.1)
    color = (1.1 * tone, 1.05 * tone, tone) if brick >= 0 else (0.34 * tone, 0.33 * tone, 0.31 * tone)
    surface = Surface(color, grain=(0.07, 0.6), texture=brick)
    with mesh.part("wall"):
        corners = np.array([[[0, 0, 0], [length, 0, 0], [length, 0, height], [0, 0, height]],
                            [[length, 0.3, 0], [0, 0.3, 0], [0, 0.3, height], [length, 0.3, height]]])  # fmt: skip
        mesh.quads(corners, surface, repeat=(length / 4, height / 4))
        for x in (0.0, length):
            mesh.quads([[x, 0, 0], [x, 0.3, 0], [x, 0.3, height], [x, 0, height]], surface, repeat=(0.1, height / 4))
        coping = Surface((0.36, 0.35, 0.33), grain=(0.08, 0.3))
        box(mesh, (-0.05, -0.06, height), (length + 0.05, 0.36, height + 0.1), coping)
