"""The geometry of a scene: flat faces, and tubes and discs that turn towards the viewer.

World coordinates in meters: x to the right, y along the street, z up; the road lies at z = 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fassd.core.labels import CITYSCAPES

Array: TypeAlias = npt.NDArray[Any]
Color: TypeAlias = tuple[float, float, float]

# Of the 19 trained classes, and of two that Cityscapes ignores.
LABEL_IDS = {row.name: row.label_id for row in CITYSCAPES.classes} | {"ego vehicle": 1, "static": 4}
WITH_INSTANCES = frozenset({"person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"})
"""The classes whose objects have instance numbers."""

OPAQUE, ROUND = -2, -1
"""Cutouts: the full face, and its inscribed ellipse; other values are rows of the scene's cutouts."""


def by(x: float, y: float, z: float) -> Array:
    """A vector in meters."""
    return np.array([x, y, z], float)


@dataclass(frozen=True)
class Surface:
    """The material of a face.

    Attributes:
        color: reflected share of red, green and blue light, linear.
        gloss: share of the surroundings reflected at right angles; larger at grazing angles.
        emission: emitted light, relative to sunlight on white.
        grain: relative variation of the color, and the size of its coarsest grains in meters.
        texture: row of the scene's textures, or none.
        cutout: the solid part of the face.
        pattern: "plain", or one of the patterns of `ground`.
    """

    color: Color
    gloss: float = 0.0
    emission: float = 0.0
    grain: tuple[float, float] = (0.0, 1.0)
    texture: int = -1
    cutout: int = OPAQUE
    pattern: str = "plain"


@dataclass
class Faces:
    """n quadrilaterals as arrays.

    Attributes:
        corners: (n, 4, 3), in order around the face; the first, second and fourth span its plane.
        normals: (n, 3, 3), the normal at the first corner, and its change towards the second and the fourth.
        surface, label, instance: (n,) rows of the surfaces, label ids, instance numbers.
        shade: (n,) factor on the color.
        repeat: (n, 2) repetitions of texture or cutout along the two sides.
        bias: (n,) meters within which a face casts no shadow on itself.
        one_sided: (n,) whether a face is never seen from behind.
    """

    corners: Array
    normals: Array
    surface: Array
    label: Array
    instance: Array
    shade: Array
    repeat: Array
    bias: Array
    one_sided: Array

    def pick(self, chosen: Array) -> Faces:
        """The chosen faces."""
        return Faces(**{name: value[chosen] for name, value in vars(self).items()})


