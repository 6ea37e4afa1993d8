"""A scene becomes a picture and its labels: both come from the same four samples of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.core.arrays import Image
from fassd.synthesis.lens import develop
from fassd.synthesis.mesh import COUNTED, RAW_IDS, Array, Faces
from fassd.synthesis.raster import rasterize, seen_from
from fassd.synthesis.scene import Scene
from fassd.synthesis.shade import FINENESS, Shader, cast_shadows


@dataclass(frozen=True)
class Rendering:
    """A rendered street.

    Attributes:
        image: uint8 RGB.
        label_ids: uint8, Cityscapes' label ids.
        instance_ids: uint16, label id * 1000 + number for things that are counted, else the label id.
    """

    image: Image
    label_ids: Array
    instance_ids: Array


def render(scene: Scene, random: np.random.Generator) -> Rendering:
    """The scene through its camera; `random` is the sensor's."""
    camera = scene.camera.finer(FINENESS)
    faces = scene.mesh.facing(camera.eye, camera.axes[2])
    projected = seen_from(camera, faces)
    ids, _ = rasterize(projected, faces, scene.mesh, (camera.height, camera.width))
    shadows = cast_shadows(scene.mesh, scene.weather)
    shader = Shader(camera, scene.mesh, faces, projected, shadows, scene.weather, scene.road, scene.noise)
    samples = _by_pixel(ids)
    light = _resolve(shader, samples, scene.camera.width)
    shape = scene.camera.height, scene.camera.width
    label_ids, instance_ids = (values.reshape(shape) for values in _labels(samples, faces))
    light = light.reshape(*shape, 3)
    if scene.weather.wet:
        light = _wetted(light, label_ids, scene)
    return Rendering(develop(light, random, scene.weather.noise, 1 - scene.weather.night), label_ids, instance_ids)


def _wetted(light: Array, label_ids: Array, scene: Scene) -> Array:
    """Light with what a wet road mirrors: the picture upside down below the horizon, smeared downwards.

    Exact for what is far away; what is near would be mirrored lower, which the smear hides.
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
    ground = np.isin(label_ids[rows], (RAW_IDS["road"], RAW_IDS["sidewalk"]))
    share = (share[:, None] * ground)[..., None].astype(np.float32)
    result = light.copy()
    result[rows] = light[rows] * (1 - share) + mirrored * share
    return result


def _by_pixel(ids: Array) -> Array:
    """(pixels, samples of each)."""
    height, width = ids.shape[0] // FINENESS, ids.shape[1] // FINENESS
    return ids.reshape(height, FINENESS, width, FINENESS).transpose(0, 2, 1, 3).reshape(height * width, -1)


def _resolve(shader: Shader, samples: Array, width: int) -> Array:
    """(pixels, 3): pixels within one face are shaded once, at their middle, the others at every sample."""
    uniform = (samples == samples[:, :1]).all(1)
    pixel = np.arange(len(samples))
    x, y = (pixel % width).astype(np.float32) * FINENESS, (pixel // width).astype(np.float32) * FINENESS
    light = np.empty((len(samples), 3), np.float32)
    inner, mixed = np.flatnonzero(uniform), np.flatnonzero(~uniform)
    middle = np.float32(FINENESS / 2)
    light[inner] = shader.light(samples[inner, 0], x[inner] + middle, y[inner] + middle)
    total = np.zeros((len(mixed), 3), np.float32)
    for sample in range(FINENESS**2):
        face = samples[mixed, sample]
        # A face that several samples see is shaded at the first and counted as often as it is seen.
        new = np.flatnonzero((samples[mixed, :sample] != face[:, None]).all(1))
        seen = (samples[mixed[new]] == face[new, None]).sum(1)
        dx, dy = np.float32(sample % FINENESS + 0.5), np.float32(sample // FINENESS + 0.5)
        one = shader.light(face[new], x[mixed[new]] + dx, y[mixed[new]] + dy)
        # Light brighter than white would spread over its edge in steps.
        total[new] += np.minimum(one, 3.0) * seen[:, None].astype(np.float32)
    light[mixed] = total / FINENESS**2
    return light


def _labels(samples: Array, faces: Faces) -> tuple[Array, Array]:
    """Label ids and instance ids: what most samples of a pixel show; the first of them where they are divided."""
    counted = np.isin(faces.label, [RAW_IDS[name] for name in COUNTED])
    values = np.append(np.where(counted, faces.label * 1000 + faces.instance, faces.label), RAW_IDS["sky"])
    shown = values.astype(np.uint16)[samples]  # the last value stands for -1
    chosen = shown[:, 0].copy()
    mixed = np.flatnonzero((shown != shown[:, :1]).any(1))
    votes = (shown[mixed, :, None] == shown[mixed, None]).sum(1)
    chosen[mixed] = shown[mixed, votes.argmax(1)]
    return np.where(chosen >= 1000, chosen // 1000, chosen).astype(np.uint8), chosen
