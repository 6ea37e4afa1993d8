"""`fassd evaluate` as people type it: its options, what it prints, what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.errors import DataError
from fassd.core.labels import CAMVID, CITYSCAPES, LabelSpace
from fassd.data.open_dataset import open_dataset
from fassd.scoring.prediction_files import read_record, score_predictions

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
    for expected in ("2 of 96x64", "official scores", "iIoU", "omitted from the mean", "ignored pixels never count"):
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


def test_pixels_predicted_as_no_class_are_counted_in_the_table(fassd: Fassd, city: Path, tmp_path: Path) -> None:
    for path in (city / "said").glob("*.png"):
        Pillow.new("L", (96, 64), 29).save(tmp_path / path.name)  # caravan, which is not scored
    printed = fassd("evaluate", "--predictions", tmp_path, "--data", f"cityscapes:{city}")[1]
    labeled = 2 * 64 * 80  # 16 of the 96 columns are void
    assert f"predicted as no class, which counts as a miss: {labeled:,} pixels" in printed


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
    meets = [one["meets"] for one in values["conventions"]]
    assert meets == sorted(meets, reverse=True)
    distances = [abs(one["score"] - values["number"]) for one in values["conventions"] if not one["meets"]]
    assert distances == sorted(distances)


OWN = 'name = "own"\n[[classes]]\nname = "way"\ncolor = [1, 2, 3]\n[[classes]]\nname = "wall"\ncolor = [4, 5, 6]\n'


@pytest.fixture(scope="module")
def large_city(tmp_path_factory: pytest.TempPathFactory, make_pairs: Callable[..., None]) -> Path:
    """Two frames in Cityscapes' layout, large enough for a network."""
    root = tmp_path_factory.mktemp("large")
    places = root / "leftImg8bit/val/ulm", root / "gtFine/val/ulm"
    make_pairs(*places, [f"ulm_{number:06}_000019" for number in range(2)], 34)
    for place, ending in zip(places, ("leftImg8bit", "gtFine_labelIds"), strict=True):
        for path in list(place.iterdir()):
            path.rename(path.with_name(f"{path.stem}_{ending}.png"))
    return root


@pytest.fixture(scope="module")
def own_set(tmp_path_factory: pytest.TempPathFactory, make_folder: Callable[..., Path]) -> Path:
    """A data set of one's own with a table into CamVid's classes."""
    table = '[to.camvid]\nway = "Road"\nwall = "Building"\n'
    return make_folder(tmp_path_factory.mktemp("own"), OWN + table, {"val": ["a", "b"]}, 2)


@pytest.mark.parametrize(
    ("data", "space", "holds"),
    [
        ("camvid:{w}/camvid", CAMVID, "class indices"),
        ("folder:{own}", CAMVID, "class indices"),
        ("cityscapes:{city}", CAMVID, "class indices"),
        ("cityscapes:{city}", CITYSCAPES, "label ids"),
    ],
)
def test_saved_predictions_score_like_the_weights_that_made_them(
    fassd: Fassd,
    world: Path,
    tmp_path: Path,
    own_set: Path,
    large_city: Path,
    make_checkpoint: Callable[..., Path],
    data: str,
    space: LabelSpace,
    holds: str,
) -> None:
    weights, kept = make_checkpoint(tmp_path / "w.safetensors", space=space), tmp_path / "kept"
    common = ["--data", data.format(w=world, own=own_set, city=large_city), "--json"]
    network = json.loads(fassd("evaluate", weights, *common, "--save-predictions", kept)[1])
    folder = json.loads(fassd("evaluate", "--predictions", kept, *common)[1])
    made_by = ("network", "weights", "runtime", "precision", "predictions")
    assert {key: value for key, value in folder.items() if key not in made_by} == {
        key: value for key, value in network.items() if key not in made_by
    }
    record = json.loads((kept / "predictions.json").read_text())
    assert (record["label_space"]["name"], record["values"]) == (space.name, holds)


