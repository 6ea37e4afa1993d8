"""A recipe: every value that decides how a network is trained, read from one page of TOML."""

from __future__ import annotations

import difflib
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fassd.core.errors import FileError, UnknownName, UsageError

Positive = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
AboveZero = Annotated[float, Meta(gt=0, lt=1e6)]


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flip, scale, pad, crop, in the order of the published code.

    Attributes:
        crop: height and width, pixels, that a network sees while training.
        scale: smallest and largest factor by which an image is resized, drawn uniformly.
        flip: probability of mirroring left and right.
        jitter: strength of random brightness, contrast, saturation and tint, 0 (published: none) to 1.
    """

    crop: tuple[Positive, Positive]
    scale: tuple[AboveZero, AboveZero] = (0.5, 2.0)
    flip: Fraction = 0.5
    jitter: Fraction = 0.0


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bootstrapped cross entropy.

    Attributes:
        kept: pixels of an image that always count (K).
        threshold: loss above which a pixel counts.
        class_weights: "none" as published, or "inverse-log": 1 / ln(1.02 + share of the class) of the training
            labels (Paszke et al., ENet, 2016), which gives thin and rare classes their due.
    """

    kept: Positive = 4096
    threshold: Annotated[float, Meta(ge=0)] = 0.3
    class_weights: Literal["none", "inverse-log"] = "none"


class Optimiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stochastic gradient descent with the "poly" rate, decay on every parameter.

    Attributes:
        rate: learning rate at the start.
        momentum: without Nesterov.
        decay: weight decay.
        power: of the poly schedule.
    """

    rate: AboveZero = 0.02
    momentum: Fraction = 0.9
    decay: Annotated[float, Meta(ge=0)] = 5e-4
    power: AboveZero = 0.9


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole recipe.

    Attributes:
        network: name of the row.
        alpha: the DAPF's divisor.
        iterations: updates of the whole run.
        batch: images an update.
        seed: of initialisation, order and augmentation.
        channel_order: order of the input planes; the published networks take "bgr".
        precision: arithmetic of forward and backward pass; "auto" takes bfloat16 where the processor has it.
        validate_every: iterations between two validations, each of which may become the best checkpoint.
    """

    network: str
    alpha: Positive = 2
    iterations: Positive
    batch: Positive
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    channel_order: Literal["rgb", "bgr"] = "rgb"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    validate_every: Positive = 500
    augmentation: Augmentation
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()


def read_recipe(path: Path) -> Recipe:
    """A recipe from its file.

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
    return recipe_from(values, str(path))


def recipe_from(values: dict[str, Any], source: str) -> Recipe:
    """A recipe from its values.

    Args:
        values: nested as in TOML.
        source: names the recipe in messages.

    Raises:
        UsageError: an unknown key (the nearest is offered), a wrong type, a value out of range.
    """
    try:
        recipe = msgspec.convert(values, Recipe, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{source}: {_explain(str(error))}") from None
    low, high = recipe.augmentation.scale
    if low > high:
        raise UsageError(f"{source}: augmentation.scale runs from {low} to {high}; give the smaller factor first")
    crop = recipe.augmentation.crop
    if recipe.loss.kept >= crop[0] * crop[1]:
        raise UsageError(
            f"{source}: loss.kept is {recipe.loss.kept} but a crop of {crop[0]}x{crop[1]} has {crop[0] * crop[1]} "
            "pixels; keep fewer"
        )
    return recipe


def _explain(message: str) -> str:
    """msgspec's message, with the nearest key where one is unknown."""
    unknown = re.search(r"unknown field `(\w+)`", message)
    if not unknown:
        return message
    keys = {name for struct in (Recipe, Augmentation, Loss, Optimiser) for name in struct.__struct_fields__}
    near = difflib.get_close_matches(unknown[1], keys, n=1)
    return message + (f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(sorted(keys))}")


def shipped_recipes() -> dict[str, Path]:
    """The recipes inside the package, by name."""
    folder = Path(str(files("fassd"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def locate_recipe(name_or_file: str) -> Path:
    """A recipe that ships by name, or the given file.

    Raises:
        UnknownName: neither; the nearest names are offered.
    """
    shipped = shipped_recipes()
    if name_or_file in shipped:
        return shipped[name_or_file]
    path = Path(name_or_file).expanduser()
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    raise UnknownName("recipe", name_or_file, shipped)


def override_recipe(recipe: Recipe, overrides: dict[str, Any]) -> Recipe:
    """The recipe with some values replaced and everything checked anew.

    Args:
        recipe: to begin with.
        overrides: by name; None leaves the recipe's own value.

    Raises:
        UsageError: a value out of range.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    return recipe_from({**msgspec.to_builtins(recipe), **given}, "options")
