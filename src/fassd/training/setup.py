"""What is needed before the first iteration: configuration, data, initial weights, all checked; the run's folder."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

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
from fassd.training.readme import readme_of
from fassd.training.run import Run, RunInfo
from fassd.training.train_step import normalization_of
from fassd.training.validation import TOP_K_CONVENTIONS

D = TypeVar("D")


@dataclass(frozen=True)
class _RunConfig(Generic[D]):
    """What every training is configured with; see its subclasses."""

    recipe: Recipe
    data: D
    out: Path
    resume: bool = False
    device: str = "cpu"
    workers: int = 1
    trackers: Sequence[str] | None = None
    recipe_name: str = "recipe.toml"
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainConfig(_RunConfig[Sequence[str]]):
    """A training of a segmentation network, as the user asked for it.

    Attributes:
        recipe: every value of the training.
        data: data sets as "kind:PATH"; the network has the label space of the first one.
        out: folder of the run.
        resume: from the run's newest training state.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU where PyTorch finds one.
        workers: processes that prepare batches, for each one that trains.
        trackers: that get the figures besides the run's folder; None means TensorBoard where it is installed.
        recipe_name: the recipe as the user named it.
        overrides: the options that replaced values of it.
        encoder_weights: encoder-only checkpoint to start from; None initializes the encoder at random.
        init_weights: shipped weights by name, or a checkpoint, of the same network, for fine-tuning; None initializes
            the network at random.
    """

    encoder_weights: Path | None = None
    init_weights: str | None = None


@dataclass(frozen=True)
class PretrainConfig(_RunConfig[Path]):
    """A training of an encoder on images with one class each, as the user asked for it.

    Attributes:
        recipe: every value of the training.
        data: folder with train/CLASS/IMAGES and val/CLASS/IMAGES.
        out, resume, device, workers, trackers, recipe_name, overrides: as those of `TrainConfig`.
    """


@dataclass(frozen=True)
class TrainingData:
    """The checked network row, and the data that the network is trained and validated on.

    Attributes:
        spec: row of the network.
        train_sets: one for each --data.
        val_sets: likewise, or empty where one of them has no split `val`.
    """

    spec: NetworkSpec
    train_sets: list[Dataset]
    val_sets: list[Dataset]

    @property
    def label_space(self) -> LabelSpace:
        """The classes of the network."""
        return self.train_sets[0].label_space

    @property
    def terms(self) -> str:
        """What the owners of the data allow."""
        return "; ".join(dict.fromkeys(one.terms for one in self.train_sets if one.terms))

    @property
    def images(self) -> tuple[int, int]:
        """The numbers of training and validation images."""
        return sum(map(len, self.train_sets)), sum(map(len, self.val_sets))


def load_training_data(config: TrainConfig) -> TrainingData:
    """Network row and data sets, checked as far as possible without reading images.

    A score over only some of several data sets would mislead: without `val` in one of them there is no validation.

    Raises:
        FassdError: something is wrong with recipe, data or device.
    """
    recipe = config.recipe
    check_task(recipe, "segmentation", config.recipe_name)
    if config.encoder_weights is not None and config.init_weights is not None:
        raise UsageError("--encoder-weights and --init-weights exclude each other; give one of them")
    spec = _check_values(recipe, config.device)
    train_sets = open_together(config.data, "train")
    try:
        val_sets = open_together(config.data, "val")
    except MissingSplit:
        val_sets = []
    for dataset in (*train_sets, *val_sets):
        quick_check(dataset)
    _check_crop_can_be_filled(recipe, train_sets)
    return TrainingData(spec, train_sets, val_sets)


def load_pretraining_data(config: PretrainConfig) -> tuple[ClassFolders, ClassFolders | None]:
    """The images of `train`, and of `val` where it exists, checked as far as possible without reading images.

    Raises:
        FassdError: something is wrong with recipe, data or device.
    """
    recipe = config.recipe
    check_task(recipe, "classification", config.recipe_name)
    only_for_segmentation = {
        "ema_decay": (recipe.ema_decay, 0.0),
        "loss.class_weights": (recipe.loss.class_weights, "none"),
        "loss.aux_weight": (recipe.loss.aux_weight, 0.0),
        "optimizer.encoder_lr_mult": (recipe.optimizer.encoder_lr_mult, 1.0),
    }
    for key, (value, neutral) in only_for_segmentation.items():
        if value != neutral:
            raise UsageError(f"{key} is {value}, which pre-training does not have; omit it or set it to {neutral}")
    _check_values(recipe, config.device)
    train_set = open_class_folders(config.data, "train")
    try:
        return train_set, open_class_folders(config.data, "val", train_set.classes)
    except MissingSplit:
        return train_set, None


def select_device(name: str) -> torch.device:
    """The device of a training: "cpu", "cuda", "cuda:N", or "auto", a GPU where PyTorch finds one.

    Raises:
        UsageError: no such device, or not on this machine.
    """
    found = "cuda" if torch.cuda.is_available() else "cpu"
    return open_device(found if name == "auto" else name)


def _check_values(recipe: Recipe, device: str) -> NetworkSpec:
    """The row of a recipe's network.

    Raises:
        UsageError: there is no such network or device, the crop is too small for the network or for its BatchNorm
            layers, or PyTorch cannot compile there as the recipe asks.
    """
    spec, crop = network_by_name(recipe.network), recipe.augmentation.crop_size
    spec.check_size(*crop, "augmentation.crop_size")
    if recipe.batch_size == recipe.accumulation_steps and not one_image_is_enough(spec, crop):
        raise UsageError(
            f"one image of {crop[1]}x{crop[0]} at a time leaves the deepest BatchNorm layers a single value; increase "
            "batch_size / accumulation_steps or augmentation.crop_size"
        )
    selected = select_device(device)
    if recipe.compile:
        check_compiler(selected)
    return spec


def one_image_is_enough(spec: NetworkSpec, crop: tuple[int, int]) -> bool:
    """Whether a batch of one crop gives every BatchNorm layer more than one value per channel."""
    pixels = 1
    for length in crop:
        side = length
        for stride in spec.stem_strides:
            side = -(-side // stride)
        pixels *= side // 2 ** (len(spec.stages) - 1)
    return pixels > 1


def check_compiler(device: torch.device) -> None:
    """Compiles a small function, which takes seconds: there is no reliable list of what PyTorch's compiler needs.

    Raises:
        UsageError: PyTorch cannot compile.
    """
    try:
        torch.compile(_double_sine, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # whatever the compiler's many layers raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        needed = "Triton" if device.type == "cuda" else "a C++ compiler (g++, or what CXX names) and Python's headers"
        raise UsageError(
            f"PyTorch cannot compile for {device.type} here ({reason}): it needs {needed}; install that, or set "
            "compile to false"
        ) from None


def _double_sine(values: torch.Tensor) -> torch.Tensor:
    return (2 * values).sin()


def _check_crop_can_be_filled(recipe: Recipe, train_sets: Sequence[Dataset]) -> None:
    """Refuses a crop that no training image can fill at the largest scale: every batch would contain padding."""
    (height, width), factor, largest = recipe.augmentation.crop_size, recipe.augmentation.scale[1], (0, 0)
    for pair in (pair for dataset in train_sets for pair in dataset.pairs):
        size = read_size(pair.image)
        if factor * size[0] >= height and factor * size[1] >= width:
            return
        largest = max(largest, size)
    raise UsageError(
        f"augmentation.crop_size is {width}x{height}, but no training image can fill it: the largest is "
        f"{largest[1]}x{largest[0]}, which augmentation.scale resizes by {factor} at most; make the crop smaller"
    )


def load_initial_weights(network: SegmentationNetwork, config: TrainConfig, label_space: LabelSpace) -> list[str]:
    """Loads `init_weights` or `encoder_weights`, if given; returns a sentence about what was loaded.

    Raises:
        CheckpointError: the file does not fit the network.
        UsageError: it was trained with another channel order than the recipe's.
    """
    if config.encoder_weights is not None:
        path = config.encoder_weights
        encoder = load_encoder(network, _of_same_channel_order(path, config.recipe).arrays, path)
        unused = f", {len(encoder.unused)} are not used" if encoder.unused else ""
        return [f"started from {path.name}: {encoder.loaded} encoder arrays were loaded{unused}"]
    if config.init_weights is not None:
        path = locate_weights(config.init_weights)
        loaded = load_pretrained(network, _of_same_channel_order(path, config.recipe), path, label_space)
        return [f"started from {path.stem}: {loaded}"]
    return []


def _of_same_channel_order(path: Path, recipe: Recipe) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    theirs = checkpoint.header.normalization.channel_order
    if theirs != recipe.channel_order:
        raise UsageError(
            f"{path} was trained on images in the order {theirs}, the recipe's channel_order is "
            f'{recipe.channel_order}; set channel_order = "{theirs}"'
        )
    return checkpoint


def start_run(config: TrainConfig | PretrainConfig, classes: int, images: tuple[int, int], terms: str = "") -> None:
    """Makes the run's folder, with its recipe, its page, and how it was started.

    Args:
        config: as the user gave it.
        classes: of the data.
        images: numbers of training and validation images.
        terms: of the data, empty where unknown.

    Raises:
        UsageError: the folder holds a run already.
        FileError: it cannot be written.
    """
    info = RunInfo(
        recipe_name=config.recipe_name,
        overrides=config.overrides,
        data=list(config.data) if isinstance(config, TrainConfig) else [str(config.data)],
        version=fassd.__version__,
    )
    if isinstance(config, TrainConfig):
        encoder_weights = None if config.encoder_weights is None else str(config.encoder_weights)
        info = msgspec.structs.replace(info, init_weights=config.init_weights, encoder_weights=encoder_weights)
    page = readme_of(config.out, config.recipe, info, classes, images, terms, TOP_K_CONVENTIONS)
    Run(config.out).start(config.recipe, info, page)


def checkpoint_header(config: TrainConfig, data: TrainingData) -> Header:
    """The header of this training's checkpoint, without scores."""
    origin = "trained by fassd"
    if config.init_weights is not None:
        origin += f" from {Path(config.init_weights).stem}"
    elif config.encoder_weights is not None:
        origin += f" on the encoder {config.encoder_weights.stem}"
    return Header(
        network=config.recipe.network,
        alpha=config.recipe.alpha,
        label_space=data.label_space,
        normalization=normalization_of(config.recipe),
        recipe=msgspec.to_builtins(config.recipe),
        data=[
            _data_entry(one.name, one.split, len(one), file_list_digest([one]), one.terms) for one in data.train_sets
        ],
        terms=data.terms,
        origin=origin,
        version=_versions(),
    )


def encoder_header(config: PretrainConfig, train_set: ClassFolders, digest: str) -> Header:
    """The header of this pre-training's checkpoint, without scores; `digest` is of the training files."""
    return Header(
        content="encoder",
        network=config.recipe.network,
        label_space=None,
        normalization=normalization_of(config.recipe),
        recipe=msgspec.to_builtins(config.recipe),
        data=[_data_entry(train_set.name, "train", len(train_set), digest, "")],
        terms="as the owners of the images state",
        origin=f"encoder pre-trained by fassd on {len(train_set.classes)} classes",
        version=_versions(),
    )


def _data_entry(name: str, split: str, images: int, digest: str, terms: str) -> dict[str, Any]:
    return {"name": name, "split": split, "images": images, "files_sha256": digest, "terms": terms}


def _versions() -> str:
    return f"{fassd.__version__} (PyTorch {torch.__version__}, Python {platform.python_version()})"