def test_predictions_are_refused_for_data_that_their_record_does_not_fit(
    fassd: Fassd,
    large_city: Path,
    tmp_path: Path,
    make_folder: Callable[..., Path],
    make_checkpoint: Callable[..., Path],
) -> None:
    root = make_folder(tmp_path / "own", OWN, {"val": ["a"]}, 2)
    nineteen = make_folder(tmp_path / "19", 'label_space = "cityscapes"', {"val": ["a"]}, 19)
    kept = {name: tmp_path / f"by-{name}" for name in ("camvid", "cityscapes")}
    for space in (CAMVID, CITYSCAPES):
        weights = make_checkpoint(tmp_path / f"{space.name}.safetensors", space=space)
        data = ["--data", f"cityscapes:{large_city}", "--save-predictions", kept[space.name]]
        assert fassd("evaluate", weights, *data)[0] == 0
    for name, more, complaint in (
        ("camvid", ["--data", f"folder:{root}"], "predictions in 'camvid', but .*no table"),
        ("camvid", ["--data", f"cityscapes:{large_city}", "--ids", "train"], "--ids train is for"),
        ("cityscapes", ["--data", f"folder:{nineteen}"], "label ids, made for cityscapes:.*takes class indices"),
        ("cityscapes", ["--data", f"cityscapes:{large_city}", "--ids", "train"], "the files hold label ids"),
    ):
        code, _, said = fassd("evaluate", "--predictions", kept[name], *more)
        assert code == 2
        assert re.search(complaint, said)
    dataset = open_dataset(f"cityscapes:{large_city}", "val")
    with pytest.raises(DataError, match=r"in 'camvid' \(11 classes\)"):
        score_predictions(kept["camvid"], dataset)
    (tmp_path / "up").mkdir()
    kept["camvid"] = kept["camvid"].rename(tmp_path / "up/camvid")
    above = read_record(tmp_path / "up")
    assert above is not None
    assert above == read_record(kept["camvid"])
    kept["cityscapes"].rename(tmp_path / "up/cityscapes")
    with pytest.raises(DataError, match=r"names other classes or values than .*camvid"):
        read_record(tmp_path / "up")
    record = kept["camvid"] / "predictions.json"
    record.write_text(record.read_text()[:50])
    code, _, said = fassd("evaluate", "--predictions", kept["camvid"], "--data", f"cityscapes:{large_city}")
    assert (code, "is damaged" in said) == (2, True)


def test_a_record_that_an_earlier_version_wrote_is_read(fassd: Fassd, city: Path, tmp_path: Path) -> None:
    classes = [{"name": one.name, "colour": list(one.color), "raw_id": one.label_id} for one in CITYSCAPES.classes]
    record = {
        "data": f"cityscapes:{city}",
        "split": "val",
        "label_space": {"name": "cityscapes", "classes": classes},
        "values": "raw ids",
        "made_by": {"weights": "w.safetensors 0123", "runtime": "openvino"},
        "images": {"ulm/ulm_000000_000019": [1, 2], "colour": [3, 4]},
    }
    for stem in ("ulm_000000_000019", "ulm_000001_000019"):
        (tmp_path / f"{stem}_pred.png").write_bytes((city / f"said/{stem}.png").read_bytes())
    (tmp_path / "predictions.json").write_text(json.dumps(record))
    read = read_record(tmp_path)
    assert read is not None
    assert (read.label_space, read.values) == (CITYSCAPES, "label ids")
    assert list(read.images) == ["ulm/ulm_000000_000019", "colour"]
    data = ["--data", f"cityscapes:{city}", "--json"]
    old, plain = (json.loads(fassd("evaluate", "--predictions", at, *data)[1]) for at in (tmp_path, city / "said"))
    assert {**old, "predictions": None} == {**plain, "predictions": None}
    code, _, said = fassd("evaluate", "--predictions", tmp_path, *data, "--ids", "train")
    assert (code, "the files hold label ids" in said) == (2, True)


def test_another_programs_file_of_that_name_says_nothing(fassd: Fassd, city: Path) -> None:
    record = city / "said/predictions.json"
    record.write_text('[{"image_id": 1}]')
    code, _, said = fassd("evaluate", "--predictions", city / "said", "--data", f"cityscapes:{city}")
    record.unlink()
    assert (code, said) == (0, "")


SLOWLY = """
import sys, time
from fassd.cli.main import run
from fassd.scoring import prediction_files

counted = prediction_files.count_image

def slowly(*arguments):
    print("an image is scored", flush=True)
    time.sleep(0.5)
    return counted(*arguments)

prediction_files.count_image = slowly
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process group")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_scoring_without_a_traceback(city: Path, workers: int) -> None:
    command = ["evaluate", "--predictions", str(city / "said"), "--data", f"cityscapes:{city}"]
    command += ["--workers", str(workers)]
    with subprocess.Popen(
        [sys.executable, "-c", f"{SLOWLY}\nsys.exit(run({command}))"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        os.killpg(running.pid, signal.SIGINT)
        said = running.communicate(timeout=60)[1]
    assert (running.returncode, said.strip()) == (130, "fassd: interrupted")


def test_averaged_views_are_named_in_the_header(fassd: Fassd, world: Path) -> None:
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
    "ids of a network": ("tiny --ids label --data {data}", "--ids"),
    "ids by their old name": ("--predictions {w} --ids raw --data {data}", "--ids raw is called --ids label now"),
    "a report of two sets": ("tiny --report {out} --data {data} --data {data}", "single --data"),
    "a report that cannot be": (
        "{w}/tiny.safetensors --report /proc/x --data {data}",
        "/proc/x/report.json: cannot be",
    ),
    "predictions that cannot be": (
        "{w}/tiny.safetensors --save-predictions /proc/x --data {data}",
        "/proc/x/predictions.json: cannot be",
    ),
    "ids of other data": (
        "--predictions {w} --ids label --data {data}",
        "--ids label is for data in Cityscapes' layout",
    ),
    "one of what": ("tiny --explain 1 --data {data}", "--explain 1: is it a fraction or percent?"),
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
