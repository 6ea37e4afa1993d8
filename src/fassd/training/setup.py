"""Whether PyTorch can turn a network into code of its own here.

What a user orders a training with, checked before anything is computed: recipe, data, weights to start from.

What a user orders a pre-training with, checked before anything is computed.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

import fassd
from fassd.checks.quick_check import quick_check
from fassd.core.catalog import locate_weights
from fassd.core.checkpoint import Checkpoint, Header, read_checkpoint
from fassd.core.errors import MissingSplit, UsageError
from fassd.core.labels import LabelSpace
from fassd.core.recipe import Recipe, check_task
from fassd.data.class_folders import ClassFolders, open_class_folders
from fassd.data.dataset import Dataset, file_list_digest
from fassd.data.open_dataset import open_together
from fassd.media.images import read_size
from fassd.networks.build import load_encoder
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import NetworkSpec, network_by_name
from fassd.networks.transfer import load_pretrained
from fassd.runtimes.pytorch import open_device
from fassd.training.train_step import normalization_of


def check_compiler(device: torch.device) -> None:
    """Compiles something tiny, which takes seconds: what it needs (a C++ compiler, Triton) nobody can list for sure.

    Raises:
        UsageError: it cannot.
    """
    try:
        torch.compile(_tiny, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # whatever the compiler's many layers raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        needed = "Triton" if device.type == "cuda" else "a C++ compiler (g++, or what CXX names) and Python's headers"
        raise UsageError(
            f"PyTorch cannot compile for {device.type} here ({reason}): it needs {needed}; install that, or set "
            "compile to false"
        ) from None


def _tiny(values: torch.Tensor) -> torch.Tensor:
    return (2 * values).sin()


@dataclass(frozen=True)
class TrainConfig:
    """What the user asked for.

    Attributes:
        recipe: every value of the training.
        data: data sets as "kind:PATH"; the first one's label space is the network's.
        out: folder of the run.
        resume: go on from the run's training state.
        encoder_weights: encoder-only checkpoint to start from; None initializes the encoder at random.
        init_weights: shipped weights by name, or a checkpoint, of the same network, for fine-tuning; None initializes
            the network at random.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU where PyTorch finds one.
        workers: processes that prepare batches for each one that trains.
        trackers: that get the figures besides the run's folder; None means TensorBoard where it is installed.
        recipe_name: what the user called the recipe.
        overrides: the values in it that options replaced.
    """

    recipe: Recipe
    data: Sequence[str]
    out: Path
    resume: bool = False
    encoder_weights: Path | None = None
    init_weights: str | None = None
    device: str = "cpu"
    workers: int = 1
    trackers: Sequence[str] | None = None
    recipe_name: str = "recipe.toml"
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingData:
    """What a network is made of: its row, and the data it learns from and is scored on."""

    spec: NetworkSpec
    learned: list[Dataset]
    scored: list[Dataset]

    @property
    def space(self) -> LabelSpace:
        """The classes."""
        return self.learned[0].label_space

    @property
    def terms(self) -> str:
        """What the owners of the data allow."""
        return "; ".join(dict.fromkeys(one.terms for one in self.learned if one.terms))


def device_of(name: str) -> torch.device:
    """Where a training computes: "cpu", "cuda", "cuda:N", or "auto", a GPU where PyTorch finds one.

    Raises:
        UsageError: no such device, or not on this machine.
    """
    found = "cuda" if torch.cuda.is_available() else "cpu"
    return open_device(found if name == "auto" else name)


def gather_training_data(order: TrainConfig) -> TrainingData:
    """Network and data of an order, checked as far as can be without reading images.

    Raises:
        FassdError: something is wrong with them.
    """
    recipe = order.recipe
    check_task(recipe, "segmentation", order.recipe_name)
    if order.encoder_weights is not None and order.init_weights is not None:
        raise UsageError("--encoder-weights and --init-weights exclude each other; give one of them")
    spec = check_values(recipe, order.device)
    learned, scored = open_together(order.data, "train"), _validation_sets(order.data)
    for dataset in (*learned, *scored):
        quick_check(dataset)
    _check_crop(recipe, learned)
    return TrainingData(spec, learned, scored)


def check_values(recipe: Recipe, device: str) -> NetworkSpec:
    """The row of a recipe's network, where its values can be.

    Raises:
        UsageError: there is no such network or device, the crop is too small for the network or for its norms, or
            PyTorch cannot compile there as the recipe asks.
    """
    spec = network_by_name(recipe.network)
    spec.check_size(*recipe.augmentation.crop_size, "augmentation.crop_size")
    height, width = recipe.augmentation.crop_size
    if recipe.batch_size == recipe.accumulation_steps and not norms_have_values(spec, recipe.augmentation.crop_size):
        raise UsageError(
            f"one image of {width}x{height} at a time leaves the deepest norms a single value; increase batch_size / "
            "accumulation_steps or augmentation.crop_size"
        )
    place = device_of(device)
    if recipe.compile:
        check_compiler(place)
    return spec


def _check_crop(recipe: Recipe, learned: Sequence[Dataset]) -> None:
    """Refuses a crop that no training image can fill, resized as much as may be: the rest would always be padding."""
    (height, width), factor, largest = recipe.augmentation.crop_size, recipe.augmentation.scale[1], (0, 0)
    for pair in (pair for dataset in learned for pair in dataset.pairs):
        size = read_size(pair.image)
        if factor * size[0] >= height and factor * size[1] >= width:
            return
        largest = max(largest, size)
    raise UsageError(
        f"augmentation.crop_size is {width}x{height}, but no training image can fill it: the largest is "
        f"{largest[1]}x{largest[0]}, which augmentation.scale enlarges by {factor} at most; make the crop smaller"
    )


def norms_have_values(spec: NetworkSpec, crop: tuple[int, int]) -> bool:
    """Whether one crop alone gives every norm more than one value to work on."""
    pixels = 1
    for length in crop:
        side = length
        for stride in spec.stem_strides:
            side = -(-side // stride)
        pixels *= side // 2 ** (len(spec.stages) - 1)
    return pixels > 1


def _validation_sets(data: Sequence[str]) -> list[Dataset]:
    """The `val` splits, where every data set has one; none otherwise, for a score over some of them would mislead."""
    try:
        return open_together(data, "val")
    except MissingSplit:
        return []


def start_from(network: SegmentationNetwork, order: TrainConfig, space: LabelSpace) -> list[str]:
    """Fills the network with what the order starts from; returns what was kept, in words.

    Raises:
        CheckpointError: the file does not fit.
        UsageError: it wants its colors in another order than the recipe gives.
    """
    if order.encoder_weights is not None:
        checkpoint = _of_same_order(order.encoder_weights, order.recipe)
        encoder = load_encoder(network, checkpoint.arrays, order.encoder_weights)
        unused = f", {len(encoder.unused)} are not used" if encoder.unused else ""
        return [f"started from {order.encoder_weights.name}: {encoder.loaded} encoder arrays were loaded{unused}"]
    if order.init_weights is not None:
        path = locate_weights(order.init_weights)
        return [
            f"started from {path.stem}: {load_pretrained(network, _of_same_order(path, order.recipe), path, space)}"
        ]
    return []


def _of_same_order(path: Path, recipe: Recipe) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    theirs = checkpoint.header.normalization.channel_order
    if theirs != recipe.channel_order:
        raise UsageError(
            f"{path} was trained on images in the order {theirs}, the recipe's channel_order is "
            f'{recipe.channel_order}; set channel_order = "{theirs}"'
        )
    return checkpoint


def header_of(order: TrainConfig, material: TrainingData) -> Header:
    """What a checkpoint of this training says of itself, but for its scores."""
    data: list[dict[str, Any]] = [
        {
            "name": one.name,
            "split": one.split,
            "images": len(one),
            "files_sha256": file_list_digest([one]),
            "terms": one.terms,
        }
        for one in material.learned
    ]
    return Header(
        network=order.recipe.network,
        alpha=order.recipe.alpha,
        label_space=material.space,
        normalization=normalization_of(order.recipe),
        recipe=msgspec.to_builtins(order.recipe),
        data=data,
        terms=material.terms,
        origin=f"trained by fassd{_beginning(order)}",
        version=f"{fassd.__version__} (PyTorch {torch.__version__}, Python {platform.python_version()})",
    )


def _beginning(order: TrainConfig) -> str:
    if order.init_weights is not None:
        return f" from {Path(order.init_weights).stem}"
    return "" if order.encoder_weights is None else f" on the encoder {order.encoder_weights.stem}"


@dataclass(frozen=True)
class PretrainConfig:
    """What the user asked for.

    Attributes:
        recipe: every value of the training.
        data: folder with train/CLASS/PICTURES and val/CLASS/PICTURES.
        out: folder of the run.
        resume: go on from the run's training state.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU where PyTorch finds one.
        workers: processes that prepare batches for each one that trains.
        trackers: that get the figures besides the run's folder; None means TensorBoard where it is installed.
        recipe_name: what the user called the recipe.
        overrides: the values in it that options replaced.
    """

    recipe: Recipe
    data: Path
    out: Path
    resume: bool = False
    device: str = "cpu"
    workers: int = 1
    trackers: Sequence[str] | None = None
    recipe_name: str = "recipe.toml"
    overrides: dict[str, Any] = field(default_factory=dict)


def gather_pictures(order: PretrainConfig) -> tuple[ClassFolders, ClassFolders | None]:
    """The pictures of `train`, and of `val` where there are some, with the recipe checked.

    Raises:
        FassdError: something is wrong with them.
    """
    check_task(order.recipe, "classification", order.recipe_name)
    _check_plain(order.recipe)
    check_values(order.recipe, order.device)
    learned = open_class_folders(order.data, "train")
    try:
        return learned, open_class_folders(order.data, "val", learned.classes)
    except MissingSplit:
        return learned, None


def _check_plain(recipe: Recipe) -> None:
    """Refuses values that mean something to segmentation alone."""
    plain = {
        "ema_decay": (recipe.ema_decay, 0.0),
        "loss.class_weights": (recipe.loss.class_weights, "none"),
        "loss.aux_weight": (recipe.loss.aux_weight, 0.0),
        "optimizer.encoder_lr_mult": (recipe.optimizer.encoder_lr_mult, 1.0),
    }
    for key, (value, wanted) in plain.items():
        if value != wanted:
            raise UsageError(f"{key} is {value}, which pre-training does not have; leave it away or set it to {wanted}")
