"""Shapes that several objects share: boxes, rounded hulls and wheels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fassd.synthesis.mesh import ROUND, Array, Mesh, Surface, by
from fassd.synthesis.textures import RIM

RUBBER = Surface((0.018, 0.018, 0.019), 0.01)
_TIRE_SIDE = Surface((0.022, 0.022, 0.023), 0.01, cutout=ROUND)
_HUB = Surface((0.05, 0.05, 0.055), 0.05, cutout=ROUND)
_RIM = Surface((0.34, 0.34, 0.35), 0.12, cutout=RIM)

_BOX = np.array(
    [
        [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]],
        [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]],
        [[1, 1, 0], [0, 1, 0], [0, 1, 1], [1, 1, 1]],
        [[0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]],
        [[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]],
    ],
    float,
)


def box(mesh: Mesh, low: Sequence[float] | Array, high: Sequence[float] | Array, surface: Surface) -> None:
    """An upright box between two corners, without its underside."""
    mesh.quads(np.array(low) + _BOX * (np.array(high) - np.array(low)), surface, one_sided=True)


def hull(mesh: Mesh, rings: Array, surface: Surface, closed: bool = False, smooth: bool = True) -> None:
    """The surface through cross sections, (rings, points, 3).

    Args:
        mesh: to add it to.
        rings: from one end of the body to the other.
        surface: its material.
        closed: whether the last point of a ring is connected to the first.
        smooth: rounded instead of faceted.
    """
    if closed:
        rings = np.concatenate([rings, rings[:, :1]], 1)
    corners = np.stack([rings[:-1, :-1], rings[:-1, 1:], rings[1:, 1:], rings[1:, :-1]], 2).reshape(-1, 4, 3)
    middle = rings.reshape(-1, 3).mean(0)
    flat = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    if ((corners.mean(1) - middle) * flat).sum() < 0:
        corners, flat = corners[:, [0, 3, 2, 1]], -flat
        order = [0, 3, 2, 1]
    else:
        order = [0, 1, 2, 3]
    if not smooth:
        mesh.quads(corners, surface, one_sided=True)
        return
    rows, columns = rings.shape[0] - 1, rings.shape[1] - 1
    at_points = np.zeros_like(rings)
    faces = flat.reshape(rows, columns, 3)
    for down, right in ((0, 0), (0, 1), (1, 1), (1, 0)):
        at_points[down : down + rows, right : right + columns] += faces
    if closed:
        at_points[:, 0] = at_points[:, -1] = at_points[:, 0] + at_points[:, -1]
    at_points /= np.maximum(np.linalg.norm(at_points, axis=2, keepdims=True), 1e-9)
    normals = np.stack([at_points[:-1, :-1], at_points[:-1, 1:], at_points[1:, 1:], at_points[1:, :-1]], 2)
    mesh.quads(corners, surface, normals.reshape(-1, 4, 3)[:, order], one_sided=True)


def side_disc(mesh: Mesh, place: Sequence[float], radius: float, surface: Surface) -> None:
    """A flat vertical disc whose axle points sideways."""
    x, y, z = place
    mesh.quads(
        [
            [x, y - radius, z - radius],
            [x, y + radius, z - radius],
            [x, y + radius, z + radius],
            [x, y - radius, z + radius],
        ],
        surface,
    )


def wheel(mesh: Mesh, x: float, y: float, radius: float, width: float = 0.2) -> None:
    """A wheel of a car at the outer face x, standing on the ground."""
    out = np.sign(x)
    turn = np.linspace(0, 2 * np.pi, 11)
    around = np.stack([0 * turn, np.cos(turn), np.sin(turn)], 1) * radius + by(0, y, radius)
    hull(mesh, np.stack([around + by(x - out * width, 0, 0), around + by(x - out * 0.01, 0, 0)]), RUBBER)
    side_disc(mesh, (x, y, radius), radius, _TIRE_SIDE)
    side_disc(mesh, (x + out * 0.006, y, radius), radius * 0.68, _HUB)
    side_disc(mesh, (x + out * 0.012, y, radius), radius * 0.66, _RIM)


def panel(mesh: Mesh, x: tuple[float, float], y: float, z: tuple[float, float], surface: Surface) -> None:
    """A vertical rectangle across, visible from both sides."""
    mesh.quads([[x[0], y, z[0]], [x[1], y, z[0]], [x[1], y, z[1]], [x[0], y, z[1]]], surface)


def flank(mesh: Mesh, x: float, y: tuple[float, float], z: tuple[float, float], surface: Surface) -> None:
    """A vertical rectangle along."""
    mesh.quads([[x, y[0], z[0]], [x, y[1], z[0]], [x, y[1], z[1]], [x, y[0], z[1]]], surface)
