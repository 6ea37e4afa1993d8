"""Which classes stand behind the codes of unknown masks, and how sure that is."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fassd.core.arrays import IGNORE
from fassd.core.errors import DataError
from fassd.core.labels import CAMVID, CAMVID_RAW, CITYSCAPES, CITYSCAPES_CLASSES, LABEL_SPACES, LabelSpace
from fassd.data.mask_encoding import Color, color_of_value, value_of_color
from fassd.drafts.masks import Survey
from fassd.drafts.tables import Row, Table

IGNORED = "ignore"
_NO_CLASS = re.compile(
    r"void|un-?labell?ed|ignored?( regions?)?|unknown|none|unclassified|undefined|no ?data", re.IGNORECASE
)
_COVERED = 0.95
_MOST_CLASSES, _VALUES = IGNORE, 1 << 16
_BLACK, _WHITE = 0, 0xFFFFFF
_RARE = 0.0005


@dataclass
class Meaning:
    """What the codes mean.

    Attributes:
        names: the class of each code, or "ignore".
        colors: of each class.
        space: the known label space that the classes are.
        why: how it was found, in a few words.
        unsure: what to look at, in sentences.
    """

    names: dict[int, str]
    colors: dict[str, Color] = field(default_factory=dict)
    space: LabelSpace | None = None
    why: str = ""
    unsure: list[str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The classes in the order of their codes, or of the label space."""
        if self.space:
            return list(self.space.names)
        return list(dict.fromkeys(name for name in self.names.values() if name != IGNORED))


def meaning_of(survey: Survey, tables: list[Table]) -> Meaning:
    """The classes behind the codes of a survey: from a table beside the masks, a known label space, or numbered.

    Raises:
        DataError: more codes than there may be classes.
    """
    meaning = _from_tables(survey, tables) or _known(survey) or _numbered(survey)
    if not 1 <= len(meaning.classes) <= _MOST_CLASSES:
        raise DataError(
            survey.folder,
            f"holds masks with {len(meaning.classes)} classes by {meaning.why}; 1 to {_MOST_CLASSES} are possible",
        )
    left = {code for code in survey.pixels if code not in meaning.names and (survey.by_color or code != IGNORE)}
    if left:
        shown = ", ".join(spell(code, survey.by_color) for code in sorted(left)[:6]) + (" ..." if len(left) > 6 else "")
        meaning.unsure.append(
            f"masks also hold {shown} ({_percent(survey.share(left))} of the pixels), which {meaning.why} does not "
            "explain; name each under [mask_values], or correct the masks"
        )
    return meaning


def spell(code: int, by_color: bool) -> str:
    """A code as `dataset.toml` writes it."""
    return ",".join(map(str, color_of_value(code))) if by_color else str(code)


def _from_tables(survey: Survey, tables: list[Table]) -> Meaning | None:
    """The table that explains most pixels, if that is nearly all of them."""
    found = []
    for table in tables:
        codes = _codes_of(table, survey)
        seen = {code for code in survey.pixels if survey.by_color or code != IGNORE}
        covered = survey.share(seen & set(codes)) / max(1e-9, survey.share(seen)) if seen else 0.0
        classes = {row.name for row in codes.values() if not _no_class(row.name)}
        if covered >= _COVERED and 1 <= len(classes) <= _MOST_CLASSES:
            found.append((covered, sum(row.color is not None for row in table.rows), table, codes))
    if not found:
        return None
    _, _, table, codes = max(found, key=lambda one: one[:2])
    ordered = codes if survey.by_color else sorted(codes)  # colors come in the table's order, values in their own
    names = {code: IGNORED if _no_class(codes[code].name) else codes[code].name for code in ordered}
    meaning = Meaning(names, {}, None, table.path.name)
    meaning.space = next((one for one in LABEL_SPACES.values() if list(one.names) == _in_order(names)), None)
    palette = _colors(meaning.classes)
    for code, row in codes.items():
        own = color_of_value(code) if survey.by_color else survey.palette.get(code)
        meaning.colors.setdefault(row.name, row.color or own or palette.get(row.name, (0, 0, 0)))
    if all(row.value is None for row in table.rows) and not survey.by_color:
        first = min(code for code, row in codes.items() if row in table.rows)
        meaning.unsure.append(f"{table.path.name} gives no values; its lines are taken in order, from {first} on")
    void = [row.name for row in codes.values() if _no_class(row.name)]
    if void:
        meaning.unsure.append(f"{', '.join(map(repr, void[:4]))} is taken for pixels without a class")
    return meaning


