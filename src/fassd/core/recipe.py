"""A recipe: every value that decides how a network is trained, read from one TOML file."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from fassd.core.catalog import shipped_or_file
from fassd.core.errors import FileError, UnknownName, UsageError
from fassd.core.renamed import RECIPES, TASKS, current_key, recipe_with_new_keys

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
AboveZero = Annotated[float, Meta(gt=0, lt=1e6)]
Task: TypeAlias = Literal["segmentation", "classification"]
"""Of `fassd train`, or of `fassd pretrain`."""


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flip, scale, pad, crop, in the order of the published code.

    Attributes:
        crop_size: height and width, in pixels, of what the network sees in training.
        scale: smallest and largest factor by which an image is resized, drawn uniformly.
        hflip: probability of a horizontal flip.
        color_jitter: strength of random brightness, contrast, saturation and tint, 0..1; 0 as published: none.
    """

    crop_size: tuple[Positive, Positive]
    scale: tuple[AboveZero, AboveZero] = (0.5, 2.0)
    hflip: Fraction = 0.5
    color_jitter: Fraction = 0.0


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bootstrapped cross entropy (Wu et al., 2016).

    Attributes:
        min_kept: number of pixels of an image that always count, those of the highest loss (K).
        threshold: loss above which a pixel counts in any case.
        class_weights: "none" as published, or "inverse-log": 1 / ln(1.02 + share of the class) of the training labels
            (Paszke et al., ENet, 2016), which favors thin and rare classes.
        aux_weight: weight of the same loss on every decoder step but the last, each through a 1x1 convolution that
            exists in training only (Zhao et al., PSPNet, 2017); 0 as published: none.
    """

    min_kept: Positive = 4096
    threshold: Annotated[float, Meta(ge=0)] = 0.3
    class_weights: Literal["none", "inverse-log"] = "none"
    aux_weight: Fraction = 0.0


class Optimizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stochastic gradient descent with the "poly" learning rate schedule. The defaults are as published.

    Attributes:
        lr: initial learning rate.
        momentum: without Nesterov.
        weight_decay: L2 penalty.
        power: of the poly schedule.
        warmup_iterations: over which the learning rate rises linearly to the schedule's; 0 as published.
        clip_grad_norm: largest norm of the gradient, longer ones are scaled down; 0 as published: no limit.
        decay_norm_and_bias: weight decay on every parameter, as published; false exempts BatchNorm layers, PReLU
            weights and biases.
        encoder_lr_mult: factor on the encoder's learning rate; 0 freezes the encoder and its BatchNorm statistics.
    """

    lr: AboveZero = 0.02
    momentum: Fraction = 0.9
    weight_decay: Annotated[float, Meta(ge=0)] = 5e-4
    power: AboveZero = 0.9
    warmup_iterations: Count = 0
    clip_grad_norm: Annotated[float, Meta(ge=0)] = 0.0
    decay_norm_and_bias: bool = True
    encoder_lr_mult: Fraction = 1.0


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All values of a training.

    Attributes:
        task: "segmentation", for `fassd train`, or "classification", for `fassd pretrain`.
        network: name of the network's row.
        alpha: divisor of the DAPF's width.
        iterations: of the training.
        batch_size: images of an iteration, over all processes together.
        accumulation_steps: number of parts of the batch, computed one after the other to save memory; BatchNorm
            layers then see one part at a time.
        seed: of initialization, order and augmentation.
        channel_order: of the input; the published networks take "bgr".
        precision: arithmetic of forward and backward pass; "auto" takes bfloat16 where the processor has it, float16
            scales its loss.
        compile: compile the network with `torch.compile` before the first iteration, which takes minutes.
        ema_decay: decay of an exponential moving average of the weights (0.999, for example), which is validated and
            saved in their place (Polyak, 1992); 0 as published: none.
        sync_batchnorm: several processes share their BatchNorm statistics, so that their number changes nothing.
        validate_every: iterations between two validations, each of which may give the best checkpoint.
        save_every: iterations between two training states: the most that a crash costs.
        keep_every: keep the training states of every so many iterations for good; 0 keeps the newest two only.
    """

    task: Task = "segmentation"
    network: str
    alpha: Positive = 2
    iterations: Positive
    batch_size: Positive
    accumulation_steps: Positive = 1
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    channel_order: Literal["rgb", "bgr"] = "rgb"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: bool = False
    ema_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    sync_batchnorm: bool = True
    validate_every: Positive = 500
    save_every: Positive = 100
    keep_every: Count = 0
    augmentation: Augmentation
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()


def shipped_recipes() -> dict[str, Path]:
    """The recipes inside the package, by name."""
    folder = Path(str(files("fassd"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def locate_recipe(name_or_file: str) -> Path:
    """A recipe that ships by name, or the given file.

    Raises:
        UsageError: the name of an earlier version; the sentence has the current command.
        UnknownName: neither; the nearest names are offered.
    """
    if name_or_file in RECIPES:
        name, _, option = RECIPES[name_or_file].partition(" ")
        raise UsageError(f"the recipe {name_or_file} is now {name} with {option}: fassd train {name} {option} ...")
    return shipped_or_file("recipe", name_or_file, shipped_recipes())


def read_values(path: Path) -> dict[str, Any]:
    """The values of a recipe's file as they stand there, nested as in TOML.

    Raises:
        FileError: missing, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(path, f"the recipe cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"the recipe is not valid TOML ({error})") from None


def read_recipe(path: Path, overrides: Mapping[str, Any] | None = None, earlier: bool = False) -> Recipe:
    """A recipe from its file.

    Args:
        path: a TOML file.
        overrides: values that replace the file's, see `override_recipe`; a file without a network needs one here.
        earlier: accept keys of earlier versions, for files that fassd itself wrote.

    Raises:
        FileError: missing, or not TOML.
        UsageError: an unknown key (the nearest is offered), a wrong type, a value out of range.
    """
    values = read_values(path)
    if earlier:
        values = recipe_with_new_keys(values)
    overrides = overrides or {}
    if "network" in overrides:
        values.setdefault("network", overrides["network"])
    return override_recipe(recipe_from(values, str(path)), overrides)


def override_recipe(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with some values replaced and everything checked again.

    Args:
        recipe: to begin with.
        overrides: by name, "section.key" inside a section; None keeps the recipe's value.

    Raises:
        UsageError: an unknown key or a value out of range.
    """
    _refuse_earlier_keys(overrides, "options")
    values = msgspec.to_builtins(recipe)
    for name, value in overrides.items():
        section, _, key = name.rpartition(".")
        inside = values.get(section, {}) if section else values
        if not isinstance(inside, dict) or (section and section not in values):
            sections = [one for one, value in values.items() if isinstance(value, dict)]
            raise UnknownName("section of a recipe", section, sections)
        if value is not None:
            inside[key] = value
    return recipe_from(values, "options")


def parse_values(texts: Sequence[str]) -> dict[str, Any]:
    """Overrides from "key=value", the value as in a recipe; words need no quotes.

    Raises:
        UsageError: there is no "=", or no valid key before it.
    """
    parsed = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not re.fullmatch(r"\w+(\.\w+)?", key.strip()):
            raise UsageError(f"--set {text}: expected key=value, for example optimizer.lr=0.01")
        try:
            parsed[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed[key.strip()] = value.strip()
    return parsed


def recipe_from(values: dict[str, Any], source: str) -> Recipe:
    """A recipe from its values.

    Args:
        values: nested as in TOML.
        source: names the recipe in messages.

    Raises:
        UsageError: an unknown key (the nearest is offered), a wrong type, a value out of range.
    """
    inside = [f"{section}.{key}" for section, keys in values.items() if isinstance(keys, dict) for key in keys]
    _refuse_earlier_keys((*values, *inside), source)
    try:
        recipe = msgspec.convert(values, Recipe, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{source}: {_explain(str(error))}") from None
    low, high = recipe.augmentation.scale
    if low > high:
        raise UsageError(f"{source}: augmentation.scale runs from {low} to {high}; give the smaller factor first")
    height, width = recipe.augmentation.crop_size
    # Classification has no loss per pixel.
    if recipe.task == "segmentation" and recipe.loss.min_kept >= height * width:
        raise UsageError(
            f"{source}: loss.min_kept is {recipe.loss.min_kept} but a crop of {height}x{width} has {height * width} "
            "pixels; keep fewer"
        )
    if recipe.batch_size % recipe.accumulation_steps:
        raise UsageError(
            f"{source}: accumulation_steps is {recipe.accumulation_steps}, which does not divide the batch_size of "
            f"{recipe.batch_size}"
        )
    if recipe.optimizer.warmup_iterations >= recipe.iterations:
        raise UsageError(
            f"{source}: optimizer.warmup_iterations is {recipe.optimizer.warmup_iterations} but there are "
            f"{recipe.iterations} iterations; warm up for fewer"
        )
    return recipe


def _refuse_earlier_keys(keys: Collection[str], source: str) -> None:
    """Refuses keys of earlier versions ("section.key" inside a section); the sentence has all new names.

    Raises:
        UsageError: there are some.
    """
    renamed = []
    for key in keys:
        section, dot, name = key.rpartition(".")
        # A renamed section is told once, not again with each of its keys.
        known = f"{current_key(section)}{dot}{name}" if section in keys else key
        if current_key(key) != known:
            values = f" ({' or '.join(TASKS.values())})" if key == "trains" else ""
            renamed.append(f"{key} is now {current_key(key)}{values}")
    if renamed:
        raise UsageError(f"{source}: {', '.join(renamed)}")


def _explain(message: str) -> str:
    """msgspec's message with the key first, and the nearest key where one is unknown."""
    found, _, place = message.partition(" - at `$.")
    place = place.removesuffix("`")
    unknown = re.search(r"unknown field `(\w+)`", found)
    if not unknown:
        return f"{place}: {found[0].lower()}{found[1:]}" if place else message
    keys = {name for struct in (Recipe, Augmentation, Loss, Optimizer) for name in struct.__struct_fields__}
    near = difflib.get_close_matches(unknown[1], keys, n=1)
    offer = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(keys))}"
    return f"{f'[{place}]' if place else 'a recipe'} has no key '{unknown[1]}'; {offer}"


