"""Generates a random scene: the street, its buildings, its traffic, the weather and the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.synthesis.ground import Road
from fassd.synthesis.light import Weather, choose_weather
from fassd.synthesis.mesh import Mesh, Surface
from fassd.synthesis.plan import choose_plan
from fassd.synthesis.raster import Camera
from fassd.synthesis.sides import build_sides, lay_ground
from fassd.synthesis.textures import Texture, clouds, stock, texture
from fassd.synthesis.traffic import add_traffic
from fassd.synthesis.vehicles import PAINTS

Random = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """The objects, the weather and the camera."""

    mesh: Mesh
    camera: Camera
    weather: Weather
    road: Road
    noise: Texture


def build_scene(random: Random, size: tuple[int, int]) -> Scene:
    """A random scene for images of `size` (height, width)."""
    weather = choose_weather(random)
    noise = texture(clouds(random)[..., None])
    cutouts, textures = stock()
    mesh = Mesh(textures=list(textures), cutouts=cutouts, detail=size[0] / 512)
    plan = choose_plan(random)
    lay_ground(mesh, random, plan)
    build_sides(mesh, random, plan, weather.lit)
    add_traffic(mesh, random, plan, weather)
    camera = _choose_camera(random, plan.own_lane, size)
    if random.random() < 0.35:
        _add_bonnet(mesh, random, camera)
    return Scene(mesh, camera, weather, plan.road, noise)


def _choose_camera(random: Random, across: float, size: tuple[int, int]) -> Camera:
    """The camera of a car, sometimes of a truck, not exactly level and not exactly straight ahead."""
    height, width = size
    focal = random.uniform(0.72, 1.1) * np.hypot(width, height) * 0.9
    yaw, roll = random.normal(0, 0.035), random.normal(0, 0.008)
    # The horizon lies at 40 to 52 % of the height, from above.
    pitch = np.arctan((random.uniform(0.40, 0.52) - 0.5) * height / focal)
    eye = np.array([across + random.normal(0, 0.25), 0, random.uniform(1.25, 1.75)])
    if random.random() < 0.12:
        eye[2] = random.uniform(2.0, 2.7)  # a truck or a bus
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.cos(yaw), -np.sin(yaw), 0])
    down = np.cross(forward, right)
    cos, sin = np.cos(roll), np.sin(roll)
    axes = np.stack([right * cos + down * sin, down * cos - right * sin, forward])
    return Camera(eye, axes, float(focal), height, width)


def _add_bonnet(mesh: Mesh, random: Random, camera: Camera) -> None:
    """The bonnet of the camera's car along the lower edge of the image."""
    share, columns = random.uniform(0.05, 0.11), np.linspace(-0.02, 1.02, 17)
    arch = share * (1 - 0.75 * np.abs(2 * columns - 1) ** 2.6)
    rings = []
    for depth, rise in ((1.5, 1.0), (1.25, 0.5), (1.0, -0.4)):
        x = (columns - 0.5) * camera.width / camera.focal
        y = (0.5 - arch * rise) * camera.height / camera.focal
        rings.append(camera.eye + np.stack([x, y, np.ones_like(x)], 1) * depth @ camera.axes)
    normals = []
    for tilt in (0.75, 0.3, 0.12):
        across = np.stack([(columns - 0.5) * 0.5, np.full_like(columns, tilt), np.ones_like(columns)], 1)
        normals.append(across / np.linalg.norm(across, axis=1, keepdims=True))
    paint = Surface(PAINTS[random.integers(len(PAINTS))], 0.05)
    with mesh.at("ego vehicle"):
        for near, far, at_near, at_far in zip(rings[1:], rings, normals[1:], normals, strict=False):
            corners = np.stack([near[:-1], near[1:], far[1:], far[:-1]], 1)
            rounded = np.stack([at_near[:-1], at_near[1:], at_far[1:], at_far[:-1]], 1)
            mesh.quads(corners, paint, rounded)
