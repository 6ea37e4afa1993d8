"""The page on an export: its figures, its table of facts and its lists."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import read_checkpoint
from fassd.core.labels import CAMVID
from fassd.exports import page as page_module
from fassd.exports.agreement import TOLERANCES, Agreement, ComparedCase, Disagreement
from fassd.exports.layer_drift import LayerDrift, LayerError
from fassd.exports.page import (
    _case,
    _densest,
    _fact,
    _facts,
    _largest_shown,
    _layers,
    _marked,
    _Part,
    _shot,
    _spots,
    _verdict,
    disagreement_figure,
    page,
)
from fassd.exports.result import ExportConfig, Exported

WHITE, PINK = (255, 255, 255), (255, 0, 200)


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
    pink = (np.abs(drawn[0] - PINK).max(-1) < 90).any()
    assert bool(pink) == (place is not None)
    assert [label.name for label in figure.classes] == (["Road"] if place is None else ["Road", "Car"])
    if place is not None:  # what differs stands out in full color, the rest is pale
        colors = [CAMVID.classes[number].color for number in (3, 8)]
        for picture, color in zip(drawn[1:], colors, strict=True):
            full = np.abs(picture - color).max(-1) < 40
            assert 0 < full.mean() < 0.05


@pytest.mark.parametrize("density", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 1), (1, 7), (5, 7)])
def test_the_densest_part_is_the_middle_one_of_those_with_most_differing_pixels(
    size: tuple[int, int], density: float
) -> None:
    """Compared with counting every part."""
    differing = np.random.default_rng(5).random((5, 7)) < density
    places = [(top, left) for top in range(6 - size[0]) for left in range(8 - size[1])]
    parts = [_Part(*place, *size) for place in places]
    counts = [int(part.of(differing).sum()) for part in parts]
    best = [part for part, count in zip(parts, counts, strict=True) if count == max(counts)]
    assert _densest(differing, size) == best[len(best) // 2]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((100, 100), (100, 100)),
        ((100, 70), (100, 70)),
        ((100, 69), (69, 69)),
        ((1000, 60), (60, 60)),
        ((100, 209), (100, 209)),
        ((100, 210), (100, 210)),
        ((100, 211), (100, 210)),
        ((9, 1000), (9, 19)),
    ],
)
def test_only_very_long_images_are_cropped(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert _largest_shown(*size) == shown


@pytest.mark.parametrize(("level", "drawn"), [(0, 90), (1, 90), (2, 91), (100, 140), (255, 217)])
def test_an_image_is_drawn_in_light_gray(level: int, drawn: int) -> None:
    whole = _Part(0, 0, 10, 33)
    found = _marked(np.full((10, 33, 3), level, np.uint8), np.zeros((10, 33), bool), whole)
    assert found.size == (330, 100)
    assert {color for _, color in found.getcolors() or ()} == {(drawn, drawn, drawn)}


@pytest.mark.parametrize("detail", [_Part(2, 3, 4, 5), _Part(0, 0, 10, 5), _Part(1, 0, 4, 33), _Part(5, 28, 5, 5)])
def test_the_frame_encloses_the_detail_and_is_one_pixel_wide(detail: _Part) -> None:
    drawn = np.array(_marked(np.zeros((10, 33, 3), np.uint8), np.zeros((10, 33), bool), detail))
    expected = np.zeros((100, 330), bool)
    top, left = 10 * detail.top, 10 * detail.left
    bottom, right = 10 * (detail.top + detail.height), 10 * (detail.left + detail.width)
    expected[top:bottom, left:right] = True
    expected[top + 1 : bottom - 1, left + 1 : right - 1] = False
    np.testing.assert_array_equal((drawn == WHITE).all(-1), expected)


def test_differing_pixels_are_pink_where_they_are() -> None:
    differing = np.zeros((10, 33), bool)
    differing[1, 2] = differing[9, 32] = True
    drawn = np.array(_marked(np.zeros((10, 33, 3), np.uint8), differing, _Part(0, 0, 10, 33)))
    np.testing.assert_array_equal((drawn == PINK).all(-1), np.kron(differing, np.ones((10, 10), bool)))


@pytest.mark.parametrize("width", [330, 110, 33])
def test_pixels_that_differ_are_enlarged_to_blocks(width: int) -> None:
    differing = np.random.default_rng(3).random((7, width)) < 0.2
    factor = 330 // width
    found = np.array(_spots(differing, (330, 7 * factor)))
    np.testing.assert_array_equal(found, 255 * np.kron(differing, np.ones((factor, factor), np.uint8)))


@pytest.mark.parametrize(("count", "large"), [(1, True), (999, True), (1000, False), (1001, False), (4000, False)])
def test_no_differing_pixel_is_lost_in_shrinking_and_few_are_drawn_large(count: int, large: bool) -> None:
    """Fewer than one in a thousand: 5x5 pixels each."""
    differing = np.zeros((1000, 1000), bool)
    differing.ravel()[np.random.default_rng(4).permutation(differing.size)[:count]] = True
    expected = np.zeros((331 + 4, 330 + 4), bool)
    for row, column in np.argwhere(differing):
        y, x = row * 331 // 1000, column * 330 // 1000
        if large:
            expected[y : y + 5, x : x + 5] = True
        else:
            expected[y + 2, x + 2] = True
    found = np.array(_spots(differing, (330, 331)))
    np.testing.assert_array_equal(found == 255, expected[2:-2, 2:-2])
    assert set(np.unique(found)) <= {0, 255}


@pytest.mark.parametrize(("size", "drawn"), [((33, 20), (330, 200)), ((700, 500), (330, 236)), ((330, 1), (330, 1))])
def test_every_image_on_the_page_has_one_width(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    shot = _shot("caption", Pillow.new("RGB", size, (10, 200, 30)))
    assert Pillow.open(io.BytesIO(base64.b64decode(shot.source.partition(",")[2]))).size == drawn
    assert "caption" in str(shot)


def _figure(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], differing: list[tuple[int, int]], value: int = 8
) -> tuple[Any, list[str], list[Any]]:
    """The figure, its captions, and its images before they are resized and compressed."""
    drawn: list[tuple[str, Any]] = []
    monkeypatch.setattr(page_module, "_shot", lambda caption, image: drawn.append((caption, np.array(image))))
    source = np.full(size, 3, np.uint8)
    source[0, 0] = 1
    export = source.copy()
    for place in differing:
        export[place] = value
    figure = disagreement_figure(Disagreement("street", np.zeros((*size, 3), np.uint8), source, export), CAMVID)
    return figure, [caption for caption, _ in drawn], [image for _, image in drawn]


@pytest.mark.parametrize(
    ("size", "differing", "caption", "count"),
    [
        ((60, 90), [], "image", "no pixel differs"),
        ((60, 90), [(3, 4)], "image", "1 of 5,400 pixels differ"),
        ((50, 40), [(3, 4), (9, 9)], "image", "2 of 2,000 pixels differ"),
        ((1000, 60), [(999, 0)], "part of the image, rows 940 to 1000 of 1000", "1 of 60,000 pixels differ"),
        ((10, 1000), [(0, 0)], "part of the image, columns 0 to 21 of 1000", "1 of 10,000 pixels differ"),
    ],
)
def test_a_figure_tells_what_is_shown_and_how_much_differs(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], differing: list[tuple[int, int]], caption: str, count: str
) -> None:
    figure, captions, _ = _figure(monkeypatch, size, differing)
    assert (figure.name, figure.count) == ("street", count)
    assert captions == [caption, "source", "exported file"]


def test_the_detail_is_magnified_threefold_and_pale_where_the_two_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """So 110 of the pixels fill the 330 of the page."""
    figure, _, (_, source, export) = _figure(monkeypatch, (200, 300), [(100, 150)])
    assert source.shape == export.shape == (73, 110, 3)
    road, car = (np.array(CAMVID.classes[number].color) for number in (3, 8))
    pale = (255 - (255 - road) * 0.28).round()
    for drawn, color in ((source, road), (export, car)):
        full = (drawn == color).all(-1)
        assert full.sum() == 1
        assert (np.abs(drawn[~full] - pale) <= 1).all()
    assert [label.name for label in figure.classes] == ["Road", "Car"]


def test_equal_predictions_are_drawn_in_full_and_in_full_color(monkeypatch: pytest.MonkeyPatch) -> None:
    figure, _, (_, source, export) = _figure(monkeypatch, (60, 90), [])
    assert source.shape == (60, 90, 3)
    assert (source == export).all()
    assert (source[1, 1] == CAMVID.classes[3].color).all()
    assert [label.name for label in figure.classes] == [CAMVID.classes[1].name, "Road"]


@pytest.mark.parametrize(("width", "detail"), [(1, (1, 1)), (2, (1, 2)), (50, (24, 50)), (110, (52, 109))])
def test_small_images_are_detailed_in_full_width(
    monkeypatch: pytest.MonkeyPatch, width: int, detail: tuple[int, int]
) -> None:
    height = max(1, round(width / 2.1))
    _, _, (_, source, _) = _figure(monkeypatch, (height, width), [(0, 0)])
    assert source.shape[:2] == detail


@pytest.mark.parametrize(("value", "names"), [(10, ["Road", "Bicyclist"]), (11, ["Road"]), (255, ["Road"])])
def test_a_value_that_is_no_class_is_not_named(monkeypatch: pytest.MonkeyPatch, value: int, names: list[str]) -> None:
    figure, _, _ = _figure(monkeypatch, (60, 90), [(30, 30)], value)
    assert [label.name for label in figure.classes] == names


CASE = ComparedCase("x", 1, 60, 90, 10_000, 1, 40, 0)


def _done(agreement: dict[str, Any] | None = None, drift: LayerDrift | None = None, **choices: Any) -> Exported:
    config = replace(ExportConfig(DEFAULT_WEIGHTS, "openvino", Path("net.xml")), **choices)
    found = replace(
        Agreement(TOLERANCES[config.precision], (CASE,), None, None, 0, (), None),
        **(agreement or {}),
    )
    checkpoint = read_checkpoint(locate_weights(DEFAULT_WEIGHTS))
    return Exported(config, checkpoint, "pytorch", {"opset": 18}, found, 0, drift, 1234, "digest", False)


SCORED = {"source_iou": 0.7034, "export_iou": 0.7012, "labeled": 5}


@pytest.mark.parametrize(
    ("agreement", "precision", "verdict", "reason"),
    [
        ({}, "float32", "Agrees with its source", "99.99 % of the pixels are equal"),
        ({}, "bfloat16", "Within the tolerance of bfloat16", "99.99 % of the pixels are equal"),
        ({"export_iou": 0.7}, "float32", "Agrees with its source", "99.99 % of the pixels are equal"),
        ({"source_iou": 0.7}, "float32", "Agrees with its source", "99.99 % of the pixels are equal"),
        (
            SCORED,
            "int8",
            "Within the tolerance of int8",
            "mean IoU 70.12%, the source's 70.34%; 99.99 % of the pixels are equal",
        ),
        (
            {"cases": (replace(CASE, differing=900),)},
            "float32",
            "Refused and not left on disk",
            "91.00 % of the pixels are equal; at least 99.99 % must",
        ),
    ],
)
def test_the_verdict_names_its_reason(agreement: dict[str, Any], precision: str, verdict: str, reason: str) -> None:
    assert _verdict(_done(agreement, precision=precision)) == (verdict, reason)


def test_the_facts_are_complete() -> None:
    facts = dict(_facts(_done(precision="bfloat16")))
    network = read_checkpoint(locate_weights(DEFAULT_WEIGHTS)).header.network
    assert facts == {
        "weights": f"{DEFAULT_WEIGHTS} ({network})",
        "file": "openvino, bfloat16, class map, 1,234 bytes",
        "sha-256": "digest",
        "source": "the same weights by pytorch",
        "tolerance": "99.50 % of all pixels are equal, 97.00 % of the pixels of every batch",
        "off borders": "none differ farther than 2 pixels from a class border",
        "opset": "18",
    }


@pytest.mark.parametrize("scored", [False, True])
def test_labels_replace_the_share_of_equal_pixels_in_the_tolerance(scored: bool) -> None:
    facts = dict(_facts(_done(SCORED if scored else {}, precision="int8", logits=True, data="camvid:x")))
    assert facts["file"] == "openvino, int8, logits, 1,234 bytes"
    assert ("mean IoU" in facts) == scored
    if scored:
        batch = "90.00 % of the pixels of every batch are equal"
        assert facts["tolerance"] == f"mean IoU drops by at most 0.5 points; {batch}"
        assert facts["mean IoU"] == "70.34% of the source, 70.12% of the file, on 5 of 0 in camvid:x val"
    else:
        assert facts["tolerance"] == "98.00 % of all pixels are equal, 90.00 % of the pixels of every batch"


def test_one_mean_iou_without_the_other_is_not_told() -> None:
    assert not any(
        "mean IoU" in facts for iou in ("source_iou", "export_iou") for facts in dict(_facts(_done({iou: 0.5})))
    )


def test_a_refusal_lists_violations_and_the_fix() -> None:
    case = replace(CASE, differing=5000, inner=8000, inner_differing=1)
    drift = LayerDrift((LayerError("a", 0.01),), "bfloat16", None)
    facts = list(_facts(_done({"cases": (case,)}, drift, precision="bfloat16")))
    assert [name for name, _ in facts].count("violation") == 2
    assert ("off borders", "0.0125 % differ farther than 2 pixels from a class border") in facts
    assert facts[-1][0] == "fix"
    assert facts[-1][1].endswith("use --precision float32")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (18, "18"),
        ([], "none"),
        (["a"], "1: a"),
        (["a", "b"], "2: a, b"),
        (list("abcdefghijkl"), "12: a, b, c, d, e, f, g, h, i, j, k, l"),
        (list("abcdefghijklm"), "13: a, b, c, d, e, f, g, h, i, j, k, l, ..."),
    ],
)
def test_long_lists_are_shortened(value: object, text: str) -> None:
    assert _fact(value) == text


@pytest.mark.parametrize(
    ("case", "row"),
    [
        (
            ComparedCase("street", 1, 60, 90, 5400, 1350, 40, 1000),
            ("street", "90 x 60", "75.00 %", "1,350", "1,000"),
        ),
        (ComparedCase("two", 2, 60, 90, 10800, 0, 40, 0), ("two", "2 x 90 x 60", "100.00 %", "0", "0")),
        (ComparedCase("bad", 1, 6, 9, 54, 54, 4, 4, "no file"), ("bad", "9 x 6", "no file", "54", "4")),
    ],
)
def test_a_case_is_one_row(case: ComparedCase, row: tuple[str, ...]) -> None:
    assert _case(case) == row


@pytest.mark.parametrize(
    ("first", "shown"),
    [(None, "opqrst"), ("a", "abcdef"), ("c", "abcdefgh"), ("j", "efghijklmno"), ("t", "opqrst")],
)
def test_five_layers_before_and_after_the_first_that_drifts_are_listed(first: str | None, shown: str) -> None:
    layers = tuple(LayerError(name, 0.01234) for name in "abcdefghijklmnopqrst")
    listed = _layers(LayerDrift(layers, "float32", first))
    assert listed == [(name, "0.012", name == first) for name in shown]


@pytest.mark.parametrize(("count", "omitted"), [(1, ""), (40, ""), (41, "1"), (1240, "1,200")])
def test_of_many_cases_the_forty_worst_are_listed(monkeypatch: pytest.MonkeyPatch, count: int, omitted: str) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(page_module, "render", lambda template, title, values: given.update(values) or "")
    page(_done({"cases": tuple(replace(CASE, name=f"{n}", differing=n) for n in range(count))}))
    names = [row[0] for row in given["cases"]]
    assert names == [f"{n}" for n in (range(count) if count <= 40 else range(count - 1, count - 41, -1))]
    assert given["omitted_cases"] == omitted
    assert (given["drift_sentence"], given["layers"], given["figures"]) == ("", [], [])


@pytest.mark.parametrize("larger", ["source", "export"])
def test_the_page_has_a_figure_for_every_drawn_image_and_the_layers_when_it_drifts(
    monkeypatch: pytest.MonkeyPatch, larger: str
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(page_module, "render", lambda template, title, values: given.update(values) or "")
    equal = np.zeros((60, 90), np.uint8)
    same = Disagreement("same", np.zeros((60, 90, 3), np.uint8), equal, equal)
    other = replace(same, name="other", **{larger: np.eye(60, 90, dtype=np.uint8)})
    page(_done({"worst": (same,)}, LayerDrift((), "float32", None)))
    assert given["drift_sentence"] == "Its layers cannot be compared: they have no names, or cannot be executed"
    assert (given["any_differ"], given["kept"], given["file"]) == (False, True, "net.xml")
    page(_done({"worst": (other, same)}, LayerDrift((LayerError("a", 0.5),), "float32", "a")))
    assert given["any_differ"] is True
    assert given["layers"] == [("a", "0.5", True)]
    assert [figure.name for figure in given["figures"]] == ["other", "same"]