def joined(parts: Sequence[Faces]) -> Faces:
    """The faces of all parts, in order."""
    return Faces(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


@dataclass(frozen=True)
class _Flat:
    """Faces as given to `Mesh.quads`, in world coordinates."""

    corners: Array
    normals: Array | None
    row: int
    owner: tuple[int, int]
    repeat: tuple[float, float]
    one_sided: bool


_Tube: TypeAlias = tuple[float, ...]
"""Start and end (x, y, z), both radii, shade, then rows: place, surface, label, instance."""


@dataclass
class Mesh:
    """A scene under construction: objects are modeled around an origin and placed by `at`.

    Attributes:
        surfaces: materials, by row.
        textures, cutouts: rows that surfaces refer to.
        detail: resolution of textures; 1 suits images of 512 rows.
    """

    surfaces: list[Surface] = field(default_factory=list)
    textures: list[Any] = field(default_factory=list)
    cutouts: Sequence[Array] = ()
    detail: float = 1.0
    _rows: dict[int, int] = field(default_factory=dict)
    _flat: list[_Flat] = field(default_factory=list)
    _tubes: list[_Tube] = field(default_factory=list)
    _places: list[tuple[Array, Array]] = field(default_factory=lambda: [(np.eye(3), np.zeros(3))])
    _place: int = 0
    _owner: tuple[int, int] = (LABEL_IDS["static"], 0)
    _counts: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def at(self, label: str, place: Sequence[float] = (0, 0, 0), heading: float = 0.0) -> Iterator[Mesh]:
        """Places the objects built in the block, relative to the current place: +y turns left by `heading`, radians."""
        before = self._place, self._owner
        turn, origin = self._places[self._place]
        cos, sin = np.cos(heading), np.sin(heading)
        local = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        self._places.append((turn @ local, turn @ np.array([*place, 0][:3], float) + origin))
        self._place = len(self._places) - 1
        self._start(label)
        yield self
        self._place, self._owner = before

    @contextmanager
    def part(self, label: str) -> Iterator[None]:
        """The objects built in the block have another class, at the same place."""
        before = self._owner
        self._start(label)
        yield
        self._owner = before

    def _start(self, label: str) -> None:
        number = self._counts.get(label, 0)
        if label in WITH_INSTANCES:
            self._counts[label] = number + 1
        self._owner = LABEL_IDS[label], number

    def quads(
        self,
        corners: Any,
        surface: Surface,
        normals: Array | None = None,
        repeat: tuple[float, float] = (1, 1),
        one_sided: bool = False,
    ) -> None:
        """Adds flat faces.

        Args:
            corners: (n, 4, 3) or (4, 3), around the face; counterclockwise seen from outside if one-sided.
            surface: their material.
            normals: (n, 4, 3) at the corners, for rounded shapes; by default those of the faces.
            repeat: of texture and cutout.
            one_sided: the faces belong to a closed body, so their backs are not drawn.
        """
        turn, origin = self._places[self._place]
        placed = np.asarray(corners, float).reshape(-1, 4, 3) @ turn.T + origin
        at = None if normals is None else normals @ turn.T
        self._flat.append(_Flat(placed, at, self._row(surface), self._owner, repeat, one_sided))

    def tube(self, start: Any, end: Any, surface: Surface, radius: float, end_radius: float | None = None) -> None:
        """Adds a round bar, drawn as a strip that faces the viewer."""
        last = radius if end_radius is None else end_radius
        self._tubes.append((*start, *end, radius, last, 1.0, self._place, self._row(surface), *self._owner))

    def ball(self, center: Any, radius: float, surface: Surface, shade: float = 1.0, height: float = 0.0) -> None:
        """Adds a ball with the outline of the surface's cutout; `height` is its vertical radius if different."""
        x, y, z = center
        up = height or radius
        ends = (x, y, z - up, x, y, z + up)
        self._tubes.append((*ends, radius, radius, shade, self._place, self._row(surface), *self._owner))

    def _row(self, surface: Surface) -> int:
        row = self._rows.setdefault(id(surface), len(self.surfaces))
        if row == len(self.surfaces):
            self.surfaces.append(surface)  # this also keeps Python from reusing the id
        return row

    def _fixed(self) -> Faces:
        """The faces that do not depend on the viewer."""
        counts = [len(flat.corners) for flat in self._flat]
        corners = np.concatenate([flat.corners for flat in self._flat])
        own = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
        own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-9)
        normals = np.stack([own, 0 * own, 0 * own], 1)
        start = 0
        for flat, count in zip(self._flat, counts, strict=True):
            if flat.normals is not None:
                at = flat.normals
                normals[start : start + count] = np.stack([at[:, 0], at[:, 1] - at[:, 0], at[:, 3] - at[:, 0]], 1)
            start += count
        each = [(flat.row, *flat.owner, flat.one_sided, *flat.repeat) for flat in self._flat]
        row, label, instance, one_sided, across, up = np.repeat(np.array(each, float), counts, axis=0).T
        ones = np.ones(len(corners))
        return Faces(
            corners, normals, row.astype(int), label.astype(int), instance.astype(int), ones,
            np.stack([across, up], 1), 0 * ones, one_sided > 0,
        )  # fmt: skip

    def facing(self, eye: Array | None, direction: Array) -> Faces:
        """All faces as seen from `eye`, or from infinity along `direction`."""
        fixed = self._fixed()
        if not self._tubes:
            return fixed
        table = np.array(self._tubes, float)
        place, row, label, instance = table[:, 9:].astype(int).T
        turns, origins = (np.array(part)[place] for part in zip(*self._places, strict=True))
        start, end = (np.einsum("nij,nj->ni", turns, table[:, k : k + 3]) + origins for k in (0, 3))
        radius, end_radius = table[:, 6:7], table[:, 7:8]
        along = end - start
        view = np.broadcast_to(direction, start.shape) if eye is None else (start + end) / 2 - eye
        side = np.cross(along, view)
        side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
        out = np.cross(side, along)
        out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
        out *= -np.sign((out * view).sum(1, keepdims=True))
        round_ends = np.array([surface.cutout != OPAQUE for surface in self.surfaces])[row]
        # The disc of a ball faces the viewer, a bar keeps its direction.
        lift = np.linalg.norm(along, axis=1, keepdims=True) / 2
        up = np.cross(view, side)
        up /= np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 1e-9)
        up *= np.sign((up * along).sum(1, keepdims=True) + 1e-6) * lift
        middle = (start + end) / 2
        start = np.where(round_ends[:, None], middle - up, start)
        end = np.where(round_ends[:, None], middle + up, end)
        corners = np.stack(
            [start - side * radius, start + side * radius, end + side * end_radius, end - side * end_radius], 1
        )
        rise = np.where(round_ends[:, None], 2 * up / np.maximum(lift, 1e-9), 0)
        normals = np.stack([0.75 * out - side - rise / 2, 2 * side, rise], 1)
        ones = np.ones(len(corners))
        turned = Faces(
            corners, normals, row, label, instance, table[:, 8],
            np.stack([ones, ones], 1), 1.1 * table[:, 6], np.zeros(len(corners), bool),
        )  # fmt: skip
        return joined([fixed, turned])
