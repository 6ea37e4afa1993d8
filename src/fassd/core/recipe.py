"""A recipe: every value that decides how a network is trained, read from one page of TOML."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from fassd.core.catalog import shipped_or_file
from fassd.core.errors import FileError, UnknownName, UsageError
from fassd.core.renamed import key_of_today, recipe_with_new_keys

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
AboveZero = Annotated[float, Meta(gt=0, lt=1e6)]
Task: TypeAlias = Literal["segmentation", "classification"]
"""What a recipe is for: `fassd train` or `fassd pretrain`."""


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flip, scale, pad, crop, in the order of the published code.

    Attributes:
        crop_size: height and width, pixels, that a network sees while training.
        scale: smallest and largest factor by which an image is resized, drawn uniformly.
        hflip: probability of mirroring left and right.
        color_jitter: strength of random brightness, contrast, saturation and tint, 0 (published: none) to 1.
    """

    crop_size: tuple[Positive, Positive]
    scale: tuple[AboveZero, AboveZero] = (0.5, 2.0)
    hflip: Fraction = 0.5
    color_jitter: Fraction = 0.0


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bootstrapped cross entropy.

    Attributes:
        min_kept: pixels of an image that always count (K).
        threshold: loss above which a pixel counts.
        class_weights: "none" as published, or "inverse-log": 1 / ln(1.02 + share of the class) of the training
            labels (Paszke et al., ENet, 2016), which gives thin and rare classes their due.
        aux_weight: weight of the same loss on each decoder step but the last, through a 1x1 convolution of its own
            that training alone has (Zhao et al., PSPNet, 2017); 0 as published: none.
    """

    min_kept: Positive = 4096
    threshold: Annotated[float, Meta(ge=0)] = 0.3
    class_weights: Literal["none", "inverse-log"] = "none"
    aux_weight: Fraction = 0.0


class Optimizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stochastic gradient descent with the "poly" rate. What is left out is as published.

    Attributes:
        lr: learning rate at the start.
        momentum: without Nesterov.
        weight_decay: weight decay.
        power: of the poly schedule.
        warmup_iterations: updates over which the rate rises linearly to the schedule's; 0 as published.
        clip_grad_norm: the gradient is shortened to this length where it is longer; 0 as published: never.
        decay_norm_and_bias: decay on every parameter, as published; false spares norms, slopes and biases.
        encoder_lr_mult: factor on the rate of the encoder; 0 freezes it, its norms' statistics included.
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
    """The whole recipe.

    Attributes:
        task: "segmentation", by `fassd train`, or "classification", by `fassd pretrain`.
        network: name of the row.
        alpha: the DAPF's divisor.
        iterations: updates of the whole run.
        batch_size: images an update, over all processes together.
        accumulation_steps: parts into which the images of an update are cut, one after the other, where memory is
            short; BatchNorm layers then see a part at a time.
        seed: of initialization, order and augmentation.
        channel_order: order of the input planes; the published networks take "bgr".
        precision: arithmetic of forward and backward pass; "auto" takes bfloat16 where the processor has it, float16
            scales its loss.
        compile: PyTorch turns the network into code of its own before the first update, which takes minutes.
        ema_decay: weights are averaged over the updates, each mean keeping this share of the one before (0.999, say);
            the mean is what is validated and kept (Polyak, 1992). 0 as published: none.
        sync_batchnorm: several processes share the statistics of their norms, so that their number changes nothing.
        validate_every: iterations between two validations, each of which may become the best checkpoint.
        save_every: iterations between two training states: what a dead machine costs at most.
        keep_every: training states of these iterations are kept for good; 0 keeps the last two alone.
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


