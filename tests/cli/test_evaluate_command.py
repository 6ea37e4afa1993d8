"""`fassd evaluate` as people type it: its options, what it prints, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

Fassd = Callable[..., tuple[int, str, str]]
HEAVY = {"torch", "openvino", "onnxruntime", "matplotlib"}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames in Cityscapes' layout, their own labels but for a column as predictions, by train ids as well."""
    root = tmp_path_factory.mktemp("city")
    for number in range(2):
        stem = f"ulm_{number:06}_000019"
        labels = np.tile(np.array([7, 8, 11, 23, 26, 0], np.uint8).repeat(16), (64, 1))
        said = labels.copy()
        said[:, :8] = 8
        instances = np.where(labels == 26, 26001, labels).astype(np.uint16)
        files: dict[str, np.ndarray[Any, Any]] = {
            f"leftImg8bit/val/ulm/{stem}_leftImg8bit.png": labels[..., None].repeat(3, 2),
            f"gtFine/val/ulm/{stem}_gtFine_labelIds.png": labels,
            f"gtFine/val/ulm/{stem}_gtFine_instanceIds.png": instances,
            f"said/{stem}.png": said,
        }
        for path, values in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(values).save(root / path)
    return root


def test_a_folder_of_predictions_is_scored_without_weights(fassd: Fassd, city: Path) -> None:
    code, printed, said = fassd("evaluate", "--predictions", city / "said", "--data", f"cityscapes:{city}")
    assert (code, said) == (0, "")
    for expected in ("2 of 96x64", "official scores", "iIoU", "left out of the mean", "ignored pixels never count"):
        assert expected in printed
    assert "wall, fence" in printed


def test_the_json_of_a_folder_has_the_official_scores_and_no_network(fassd: Fassd, city: Path) -> None:
    arguments = ["evaluate", "--predictions", city / "said", "--data", f"cityscapes:{city}", "--json"]
    report = json.loads(fassd(*arguments)[1])
    assert [report[key] for key in ("network", "weights", "runtime", "precision")] == [None] * 4
    assert report["predictions"] == str(city / "said")
    assert report["official"]["averages"].keys() == {"classes", "categories", "instance_classes", "instance_categories"}
    assert report["official"]["classes"]["road"] == 0.5
    assert report["mean_iou"] == report["official"]["averages"]["classes"]


def test_without_borders_all_else_stays_as_it_is(fassd: Fassd, city: Path) -> None:
    arguments = ["evaluate", "--predictions", city / "said", "--data", f"cityscapes:{city}"]
    whole, lean = (json.loads(fassd(*arguments, "--json", *more)[1]) for more in ((), ("--no-borders",)))
    assert whole["boundary"]["share_of_diagonal"] == 0.005
    assert [band["width"] for band in whole["trimap"]] == [1, 2, 4, 8, 16]
    assert lean == {**whole, "boundary": None, "trimap": None}
    assert "boundary" not in fassd(*arguments, "--no-borders")[1]


def test_scoring_a_folder_loads_no_network(city: Path) -> None:
    command = ["evaluate", "--predictions", str(city / "said"), "--data", f"cityscapes:{city}", "--json"]
    script = (
        f"import sys\nfrom fassd.cli.main import run\nassert run({command}) == 0\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stderr.split()} & HEAVY


@pytest.mark.parametrize(("number", "code"), [("0.1", 1), ("83.3", 0)])
def test_explain_says_whether_a_convention_gives_the_number(fassd: Fassd, city: Path, number: str, code: int) -> None:
    arguments = ["evaluate", "--predictions", city / "said", "--data", f"cityscapes:{city}", "--explain", number]
    found, printed, _ = fassd(*arguments)
    values = json.loads(fassd(*arguments, "--json")[1])["explained"]
    assert found == code
    assert ("none of the conventions" in printed) == bool(code)
    assert any(one["meets"] for one in values["conventions"]) == (not code)
    distances = [abs(one["score"] - values["number"]) for one in values["conventions"]]
    assert distances == sorted(distances)


def test_saved_predictions_score_like_the_weights_that_made_them(fassd: Fassd, world: Path, tmp_path: Path) -> None:
    data = ["--data", f"camvid:{world / 'camvid'}", "--json"]
    kept = tmp_path / "kept"
    network = json.loads(fassd("evaluate", world / "tiny.safetensors", *data, "--save-predictions", kept)[1])
    folder = json.loads(fassd("evaluate", "--predictions", kept, *data)[1])
    assert network["confusion"] == folder["confusion"]
    assert network["boundary"] == folder["boundary"]


def test_averaged_looks_are_named_in_the_header(fassd: Fassd, world: Path) -> None:
    data = ["--data", f"camvid:{world / 'camvid'}"]
    code, printed, _ = fassd("evaluate", world / "tiny.safetensors", *data, "--scales", "1,1.5", "--flip")
    assert code == 0
    assert "averaged over scales 1, 1.5 and mirrored" in printed


def test_a_report_is_written(fassd: Fassd, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, printed, _ = fassd(
        "evaluate", world / "tiny.safetensors", "--data", f"camvid:{world / 'camvid'}", "--report", out
    )
    assert code == 0
    assert f"report: {out}" in printed
    assert len(list(out.glob("worst_*.png"))) == 2


BAD = {
    "nothing to score": ("--data {data}", "neither WEIGHTS nor --predictions"),
    "two things to score": ("tiny --predictions x --data {data}", "both WEIGHTS and --predictions"),
    "scales of files": ("--predictions x --scales 1,2 --data {data}", "for WEIGHTS"),
    "flip of files": ("--predictions x --flip --data {data}", "for WEIGHTS"),
    "ids of a network": ("tiny --ids raw --data {data}", "--ids"),
    "a report of two sets": ("tiny --report {out} --data {data} --data {data}", "single --data"),
    "no number": ("tiny --explain high --data {data}", "--explain high"),
    "no scale": ("{w}/tiny.safetensors --scales a --data {data}", "--scales is a"),
    "a report among other things": ("{w}/tiny.safetensors --report {w} --data {data}", "is not empty"),
    "predictions among other things": ("{w}/tiny.safetensors --save-predictions {w} --data {data}", "earlier run"),
    "no predictions": ("--predictions {w}/none --data {data}", "no such folder"),
    "predictions of others": ("--predictions {w}/empty --data {data}", "2 of 2 images: val_000, val_001"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused_in_a_sentence(fassd: Fassd, world: Path, tmp_path: Path, name: str) -> None:
    command, complaint = BAD[name]
    filled = command.format(data=f"camvid:{world / 'camvid'}", w=world, out=tmp_path / "out")
    code, printed, said = fassd("evaluate", *filled.split())
    assert (code, printed) == (2, "")
    assert complaint in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()
