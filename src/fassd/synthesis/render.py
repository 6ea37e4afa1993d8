"""Renders a scene to an image and its labels, both from the same four samples of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.core.arrays import Image
from fassd.synthesis.lens import develop
from fassd.synthesis.mesh import LABEL_IDS, WITH_INSTANCES, Array, Faces
from fassd.synthesis.raster import rasterize, seen_from
from fassd.synthesis.scene import Scene
from fassd.synthesis.shade import SUPERSAMPLING, Shader, cast_shadows


@dataclass(frozen=True)
class Rendering:
    """A rendered street.

    Attributes:
        image: uint8 RGB.
        label_ids: uint8, Cityscapes' label ids.
        instance_ids: uint16, label id * 1000 + number for classes with instances, else the label id.
    """

    image: Image
    label_ids: Array
    instance_ids: Array


def render(scene: Scene, random: np.random.Generator) -> Rendering:
    """The image and labels of a scene; `random` is for the noise of the sensor."""
    camera = scene.camera.finer(SUPERSAMPLING)
    faces = scene.mesh.facing(camera.eye, camera.axes[2])
    projected = seen_from(camera, faces)
    ids, _ = rasterize(projected, faces, scene.mesh, (camera.height, camera.width))
    shadows = cast_shadows(scene.mesh, scene.weather)
    shader = Shader(camera, scene.mesh, faces, projected, shadows, scene.weather, scene.road, scene.noise)
    shape = scene.camera.height, scene.camera.width
    # (pixels, samples of a pixel)
    samples: Array = ids.reshape(shape[0], SUPERSAMPLING, shape[1], SUPERSAMPLING).transpose(0, 2, 1, 3)
    samples = samples.reshape(shape[0] * shape[1], -1)
    light = _resolve(shader, samples, shape[1])
    label_ids, instance_ids = (values.reshape(shape) for values in _labels(samples, faces))
    light = light.reshape(*shape, 3)
    if scene.weather.wet:
        light = _wetted(light, label_ids, scene)
    return Rendering(develop(light, random, scene.weather.noise, 1 - scene.weather.night), label_ids, instance_ids)


def _wetted(light: Array, label_ids: Array, scene: Scene) -> Array:
    """Adds the reflections of a wet road: the image mirrored at the horizon, blurred downwards.

    Exact for distant objects; near ones would be mirrored lower, which the blur hides.
    """
    camera, height = scene.camera, scene.camera.height
    level = camera.axes @ np.array([camera.axes[2][0], camera.axes[2][1], 0])
    horizon = round(height / 2 + camera.focal * level[1] / level[2])
    reach = max(2, height // 14)
    sums = np.cumsum(np.minimum(light, 1.5), 0)
    rows = np.arange(max(horizon, 0), height)
    middle = 2 * horizon - rows
    low, high = (np.clip(middle + step, 0, height - 1) for step in (-reach, reach))
    high = np.maximum(high, low + 1)
    mirrored = (sums[high] - sums[low]) / (high - low)[:, None, None]
    sine = (rows - horizon) / np.hypot(camera.focal, rows - horizon)
    share = scene.weather.wet * (0.04 + 0.8 * (1 - sine) ** 6)
    ground = np.isin(label_ids[rows], (LABEL_IDS["road"], LABEL_IDS["sidewalk"]))
    share = (share[:, None] * ground)[..., None].astype(np.float32)
    result = light.copy()
    result[rows] = light[rows] * (1 - share) + mirrored * share
    return result


def _resolve(shader: Shader, samples: Array, width: int) -> Array:
    """(pixels, 3): pixels inside one face are shaded once, at their center, other pixels at every sample."""
    uniform = (samples == samples[:, :1]).all(1)
    pixel = np.arange(len(samples))
    x, y = (pixel % width).astype(np.float32) * SUPERSAMPLING, (pixel // width).astype(np.float32) * SUPERSAMPLING
    light = np.empty((len(samples), 3), np.float32)
    inner, mixed = np.flatnonzero(uniform), np.flatnonzero(~uniform)
    middle = np.float32(SUPERSAMPLING / 2)
    light[inner] = shader.light(samples[inner, 0], x[inner] + middle, y[inner] + middle)
    total = np.zeros((len(mixed), 3), np.float32)
    for sample in range(SUPERSAMPLING**2):
        face = samples[mixed, sample]
        # A face seen by several samples is shaded at the first one, and counts once for each of them.
        new = np.flatnonzero((samples[mixed, :sample] != face[:, None]).all(1))
        seen = (samples[mixed[new]] == face[new, None]).sum(1)
        dx, dy = np.float32(sample % SUPERSAMPLING + 0.5), np.float32(sample // SUPERSAMPLING + 0.5)
        one = shader.light(face[new], x[mixed[new]] + dx, y[mixed[new]] + dy)
        # Light brighter than white would give jagged edges.
        total[new] += np.minimum(one, 3.0) * seen[:, None].astype(np.float32)
    light[mixed] = total / SUPERSAMPLING**2
    return light


def _labels(samples: Array, faces: Faces) -> tuple[Array, Array]:
    """Label ids and instance ids, by majority of a pixel's samples; of equal numbers the first."""
    counted = np.isin(faces.label, [LABEL_IDS[name] for name in WITH_INSTANCES])
    values = np.append(np.where(counted, faces.label * 1000 + faces.instance, faces.label), LABEL_IDS["sky"])
    shown = values.astype(np.uint16)[samples]  # the last value stands for -1
    chosen = shown[:, 0].copy()
    mixed = np.flatnonzero((shown != shown[:, :1]).any(1))
    votes = (shown[mixed, :, None] == shown[mixed, None]).sum(1)
    chosen[mixed] = shown[mixed, votes.argmax(1)]
    return np.where(chosen >= 1000, chosen // 1000, chosen).astype(np.uint8), chosen