def read_recipe(path: Path, earlier: bool = False) -> Recipe:
    """A recipe from its file.

    Args:
        path: a TOML file.
        earlier: take the keys of earlier versions as well, for files that fassd itself wrote.

    Raises:
        FileError: missing, or not TOML.
        UsageError: an unknown key (the nearest is offered), a wrong type, a value out of range.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(path, f"the recipe cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"the recipe is not valid TOML ({error})") from None
    return recipe_from(recipe_with_new_keys(values) if earlier else values, str(path))


def recipe_from(values: dict[str, Any], source: str) -> Recipe:
    """A recipe from its values.

    Args:
        values: nested as in TOML.
        source: names the recipe in messages.

    Raises:
        UsageError: an unknown key (the nearest is offered), a wrong type, a value out of range.
    """
    for key in _keys_of(values):
        today = key_of_today(key)
        if today != key:
            raise UsageError(f"{source}: the key {key} is called {today} now; rename it")
    try:
        recipe = msgspec.convert(values, Recipe, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{source}: {_explain(str(error))}") from None
    low, high = recipe.augmentation.scale
    if low > high:
        raise UsageError(f"{source}: augmentation.scale runs from {low} to {high}; give the smaller factor first")
    crop = recipe.augmentation.crop_size
    # Pre-training knows no loss of pixels.
    if recipe.task == "segmentation" and recipe.loss.min_kept >= crop[0] * crop[1]:
        raise UsageError(
            f"{source}: loss.min_kept is {recipe.loss.min_kept} but a crop of {crop[0]}x{crop[1]} has "
            f"{crop[0] * crop[1]} pixels; keep fewer"
        )
    if recipe.batch_size % recipe.accumulation_steps:
        raise UsageError(
            f"{source}: accumulation_steps is {recipe.accumulation_steps}, which does not divide the batch of "
            f"{recipe.batch_size} images"
        )
    if recipe.optimizer.warmup_iterations >= recipe.iterations:
        raise UsageError(
            f"{source}: optimizer.warmup_iterations is {recipe.optimizer.warmup_iterations} but there are "
            f"{recipe.iterations} iterations; warm up for fewer"
        )
    return recipe


def _keys_of(values: dict[str, Any]) -> list[str]:
    """Every key, "section.key" inside a section, sections before what is inside them."""
    found = []
    for key, value in values.items():
        found.append(key)
        if isinstance(value, dict):
            found += [f"{key}.{inside}" for inside in value]
    return found


def check_trained(recipe: Recipe, wanted: Task, name: str) -> None:
    """Refuses a recipe that is another verb's.

    Args:
        recipe: as given.
        wanted: what shall be trained.
        name: of the recipe.

    Raises:
        UsageError: it trains something else; the right command is said.
    """
    if recipe.task != wanted:
        right = "pretrain {} --data FOLDER" if recipe.task == "classification" else "train {} --data KIND:PATH"
        raise UsageError(
            f"the recipe {name} trains the {recipe.task}, not the {wanted}: use fassd {right.format(name)} --out "
            f'FOLDER, or set task = "{wanted}" in a recipe of your own'
        )


def recipe_as_toml(recipe: Recipe) -> str:
    """The recipe as the page that `read_recipe` reads, every value on it."""
    values = msgspec.to_builtins(recipe)
    sections = {name: values.pop(name) for name in list(values) if isinstance(values[name], dict)}
    # JSON spells numbers, strings, lists of them and booleans as TOML does.
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    for section, inside in sections.items():
        lines += ["", f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in inside.items())]
    return "\n".join(lines) + "\n"


def differences(one: Recipe, other: Recipe) -> list[str]:
    """The keys in which two recipes differ, sections spelled out ("loss.min_kept")."""
    found = []
    for name in Recipe.__struct_fields__:
        first, second = getattr(one, name), getattr(other, name)
        if first == second:
            continue
        inside = getattr(first, "__struct_fields__", ())
        found += [f"{name}.{key}" for key in inside if getattr(first, key) != getattr(second, key)] or [name]
    return found


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


def shipped_recipes() -> dict[str, Path]:
    """The recipes inside the package, by name."""
    folder = Path(str(files("fassd"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def locate_recipe(name_or_file: str) -> Path:
    """A recipe that ships by name, or the given file.

    Raises:
        UnknownName: neither; the nearest names are offered.
    """
    return shipped_or_file("recipe", name_or_file, shipped_recipes())


def override_recipe(recipe: Recipe, overrides: dict[str, Any]) -> Recipe:
    """The recipe with some values replaced and everything checked anew.

    Args:
        recipe: to begin with.
        overrides: by name, "section.key" inside a section; None leaves the recipe's own value.

    Raises:
        UsageError: an unknown key or a value out of range.
    """
    values = msgspec.to_builtins(recipe)
    for name, value in overrides.items():
        if key_of_today(name) != name:
            raise UsageError(f"the key {name} of recipes is called {key_of_today(name)} now")
        section, _, key = name.rpartition(".")
        inside = values.get(section, {}) if section else values
        if not isinstance(inside, dict) or (section and section not in values):
            sections = [one for one, value in values.items() if isinstance(value, dict)]
            raise UnknownName("section of a recipe", section, sections)
        if value is not None:
            inside[key] = value
    return recipe_from(values, "options")


def parse_values(texts: Sequence[str]) -> dict[str, Any]:
    """Overrides from "key=value", the value as a recipe spells it; words need no quotes.

    Raises:
        UsageError: there is no "=", or the value is none.
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
