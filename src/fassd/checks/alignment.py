"""Measures whether a mask is aligned with its image: borders between classes should lie on edges of the image.

The border map is cross-correlated with the edge map (by Fourier transform), as it is and flipped. Agreement is the peak
of the correlation, in standard deviations over all shifts. Sound masks reach 5 to 28, flipped ones 2 to 7.
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
"""Flips that are tested; the quarter turns, the last two, only of square masks."""
_MIN_BORDER = 120
"""Border pixels from which agreement is measured. With fewer, as of a small object, 5 of 164 sound masks look flipped
and every sixth shifted; with more, none of 1158 looks flipped."""
_MAX_SHIFT = 0.25
"""Largest shift that is reported, as a share of width and height; a chance peak may lie anywhere."""
_TOLERANCE = 3
"""Pixels at `SIDE` by which sound masks are off at most."""
_MIN_FREQUENCY = 1 / 16
"""Wavelengths above 16 pixels are removed: they are texture and light, not edges."""

Spectrum: TypeAlias = "np.ndarray[tuple[int, int], np.dtype[np.complex64]]"
_Map: TypeAlias = Any


@dataclass(frozen=True)
class Alignment:
    """Agreement of a mask's borders with its image's edges, in standard deviations.

    Attributes:
        here: unshifted, up to `_TOLERANCE` pixels.
        flips: after each of `FLIPS`; minus infinity for quarter turns of masks that are not square.
        best: at the best shift.
        shift: that shift, right and down, as shares of width and height; it would align the mask.
    """

    here: float
    flips: tuple[float, ...]
    best: float
    shift: tuple[float, float]

    @property
    def flip(self) -> Transpose | None:
        """The flip that clearly aligns the mask; None if there is none."""
        place = int(np.argmax(self.flips))
        # None of 722 sound masks of real frames is reported with these thresholds.
        clear = self.flips[place] >= max(6.5, self.here + 2.0, 1.3 * self.here)
        return FLIPS[place] if clear else None

    @property
    def is_shifted(self) -> bool:
        """Whether the mask clearly fits better at another position."""
        near = max(map(abs, self.shift)) <= _MAX_SHIFT
        return near and self.best >= max(7.5, self.here + 3.0, 1.4 * self.here)


def alignment(gray: Gray, values: MaskValues, factor: int) -> Alignment | None:
    """Measures the alignment of an image and its mask.

    Args:
        gray: the image, reduced by `factor`.
        values: the mask, at full size.
        factor: of the reduction.

    Returns:
        None where the mask has hardly any border.
    """
    borders = borders_of(values, factor)
    if borders.sum() < _MIN_BORDER:
        return None
    edges = edge_spectrum(gray, borders.shape)
    here, best, (down, right) = _agreement(edges, borders)
    height, width = borders.shape
    turned = borders[:, ::-1], borders[::-1], borders[::-1, ::-1], np.rot90(borders), np.rot90(borders, 3)
    flips = [_agreement(edges, one)[0] if one.shape == borders.shape else -np.inf for one in turned]
    return Alignment(here, tuple(flips), best, (right / width, down / height))


def agreement(edges: Spectrum, borders: _Map) -> float:
    """Agreement of borders with edges, in standard deviations; 0 where there is hardly any border."""
    return _agreement(edges, borders)[0] if borders.sum() >= _MIN_BORDER else 0.0


def borders_of(values: MaskValues, factor: int) -> _Map:
    """(H, W) float32 at every `factor`-th pixel: 1 where the value changes to the right or below."""
    small = values[factor // 2 :: factor, factor // 2 :: factor]
    borders = np.zeros(small.shape, bool)
    borders[:, :-1] = small[:, 1:] != small[:, :-1]
    borders[:-1] |= small[1:] != small[:-1]
    return borders.astype(np.float32)


def edge_spectrum(gray: Gray, shape: tuple[int, ...]) -> Spectrum:
    """The spectrum of a reduced image's edges, cropped or padded to a shape."""
    edges = np.zeros(shape, np.float32)
    height, width = np.minimum(shape, gray.shape)
    brightness = gray[:height, :width].astype(np.float32)
    edges[:height, : width - 1] = np.abs(np.diff(brightness, axis=1))
    down = edges[: height - 1, :width]
    np.maximum(down, np.abs(np.diff(brightness, axis=0)), out=down)
    spectrum: Spectrum = np.fft.rfft2(np.sqrt(edges)).astype(np.complex64)
    spectrum *= _high_pass(tuple(shape))
    return spectrum


def _agreement(edges: Spectrum, borders: Any) -> tuple[float, float, tuple[int, int]]:
    """The agreement up to `_TOLERANCE`, the highest at any shift, and that shift, down and right."""
    at_shifts = np.fft.irfft2(edges * np.conj(np.fft.rfft2(borders)), s=borders.shape)
    deviation = float(at_shifts.std()) or 1.0
    around = at_shifts[np.ix_(*(np.arange(-_TOLERANCE, _TOLERANCE + 1) % side for side in borders.shape))]
    place = np.unravel_index(int(at_shifts.argmax()), at_shifts.shape)
    down, right = ((int(one) + side // 2) % side - side // 2 for one, side in zip(place, borders.shape, strict=True))
    return float(around.max()) / deviation, float(at_shifts.max()) / deviation, (down, right)


@lru_cache(maxsize=32)
def _high_pass(shape: tuple[int, int]) -> Any:
    across, down = np.fft.rfftfreq(shape[1]), np.fft.fftfreq(shape[0])
    return (np.hypot(down[:, None], across[None]) > _MIN_FREQUENCY).astype(np.float32)
