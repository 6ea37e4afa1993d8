"""Computes the light of samples: material, sun and shadow, sky, reflections, haze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter

from fassd.synthesis.ground import Road, Spot, paint
from fassd.synthesis.light import Weather, power, sky, surroundings
from fassd.synthesis.mesh import Array, Faces, Mesh
from fassd.synthesis.raster import Camera, Projected, rasterize
from fassd.synthesis.textures import Texture

_CHUNK = 1 << 16
"""Samples shaded together: their data fits into the cache."""

SUPERSAMPLING = 2
"""Samples along each side of a pixel."""

_MAP_ORIGIN, _MAP_SIZE, _MAP_STEP = np.array([-32.0, -16.0], np.float32), (1400, 1000), np.float32(0.065)
"""Of the shadow maps on the ground: x and y of their corner, samples, meters per sample."""


@dataclass(frozen=True)
class Shadows:
    """Maps of the ground.

    Attributes:
        height: the height above the ground at which the ray from the sun is last blocked.
        bias: of the face that blocks it.
        open_sky: the share of the sky's light that reaches the ground; smaller below and beside objects.
    """

    height: Array
    bias: Array
    open_sky: Array


def cast_shadows(mesh: Mesh, weather: Weather) -> Shadows:
    """The shadows of all objects of a mesh."""
    faces = mesh.facing(None, -weather.to_sun)
    height = np.zeros(_MAP_SIZE, np.float32)
    bias = np.zeros(_MAP_SIZE, np.float32)
    if weather.sun.max() > 0.2:
        slant = weather.to_sun[:2] / weather.to_sun[2]
        flat = faces.corners[..., :2] - faces.corners[..., 2:] * slant
        outlines = (flat - _MAP_ORIGIN) / _MAP_STEP
        extent = outlines.max(1) - outlines.min(1)
        # Shadows below two samples and the ground itself are omitted.
        casts = (extent.max(1) > 2) & (faces.corners[..., 2].max(1) > 0.2)
        faces, outlines = faces.pick(casts), outlines[casts]
        sides = np.zeros((len(outlines), 3, 3))
        sides[:, :2] = np.stack([outlines[:, 1] - outlines[:, 0], outlines[:, 3] - outlines[:, 0], outlines[:, 0]], -1)
        sides[:, 2, 2] = 1
        flat_enough = np.abs(np.linalg.det(sides)) > 1e-3
        faces, outlines, sides = faces.pick(flat_enough), outlines[flat_enough], sides[flat_enough]
        solve = np.linalg.inv(sides)
        high = faces.corners[..., 2]
        rise = np.stack([high[:, 1] - high[:, 0], high[:, 3] - high[:, 0], high[:, 0]], 1)
        solve = np.concatenate([solve[:, :2], np.einsum("ni,nij->nj", rise, solve)[:, None]], 1)
        ids, height = rasterize(Projected(solve, outlines, np.arange(len(outlines))), faces, mesh, _MAP_SIZE, False)
        bias = np.where(ids >= 0, faces.bias[np.maximum(ids, 0)], 0).astype(np.float32)
    return Shadows(height, bias, _open_sky(faces))


def _open_sky(faces: Faces) -> Array:
    """The blurred footprints of objects near the ground."""
    image = PIL.Image.new("L", (_MAP_SIZE[1] // 2, _MAP_SIZE[0] // 2), 255)
    pen = PIL.ImageDraw.Draw(image)
    low = (faces.corners[..., 2].min(1) < 0.75) & (faces.corners[..., 2].max(1) > 0.2)
    places = (faces.corners[low][..., :2] - _MAP_ORIGIN) / (2 * _MAP_STEP)
    for corners in places:
        pen.polygon([(x, y) for x, y in corners.tolist()], 0, 0)
    near = np.asarray(image.filter(PIL.ImageFilter.GaussianBlur(1.6)), np.float32)
    wide = np.asarray(image.filter(PIL.ImageFilter.GaussianBlur(7)), np.float32)
    shade: Array = (0.3 + 0.7 * near / 255) * (0.35 + 0.65 * wide / 255)
    return shade


def _read(grid: Array, x: Array, y: Array, outside: float) -> Array:
    columns, rows = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    inside = (columns >= 0) & (rows >= 0) & (columns < grid.shape[1]) & (rows < grid.shape[0])
    value: Array = grid[np.where(inside, rows, 0), np.where(inside, columns, 0)]
    return np.where(inside, value, np.float32(outside))


@dataclass
class Shader:
    """Computes the color of samples."""

    camera: Camera
    mesh: Mesh
    faces: Faces
    projected: Projected
    shadows: Shadows
    weather: Weather
    road: Road
    noise: Texture

    def __post_init__(self) -> None:
        surfaces = self.mesh.surfaces
        single = np.float32
        self._solve = self.projected.solve.astype(single)
        self._color = np.array([surface.color for surface in surfaces], single)
        self._gloss = np.array([surface.gloss for surface in surfaces], single)
        self._emission = np.array([surface.emission for surface in surfaces], single)
        self._grain = np.array([surface.grain for surface in surfaces], single)
        self._texture = np.array([surface.texture for surface in surfaces])
        self._pattern = np.array([surface.pattern for surface in surfaces])
        normals = self.faces.normals.copy()
        flat = np.abs(normals[:, 1:]).max((1, 2)) < 1e-9
        away = ((self.faces.corners[:, 0] - self.camera.eye) * normals[:, 0]).sum(1) > 0
        normals[flat & away] *= -1
        self._normals = normals.astype(single)
        self._rays = self.camera.rays.astype(single)
        # Set by eye: lamps as bright as by day would overexpose images at dusk.
        self._glow = np.float32(0.5 if self.weather.night else 1.6)
        self._pixel = SUPERSAMPLING / self.camera.focal

    def light(self, ids: Array, x: Array, y: Array) -> Array:
        """(n, 3) float32, linear: the light at image points that show the faces `ids` (-1: sky)."""
        result = np.empty((len(ids), 3), np.float32)
        for start in range(0, len(ids), _CHUNK):
            part = np.s_[start : start + _CHUNK]
            face, u, v, light = ids[part], x[part], y[part], result[part]
            ray = np.stack([u, v, np.ones_like(u)], 1) @ self._rays.T
            length = np.linalg.norm(ray, axis=1, keepdims=True)
            open_air = face < 0
            light[open_air] = sky(self.weather, ray[open_air] / length[open_air], self.noise)
            hit = np.flatnonzero(~open_air)
            if len(hit):
                light[hit] = self._faces_light(face[hit], u[hit], v[hit], ray[hit], length[hit])
        return result

    def _faces_light(self, ids: Array, x: Array, y: Array, ray: Array, length: Array) -> Array:
        solve = self._solve[ids]
        solved = solve[:, :, 0] * x[:, None] + solve[:, :, 1] * y[:, None] + solve[:, :, 2]
        depth = 1 / solved[:, 2:]
        uv = solved[:, :2] * depth
        point = self.camera.eye.astype(np.float32) + ray * depth
        view = ray / length
        at_corner = self._normals[ids]
        normal: Array = at_corner[:, 0] + uv[:, :1] * at_corner[:, 1] + uv[:, 1:] * at_corner[:, 2]
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        surface = self.faces.surface[ids]
        color = self._color[surface] * self.faces.shade[ids].astype(np.float32)[:, None]
        gloss, emission = self._gloss[surface], self._emission[surface]
        self._apply_textures(color, gloss, emission, ids, surface, uv, solve, depth)
        self._apply_patterns(color, surface, point, depth[:, 0], view)
        self._apply_grain(color, surface, point, normal, depth[:, 0])
        light = color * self._arriving(point, normal) + (emission[:, None] * color) * self._glow
        shiny = np.flatnonzero(gloss > 0.012)
        if len(shiny):
            light[shiny] = self._mirrored(light[shiny], gloss[shiny], normal[shiny], view[shiny])
        seen = np.exp(-self.weather.haze * depth * length)
        light *= seen
        air = self.weather.horizon * 0.9 + self.weather.sun * 0.08
        light += (1 - seen) * air
        return light

    def _apply_textures(
        self,
        color: Array,
        gloss: Array,
        emission: Array,
        ids: Array,
        surface: Array,
        uv: Array,
        solve: Array,
        depth: Array,
    ) -> None:
        rows = self._texture[surface]
        for row in np.unique(rows[rows >= 0]):
            here = np.flatnonzero(rows == row)
            layers: Texture = self.mesh.textures[row]
            repeat = self.faces.repeat[ids[here]].astype(np.float32)
            at, sized, z = uv[here], solve[here], depth[here, 0]
            steps = [
                np.abs((sized[:, k, axis] - at[:, k] * sized[:, 2, axis]) * z) * repeat[:, k] * (extent * SUPERSAMPLING)
                for axis in (0, 1)
                for k, extent in ((0, layers.widths[0]), (1, layers.heights[0]))
            ]
            across, up = np.maximum(steps[0], steps[2]), np.maximum(steps[1], steps[3])
            texels = np.maximum(np.sqrt(across * up), np.maximum(across, up) / 4)
            values = layers.sample(at[:, 0] * repeat[:, 0], at[:, 1] * repeat[:, 1], texels)
            color[here] *= values[:, :3]
            gloss[here], emission[here] = values[:, 3], values[:, 4]

    def _apply_patterns(self, color: Array, surface: Array, point: Array, depth: Array, view: Array) -> None:
        patterns = self._pattern[surface]
        for pattern in ("asphalt", "paving", "grass"):
            here = np.flatnonzero(patterns == pattern)
            if not len(here):
                continue
            wide = np.maximum(depth[here] * self._pixel, 1e-4)
            deep = np.minimum(wide / np.maximum(-view[here, 2], 0.004), 40)
            x, y = point[here, 0], point[here, 1]
            spot = Spot(self.road.across(x, y), y, wide, deep, self.noise)
            # Water in its pores makes a surface darker.
            color[here] *= paint(pattern, spot, self.road) * (1 - 0.45 * self.weather.wet)

    def _apply_grain(self, color: Array, surface: Array, point: Array, normal: Array, depth: Array) -> None:
        strength, size = self._grain[surface].T
        here = np.flatnonzero(strength > 0)
        if not len(here):
            return
        at, flat = point[here], np.abs(normal[here, 2]) > 0.8
        period = size[here] * 24
        u = np.where(flat, at[:, 0], at[:, 0] * 0.8 + at[:, 1] * 0.6) / period
        v = np.where(flat, at[:, 1], at[:, 2]) / period
        texels = depth[here] * self._pixel * 256 / period
        noise = self.noise.sample(u, v, texels)
        color[here] *= np.maximum(1 + strength[here, None] * noise, 0.1)

    def _arriving(self, point: Array, normal: Array) -> Array:
        """(n, 3): the light that reaches points."""
        weather = self.weather
        up = normal[:, 2:]
        height = np.maximum(point[:, 2], 0)
        at = (point[:, :2] - _MAP_ORIGIN) / (2 * _MAP_STEP)
        free = _read(self.shadows.open_sky, at[:, 0], at[:, 1], 1.0)
        free = 1 - (1 - free) * np.clip(1 - (height - 0.15) / 0.9, 0, 1)
        ambient = weather.ambient * (0.62 + 0.38 * up) * free[:, None]
        bounce = (weather.ambient * 0.16 + weather.sun * 0.09) * (0.5 - 0.5 * up)
        if weather.sun.max() <= 0.2:
            return ambient + bounce
        facing = np.maximum(normal @ weather.to_sun, 0)
        towards = np.flatnonzero(facing)
        facing[towards] *= self._lit(point[towards], height[towards])
        arriving: Array = ambient + bounce + weather.sun * facing[:, None]
        return arriving

    def _lit(self, point: Array, height: Array) -> Array:
        """The share of the sun visible from points, by four shadow lookups around them, for soft edges."""
        slant = self.weather.to_sun[:2] / self.weather.to_sun[2]
        ground = (point[:, :2] - point[:, 2:] * slant - _MAP_ORIGIN) / _MAP_STEP
        lit = np.zeros(len(point), np.float32)
        for dx, dy in ((-0.6, -0.2), (0.2, -0.6), (0.6, 0.2), (-0.2, 0.6)):
            x, y = ground[:, 0] + dx, ground[:, 1] + dy
            blocked = _read(self.shadows.height, x, y, 0.0) - _read(self.shadows.bias, x, y, 0.0)
            lit += blocked < height + 0.12
        return lit / 4

    def _mirrored(self, light: Array, gloss: Array, normal: Array, view: Array) -> Array:
        cosine = np.clip(-(normal * view).sum(1, keepdims=True), 0, 1)
        direction = view + 2 * cosine * normal
        share = gloss[:, None] + (1 - gloss[:, None]) * power(1 - cosine, 5) * np.minimum(1, gloss[:, None] * 8)
        mirrored: Array = light * (1 - share) + surroundings(self.weather, direction) * share
        towards = np.maximum(direction @ self.weather.to_sun, 0)[:, None]
        mirrored += self.weather.sun * power(towards, 256) * 2.5 * np.minimum(1, gloss[:, None] * 4)
        return mirrored
