"""The loop: what it learns, logs, validates and keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from tests.training.trainer import TrainerRun

from fassd.core.checkpoint import BGR_NORMALIZATION, RGB_NORMALIZATION
from fassd.core.labels import CAMVID
from fassd.core.recipe import Loss, Optimizer, Recipe
from fassd.core.types import Event
from fassd.data.batches import Samples, training_batches
from fassd.data.open_dataset import open_dataset
from fassd.networks.build import init_network
from fassd.networks.inference import normalize
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import network_by_name
from fassd.training.loss import bootstrapped_cross_entropy
from fassd.training.run import Run
from fassd.training.train_step import normalization_of


def test_watch_gets_every_iteration_and_every_validation(whole: TrainerRun) -> None:
    assert [(event.kind, event.values["iteration"]) for event in whole.events] == [
        ("started", 0),
        ("saved", 0),
        *(("iteration", step) for step in (1, 2, 3)),
        *(("saved", 3), ("validated", 3), ("saved", 3)),
        *(("iteration", step) for step in (4, 5, 6)),
        *(("saved", 6), ("validated", 6), ("saved", 6)),
    ]
    assert whole.events[0].values["total"] == 6
    assert whole.events[0].values["precision"] == "float32"


def test_the_logs_have_every_iteration_and_every_validation(whole: TrainerRun) -> None:
    run, losses = Run(whole.folder), whole.seen("iteration", "loss")
    lines = [json.loads(line) for line in (whole.folder / "log.jsonl").read_text().splitlines()]
    assert [(row["iteration"], row["loss"]) for row in run.iterations()] == list(enumerate(losses, 1))
    assert [(one["iteration"], one["loss"]) for one in lines if one["event"] == "iteration"] == list(
        enumerate(losses, 1)
    )
    assert run.validations() == [
        {"iteration": 3, "mean_iou": 0.3, "best": 0.3, "Sky": 0.3},
        {"iteration": 6, "mean_iou": 0.6, "best": 0.6, "Sky": 0.6},
    ]
    assert [one["iou"] for one in lines if one["event"] == "validated"] == [
        {"Sky": 0.3, "Car": None},
        {"Sky": 0.6, "Car": None},
    ]


def test_trackers_get_the_same_figures(whole: TrainerRun) -> None:
    losses = [(step, values["loss"]) for step, values in whole.tracked if "loss" in values]
    assert losses == list(enumerate(whole.seen("iteration", "loss"), 1))
    assert [(step, values["mean_iou"]) for step, values in whole.tracked if "mean_iou" in values] == [
        (3, 0.3),
        (6, 0.6),
    ]


def test_only_a_better_score_becomes_the_best(recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    often = msgspec.structs.replace(recipe, iterations=4, validate_every=1)
    training = TrainerRun(often, samples, tmp_path, lambda step: [0.2, 0.5, 0.5, 0.4][step - 1])
    progress = training.go()
    assert training.best == [(1, 0.2), (2, 0.5)]
    assert (progress.best_iteration, progress.best_score) == (2, 0.5)
    assert Run(tmp_path).states.load().progress == progress


def test_without_validation_the_latest_is_kept(recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    training = TrainerRun(recipe, samples, tmp_path)
    training.go()
    assert training.best == [(3, None), (6, None)]
    assert training.seen("validated", "iteration") == []


def test_the_last_iteration_is_always_validated(recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    training = TrainerRun(msgspec.structs.replace(recipe, validate_every=4), samples, tmp_path, lambda step: 0.1)
    training.go()
    assert training.seen("validated", "iteration") == [4, 6]


def test_the_loss_falls(recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    longer = msgspec.structs.replace(recipe, iterations=24, batch_size=4, validate_every=24)
    training = TrainerRun(longer, samples, tmp_path)
    training.go()
    losses = training.seen("iteration", "loss")
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_iterations_are_those_of_momentum_and_decay_at_the_scheduled_lr(
    recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    """Every parameter, norms, slopes and bias included: v = 0.8 v + gradient + 0.1 weight; weight - rate v."""
    values = Optimizer(lr=0.01, momentum=0.8, weight_decay=0.1, power=2.0)
    weights: dict[str, torch.Tensor] = {}
    velocities: dict[str, torch.Tensor] = {}

    def at(event: Event, network: SegmentationNetwork) -> None:
        for name, parameter in network.named_parameters():
            weight = parameter.detach().clone()
            if event.kind == "iteration":
                assert parameter.grad is not None
                velocities[name] = 0.8 * velocities.get(name, 0) + parameter.grad + 0.1 * weights[name]
                rate = 0.01 * (1 - (event.values["iteration"] - 1) / 4) ** 2
                torch.testing.assert_close(weight, weights[name] - rate * velocities[name])
            weights[name] = weight

    short = msgspec.structs.replace(recipe, network="fassd-net-l2", iterations=4, validate_every=4, optimizer=values)
    training = TrainerRun(short, samples, tmp_path, at=at)
    training.go()
    assert velocities.keys() == dict(training.network.named_parameters()).keys()


@pytest.mark.parametrize("values", [Loss(min_kept=10, threshold=2.0), Loss(min_kept=700, threshold=50.0)])
def test_the_loss_is_the_recipe_s_on_the_first_batch(
    recipe: Recipe, samples: Samples, tmp_path: Path, values: Loss
) -> None:
    once = msgspec.structs.replace(recipe, iterations=1, loss=values)
    training = TrainerRun(once, samples, tmp_path)
    training.go()
    batch = next(training_batches(samples, once, 0, 0))
    logits = init_network(network_by_name(once.network), 11).train()(normalize(batch.images, RGB_NORMALIZATION))
    expected = bootstrapped_cross_entropy(logits, batch.labels, min_kept=values.min_kept, threshold=values.threshold)
    assert training.seen("iteration", "loss") == [pytest.approx(float(expected.detach()), rel=1e-5)]


def test_classes_that_were_not_annotated_are_not_learned(
    recipe: Recipe, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    text = 'label_space = "camvid"\n[[partially_annotated]]\nframes = "*"\nannotated = ["Sky", "Road"]\n'
    root = make_folder(tmp_path / "data", text, {"train": ["a", "b"]}, values=11)
    gradients: list[torch.Tensor] = []

    def at(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "iteration":
            assert network.classifier.bias is not None
            assert network.classifier.bias.grad is not None
            gradients.append(network.classifier.bias.grad.clone())

    once = msgspec.structs.replace(recipe, iterations=1)
    TrainerRun(once, Samples([open_dataset(f"folder:{root}", "train")]), tmp_path / "run", at=at).go()
    annotated = [CAMVID.index("Sky"), CAMVID.index("Road")]
    assert torch.nonzero(gradients[0]).flatten().tolist() == annotated


def test_training_moves_every_weight(whole: TrainerRun) -> None:
    fresh = init_network(network_by_name("baseline"), 11)
    before, after = dict(fresh.named_parameters()), dict(whole.network.named_parameters())
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_class_weights_change_what_is_learned(
    whole: TrainerRun, recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    weighted = msgspec.structs.replace(
        recipe, iterations=1, loss=msgspec.structs.replace(recipe.loss, class_weights="inverse-log")
    )
    training = TrainerRun(weighted, samples, tmp_path)
    training.go()
    first = whole.seen("iteration", "loss")[0]
    assert training.seen("iteration", "loss") != [first]
    assert training.seen("iteration", "loss") == [pytest.approx(first, rel=0.3)]


def test_bfloat16_goes_nearly_the_same_way(whole: TrainerRun, recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    reduced = msgspec.structs.replace(recipe, iterations=1, precision="bfloat16")
    training = TrainerRun(reduced, samples, tmp_path)
    training.go()
    first = whole.seen("iteration", "loss")[0]
    assert training.events[0].values["precision"] == "bfloat16"
    assert training.seen("iteration", "loss") != [first]
    assert training.seen("iteration", "loss") == [pytest.approx(first, rel=0.05)]


@pytest.mark.parametrize(("order", "pixels"), [("rgb", RGB_NORMALIZATION), ("bgr", BGR_NORMALIZATION)])
def test_the_recipe_s_channel_order_decides_the_pixels(recipe: Recipe, order: str, pixels: object) -> None:
    assert normalization_of(msgspec.structs.replace(recipe, channel_order=order)) == pixels