def _in_order(names: Mapping[int, str]) -> list[str]:
    return [name for name in names.values() if name != IGNORED]


def _codes_of(table: Table, survey: Survey) -> dict[int, Row]:
    """The row behind each code."""
    if survey.by_color:
        return {value_of_color(row.color): row for row in table.rows if row.color is not None}
    values = sorted(value for value in survey.pixels if value != IGNORE)
    if any(row.value is not None for row in table.rows):
        named = {row.value: row for row in table.rows if row.value is not None and 0 <= row.value < _VALUES}
        from_one = 0 in values and sorted(named) == list(range(1, len(named) + 1))
        return {0: Row("unlabeled", 0, None), **named} if from_one else named
    if all(row.color and len(set(row.color)) == 1 for row in table.rows):
        return {row.color[0]: row for row in table.rows if row.color}  # Grays are values written as colors.
    if survey.palette and all(row.color for row in table.rows):
        in_order = dict(enumerate(table.rows))
        if all(code in in_order and survey.palette.get(code) == in_order[code].color for code in values):
            return in_order
        by_color = {row.color: row for row in table.rows}
        through = {code: by_color[color] for code, color in survey.palette.items() if color in by_color}
        if set(survey.pixels) - {IGNORE} <= set(through):
            return {code: row for code, row in through.items() if code in survey.pixels}
    # As many names as the highest value: 0 was left out of the table, as background or as no class.
    first = 1 if values and values[-1] == len(table.rows) else 0
    codes = dict(enumerate(table.rows, first))
    return codes if not first or 0 not in values else {0: Row("unlabeled", 0, None), **codes}


def _no_class(name: str) -> bool:
    return bool(_NO_CLASS.fullmatch(name.strip().strip("_")))


def _known(survey: Survey) -> Meaning | None:
    if survey.by_color:
        return _known_by_color(survey)
    values = set(survey.pixels) - {IGNORE}
    own = {row.label_id: IGNORED if row.ignored else row.name for row in CITYSCAPES_CLASSES if row.label_id >= 0}
    look = "look at a contact sheet"
    if values <= set(range(12)) and IGNORE not in survey.pixels and _street(survey, road=3, sky=0):
        names = {**dict(enumerate(CAMVID.names)), 11: IGNORED}
        doubt = f"values 0 to {max(values)}, sky where 0 is and road where 3 is: taken for CamVid's 11 classes; {look}"
        return Meaning(names, {}, CAMVID, "CamVid's table", [doubt])
    if values <= set(range(19)) and _street(survey, road=0, sky=10):
        doubt = (
            f"values 0 to {max(values)}, road where 0 is and sky where 10 is: taken for Cityscapes train ids; {look}"
        )
        return Meaning(dict(enumerate(CITYSCAPES.names)), {}, CITYSCAPES, "Cityscapes' train ids", [doubt])
    if values <= set(own) and max(values, default=0) > 18 and _street(survey, road=7, sky=23):
        doubt = (
            f"values up to {max(values)}, road where 7 is and sky where 23 is: taken for Cityscapes labelIds; {look}"
        )
        return Meaning(own, {}, CITYSCAPES, "Cityscapes' labelIds", [doubt])
    return None


