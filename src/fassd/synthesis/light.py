"""Weather and daylight: the position of the sun, the look of the sky, the haze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.synthesis.mesh import Array
from fassd.synthesis.textures import Texture

Random = np.random.Generator


@dataclass(frozen=True)
class Weather:
    """Light and air; radiances are linear, and sunlight on a white wall is about 1.

    Attributes:
        name: for people.
        to_sun: unit vector.
        sun: color of direct light; 0 where clouds hide it.
        zenith, horizon: the sky's colors.
        haze: share of light lost per meter.
        wet: 0 dry .. 1 puddles.
        clouds: share of the sky that they cover.
        lit: share of lit windows; above 0 street lamps are on.
        noise: of the camera's sensor, relative to white.
    """

    name: str
    to_sun: Array
    sun: Array
    zenith: Array
    horizon: Array
    haze: float
    wet: float
    clouds: float
    lit: float
    noise: float

    @property
    def night(self) -> float:
        """How much darker images are at dusk; less than the street itself."""
        return 0.5 if self.lit > 0.3 else 0.0

    @property
    def ambient(self) -> Array:
        """The sky's light from above, (3,)."""
        return 0.55 * self.zenith + 0.35 * self.horizon + 0.06 * self.sun


# name: weight; sun, zenith, horizon; haze, wetness, clouds, lit windows; sensor noise.
_KINDS: dict[str, tuple[float, tuple[tuple[float, float, float], ...], tuple[float, ...]]] = {
    "sun": (0.38, ((1.25, 1.12, 0.92), (0.16, 0.30, 0.62), (0.62, 0.72, 0.86)), (0.0005, 0, 0.35, 0, 0.008)),
    "low sun": (0.14, ((1.15, 0.78, 0.46), (0.17, 0.27, 0.50), (0.90, 0.72, 0.52)), (0.0012, 0, 0.3, 0.03, 0.010)),
    "overcast": (0.24, ((0.08, 0.08, 0.08), (0.52, 0.56, 0.62), (0.74, 0.77, 0.80)), (0.001, 0, 1.0, 0.04, 0.011)),
    "rain": (0.10, ((0, 0, 0), (0.34, 0.37, 0.42), (0.44, 0.47, 0.51)), (0.002, 1, 1.0, 0.12, 0.016)),
    "fog": (0.06, ((0, 0, 0), (0.55, 0.57, 0.60), (0.66, 0.68, 0.70)), (0.012, 0.3, 1.0, 0.1, 0.014)),
    "dusk": (0.08, ((0, 0, 0), (0.06, 0.08, 0.15), (0.24, 0.17, 0.15)), (0.0015, 0, 0.5, 0.4, 0.022)),
}


def choose_weather(random: Random) -> Weather:
    """A random kind of weather, with values varied around those of the table."""
    names = list(_KINDS)
    weights = np.array([_KINDS[name][0] for name in names])
    name = str(random.choice(names, p=weights / weights.sum()))
    _, colors, (haze, wet, clouds, lit, noise) = _KINDS[name]
    sun, zenith, horizon = (np.array(color) * random.uniform(0.92, 1.08, 3) for color in colors)
    elevation = random.uniform(0.17, 0.32) if name == "low sun" else random.uniform(0.5, 1.05)
    bearing = random.uniform(-np.pi, np.pi)
    if name == "low sun" and np.cos(bearing) > 0.8:
        bearing += np.pi  # the sun in the image would need lens flare
    to_sun = np.array([np.cos(elevation) * np.sin(bearing), np.cos(elevation) * np.cos(bearing), np.sin(elevation)])
    if name == "sun" and random.random() < 0.12:
        wet = 0.5
    factor = random.uniform(0.6, 1.6)
    return Weather(
        name,
        to_sun.astype(np.float32),
        sun.astype(np.float32),
        zenith.astype(np.float32),
        horizon.astype(np.float32),
        haze * factor,
        wet * random.uniform(0.6, 1),
        clouds,
        lit,
        noise * factor,
    )


def power(base: Array, exponent: int) -> Array:
    """An integer power by squaring, many times as fast as NumPy's."""
    result: Array = np.ones_like(base)
    while exponent:
        if exponent & 1:
            result = result * base
        base, exponent = base * base, exponent >> 1
    return result


def sky(weather: Weather, direction: Array, noise: Texture | None = None) -> Array:
    """(n, 3): the light of the sky from unit directions (n, 3); with clouds if there is `noise`."""
    height = np.maximum(direction[:, 2:], 0)
    rise = 1 - power(1 - height, 5)
    color = weather.horizon * (1 - rise) + weather.zenith * rise
    towards = np.maximum(direction @ weather.to_sun, 0)[:, None]
    color = color + weather.sun * (0.25 * power(towards, 8) + 0.8 * power(towards, 128))
    if noise is None:
        clear: Array = color
        return clear
    flat = direction[:, :2] / (height + 0.12)
    texels = np.full(len(flat), 1.5, np.float32)
    coarse = noise.sample(flat[:, 0] * 0.13, flat[:, 1] * 0.13, texels)
    fine = noise.sample(flat[:, 0] * 0.5 + 0.3, flat[:, 1] * 0.5, texels)
    if weather.clouds >= 1:  # overcast, of varying thickness
        cover: Array = color * (1 + (0.06 * coarse + 0.025 * fine) * np.minimum(1, height * 6))
        return cover
    thick = coarse + 0.35 * fine + (weather.clouds - 0.5) * 2.2
    share = np.clip(thick * 1.1, 0, 1) * np.clip(height * 9 - 0.1, 0, 1) * 0.92
    lit = weather.ambient * 0.55 + weather.horizon * 0.35 + weather.sun * (0.42 - 0.12 * np.clip(thick, 0, 2))
    clouded: Array = color * (1 - share) + lit * share
    return clouded


def surroundings(weather: Weather, direction: Array) -> Array:
    """(n, 3): what reflections in the street show: the sky above, dim facades beside, the road below."""
    above = sky(weather, direction)
    steep = np.abs(direction[:, 0]) * 0.85 - direction[:, 2]
    houses = np.clip(steep * 6 + 0.5, 0, 1)[:, None] * 0.8
    below = np.clip(-direction[:, 2:] * 14, 0, 1)
    fronts = weather.ambient * 0.28 + weather.sun * 0.05
    mirrored = above * (1 - houses) + fronts * houses
    shown: Array = mirrored * (1 - below) + weather.ambient * 0.16 * below
    return shown
