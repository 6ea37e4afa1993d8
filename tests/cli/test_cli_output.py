"""What the verbs print, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.cli.main import cli
from fassd.core.checkpoint import read_header
from fassd.core.labels import CAMVID
from fassd.networks.specs import NETWORKS

Fassd = Callable[..., tuple[int, str, str]]
VERBS = {"predict", "evaluate", "train", "networks", "inspect", "convert", "benchmark"}


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and those below it, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _commands(below, (*path, name))


COMMANDS = dict(_commands(cli))


def test_every_verb_is_there() -> None:
    assert set(cli.commands) >= VERBS


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_text_prints(fassd: Fassd, words: tuple[str, ...], flag: str) -> None:
    code, printed, said = fassd(*words, flag)
    assert (code, said) == (0, "")
    assert printed.startswith(" ".join(["Usage: fassd", *words]))
    assert max(map(len, printed.splitlines())) <= 100


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_is_for(words: tuple[str, ...]) -> None:
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_the_version_is_that_of_the_package(fassd: Fassd) -> None:
    import fassd as package

    assert fassd("--version") == (0, f"fassd {package.__version__}\n", "")


def test_networks_as_json_has_a_row_for_each_network(fassd: Fassd) -> None:
    code, printed, said = fassd("networks", "--json")
    rows = json.loads(printed)
    assert (code, said) == (0, "")
    assert [row["name"] for row in rows] == list(NETWORKS)
    for row in rows:
        assert {"name", "parameters", "macs", "paper_parameters_m", "paper_gflops", "note"} <= row.keys()
        assert row["parameters"] / 1e6 == pytest.approx(row["paper_parameters_m"], abs=0.025)


def test_networks_as_a_table_names_every_network_and_the_papers_figures(fassd: Fassd) -> None:
    code, printed, said = fassd("networks")
    assert (code, said) == (0, "")
    for name, spec in NETWORKS.items():
        line = next(line for line in printed.splitlines() if line.split()[:1] == [name])
        assert f"{spec.paper.gflops:.1f}" in line
        assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("option", [("--classes", "11"), ("--alpha", "4")])
def test_networks_of_other_sizes_are_not_compared_with_the_paper(fassd: Fassd, option: tuple[str, str]) -> None:
    code, printed, _ = fassd("networks", *option)
    assert code == 0
    assert "GFLOPs" not in printed


def test_predict_prints_one_line_for_each_image(fassd: Fassd, world: Path, street: Path, tmp_path: Path) -> None:
    weights = world / "tiny.safetensors"
    code, printed, said = fassd("predict", street, "--weights", weights, "--out", tmp_path)
    assert (code, said) == (0, "")
    assert printed.count("\n") == 1
    assert printed.startswith(f"{street}  128x96  ")
    assert f"-> {tmp_path / 'street_overlay.jpg'}" in printed
    assert "%" in printed
    assert any(name in printed for name in CAMVID.names)


def test_predict_writes_to_the_folder_predictions_where_none_is_given(
    fassd: Fassd, world: Path, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fassd("predict", street, "--weights", world / "tiny.safetensors")[0] == 0
    names = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert names == {"street_overlay.jpg", "street_classmap.png"}


def test_predict_as_json_is_one_list(fassd: Fassd, world: Path, street: Path, tmp_path: Path) -> None:
    weights = world / "tiny.safetensors"
    code, printed, said = fassd("predict", street, "--weights", weights, "--out", tmp_path, "--json")
    (done,) = json.loads(printed)
    assert (code, said) == (0, "")
    assert done["source"] == str(street)
    assert (done["width"], done["height"]) == (128, 96)
    assert sum(done["shares"].values()) == pytest.approx(1)
    with Pillow.open(done["class_map"]) as written:
        shown = np.asarray(written)
    assert done["shares"]["Fence"] == pytest.approx((shown == CAMVID.index("Fence")).mean())
    assert Path(done["overlay"]).is_file()


def test_predict_as_json_stays_one_list_when_an_image_is_bad(
    fassd: Fassd, world: Path, street: Path, tmp_path: Path
) -> None:
    sources = [world / "text.jpg", street]
    weights = world / "tiny.safetensors"
    code, printed, said = fassd("predict", *sources, "--weights", weights, "--out", tmp_path, "--json")
    assert code == 1
    assert [done["source"] for done in json.loads(printed)] == [str(street)]
    assert said.startswith("fassd: ")
    assert "text.jpg" in said


def test_predict_takes_a_longest_side(fassd: Fassd, world: Path, street: Path, tmp_path: Path) -> None:
    maps = {}
    for side in (0, 64):
        out = tmp_path / str(side)
        assert (
            fassd("predict", street, "--weights", world / "tiny.safetensors", "--out", out, "--max-side", side)[0] == 0
        )
        maps[side] = (out / "street_classmap.png").read_bytes()
    assert maps[0] != maps[64]


KEYS = {
    *("network", "weights", "data", "split", "images", "runtime", "precision"),
    *("ignore", "mean_iou", "pixel_accuracy", "iou", "confusion", "partially_annotated"),
}


def test_evaluate_as_json_is_one_object_with_the_documented_keys(fassd: Fassd, world: Path) -> None:
    weights, spec = world / "tiny.safetensors", f"camvid:{world / 'camvid'}"
    code, printed, said = fassd("evaluate", weights, "--data", spec, "--json")
    report = json.loads(printed)
    assert (code, said) == (0, "")
    assert report.keys() >= KEYS
    assert (report["data"], report["split"], report["images"]) == (spec, "val", 2)
    assert report["weights"] == str(weights)
    assert np.sum(report["confusion"]) == 2 * 88 * 128


def test_evaluate_as_json_is_a_list_for_several_data_sets(fassd: Fassd, world: Path) -> None:
    spec = f"camvid:{world / 'camvid'}"
    options = ["--data", spec, "--data", spec, "--split", "train", "--json"]
    reports = json.loads(fassd("evaluate", world / "tiny.safetensors", *options)[1])
    assert [report["images"] for report in reports] == [4, 4]


def test_evaluate_as_a_table_shows_every_class_and_the_means(fassd: Fassd, world: Path) -> None:
    code, printed, said = fassd("evaluate", world / "tiny.safetensors", "--data", f"camvid:{world / 'camvid'}")
    assert (code, said) == (0, "")
    for name in CAMVID.names:
        assert any(line.startswith(name) for line in printed.splitlines()), name
    assert "mean IoU" in printed
    assert "2 images" in printed


def test_evaluate_as_a_table_does_not_call_partially_annotated_frames_fully_annotated(
    fassd: Fassd, world: Path, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    text = 'label_space = "camvid"\n[[partially_annotated]]\nframes = "*"\nannotated = ["Sky", "Road"]\n'
    root = make_folder(tmp_path, text, {"val": ["a"]}, values=11)
    code, printed, _ = fassd("evaluate", world / "tiny.safetensors", "--data", f"folder:{root}")
    assert code == 0
    assert "only 2 classes annotated" in printed
    assert "every class annotated" not in printed


def test_a_name_in_brackets_is_printed_as_it_is(
    fassd: Fassd, world: Path, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path / "drive[old]", {"val": 1})
    assert "drive[old]" in fassd("evaluate", world / "tiny.safetensors", "--data", f"camvid:{root}")[1]


def test_inspect_as_json_is_the_header(fassd: Fassd, world: Path) -> None:
    code, printed, said = fassd("inspect", world / "tiny.safetensors", "--json")
    header = json.loads(printed)
    assert (code, said) == (0, "")
    assert header["network"] == "fassd-net-l2"
    assert [label["name"] for label in header["label_space"]["classes"]] == list(CAMVID.names)


@pytest.mark.parametrize("name", ["tiny", "encoder", "classes"])
def test_inspect_prints_what_the_header_says(fassd: Fassd, world: Path, name: str) -> None:
    code, printed, said = fassd("inspect", world / f"{name}.safetensors")
    assert (code, said) == (0, "")
    assert "fassd-net-l2" in printed


def test_inspect_sums_up_the_recipe_and_verifies_the_checksum(fassd: Fassd) -> None:
    printed = fassd("inspect", "fassd-net-l2-street")[1]
    for shown in ("intact: the checksum matches, sha-256", "iterations of", "learning rate", "normalization mean"):
        assert shown in printed


def test_train_says_where_its_result_is_and_how_to_try_it(fassd: Fassd, world: Path, tmp_path: Path) -> None:
    spec, out = f"camvid:{world / 'camvid'}", tmp_path / "run"
    recipe = ["train", world / "recipe.toml", "--data", spec, "--out", out, "--workers", 0]
    code, printed, said = fassd(*recipe, "--iterations", 1, "--seed", 3)
    assert code == 0
    assert f"fassd predict IMAGE --weights {out / 'best.safetensors'}" in printed.replace("\n", "")
    assert "mean IoU on val" in said
    written = read_header(out / "best.safetensors").recipe
    assert written is not None
    assert (written["iterations"], written["seed"]) == (1, 3)


def test_a_trained_run_is_not_overwritten(fassd: Fassd, world: Path, tmp_path: Path) -> None:
    order = ["train", world / "recipe.toml", "--data", f"camvid:{world / 'camvid'}", "--out", tmp_path / "run"]
    assert fassd(*order, "--workers", 0)[0] == 0
    before = (tmp_path / "run/best.safetensors").read_bytes()
    code, _, said = fassd(*order, "--workers", 0)
    assert code == 2
    assert "--resume" in said
    assert (tmp_path / "run/best.safetensors").read_bytes() == before


def test_training_without_validation_frames_says_so(
    fassd: Fassd, world: Path, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path / "only", {"train": 2})
    order = ["train", world / "recipe.toml", "--data", f"camvid:{root}", "--out", tmp_path / "run", "--workers", 0]
    code, printed, _ = fassd(*order)
    assert code == 0
    assert "-100" not in printed
