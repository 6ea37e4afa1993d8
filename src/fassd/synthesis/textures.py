"""Textures as image pyramids, noise, and cutouts (shapes with holes)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import PIL.Image
import PIL.ImageDraw

from fassd.synthesis.mesh import Array

NOISE_SIDE = 256


@dataclass(frozen=True)
class Texture:
    """An image pyramid, each level half the size of the one before, against aliasing.

    Attributes:
        values: (all texels, channels) float32.
        starts, heights, widths: of the levels in `values`, the largest first.
    """

    values: Array
    starts: Array
    heights: Array
    widths: Array

    def sample(self, u: Array, v: Array, texels: Array) -> Array:
        """(n, channels) at u, v in 0..1 from the left and the bottom; a sample is `texels` wide at full size."""
        level = np.clip(np.log2(np.maximum(texels, 1)) + 0.25, 0, len(self.starts) - 1).astype(np.int32)
        height, width, start = self.heights[level], self.widths[level], self.starts[level]
        x, y = u * width - np.float32(0.5), (1 - v) * height - np.float32(0.5)
        x0, y0 = np.floor(x), np.floor(y)
        fx, fy = (x - x0)[:, None], (y - y0)[:, None]
        left, top = x0.astype(np.int32) % width, y0.astype(np.int32) % height
        right, bottom = (left + 1) % width, (top + 1) % height
        upper, lower = start + top * width, start + bottom * width
        values = self.values
        above = values[upper + left] * (1 - fx) + values[upper + right] * fx
        below = values[lower + left] * (1 - fx) + values[lower + right] * fx
        mixed: Array = above * (1 - fy) + below * fy
        return mixed


def texture(image: Array) -> Texture:
    """The pyramid of an image, (height, width, channels)."""
    levels: list[Array] = [image.astype(np.float32)]
    while min(levels[-1].shape[:2]) > 1:
        last = levels[-1][: levels[-1].shape[0] // 2 * 2, : levels[-1].shape[1] // 2 * 2]
        levels.append((last[::2, ::2] + last[1::2, ::2] + last[::2, 1::2] + last[1::2, 1::2]) / 4)
    sizes = [level.shape[0] * level.shape[1] for level in levels]
    return Texture(
        np.concatenate([level.reshape(-1, image.shape[2]) for level in levels]),
        np.cumsum([0, *sizes[:-1]]).astype(np.int32),
        np.array([level.shape[0] for level in levels], np.int32),
        np.array([level.shape[1] for level in levels], np.int32),
    )


def clouds(random: np.random.Generator, side: int = NOISE_SIDE, fall: float = 1.0) -> Array:
    """Tileable noise of mean 0 and standard deviation 1; the larger `fall`, the coarser."""
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    spectrum = np.fft.rfft2(random.standard_normal((side, side))) / np.maximum(frequencies, 1) ** fall
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, s=(side, side))
    scaled: Array = (noise / noise.std()).astype(np.float32)
    return scaled


def leaves(random: np.random.Generator, count: int, side: int = 224) -> tuple[Array, Array]:
    """A clump of leaves, the nearer ones lighter: its cutout, and its image with rows from the top down."""
    image = PIL.Image.new("L", (side, side))
    pen = PIL.ImageDraw.Draw(image)
    for leaf in range(count):
        angle, distance = random.uniform(0, 2 * np.pi), random.uniform(0, 1) ** 0.6 * 0.46 * random.uniform(0.85, 1)
        x, y = side * (0.5 + distance * np.cos(angle)), side * (0.5 + distance * np.sin(angle))
        wide, high = random.uniform(0.010, 0.034, 2) * side
        light = (90 + 120 * leaf / count) * random.uniform(0.75, 1.25)
        pen.ellipse((x - wide, y - high, x + wide, y + high), int(min(255, light)))
    values = np.asarray(image)
    tones = np.where(values > 0, values, 110).astype(np.float32)[..., None] / 160
    return values[::-1] > 0, np.concatenate([tones, tones, tones * 0.9, np.zeros((side, side, 2), np.float32)], 2)


def tufts(random: np.random.Generator) -> Array:
    """The cutout of a hedge's or tall grass's ragged upper edge; rows from the bottom up."""
    shape = np.ones((64, 256), bool)
    edge = 54 + 5 * clouds(random, 256, 1.0)[0] + 4 * random.standard_normal(256)
    shape[np.arange(64)[:, None] > edge] = False
    return shape


def railing(kind: str) -> Array:
    """The cutout of a section of a fence, rows from the bottom up."""
    image = PIL.Image.new("1", (64, 64))
    pen = PIL.ImageDraw.Draw(image)
    if kind == "bars":
        for x in (6, 22, 38, 54):
            pen.rectangle((x, 0, x + 4, 63), 1)
        pen.rectangle((0, 6, 63, 10), 1)
        pen.rectangle((0, 54, 63, 58), 1)
    elif kind == "pickets":
        for x in (3, 24, 45):
            pen.polygon([(x, 0), (x + 14, 0), (x + 14, 56), (x + 7, 63), (x, 56)], 1)
        pen.rectangle((0, 14, 63, 20), 1)
        pen.rectangle((0, 42, 63, 48), 1)
    elif kind == "mesh":
        for k in range(-64, 128, 11):
            pen.line([(k, 0), (k + 64, 64)], 1, 2)
            pen.line([(k, 64), (k + 64, 0)], 1, 2)
        pen.rectangle((0, 60, 63, 63), 1)
        pen.rectangle((0, 0, 3, 63), 1)
    else:  # a crash barrier: two rails on short posts
        pen.rectangle((0, 34, 63, 60), 1)
        pen.rectangle((28, 0, 36, 40), 1)
    return np.array(image, bool)


def spokes(count: int, rim: float, thickness: float) -> Array:
    """The cutout of a wheel: tire, hub and spokes."""
    side = 128
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    distance = np.hypot(x, y)
    angle = np.arctan2(y, x) * count / (2 * np.pi)
    near_spoke = np.abs(angle - np.round(angle)) * 2 * np.pi / count * distance < thickness
    wheel: Array = (distance < 1) & ((distance > rim) | (distance < 0.12) | near_spoke)
    return wheel


# Rows of the cutouts of `stock`.
LEAVES, TUFTS, BARS, PICKETS, NET, BARRIER, BICYCLE_WHEEL, RIM = (0, 1, 2), 3, 4, 5, 6, 7, 8, 9


@lru_cache(maxsize=1)
def stock() -> tuple[tuple[Array, ...], tuple[Texture, ...]]:
    """The cutouts that all streets use, and the textures of the first of them, the clumps of leaves."""
    random = np.random.default_rng(0)
    clumps = [leaves(random, count) for count in (420, 560, 720)]
    shapes = (
        *(shape for shape, _ in clumps),
        tufts(random),
        *(railing(kind) for kind in ("bars", "pickets", "mesh", "barrier")),
        spokes(14, 0.86, 0.014),
        spokes(5, 0.82, 0.15),
    )
    return shapes, tuple(texture(image) for _, image in clumps)


@lru_cache(maxsize=1)
def stains() -> Array:
    """Noise for walls; every wall reads it from another corner."""
    return clouds(np.random.default_rng(1), fall=1.2)
