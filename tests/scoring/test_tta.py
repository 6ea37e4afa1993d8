"""Test-time augmentation: which views are averaged, and how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from fassd.core.errors import UsageError
from fassd.data.dataset import Dataset
from fassd.runtimes.runtime import Runtime
from fassd.scoring.tta import TestTimeAugmentation as Augmented
from fassd.scoring.tta import parse_tta, segment_with_tta

Map = np.ndarray[Any, Any]


def averaged_by_torch(runtime: Runtime, image: Map, scales: list[float], flip: bool, among: list[int]) -> Map:
    """All at once, in double precision, upsampled by PyTorch."""
    height, width = image.shape[:2]
    total = torch.zeros(len(among), height, width, dtype=torch.float64)
    for scale in scales:
        size = (round(width * scale), round(height * scale))
        picture = Pillow.fromarray(image).resize(size, Pillow.Resampling.BILINEAR)
        for mirrored in (False, True) if flip else (False,):
            view = np.array(picture)[:, ::-1].copy() if mirrored else np.array(picture)
            logits = torch.from_numpy(runtime.logits(view[None])[:, among]).double()
            logits = logits.flip(3) if mirrored else logits
            large = torch.nn.functional.interpolate(logits, (height, width), mode="bilinear", align_corners=True)
            total += large.softmax(1)[0]
    return total.numpy()


@pytest.mark.parametrize(
    ("scales", "flip", "among"),
    [([0.75, 1.0, 1.5], True, range(11)), ([1.0], True, range(11)), ([1.25], False, [3, 0, 8])],
)
def test_views_are_averaged_as_probabilities_at_full_size(
    tiny_runtime: Runtime, dataset: Dataset, scales: list[float], flip: bool, among: list[int]
) -> None:
    image = dataset[0].image[:90, :121]
    classes = sorted(among)
    prediction = segment_with_tta(
        tiny_runtime, image, Augmented(tuple(scales), flip), None if len(classes) == 11 else classes
    )
    expected = averaged_by_torch(tiny_runtime, image, scales, flip, classes)
    chosen = np.take_along_axis(expected, np.searchsorted(classes, prediction)[None], 0)[0]
    assert set(np.unique(prediction)) <= set(classes)
    assert (expected.max(0) - chosen).max() < 1e-5  # only where two classes are as good may they differ


def test_a_single_view_is_the_runtimes_own_class_map(tiny_runtime: Runtime, dataset: Dataset) -> None:
    image = dataset[0].image
    assert np.array_equal(segment_with_tta(tiny_runtime, image, Augmented()), tiny_runtime.segment(image[None])[0])
    assert parse_tta("0.5, 1,2", True) == Augmented((0.5, 1.0, 2.0), True)


@pytest.mark.parametrize("scales", ["", "0", "1,1", "a", "-1", "9", "nan"])
def test_scales_that_cannot_be_are_refused(scales: str) -> None:
    with pytest.raises(UsageError, match="--scales"):
        parse_tta(scales, False)
