"""Linear light -> image: exposure, tone curve, blur, vignetting and sensor noise."""

from __future__ import annotations

import numpy as np

from fassd.core.arrays import Image
from fassd.synthesis.mesh import Array

Random = np.random.Generator


def develop(light: Array, random: Random, noise: float, brightness: float) -> Image:
    """The image of (H, W, 3) linear light.

    Args:
        light: at the sensor.
        random: source of randomness of the camera.
        noise: standard deviation relative to white.
        brightness: of the exposure; 1 by day.
    """
    height, width = light.shape[:2]
    luminance = light @ np.array([0.25, 0.65, 0.10], np.float32)
    # Cameras meter the middle of the image more than its edges.
    metered = luminance[height // 4 :, width // 8 : -width // 8]
    exposure = 0.21 / float(np.exp(np.log(metered + 1e-4).mean()))
    exposure = min(exposure, 1.1 / float(np.percentile(luminance, 85))) * random.uniform(0.85, 1.2) * brightness
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    vignette = 1 - random.uniform(0.03, 0.16) * (x * x + y * y)
    balance = (random.uniform(0.96, 1.04, 3)).astype(np.float32)
    light = _blurred(light * vignette[..., None] * balance, random.uniform(0, 0.22))
    shot = random.standard_normal(light.shape, dtype=np.float32)
    film = 1 - np.exp(-1.55 * exposure * light)
    film += shot * np.float32(noise) * np.sqrt(0.08 + film)
    image = np.clip(film, 0, 1) ** np.float32(1 / 2.2)
    # Less contrast in the darkest tones, as in the tone curves of cameras.
    image = image * image * (3 - 2 * image) * 0.6 + image * 0.4
    developed: Image = (image * 255 + 0.5).astype(np.uint8)
    return developed


def _blurred(light: Array, strength: float) -> Array:
    """Mixes in some light of the neighboring pixels, as lenses and demosaicing do."""
    for axis in (0, 1):
        last = light.shape[axis] - 1
        before = light.take(np.maximum(np.arange(last + 1) - 1, 0), axis)
        after = light.take(np.minimum(np.arange(last + 1) + 1, last), axis)
        light = light * np.float32(1 - strength) + (before + after) * np.float32(strength / 2)
    return light
