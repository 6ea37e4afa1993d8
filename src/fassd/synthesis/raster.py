"""Rasterizes faces: projection, clipping at the camera, and a depth buffer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.synthesis.mesh import OPAQUE, ROUND, Array, Faces, Mesh

_NEAR = 0.25
"""Distance of the near plane, in meters."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        eye: its position, (3,).
        axes: (3, 3), rows: right, down, forward.
        focal: in pixels.
        height, width: of the image, in pixels.
    """

    eye: Array
    axes: Array
    focal: float
    height: int
    width: int

    def finer(self, times: int) -> Camera:
        """The same view with `times` samples along each side of a pixel."""
        return Camera(self.eye, self.axes, self.focal * times, self.height * times, self.width * times)

    @property
    def rays(self) -> Array:
        """(3, 3): the world direction through an image point (x, y, 1), of length 1 along the axis."""
        center = np.array([[1, 0, -self.width / 2], [0, 1, -self.height / 2], [0, 0, self.focal]]) / self.focal
        rays: Array = self.axes.T @ center
        return rays


@dataclass(frozen=True)
class Projected:
    """Faces projected onto the image plane.

    Attributes:
        solve: (n, 3, 3): from (x, y, 1) to (u w, v w, w), where u and v run along a face's sides; the larger w wins.
        outlines: (m, 4, 2): the visible pieces.
        face: (m,) the face of each piece.
    """

    solve: Array
    outlines: Array
    face: Array


def seen_from(camera: Camera, faces: Faces) -> Projected:
    """The faces in the image of a camera; w is the reciprocal of the depth."""
    relative = (faces.corners - camera.eye) @ camera.axes.T
    sides = np.stack([relative[:, 1] - relative[:, 0], relative[:, 3] - relative[:, 0], relative[:, 0]], -1)
    lens = np.array([[1, 0, -camera.width / 2], [0, 1, -camera.height / 2], [0, 0, camera.focal]]) / camera.focal
    determinant = np.linalg.det(sides)
    usable = np.abs(determinant) > 1e-9
    visible = usable & ~(faces.one_sided & (determinant > 0)) & (relative[:, :, 2].max(1) > _NEAR)
    solve = np.zeros_like(sides)
    solve[usable] = np.linalg.inv(sides[usable]) @ lens
    whole = visible & (relative[:, :, 2].min(1) > _NEAR)
    pieces = [relative[whole]]
    owners = [np.flatnonzero(whole)]
    for row in np.flatnonzero(visible & ~whole):
        cut = _clipped(relative[row])
        pieces.append(cut)
        owners.append(np.full(len(cut), row))
    corners, owner = np.concatenate(pieces), np.concatenate(owners)
    center = np.array([camera.width / 2, camera.height / 2])
    outlines = corners[..., :2] / corners[..., 2:] * camera.focal + center
    return Projected(solve, outlines, owner)


def _clipped(corners: Array) -> Array:
    """The part of a quadrilateral in front of the near plane, as one or two quadrilaterals."""
    kept: list[Array] = []
    for here, there in zip(corners, np.roll(corners, -1, 0), strict=True):
        if here[2] > _NEAR:
            kept.append(here)
        if (here[2] > _NEAR) != (there[2] > _NEAR):
            kept.append(here + (there - here) * ((_NEAR - here[2]) / (there[2] - here[2])))
    while len(kept) < 4:
        kept.append(kept[-1])
    return np.array([kept[:4]] if len(kept) == 4 else [kept[:4], [kept[0], kept[3], kept[4], kept[4]]])


def rasterize(
    projected: Projected, faces: Faces, mesh: Mesh, size: tuple[int, int], perspective: bool = True
) -> tuple[Array, Array]:
    """The face at each sample (-1: none), int32, and its w, float32, both of `size`.

    Without perspective the rows of `solve` are u, v and the depth themselves.
    """
    best = np.zeros(size, np.float32)
    ids = np.full(size, -1, np.int32)
    boxes, lines = _spans(projected.outlines, size)
    cutouts = np.array([surface.cutout for surface in mesh.surfaces])[faces.surface]
    solve = projected.solve.astype(np.float32)
    centers = projected.outlines.mean(1)
    centers = np.concatenate([centers, np.ones((len(centers), 1))], 1)
    depth = np.einsum("nij,nj->n", solve[projected.face, 2:], centers)
    grid = np.arange(max(size), dtype=np.float32) + np.float32(0.5)
    seen = (boxes[:, 1] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 2])
    # Near faces first, so that most of what lies behind fails the depth test.
    for piece in np.flatnonzero(seen)[np.argsort(-depth[seen], kind="stable")]:
        top, bottom, left, right = boxes[piece]
        face = projected.face[piece]
        window = np.s_[top:bottom, left:right]
        y = grid[top:bottom, None]
        x = grid[left:right]
        lower, upper = lines[piece]
        begins = (lower[0] * y + lower[1]).max(1, keepdims=True)
        ends = (upper[0] * y + upper[1]).min(1, keepdims=True)
        wins = (x >= begins) & (x < ends)
        a, b, c = solve[face, 2]
        w = (a * x) + (b * y + c)
        wins &= w > best[window]
        if cutouts[face] != OPAQUE:
            wins &= _is_solid(solve[face], x, y, w if perspective else 1, cutouts[face], faces.repeat[face], mesh)
        np.copyto(best[window], w, where=wins)
        np.copyto(ids[window], np.int32(face), where=wins)
    return ids, best


def _spans(outlines: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Boxes (m, 4: top, bottom, left, right), and lines (m, 2, 2, 4) that bound x from below and above in each row."""
    low, high = outlines.min(1), outlines.max(1)
    limits = np.array([size[1], size[0]])
    low, high = (np.clip(np.ceil(edge - 0.5), 0, limits).astype(int) for edge in (low, high))
    boxes = np.stack([low[:, 1], high[:, 1], low[:, 0], high[:, 0]], 1)
    after = np.roll(outlines, -1, 1)
    step = after - outlines
    area = (outlines[..., 0] * after[..., 1] - outlines[..., 1] * after[..., 0]).sum(1, keepdims=True)
    falling = step[..., 1] * np.where(area < 0, -1, 1)
    steep = np.abs(step[..., 1]) > 1e-6
    slope = np.where(steep, step[..., 0] / np.where(steep, step[..., 1], 1), 0)
    offset = outlines[..., 0] - slope * outlines[..., 1]
    lines = []
    for sign, outside in ((-1, -np.inf), (1, np.inf)):
        bounds = steep & (falling * sign > 0)
        lines.append(np.stack([np.where(bounds, slope, 0), np.where(bounds, offset, outside)], 1))
    return boxes, np.stack(lines, 1).astype(np.float32)


def _is_solid(solve: Array, x: Array, y: Array, w: Array | int, cutout: int, repeat: Array, mesh: Mesh) -> Array:
    """Where a face with a cutout is solid."""
    u = (solve[0, 0] * x + (solve[0, 1] * y + solve[0, 2])) / w
    v = (solve[1, 0] * x + (solve[1, 1] * y + solve[1, 2])) / w
    if cutout == ROUND:
        inside: Array = (u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.25
        return inside
    shape = mesh.cutouts[cutout]
    rows = (np.clip(v, 0, 0.9999) * (repeat[1] * shape.shape[0])).astype(np.int32) % shape.shape[0]
    columns = (np.clip(u, 0, 0.9999) * (repeat[0] * shape.shape[1])).astype(np.int32) % shape.shape[1]
    filled: Array = shape[rows, columns]
    return filled
