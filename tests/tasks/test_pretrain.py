"""Pre-training end to end on tiny colored pictures made on the spot."""

from __future__ import annotations

import csv
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.numpy import load_file

from fassd.cli.main import run as fassd
from fassd.core.checkpoint import BGR_NORMALIZATION, read_checkpoint
from fassd.core.errors import FassdError, UsageError
from fassd.core.recipe import Recipe, override_recipe, recipe_as_toml, recipe_from
from fassd.core.types import Event
from fassd.data.batches import validation_batches
from fassd.data.class_folders import open_class_folders
from fassd.networks.build import arrays_of, init_network, load_encoder
from fassd.networks.classifier import init_classifier
from fassd.networks.inference import normalize
from fassd.networks.specs import network_by_name
from fassd.tasks.pretrain import pretrain
from fassd.training.distributed import Distributed
from fassd.training.run import Run
from fassd.training.setup import PretrainConfig
from fassd.training.validation import validate_classifier

COLORS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (200, 50, 40)}


def _recipe(**changes: Any) -> Recipe:
    values = {
        "task": "classification",
        "network": "fassd-net-l2",
        "iterations": 9,
        "batch_size": 6,
        "channel_order": "bgr",
        "precision": "float32",
        "validate_every": 4,
        "save_every": 2,
        "augmentation": {"crop_size": (72, 72), "scale": (0.9, 1.5)},
        "optimizer": {"lr": 0.05, "clip_grad_norm": 20.0},
    }
    return recipe_from({**values, **changes}, "test")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy pictures of three colors, the color being the class; not to be changed."""
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for name, color in COLORS.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                noise = random.normal(0, 30, (*random.integers(64, 100, 2), 3))
                picture = Pillow.fromarray((np.array(color) + noise).clip(0, 255).astype(np.uint8))
                picture.save(root / split / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def finished(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """The folder of a run that went through, and its events; not to be changed."""
    out, events = tmp_path_factory.mktemp("finished") / "run", list[Event]()
    pretrain(PretrainConfig(_recipe(), pictures, out, workers=0), events.append)
    return out, events


@pytest.fixture
def config(pictures: Path, tmp_path: Path) -> PretrainConfig:
    return PretrainConfig(_recipe(), pictures, tmp_path / "run", workers=0)


def _weights(path: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_checkpoint(path).arrays.items()}


def test_the_loss_falls(finished: tuple[Path, list[Event]]) -> None:
    losses = [row["loss"] for row in Run(finished[0]).iterations()]
    assert len(losses) == 9
    assert losses[0] == pytest.approx(np.log(3), abs=0.3)
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


def test_what_was_scored_is_logged_and_told(finished: tuple[Path, list[Event]]) -> None:
    out, events = finished
    told = [event.values for event in events if event.kind == "validated"]
    flat = [{"iteration": one["iteration"], **one["figures"], "best": one["best"]} for one in told]
    with (out / "validations.csv").open(encoding="utf-8") as stream:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
    assert rows == flat
    assert [row["iteration"] for row in rows] == [4, 8, 9]
    assert all(row["top_5"] == 1 for row in rows), "there are three classes"
    assert max(row["top_1"] for row in rows) == rows[-1]["best"]


def test_accuracy_is_what_counting_one_by_one_finds(pictures: Path) -> None:
    recipe, val = _recipe(), open_class_folders(pictures, "val")
    network = init_classifier(network_by_name(recipe.network), 3, seed=4)
    # Twelve classes of which three occur, so that five guesses may miss.
    network.head = torch.nn.Linear(network.head.in_features, 12)
    found = validate_classifier(network, val, recipe, Distributed(torch.device("cpu")), 0)
    assert network.training, "as it was before"
    first = fifth = 0
    for batch in validation_batches(val, override_recipe(recipe, {"batch_size": 1}), 0):
        with torch.no_grad():
            logits = network.eval()(normalize(batch.images, BGR_NORMALIZATION))[0]
        better = int((logits > logits[batch.labels[0]]).sum())
        first, fifth = first + (better < 1), fifth + (better < 5)
    assert found.figures == {"top_1": first / 9, "top_5": fifth / 9}


@pytest.mark.parametrize("name", ["fassd-net-l2", "fassd-net", "fassd-net-l1", "baseline+aspp"])
def test_segmentation_starts_from_the_encoder(finished: tuple[Path, list[Event]], name: str) -> None:
    path = finished[0] / "best.safetensors"
    checkpoint = read_checkpoint(path)
    network = init_network(network_by_name(name), 11, seed=8)
    encoder = load_encoder(network, checkpoint.arrays, path)
    assert (encoder.loaded, encoder.unused) == (len(checkpoint.arrays), ())
    own = network.state_dict()
    assert all(np.array_equal(own[key].numpy(), array) for key, array in checkpoint.arrays.items())


def test_the_encoder_of_five_stages_fits_networks_of_four() -> None:
    five = init_classifier(network_by_name("fc-hardnet-70"), 3, seed=1)
    arrays = arrays_of(five, np.float32)
    network = init_network(network_by_name("fassd-net-l1"), 11)
    encoder = load_encoder(network, arrays, Path("five.safetensors"))
    assert encoder.unused
    assert all(name.startswith("stages.4.") for name in encoder.unused)
    assert np.array_equal(
        network.encoder.stages[3].state_dict()["transition.conv.weight"].numpy(),
        arrays["encoder.stages.3.transition.conv.weight"],
    )


def test_the_header_says_how_the_checkpoint_was_made(finished: tuple[Path, list[Event]], pictures: Path) -> None:
    header = read_checkpoint(finished[0] / "best.safetensors").header
    assert (header.content, header.label_space, header.normalization) == ("encoder", None, BGR_NORMALIZATION)
    assert header.recipe is not None
    assert recipe_from(header.recipe, "header") == _recipe()
    assert (header.data[0]["name"], header.data[0]["images"]) == (pictures.name, 18)
    assert "on 3 classes, after iteration" in header.origin
    assert "top-1" in header.origin
    assert "of 9 val images" in header.origin


@pytest.mark.parametrize("iteration", [4, 7])
def test_a_run_that_was_stopped_resumes_to_the_same_weights(
    config: PretrainConfig, finished: tuple[Path, list[Event]], iteration: int
) -> None:
    class StoppedError(Exception):
        pass

    def watch(event: Event) -> None:
        if event.kind == "iteration" and event.values["iteration"] == iteration:
            raise StoppedError

    with pytest.raises(StoppedError):
        pretrain(config, watch)
    progress = pretrain(replace(config, resume=True))
    assert progress.iteration == 9
    last = "states/state-00000009.safetensors"
    one, other = load_file(config.out / last), load_file(finished[0] / last)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert _weights(config.out / "best.safetensors") == _weights(finished[0] / "best.safetensors")
    assert (config.out / "validations.csv").read_text() == (finished[0] / "validations.csv").read_text()
    assert [row["iteration"] for row in Run(config.out).iterations()] == list(range(1, 10))


def test_without_val_the_last_encoder_is_kept(config: PretrainConfig, tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "train").symlink_to(pictures / "train")
    progress = pretrain(replace(config, data=tmp_path, recipe=_recipe(iterations=1, accumulation_steps=2)))
    assert progress.best_iteration == 0
    header = read_checkpoint(config.out / "best.safetensors").header
    assert header.origin == "encoder pre-trained by fassd on 3 classes, after iteration 1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": "fassd-nett"}, "did you mean fassd-net"),
        ({"ema_decay": 0.9}, "ema_decay is 0.9, which pre-training does not have; omit it or set it to 0.0"),
        ({"loss": {"class_weights": "inverse-log"}}, "loss.class_weights is inverse-log, which pre-training does not"),
        ({"loss": {"aux_weight": 0.4}}, "loss.aux_weight is 0.4, which pre-training does not have"),
        ({"optimizer": {"encoder_lr_mult": 0.0}}, "optimizer.encoder_lr_mult is 0.0, which pre-training does not have"),
        ({"batch_size": 1}, "one image of 72x72 at a time leaves the deepest BatchNorm layers a single value"),
        (
            {"augmentation": {"crop_size": (50, 90)}},
            "augmentation.crop_size is 90x50 pixels; fassd-net-l2 needs at least 57",
        ),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_before_the_folder_is_made(
    config: PretrainConfig, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        pretrain(replace(config, recipe=_recipe(**changes)))
    assert not config.out.exists()


def test_a_run_is_neither_written_over_nor_made_up(config: PretrainConfig, finished: tuple[Path, list[Event]]) -> None:
    with pytest.raises(UsageError, match="holds a run already: add --resume"):
        pretrain(replace(config, out=finished[0]))
    with pytest.raises(UsageError, match="holds no training state to resume"):
        pretrain(replace(config, resume=True))


def test_resuming_with_other_pictures_is_refused(
    config: PretrainConfig, finished: tuple[Path, list[Event]], tmp_path: Path, pictures: Path
) -> None:
    (tmp_path / "train").symlink_to(pictures / "val")
    with pytest.raises(UsageError, match=r"not those that the run was started with \(18 training images then\)"):
        pretrain(replace(config, out=finished[0], data=tmp_path, resume=True))


def test_a_damaged_picture_ends_the_training_with_its_name(
    config: PretrainConfig, tmp_path: Path, pictures: Path
) -> None:
    for name in ("blue", "red"):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        (folder / "half.png").write_bytes((pictures / "train" / name / "0.png").read_bytes()[:900])
    with pytest.raises(FassdError, match=r"half\.png"):
        pretrain(replace(config, data=tmp_path))


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(config: PretrainConfig) -> None:
    wild = _recipe(optimizer={"lr": 1e5, "momentum": 0.99})
    with pytest.raises(FassdError, match=r"the loss of iteration \d is (nan|inf).* is intact: .*lower optimizer.lr"):
        pretrain(replace(config, recipe=wild))
    assert list((config.out / "failed").rglob("image-0.png"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "RECIPE is missing"),
        (["imagenet"], "--data is missing"),
        (["imagenett", "--data", "nowhere"], "did you mean imagenet"),
        (["imagenet", "--data", "nowhere"], "nowhere: does not exist"),
        (["imagenet", "--data", "nowhere", "--set", "batchh=3"], "did you mean 'batch_size'"),
        (["--resume"], "holds no training state to resume"),
    ],
)
def test_the_command_says_what_is_missing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fassd(["pretrain", *arguments, "--out", "run"]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert not list(tmp_path.iterdir())


def test_the_command_trains_goes_on_and_says_how_to_use_the_result(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, out = tmp_path / "mine.toml", tmp_path / "run"
    page.write_text(recipe_as_toml(_recipe(iterations=2)), encoding="utf-8")
    told = [str(page), "--data", str(pictures), "--iterations", "1", "--workers", "0", "--device", "cpu"]
    assert fassd(["pretrain", *told, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert f"--encoder-weights {out / 'best.safetensors'}" in captured.out
    assert "top-5 on val 100.00%" in captured.err
    assert fassd(["pretrain", "--resume", "--out", str(out), "--workers", "0", "--device", "cpu"]) == 0
    assert Run(out).recipe().iterations == 1
    text = (out / "README.md").read_text(encoding="utf-8")
    assert "learns to classify images into 3 classes: 1 iterations" in text
    assert "with iterations 1" in text


def test_a_dry_run_measures_and_writes_nothing(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "mine.toml"
    page.write_text(recipe_as_toml(_recipe()), encoding="utf-8")
    told = ["--data", str(pictures), "--batch-size", "12", "--dry-run", "--device", "cpu"]
    assert fassd(["pretrain", str(page), *told]) == 0
    printed, _, table = capsys.readouterr().out.partition("\nnetwork  ")
    assert recipe_from(tomllib.loads(printed), "printed").batch_size == 12
    assert "18 for training, 9 for validation" in table
    assert "9 of 12 images: 6.0 epochs" in table
    assert list(tmp_path.iterdir()) == [page]


def test_the_curves_are_drawn(finished: tuple[Path, list[Event]]) -> None:
    pytest.importorskip("matplotlib")
    assert (finished[0] / "curves.png").is_file()


def test_the_folder_holds_what_its_page_says_and_nothing_else(finished: tuple[Path, list[Event]]) -> None:
    page = (finished[0] / "README.md").read_text()
    for path in finished[0].iterdir():
        assert path.name == "README.md" or f"`{path.name}{'/' * path.is_dir()}`" in page
