"""Guesses the classes of unknown mask values: from a table, a known label space, or by number."""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass, field

from fassd.core.arrays import IGNORE
from fassd.core.errors import DataError
from fassd.core.labels import CAMVID, CAMVID_32, CITYSCAPES, CITYSCAPES_CLASSES, LABEL_SPACES, LabelSpace
from fassd.core.numbers import percent
from fassd.data.mask_encoding import Color, color_of_value, value_of_color
from fassd.drafts.masks import Survey
from fassd.drafts.tables import Row, Table

IGNORED = "ignore"
_NO_CLASS = re.compile(
    r"void|un-?labell?ed|ignored?( regions?)?|unknown|none|unclassified|undefined|no ?data", re.IGNORECASE
)
_COVERED = 0.95
_MAX_CLASSES, _VALUES = IGNORE, 1 << 16
_BLACK, _WHITE = 0, 0xFFFFFF
_RARE = 0.0005


@dataclass
class ClassGuess:
    """The guessed meaning of mask values.

    Attributes:
        names: the class of each value, or "ignore".
        colors: the color of each class.
        space: the known label space, if the classes are one.
        source: where the classes come from, in a few words.
        unsure: what the user should verify, in sentences.
    """

    names: dict[int, str]
    colors: dict[str, Color] = field(default_factory=dict)
    space: LabelSpace | None = None
    source: str = ""
    unsure: list[str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The classes in the order of the label space, or of their values."""
        if self.space:
            return list(self.space.names)
        return list(dict.fromkeys(name for name in self.names.values() if name != IGNORED))


def guess_classes(survey: Survey, tables: list[Table]) -> ClassGuess:
    """Guesses the classes of surveyed masks: from a table of classes, a known label space, or by number.

    Raises:
        DataError: there would be no class or more than 255.
    """
    guess = _from_tables(survey, tables) or _known_by_value(survey) or _numbered(survey)
    if not 1 <= len(guess.classes) <= _MAX_CLASSES:
        raise DataError(
            survey.folder,
            f"holds masks with {len(guess.classes)} classes by {guess.source}; 1 to {_MAX_CLASSES} are possible",
        )
    left = {value for value in survey.pixels if value not in guess.names and (survey.by_color or value != IGNORE)}
    if left:
        shown = ", ".join(value_text(value, survey.by_color) for value in sorted(left)[:6]) + (
            " ..." if len(left) > 6 else ""
        )
        guess.unsure.append(
            f"masks also hold {shown} ({percent(survey.share(left))} of the pixels), which are not in "
            f"{guess.source}; add each under [mask_values], or correct the masks"
        )
    return guess


def value_text(value: int, by_color: bool) -> str:
    """A value as `dataset.toml` writes it."""
    return ",".join(map(str, color_of_value(value))) if by_color else str(value)


def _from_tables(survey: Survey, tables: list[Table]) -> ClassGuess | None:
    """The table of classes that covers most pixels, if it covers at least 95 %."""
    found = []
    for table in tables:
        values = _rows_by_value(table, survey)
        seen = {value for value in survey.pixels if survey.by_color or value != IGNORE}
        covered = survey.share(seen & set(values)) / max(1e-9, survey.share(seen)) if seen else 0.0
        classes = {row.name for row in values.values() if not _no_class(row.name)}
        if covered >= _COVERED and 1 <= len(classes) <= _MAX_CLASSES:
            found.append((covered, sum(row.color is not None for row in table.rows), table, values))
    if not found:
        return None
    _, _, table, values = max(found, key=lambda one: one[:2])
    ordered = values if survey.by_color else sorted(values)  # colors in the order of the table, values ascending
    names = {value: IGNORED if _no_class(values[value].name) else values[value].name for value in ordered}
    guess = ClassGuess(names, {}, None, table.path.name)
    in_order = [name for name in names.values() if name != IGNORED]
    guess.space = next((one for one in LABEL_SPACES.values() if list(one.names) == in_order), None)
    palette = _colors(guess.classes)
    for value, row in values.items():
        own = color_of_value(value) if survey.by_color else survey.palette.get(value)
        guess.colors.setdefault(row.name, row.color or own or palette.get(row.name, (0, 0, 0)))
    if all(row.value is None for row in table.rows) and not survey.by_color:
        first = min(value for value, row in values.items() if row in table.rows)
        guess.unsure.append(f"{table.path.name} gives no values; its lines are taken in order, from {first} on")
    void = [row.name for row in values.values() if _no_class(row.name)]
    if void:
        guess.unsure.append(f"{', '.join(map(repr, void[:4]))} is read as ignored")
    return guess


def _rows_by_value(table: Table, survey: Survey) -> dict[int, Row]:
    """The row of each mask value."""
    if survey.by_color:
        return {value_of_color(row.color): row for row in table.rows if row.color is not None}
    values = sorted(value for value in survey.pixels if value != IGNORE)
    if any(row.value is not None for row in table.rows):
        named = {row.value: row for row in table.rows if row.value is not None and 0 <= row.value < _VALUES}
        from_one = 0 in values and sorted(named) == list(range(1, len(named) + 1))
        return {0: Row("unlabeled", 0, None), **named} if from_one else named
    if all(row.color and len(set(row.color)) == 1 for row in table.rows):
        return {row.color[0]: row for row in table.rows if row.color}  # Grays are values, written as colors.
    if survey.palette and all(row.color for row in table.rows):
        in_order = dict(enumerate(table.rows))
        if all(value in in_order and survey.palette.get(value) == in_order[value].color for value in values):
            return in_order
        by_color = {row.color: row for row in table.rows}
        through = {value: by_color[color] for value, color in survey.palette.items() if color in by_color}
        if set(survey.pixels) - {IGNORE} <= set(through):
            return {value: row for value, row in through.items() if value in survey.pixels}
    # If there are as many names as the highest value, the table omits 0, the background or no class.
    first = 1 if values and values[-1] == len(table.rows) else 0
    rows = dict(enumerate(table.rows, first))
    return {0: Row("unlabeled", 0, None), **rows} if first and 0 in values else rows


def _no_class(name: str) -> bool:
    return bool(_NO_CLASS.fullmatch(name.strip().strip("_")))


def _known_by_value(survey: Survey) -> ClassGuess | None:
    if survey.by_color:
        return _known_by_color(survey)
    values = set(survey.pixels) - {IGNORE}
    own = {row.label_id: IGNORED if row.ignored else row.name for row in CITYSCAPES_CLASSES if row.label_id >= 0}
    look = "verify with a contact sheet"
    if values <= set(range(12)) and IGNORE not in survey.pixels and _street(survey, road=3, sky=0):
        names = {**dict(enumerate(CAMVID.names)), 11: IGNORED}
        doubt = f"values 0 to {max(values)}, sky where 0 is and road where 3 is: read as CamVid's 11 classes; {look}"
        return ClassGuess(names, {}, CAMVID, "CamVid's table", [doubt])
    if values <= set(range(19)) and _street(survey, road=0, sky=10):
        doubt = f"values 0 to {max(values)}, road where 0 is and sky where 10 is: read as Cityscapes train ids; {look}"
        return ClassGuess(dict(enumerate(CITYSCAPES.names)), {}, CITYSCAPES, "Cityscapes' train ids", [doubt])
    if values <= set(own) and max(values, default=0) > 18 and _street(survey, road=7, sky=23):
        doubt = f"values up to {max(values)}, road where 7 is and sky where 23 is: read as Cityscapes labelIds; {look}"
        return ClassGuess(own, {}, CITYSCAPES, "Cityscapes' labelIds", [doubt])
    return None


def _street(survey: Survey, road: int, sky: int) -> bool:
    """Whether two values are mainly where street images have road (lower third) and sky (upper third)."""
    below = survey.lower[road] > 4 * survey.upper[road]
    above = survey.upper[sky] > 4 * survey.lower[sky]
    return below and above and survey.share({road}) > 0.05 and survey.share({sky}) > 0.005


def _known_by_color(survey: Survey) -> ClassGuess | None:
    scored = {value_of_color(label.color): label.name for label in CITYSCAPES.classes}
    rows = (
        (
            CITYSCAPES,
            {**{value_of_color(row.color): IGNORED for row in CITYSCAPES_CLASSES}, **scored},
            "Cityscapes' colors",
        ),
        (CAMVID, {value_of_color(color): merged for _, color, merged in CAMVID_32}, "CamVid's 32 colors"),
        (
            CAMVID,
            {**{_BLACK: IGNORED}, **{value_of_color(one.color): one.name for one in CAMVID.classes}},
            "CamVid's 11 colors",
        ),
    )
    for space, names, source in rows:
        present = [value for value in survey.pixels if names.get(value, IGNORED) != IGNORED]
        if len(present) >= 3 and survey.share(set(names)) >= 0.99:
            return ClassGuess(names, {}, space, source, [f"the colors are {source}, so its classes were used"])
    return None


def _numbered(survey: Survey) -> ClassGuess:
    """Classes by number, where their names are unknown."""
    values = sorted(survey.pixels)
    if len(values) > _MAX_CLASSES:
        values = [value for value in values if survey.pixels[value] > _RARE * survey.pixels.total()]
    nameless = "the names of the classes are unknown; replace the numbers by names"
    if values in ([0, 255], [_BLACK, _WHITE]):
        names = {values[0]: "background", values[1]: "foreground"}
        colors = {"background": (40, 44, 52), "foreground": (255, 170, 40)}
        doubt = (
            f"masks are black and white: {value_text(values[1], survey.by_color)} is read as a class, not as ignored"
        )
        return ClassGuess(names, colors, None, "black and white", [doubt, nameless])
    if survey.by_color:
        return _numbered_colors(values, nameless)
    classes = [value for value in values if value != IGNORE]
    unsure = [nameless]
    top = max(classes, default=0)
    if top < 2 * len(classes) + 2:  # small gaps are classes that do not occur
        missing = sorted(set(range(min(classes, default=0), top)) - set(classes))
        classes = list(range(min(classes, default=0), top + 1))
        if missing:
            unsure.append(
                f"the values {', '.join(map(str, missing))} do not occur; they were numbered as classes all the same"
            )
    if classes and classes[0] == 1:
        unsure.append("no mask contains 0: classes were numbered from 1; verify with the source of the masks")
    if IGNORE in values:
        unsure.append("255 is read as ignored")
    names = {value: f"class {value}" for value in classes} or {0: "class 0"}
    palette = _colors(list(names.values()))
    colors = {name: survey.palette.get(value, palette[name]) for value, name in names.items()}
    return ClassGuess(names, colors, None, "the values found", unsure)


def _numbered_colors(values: list[int], nameless: str) -> ClassGuess:
    unsure = [nameless]
    names = {value: f"class {place}" for place, value in enumerate(value for value in values if value != _BLACK)}
    if _BLACK in values and names:
        names[_BLACK] = IGNORED
        unsure.append("black, 0,0,0, is read as ignored; it may be a class such as background")
    names = names or {_BLACK: "class 0"}
    return ClassGuess(
        names, {name: color_of_value(value) for value, name in names.items()}, None, "the colors found", unsure
    )


def _colors(names: list[str]) -> dict[str, Color]:
    """Distinct colors: hues in steps of the golden angle, in three levels of brightness."""
    found = {}
    for place, name in enumerate(names):
        red, green, blue = colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.72, (0.95, 0.72, 0.5)[place % 3])
        found[name] = (round(255 * red), round(255 * green), round(255 * blue))
    return found
