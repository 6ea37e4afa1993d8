"""Whatever users get wrong: exit code 2, one line that helps, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fassd.cli.main import _exit_code_and_message

Fassd = Callable[..., tuple[int, str, str]]

# What is wrong; the command, with {w} for the world and {out} for a fresh place; what the message has to name.
PREDICT = "predict --weights {w}/tiny.safetensors --out {out} "
EVALUATE = "evaluate {w}/tiny.safetensors --data camvid:{w}/"
TRAIN = "train {w}/recipe.toml --data camvid:{w}/camvid --workers 0 --out {out} "
BAD = [
    ("missing file", PREDICT + "{w}/stret.png", "did you mean 'street.png'"),
    ("missing folder", PREDICT + "{w}/no/street.png", "nor does the folder"),
    ("no image", PREDICT + "{w}/text.jpg", "text.jpg: is not an image"),
    ("truncated image", PREDICT + "{w}/cut.png", "cut.png: cannot be decoded"),
    ("empty image", PREDICT + "{w}/nothing.png", "nothing.png: is empty"),
    ("empty folder", PREDICT + "{w}/empty", "no files"),
    ("empty glob", PREDICT + "{w}/*.bmp", "no files"),
    ("above 200 megapixels", PREDICT + "{w}/huge.png", "20000 x 20000"),
    ("below the minimum", PREDICT + "{w}/small.png", "at least 57"),
    ("out is a file", "predict --weights {w}/tiny.safetensors {w}/street.png --out {w}/way", "cannot be written"),
    ("out is below a file", "predict --weights {w}/tiny.safetensors {w}/street.png --out {w}/way/x", "cannot be"),
    ("side by its old name", PREDICT + "{w}/street.png --side 64", "the option --side is called --max-side now"),
    ("device without hardware", PREDICT + "{w}/street.png --device cuda:77", "cuda:77"),
    ("unknown device", PREDICT + "{w}/street.png --device toaster", "toaster"),
    ("unknown weights", "predict {w}/street.png --weights fassd-net-l2-stret --out {out}", "fassd-net-l2-street"),
    ("missing weights", "predict {w}/street.png --weights {w}/no.safetensors --out {out}", "no such file"),
    ("weights that are a folder", "predict {w}/street.png --weights {w}/empty --out {out}", "is a folder; name"),
    ("weights that are an image", "predict {w}/street.png --weights {w}/street.png --out {out}", "safetensors"),
    ("truncated weights", "predict {w}/street.png --weights {w}/cut.safetensors --out {out}", "damaged"),
    ("weights without header", "predict {w}/street.png --weights {w}/bare.safetensors --out {out}", "header"),
    ("weights of another network", "predict {w}/street.png --weights {w}/network.safetensors --out {out}", "fassd-net"),
    ("weights of other classes", "predict {w}/street.png --weights {w}/classes.safetensors --out {out}", "19"),
    ("weights of no network", "predict {w}/street.png --weights {w}/unknown.safetensors --out {out}", "fassd-net-l2"),
    ("encoder only", "predict {w}/street.png --weights {w}/encoder.safetensors --out {out}", "encoder only"),
    ("evaluate: unknown weights", "evaluate fassd-net-l2-camvit --data camvid:{w}/camvid", "fassd-net-l2-camvid"),
    ("evaluate: no data", EVALUATE + "nowhere", "no such folder"),
    ("evaluate: unknown kind", "evaluate {w}/tiny.safetensors --data camvit:{w}/camvid", "did you mean camvid"),
    ("evaluate: no kind", "evaluate {w}/tiny.safetensors --data {w}", "kind:PATH"),
    ("evaluate: missing split", EVALUATE + "camvid --split test", "there are: train, val"),
    ("evaluate: label out of range", EVALUATE + "range", "val_000.png: holds the value 12; allowed are 0-11, 255"),
    ("evaluate: sizes differ", EVALUATE + "sizes", "val_000.png: is 64x48 but its image val_000.png is 128x96"),
    ("evaluate: other classes", "evaluate {w}/tiny.safetensors --data folder:{w}/two", "[to.camvid]"),
    ("evaluate: no description", "evaluate {w}/tiny.safetensors --data folder:{w}/camvid", "dataset.toml"),
    ("train: unknown recipe", "train camvit --data camvid:{w}/camvid --out {out}", "did you mean camvid"),
    ("train: missing recipe", "train {w}/no.toml --data camvid:{w}/camvid --out {out}", "no.toml"),
    ("train: no recipe", "train {w}/text.toml --data camvid:{w}/camvid --out {out}", "not valid TOML"),
    ("train: unknown key", "train {w}/key.toml --data camvid:{w}/camvid --out {out}", "did you mean 'iterations'"),
    ("train: unknown network", TRAIN + "--network fassd-net-l3", "fassd-net-l2"),
    ("train: no iterations", TRAIN + "--iterations 0", "iterations"),
    ("train: negative batch", TRAIN + "--batch-size -1", "batch"),
    ("train: out is a file", TRAIN.replace("{out}", "{w}/way"), "cannot be written"),
    ("train: nothing to resume", TRAIN + "--resume", "no training state"),
    ("train: missing start", TRAIN + "--init-weights {w}/no.safetensors", "no such file"),
    ("train: unknown start", TRAIN + "--init-weights fassd-net-l2-camvit", "fassd-net-l2-camvid"),
    ("train: start of another network", TRAIN + "--network baseline --init-weights {w}/tiny.safetensors", "baseline"),
    ("train: start of BGR", TRAIN + "--set channel_order=bgr --init-weights {w}/tiny.safetensors", "channel_order"),
    ("train: earlier --start", TRAIN + "--start fassd-net-l2-camvid", "--init-weights"),
    ("train: earlier --encoder", TRAIN + "--encoder {w}/encoder.safetensors", "--encoder-weights"),
    ("train: earlier --batch", TRAIN + "--batch 2", "--batch-size"),
    ("pretrain: earlier --batch", "pretrain imagenet --data {w} --out {out} --batch 2", "--batch-size"),
    ("train: earlier key", TRAIN + "--set optimiser.rate=0.1", "optimiser.rate is now optimizer.lr"),
    ("train: earlier recipe", "train camvid-fassd-net-l1 --out {out}", "train camvid-published --network fassd-net-l1"),
    ("train: no network", "train cityscapes --data camvid:{w}/camvid --out {out}", "--network, one of fassd-net, "),
    ("train: unknown value", TRAIN + "--set optimizer.momentm=1", "did you mean 'momentum'"),
    ("train: unknown section", TRAIN + "--set optimzer.lr=1", "did you mean optimizer"),
    ("train: no value", TRAIN + "--set seed", "expected key=value"),
    ("train: wrong value", TRAIN + "--set optimizer.lr=fast", "optimizer.lr: expected `float`"),
    ("train: unknown tracker", TRAIN + "--track tensorbord", "did you mean tensorboard"),
    ("train: neither recipe nor run", "train --data camvid:{w}/camvid --out {out}", "RECIPE is missing"),
    ("train: neither data nor run", "train camvid --out {out}", "--data is missing"),
    ("train: missing encoder", TRAIN + "--encoder-weights {w}/no.safetensors", "no such file"),
    ("train: unknown device", TRAIN + "--device toaster", "toaster"),
    ("train: missing train split", TRAIN.replace("camvid:{w}/camvid", "camvid:{w}/empty"), "no split 'train'"),
    ("convert: missing file", "convert {w}/no.pth {out}/x.safetensors --network fassd-net", "no such file"),
    ("convert: unknown network", "convert {w}/code.pth {out}/x.safetensors --network fassdnet", "fassd-net"),
    ("convert: wrong suffix", "convert {w}/code.pth {out}/x.pth --network fassd-net", ".safetensors"),
    ("convert: wants to run code", "convert {w}/code.pth {out}/x.safetensors --network fassd-net", "run code"),
    ("convert: plain pickle", "convert {w}/code.pkl {out}/x.safetensors --network fassd-net", "run code"),
    ("convert: an image", "convert {w}/street.png {out}/x.safetensors --network fassd-net", "street.png"),
    ("inspect: missing", "inspect {w}/no.safetensors", "no such file"),
    ("inspect: unknown", "inspect fassd-net-l2-stret", "fassd-net-l2-street"),
    ("inspect: no header", "inspect {w}/bare.safetensors", "header"),
    ("networks: alpha", "networks --alpha 0", "alpha is 0"),
    ("networks: classes", "networks --classes 256", "1 to 255"),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def untouched(world: Path) -> object:
    """Whatever these tests do, the world stays as it was, and no code of a file ran."""

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(world.rglob("*")) if path.is_file()}

    before = contents()
    yield None
    assert contents() == before
    assert not (world / "code_was_run").exists()


@pytest.mark.parametrize(("command", "named"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_gives_exit_code_2_and_one_line(
    fassd: Fassd, world: Path, tmp_path: Path, command: str, named: str
) -> None:
    out = tmp_path / "out"
    code, printed, said = fassd(*(part.format(w=world, out=out) for part in command.split()))
    assert said.count("\n") == 1, said
    assert said.startswith("fassd: ")
    assert named in said
    assert code == 2
    assert printed == ""
    assert not out.exists()


# Faults that show only once reading has begun: the run's folder is there by then.
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("data", "named"), [("range", "holds the value 12"), ("sizes", "is 64x48")])
def test_a_bad_mask_met_while_training_gives_exit_code_2_and_one_line(
    fassd: Fassd, world: Path, tmp_path: Path, data: str, named: str, workers: int
) -> None:
    spec = f"camvid:{world / data}"
    code, _, said = fassd("train", world / "recipe.toml", "--data", spec, "--out", tmp_path, "--workers", workers)
    assert (code, named in said) == (2, True)
    assert [line for line in said.splitlines() if line.startswith("fassd: ")] == said.splitlines()[-1:]
    assert "Traceback" not in said
    assert not (tmp_path / "best.safetensors").exists()


USAGE = [
    ("no source", "predict"),
    ("unknown verb", "segment x.png"),
    ("unknown option", "predict x.png --model y"),
    ("no data", "evaluate x.safetensors"),
    ("no out", "train camvid --data camvid:x"),
    ("negative side", "predict x.png --max-side -1"),
    ("unknown precision", "predict x.png --precision int9"),
    ("no network", "convert x.pth y.safetensors"),
]


@pytest.mark.parametrize("command", [row[1] for row in USAGE], ids=[row[0] for row in USAGE])
def test_wrong_usage_gives_exit_code_2_and_says_how_to_get_help(fassd: Fassd, command: str) -> None:
    code, printed, said = fassd(*command.split())
    assert code == 2
    assert printed == ""
    assert said.startswith("Usage: fassd")
    assert "--help" in said
    assert "Traceback" not in said


def test_one_bad_image_among_several_gives_exit_code_1_and_the_rest_is_done(
    fassd: Fassd, world: Path, tmp_path: Path
) -> None:
    bad = ["cut.png", "text.jpg", "small.png", "huge.png"]
    sources = [world / name for name in [*bad, "street.png"]]
    code, printed, said = fassd("predict", *sources, "--weights", world / "tiny.safetensors", "--out", tmp_path)
    assert code == 1
    assert [name in line for name, line in zip(bad, said.splitlines(), strict=False)] == [True] * 4
    assert said.splitlines()[4:] == ["1 predicted, 4 could not be read"]
    assert "street.png" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"street_overlay.jpg", "street_classmap.png"}


def test_only_bad_images_give_exit_code_2(fassd: Fassd, world: Path, tmp_path: Path) -> None:
    sources = [world / "cut.png", world / "text.jpg"]
    code, printed, said = fassd("predict", *sources, "--weights", world / "tiny.safetensors", "--out", tmp_path)
    assert (code, printed) == (2, "")
    assert "cut.png" in said
    assert "text.jpg" in said


def test_debug_shows_where_an_error_came_from_and_keeps_the_exit_code(fassd: Fassd, world: Path) -> None:
    code, _, said = fassd("--debug", "inspect", world / "bare.safetensors")
    assert "Traceback" in said
    assert "CheckpointError" in said
    assert code == 2


def test_too_little_memory_is_no_bug() -> None:
    assert _exit_code_and_message(MemoryError()) == (2, "fassd: needs more memory than there is; give less at once")


@pytest.mark.parametrize("words", [["data", "check", "camvid:~nobody-here"], ["predict", "camvid:~nobody-here"]])
def test_a_home_that_is_not_there_is_a_missing_folder(fassd: Fassd, words: list[str]) -> None:
    code, _, said = fassd(*words)
    assert (code, "bug" in said) == (2, False)