def check_task(recipe: Recipe, command: Task, name: str) -> None:
    """Refuses a recipe of the other command.

    Args:
        recipe: as given.
        command: the task of the command that got it.
        name: of the recipe.

    Raises:
        UsageError: its task is the other; the sentence has the right command.
    """
    if recipe.task != command:
        right = "pretrain {} --data FOLDER" if recipe.task == "classification" else "train {} --data KIND:PATH"
        raise UsageError(
            f"the recipe {name} is for {recipe.task}, not for {command}: use fassd {right.format(name)} --out FOLDER, "
            f'or set task = "{command}" in a copy of it'
        )


def recipe_as_toml(recipe: Recipe) -> str:
    """The recipe as TOML that `read_recipe` reads, with every value."""
    values = msgspec.to_builtins(recipe)
    sections = {name: values.pop(name) for name in list(values) if isinstance(values[name], dict)}
    # JSON spells numbers, strings, lists of them and booleans as TOML does.
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    for section, inside in sections.items():
        lines += ["", f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in inside.items())]
    return "\n".join(lines) + "\n"


def differences(one: Recipe, other: Recipe) -> list[str]:
    """The keys in which two recipes differ, "section.key" inside a section."""
    found = []
    for name in Recipe.__struct_fields__:
        first, second = getattr(one, name), getattr(other, name)
        if first == second:
            continue
        inside = getattr(first, "__struct_fields__", ())
        found += [f"{name}.{key}" for key in inside if getattr(first, key) != getattr(second, key)] or [name]
    return found