def _street(survey: Survey, road: int, sky: int) -> bool:
    """Whether two values lie where a street picture has its road, below, and its sky, above."""
    below = survey.lower[road] > 4 * survey.upper[road]
    above = survey.upper[sky] > 4 * survey.lower[sky]
    return below and above and survey.share({road}) > 0.05 and survey.share({sky}) > 0.005


def _known_by_color(survey: Survey) -> Meaning | None:
    scored = {value_of_color(label.color): label.name for label in CITYSCAPES.classes}
    rows = (
        (
            CITYSCAPES,
            {**{value_of_color(row.color): IGNORED for row in CITYSCAPES_CLASSES}, **scored},
            "Cityscapes' colors",
        ),
        (CAMVID, {value_of_color(color): merged for _, color, merged in CAMVID_RAW}, "CamVid's 32 colors"),
        (
            CAMVID,
            {**{_BLACK: IGNORED}, **{value_of_color(one.color): one.name for one in CAMVID.classes}},
            "CamVid's 11 colors",
        ),
    )
    for space, names, why in rows:
        present = [code for code in survey.pixels if names.get(code, IGNORED) != IGNORED]
        if len(present) >= 3 and survey.share(set(names)) >= 0.99:
            return Meaning(names, {}, space, why, [f"the colors are {why}, so its classes were taken"])
    return None


def _numbered(survey: Survey) -> Meaning:
    """Classes by number, where nothing says what they are."""
    codes = sorted(survey.pixels)
    if len(codes) > _MOST_CLASSES:
        codes = [code for code in codes if survey.pixels[code] > _RARE * survey.pixels.total()]
    nameless = "nothing says what the classes are called; give them their names"
    if codes in ([0, 255], [_BLACK, _WHITE]):
        names = {codes[0]: "background", codes[1]: "foreground"}
        colors = {"background": (40, 44, 52), "foreground": (255, 170, 40)}
        doubt = (
            f"masks are black and white: {spell(codes[1], survey.by_color)} is taken for a class and not for ignored"
        )
        return Meaning(names, colors, None, "black and white", [doubt, nameless])
    if survey.by_color:
        return _numbered_colors(codes, nameless)
    classes = [code for code in codes if code != IGNORE]
    unsure = [nameless]
    top = max(classes, default=0)
    if top < 2 * len(classes) + 2:  # gaps are classes that did not occur
        missing = sorted(set(range(min(classes, default=0), top)) - set(classes))
        classes = list(range(min(classes, default=0), top + 1))
        if missing:
            unsure.append(
                f"the values {', '.join(map(str, missing))} do not occur, yet classes were numbered through them"
            )
    if classes and classes[0] == 1:
        unsure.append("no mask holds 0: classes are taken to begin at 1; compare with where the masks came from")
    if IGNORE in codes:
        unsure.append("255 is taken for pixels without a class")
    names = {code: f"class {code}" for code in classes} or {0: "class 0"}
    palette = _colors(list(names.values()))
    colors = {name: survey.palette.get(code, palette[name]) for code, name in names.items()}
    return Meaning(names, colors, None, "the values found", unsure)


def _numbered_colors(codes: list[int], nameless: str) -> Meaning:
    unsure = [nameless]
    names = {code: f"class {place}" for place, code in enumerate(code for code in codes if code != _BLACK)}
    if _BLACK in codes and names:
        names[_BLACK] = IGNORED
        unsure.append("black, 0,0,0, is taken for pixels without a class; it may be a class such as background")
    names = names or {_BLACK: "class 0"}
    return Meaning(
        names, {name: color_of_value(code) for code, name in names.items()}, None, "the colors found", unsure
    )


def _colors(names: list[str]) -> dict[str, Color]:
    """Colors that can be told apart: steps of the golden angle around the circle, in three degrees of brightness."""
    found = {}
    for place, name in enumerate(names):
        red, green, blue = colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.72, (0.95, 0.72, 0.5)[place % 3])
        found[name] = (round(255 * red), round(255 * green), round(255 * blue))
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "less than 0.1 %"
