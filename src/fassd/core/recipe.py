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

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
AboveZero = Annotated[float, Meta(gt=0, lt=1e6)]
Trained: TypeAlias = Literal["network", "encoder"]
"""What a recipe is for: `fassd train` or `fassd pretrain`."""


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
        auxiliary: weight of the same loss on each decoder step but the last, through a 1x1 convolution of its own
            that training alone has (Zhao et al., PSPNet, 2017); 0 as published: none.
    """

    kept: Positive = 4096
    threshold: Annotated[float, Meta(ge=0)] = 0.3
    class_weights: Literal["none", "inverse-log"] = "none"
    auxiliary: Fraction = 0.0


class Optimiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stochastic gradient descent with the "poly" rate. What is left out is as published.

    Attributes:
        rate: learning rate at the start.
        momentum: without Nesterov.
        decay: weight decay.
        power: of the poly schedule.
        warmup: updates over which the rate rises linearly to the schedule's; 0 as published.
        clip: the gradient is shortened to this length where it is longer; 0 as published: never.
        decay_all: decay on every parameter, as published; false spares norms, slopes and biases.
        encoder_rate: factor on the rate of the encoder; 0 freezes it, its norms' statistics included.
    """

    rate: AboveZero = 0.02
    momentum: Fraction = 0.9
    decay: Annotated[float, Meta(ge=0)] = 5e-4
    power: AboveZero = 0.9
    warmup: Count = 0
    clip: Annotated[float, Meta(ge=0)] = 0.0
    decay_all: bool = True
    encoder_rate: Fraction = 1.0


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole recipe.

    Attributes:
        trains: "network", by `fassd train`, or "encoder", by `fassd pretrain`.
        network: name of the row.
        alpha: the DAPF's divisor.
        iterations: updates of the whole run.
        batch: images an update, over all processes together.
        accumulate: parts into which the images of an update are cut, one after the other, where memory is short;
            norms then see a part at a time.
        seed: of initialisation, order and augmentation.
        channel_order: order of the input planes; the published networks take "bgr".
        precision: arithmetic of forward and backward pass; "auto" takes bfloat16 where the processor has it, float16
            scales its loss.
        compile: PyTorch turns the network into code of its own before the first update, which takes minutes.
        average: weights are averaged over the updates, each mean keeping this share of the one before (0.999, say);
            the mean is what is validated and kept (Polyak, 1992). 0 as published: none.
        sync_norms: several processes share the statistics of their norms, so that their number changes nothing.
        validate_every: iterations between two validations, each of which may become the best checkpoint.
        save_every: iterations between two training states: what a dead machine costs at most.
        keep_every: training states of these iterations are kept for good; 0 keeps the last two alone.
    """

    trains: Trained = "network"
    network: str
    alpha: Positive = 2
    iterations: Positive
    batch: Positive
    accumulate: Positive = 1
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    channel_order: Literal["rgb", "bgr"] = "rgb"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: bool = False
    average: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    sync_norms: bool = True
    validate_every: Positive = 500
    save_every: Positive = 100
    keep_every: Count = 0
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
    # Pre-training knows no loss of pixels.
    if recipe.trains == "network" and recipe.loss.kept >= crop[0] * crop[1]:
        raise UsageError(
            f"{source}: loss.kept is {recipe.loss.kept} but a crop of {crop[0]}x{crop[1]} has {crop[0] * crop[1]} "
            "pixels; keep fewer"
        )
    if recipe.batch % recipe.accumulate:
        raise UsageError(
            f"{source}: accumulate is {recipe.accumulate}, which does not divide the batch of {recipe.batch} images"
        )
    if recipe.optimiser.warmup >= recipe.iterations:
        raise UsageError(
            f"{source}: optimiser.warmup is {recipe.optimiser.warmup} but there are {recipe.iterations} iterations; "
            "warm up for fewer"
        )
    return recipe


def check_trained(recipe: Recipe, wanted: Trained, name: str) -> None:
    """Refuses a recipe that is another verb's.

    Args:
        recipe: as given.
        wanted: what shall be trained.
        name: of the recipe.

    Raises:
        UsageError: it trains something else; the right command is said.
    """
    if recipe.trains != wanted:
        right = "pretrain {} --data FOLDER" if recipe.trains == "encoder" else "train {} --data KIND:PATH"
        raise UsageError(
            f"the recipe {name} trains the {recipe.trains}, not the {wanted}: use fassd {right.format(name)} --out "
            f'FOLDER, or set trains = "{wanted}" in a recipe of your own'
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
    """The keys in which two recipes differ, sections spelled out ("loss.kept")."""
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
    keys = {name for struct in (Recipe, Augmentation, Loss, Optimiser) for name in struct.__struct_fields__}
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
            raise UsageError(f"--set {text}: expected key=value, for example optimiser.rate=0.01")
        try:
            parsed[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed[key.strip()] = value.strip()
    return parsed
