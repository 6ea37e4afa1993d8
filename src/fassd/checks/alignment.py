"""Does a mask lie on its image? Borders between classes should lie on edges of the picture.

The map of borders is laid over the map of edges in every position at once (cross-correlation by Fourier transform), as
it is and flipped. Where it fits, the agreement stands out from that of all the wrong positions by many of their
standard deviations: that number is the agreement here. Good masks reach 5 to 28, flipped ones 2 to 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from PIL.Image import Transpose

from fassd.checks.image_hash import Gray
from fassd.core.arrays import MaskValues

SIDE = 256
"""Pixels of the longer side of the maps that are compared."""

FLIPS = (
    Transpose.FLIP_LEFT_RIGHT,
    Transpose.FLIP_TOP_BOTTOM,
    Transpose.ROTATE_180,
    Transpose.ROTATE_90,
    Transpose.ROTATE_270,
)
"""What may have become of a mask; quarter turns, the last two, of square ones only."""
_FEWEST = 120
"""Border pixels from which a judgment is possible. By fewer, such as a small object's, 5 of 164 sound masks look
flipped and every sixth shifted; by more, none of 1158 looks flipped."""
_FARTHEST = 0.25
"""Share of width and height by which masks are shifted at most; what fits by chance fits anywhere."""
_REACH = 3
"""Pixels by which good masks are off at most, at this size."""
_LOWEST = 1 / 16
"""Waves longer than 16 pixels are left out: they are texture and light, not edges."""

Spectrum: TypeAlias = "np.ndarray[tuple[int, int], np.dtype[np.complex64]]"
_Map: TypeAlias = Any


@dataclass(frozen=True)
class Alignment:
    """How well a mask's borders agree with its image's edges; in standard deviations.

    Attributes:
        here: as it is, give or take some pixels.
        flips: in the order of `FLIPS`; minus infinity for quarter turns of what is no square.
        best: at the best of all shifts.
        shift: that shift, right and down, as shares of width and height; how the mask would have to be moved.
    """

    here: float
    flips: tuple[float, ...]
    best: float
    shift: tuple[float, float]

    @property
    def flip(self) -> Transpose | None:
        """The flip that makes the mask fit, if it plainly does and the mask does not as it is."""
        place = int(np.argmax(self.flips))
        # By this, none of 722 sound masks of real frames is called flipped.
        plain = self.flips[place] >= max(6.5, self.here + 2.0, 1.3 * self.here)
        return FLIPS[place] if plain else None

    @property
    def is_shifted(self) -> bool:
        """The mask plainly fits elsewhere better than where it lies."""
        near = max(map(abs, self.shift)) <= _FARTHEST
        return near and self.best >= max(7.5, self.here + 3.0, 1.4 * self.here)


def alignment(gray: Gray, codes: MaskValues, factor: int) -> Alignment | None:
    """Compares a picture with a mask.

    Args:
        gray: the picture, reduced by `factor`.
        codes: the mask, at full size.
        factor: of the reduction.

    Returns:
        None where the mask has hardly a border.
    """
    borders = borders_of(codes, factor)
    if borders.sum() < _FEWEST:
        return None
    edges = edge_spectrum(gray, borders.shape)
    here, best, (down, right) = _agreement(edges, borders)
    height, width = borders.shape
    turned = borders[:, ::-1], borders[::-1], borders[::-1, ::-1], np.rot90(borders), np.rot90(borders, 3)
    flips = [_agreement(edges, one)[0] if one.shape == borders.shape else -np.inf for one in turned]
    return Alignment(here, tuple(flips), best, (right / width, down / height))


def agreement(edges: Spectrum, borders: _Map) -> float:
    """How well borders lie on edges, in standard deviations."""
    return _agreement(edges, borders)[0] if borders.sum() >= _FEWEST else 0.0


def borders_of(codes: MaskValues, factor: int) -> _Map:
    """1 where the class changes to the right or below, of every `factor`-th pixel."""
    small = codes[factor // 2 :: factor, factor // 2 :: factor]
    borders = np.zeros(small.shape, bool)
    borders[:, :-1] = small[:, 1:] != small[:, :-1]
    borders[:-1] |= small[1:] != small[:-1]
    return borders.astype(np.float32)


def edge_spectrum(gray: Gray, shape: tuple[int, ...]) -> Spectrum:
    """The spectrum of a reduced picture's edges, cut to a shape or filled up to it."""
    edges = np.zeros(shape, np.float32)
    height, width = np.minimum(shape, gray.shape)
    brightness = gray[:height, :width].astype(np.float32)
    edges[:height, : width - 1] = np.abs(np.diff(brightness, axis=1))
    down = edges[: height - 1, :width]
    np.maximum(down, np.abs(np.diff(brightness, axis=0)), out=down)
    spectrum: Spectrum = np.fft.rfft2(np.sqrt(edges)).astype(np.complex64)
    spectrum *= _short_waves(tuple(shape))
    return spectrum


def _agreement(edges: Spectrum, borders: Any) -> tuple[float, float, tuple[int, int]]:
    """The agreement near no shift, the highest of all, and the shift down and right where that is."""
    at_shifts = np.fft.irfft2(edges * np.conj(np.fft.rfft2(borders)), s=borders.shape)
    deviation = float(at_shifts.std()) or 1.0
    around = at_shifts[np.ix_(*(np.arange(-_REACH, _REACH + 1) % side for side in borders.shape))]
    place = np.unravel_index(int(at_shifts.argmax()), at_shifts.shape)
    down, right = ((int(one) + side // 2) % side - side // 2 for one, side in zip(place, borders.shape, strict=True))
    return float(around.max()) / deviation, float(at_shifts.max()) / deviation, (down, right)


@lru_cache(maxsize=32)
def _short_waves(shape: tuple[int, int]) -> Any:
    across, down = np.fft.rfftfreq(shape[1]), np.fft.fftfreq(shape[0])
    return (np.hypot(down[:, None], across[None]) > _LOWEST).astype(np.float32)
