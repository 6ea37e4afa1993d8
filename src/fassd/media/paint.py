"""Draws class maps: in colors, or over their image with contours and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image

from fassd.core.arrays import ClassMap, Image
from fassd.core.labels import LabelSpace
from fassd.media.legend import BACKGROUND, Entry, legend

SMALLEST_SHARE = 0.0005
"""Classes that cover less of the image would read "0.0 %" and are omitted from the legend."""


def shares(class_map: ClassMap, label_space: LabelSpace) -> dict[str, float]:
    """The share of the labeled pixels that each class covers, in the order of the classes.

    The shares add up to 1. Pixels without a class (IGNORE) do not count; if no pixel has a class, all shares are 0.
    """
    counts = np.bincount(class_map.ravel(), minlength=256)[: len(label_space)]
    fractions = counts / max(1, int(counts.sum()))
    return dict(zip(label_space.names, fractions.tolist(), strict=True))


def colorize(class_map: ClassMap, label_space: LabelSpace) -> Image:
    """The class map in the colors of its classes, (H, W, 3) uint8 RGB; black where there is no class."""
    return np.array(_colored(class_map, label_space))


def overlay(
    image: Image,
    class_map: ClassMap,
    label_space: LabelSpace,
    shares: Mapping[str, float],
    opacity: float = 0.5,
) -> Image:
    """The image under the colors of its classes, with contours between them and a legend below.

    Pixels without a class keep the color of the image.

    Args:
        image: uint8 RGB, (H, W, 3).
        class_map: its classes, (H, W).
        label_space: names and colors.
        shares: of the classes, for the legend; see `shares`.
        opacity: 0 shows only the image, 1 only the colors.

    Returns:
        uint8 RGB, as wide as the image (or as the legend's longest entry), higher by the legend.

    Raises:
        ValueError: the sizes differ, or the opacity is outside 0..1.
    """
    if image.shape[:2] != class_map.shape or not 0 <= opacity <= 1:
        raise ValueError(f"image {image.shape}, class map {class_map.shape}, opacity {opacity}")
    pixels = PIL.Image.fromarray(image)
    # Gray and without deep shadows, so that even dark class colors can be told apart.
    gray = pixels.convert("L").point([36 + value * 219 // 255 for value in range(256)]).convert("RGB")
    muted = PIL.Image.blend(pixels, gray, min(1.0, 1.6 * opacity))
    painted = PIL.Image.blend(muted, _colored(class_map, label_space), opacity)
    unlabeled = class_map >= len(label_space)
    if unlabeled.any():
        painted.paste(pixels, mask=PIL.Image.fromarray(unlabeled))
    _draw_contours(painted, class_map, opacity)
    colors = {label.name: label.color for label in label_space.classes}
    entries = [
        Entry(colors[name], name, f"{100 * share:.1f} %")
        for name, share in sorted(shares.items(), key=lambda item: -item[1])
        if share >= SMALLEST_SHARE
    ]
    return np.array(_with_legend(painted, entries))


def _colored(class_map: ClassMap, label_space: LabelSpace) -> PIL.Image.Image:
    indices = PIL.Image.fromarray(class_map)
    indices.putpalette(label_space.color_table().tobytes())
    return indices.convert("RGB")


def _draw_contours(painted: PIL.Image.Image, class_map: ClassMap, opacity: float) -> None:
    """A light and a dark line side by side, visible on any color."""
    longest = max(class_map.shape)
    thickness = max(1, round(longest / 1500))
    visible = min(1.0, 2 * opacity, longest / 400)  # on thumbnails lines would hide small regions
    across = class_map[:, thickness:] != class_map[:, :-thickness]
    down = class_map[thickness:] != class_map[:-thickness]
    for color, strength, columns, rows in (
        ((0, 0, 0), 0.55, np.s_[thickness:], np.s_[thickness:]),
        ((255, 255, 255), 0.75, np.s_[:-thickness], np.s_[:-thickness]),
    ):
        line = np.zeros(class_map.shape, np.uint8)
        line[:, columns] |= across
        line[rows] |= down
        line *= np.uint8(255 * strength * visible)
        painted.paste(color, mask=PIL.Image.fromarray(line))


def _with_legend(painted: PIL.Image.Image, entries: Sequence[Entry]) -> PIL.Image.Image:
    if not entries:
        return painted
    # Grows with the image, which is viewed shrunk to a screen, and stays legible on thumbnails.
    below = legend(entries, painted.width, em=round(10 + painted.width / 95))
    canvas = PIL.Image.new("RGB", (below.width, painted.height + below.height), BACKGROUND)
    canvas.paste(painted, ((below.width - painted.width) // 2, 0))
    canvas.paste(below, (0, painted.height))
    return canvas
