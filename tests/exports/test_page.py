"""The figures of the page on an export."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.labels import CAMVID
from fassd.exports.agreement import Disagreement
from fassd.exports.page import disagreement_figure


@pytest.mark.parametrize("place", [None, (1, 2), (-2, -3)])
@pytest.mark.parametrize("size", [(57, 57), (359, 639), (540, 405), (2433, 65), (65, 2433), (40, 90), (1080, 1920)])
def test_figures_of_a_disagreement_are_of_one_shape_and_wide_enough(
    size: tuple[int, int], place: tuple[int, int] | None
) -> None:
    """Whatever the image's shape, and wherever it differs."""
    source = np.full(size, 3, np.uint8)
    prediction = source.copy()
    if place is not None:
        prediction[place] = 8
    one = Disagreement("street", np.full((*size, 3), 200, np.uint8), source, prediction)
    figure = disagreement_figure(one, CAMVID)
    drawn = [
        np.array(Pillow.open(io.BytesIO(base64.b64decode(shot.source.partition(",")[2])))).astype(int)
        for shot in figure.shots
    ]
    assert len(drawn) == 3
    assert {picture.shape[1] for picture in drawn} == {330}
    heights = [picture.shape[0] for picture in drawn]
    assert max(heights) - min(heights) <= 4
    assert 330 / 2.2 <= min(heights) <= max(heights) <= 330 / 0.69
    pink = (np.abs(drawn[0] - (255, 0, 200)).max(-1) < 90).any()
    assert bool(pink) == (place is not None)
    assert [label.name for label in figure.classes] == (["Road"] if place is None else ["Road", "Car"])
    if place is not None:  # what differs stands out in full color, the rest is pale
        colors = [CAMVID.classes[number].color for number in (3, 8)]
        for picture, color in zip(drawn[1:], colors, strict=True):
            full = np.abs(picture - color).max(-1) < 40
            assert 0 < full.mean() < 0.05
