"""`fassd export` as users see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as Pillow

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.runtimes import onnx_graph

Fassd = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "street.png"
    Pillow.open(locate_weights(DEFAULT_WEIGHTS).parents[1] / "assets/street.jpg").resize((256, 144)).save(path)
    return path


def test_an_export_says_what_it_is_worth_and_is_never_replaced_unasked(
    fassd: Fassd, tmp_path: Path, picture: Path
) -> None:
    out = tmp_path / "net.onnx"
    arguments = ("export", DEFAULT_WEIGHTS, "--to", "onnx", "--out", out, "--images", picture)
    code, printed, said = fassd(*arguments)
    assert (code, said) == (0, "")
    assert f"{out}: onnx, float32, 9.2 MB\n100.00 % of the pixels equal the source's" in printed
    assert f"report: {out}.report.html" in printed
    before = out.read_bytes()
    code, _, said = fassd(*arguments)
    assert (code, "--force" in said) == (2, True)
    assert out.read_bytes() == before
    code, printed, _ = fassd("evaluate", out, "--data", "camvid:nowhere")
    assert code == 2


def test_a_refused_export_gives_exit_code_1_and_names_the_layer(
    fassd: Fassd, tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph.ONNXOperations, "relu", lambda operations, maps: maps)
    out = tmp_path / "net.onnx"
    code, printed, said = fassd("export", DEFAULT_WEIGHTS, "--to", "onnx", "--out", out, "--images", picture)
    assert (code, printed) == (1, "")
    assert said.startswith(f"fassd: {out} was not written")
    assert "the first layer that drifts is encoder.stem.1" in said
    assert f"{out}.refused.html shows where they differ" in said
    assert not out.exists()


def test_the_old_name_of_an_option_is_refused_with_the_new_one(fassd: Fassd) -> None:
    code, printed, said = fassd("export", DEFAULT_WEIGHTS, "--to", "openvino", "--at-most", "0.5")
    assert (code, printed) == (2, "")
    assert "the option --at-most is called --max-iou-drop now" in said


@pytest.mark.slow
@pytest.mark.parametrize(("to", "name"), [("onnx", "net.onnx"), ("openvino", "net.xml"), ("torch", "net.pt2")])
def test_exported_files_are_predicted_with_and_evaluated(
    fassd: Fassd, tmp_path: Path, picture: Path, camvid_root: Path, to: str, name: str
) -> None:
    out = tmp_path / name
    code, printed, _ = fassd("export", DEFAULT_WEIGHTS, "--to", to, "--out", out, "--images", picture, "--json")
    assert code == 0
    assert json.loads(printed)["equal"] > 0.9999
    code, _, said = fassd("predict", picture, "--weights", out, "--out", tmp_path / "predictions")
    assert code == 0, said
    assert (tmp_path / "predictions/street_classmap.png").exists()
    scores = []
    for weights in (out, DEFAULT_WEIGHTS):
        code, printed, said = fassd(
            *("evaluate", weights, "--data", f"camvid:{camvid_root}", "--precision", "float32", "--json")
        )
        assert code == 0, said
        scores.append(json.loads(printed)["mean_iou"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
