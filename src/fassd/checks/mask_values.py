"""What the values in masks mean when they are not what the description says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import gcd

from fassd.core.arrays import IGNORE
from fassd.core.labels import CAMVID, CAMVID_RAW, CITYSCAPES, CITYSCAPES_CLASSES, LabelSpace
from fassd.data.mask_encoding import MaskEncoding, color_of_value, value_of_color

Table = Mapping[int, int]
"""The right code for each that masks hold."""

_TELLING = 4
"""Grays that are hardly those of the classes' colors by chance."""
_UNLIKELY = 0.02
"""The chance below which values that all are multiples are not so by chance."""
_INSTANCES = 1000
"""In instanceIds files an object's value is a thousand times its class and its number."""


@dataclass(frozen=True)
class Explanation:
    """Why masks hold the values that they hold.

    Attributes:
        kind: the row of `FINDING_KINDS`.
        found: what the values are.
        remedy: what to do.
        table: the right code for each; empty where that is not certain.
    """

    kind: str
    found: str
    remedy: str
    table: Table = field(default_factory=dict)


def explain_values(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    """The likeliest reason for values outside the table.

    Args:
        codes: that masks with a common cause hold, at least one of them outside the table.
        coding: what masks should hold.
        space: the classes.

    Returns:
        None where nothing known explains them all.
    """
    reasons: tuple[Callable[[frozenset[int], MaskEncoding, LabelSpace], Explanation | None], ...]
    if coding.by_color:
        reasons = (_exchanged_channels, _other_palette)
    else:
        reasons = (black_and_white, _instance_ids, train_ids, _label_ids, _off_by_one, _stretched, _luminances)
    return next((found for reason in reasons if (found := reason(codes, coding, space))), None)


def explain_grays(values: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Table:
    """The right color for each value of a mask that should hold colors; empty where values are no classes."""
    if not all(value < len(space) or value == IGNORE for value in values):
        return {}
    places = code_of_class(coding)
    table = {label: places[label] for label in range(len(space)) if label in places}
    return {**table, IGNORE: places[IGNORE]} if IGNORE in places else table


def explain_colors(colors: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> tuple[str, Table]:
    """What colors mean where values were expected: whose colors they are, and the right value for each."""
    places = code_of_class(coding)
    for owner, palette in _palettes(space):
        if colors <= palette.keys():
            return owner, {color: places[label] for color, label in palette.items() if label in places}
    grays = {color & 255 for color in colors}
    if all(len(set(color_of_value(color))) == 1 for color in colors) and grays <= coding.classes.keys():
        return "gray", {value_of_color((value, value, value)): value for value in coding.classes if value < 256}
    return "", {}


def code_of_class(coding: MaskEncoding) -> dict[int, int]:
    """The first code of each class, IGNORE included."""
    places: dict[int, int] = {}
    for code, label in sorted(coding.classes.items()):
        places.setdefault(label, code)
    if coding.classes.get(IGNORE) == IGNORE and not coding.by_color:
        places[IGNORE] = IGNORE
    return places


def black_and_white(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    """0 and 255, of which 255 means "ignored"; also where both are in the table."""
    if not {IGNORE} <= codes <= {0, IGNORE} or len(space) < 2 or 0 not in coding.classes:
        return None
    if coding.classes.get(IGNORE, IGNORE) != IGNORE:
        return None  # 255 is a class.
    second = code_of_class(coding).get(1)
    if len(space) == 2 and second is not None:
        return Explanation(
            "black-and-white",
            "only 0 and 255",
            f"write {second} in place of 255; --fix does it",
            {0: 0, IGNORE: second},
        )
    return Explanation("black-and-white", "only 0 and 255", "export the masks again with one value for each class")


def _instance_ids(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    raw = {row.label_id for row in CITYSCAPES_CLASSES if row.label_id >= 0}
    if max(codes) < _INSTANCES or space.names != CITYSCAPES.names:
        return None
    classes = {code: code // _INSTANCES if code >= _INSTANCES else code for code in codes}
    if not set(classes.values()) <= raw:
        return None
    raw_to_code = _codes_by_label_id(coding)
    table = {code: raw_to_code[label_id] for code, label_id in classes.items()}
    remedy = "name the labelIds or labelTrainIds files as masks; --fix takes the class out of each value"
    return Explanation("instance-ids", "instanceIds of Cityscapes (class x 1000 + number)", remedy, table)


def train_ids(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    """Train ids where Cityscapes' own ids were expected."""
    wanted = {row.label_id: row.train_id for row in CITYSCAPES_CLASSES if not row.ignored}
    if space.names != CITYSCAPES.names or not holds_label_ids(coding) or not codes <= {*range(len(space)), IGNORE}:
        return None
    table = {train: raw for raw, train in wanted.items()} | {IGNORE: 0}
    remedy = "name the files labelTrainIds, or describe them as train ids; --fix translates them"
    return Explanation("train-ids", "train ids of Cityscapes (0-18, 255)", remedy, table)


def _label_ids(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    raw = {row.label_id for row in CITYSCAPES_CLASSES if row.label_id >= 0}
    unknown = codes - {IGNORE}  # license plates, -1, become 255 in 8 bits
    if space.names != CITYSCAPES.names or holds_label_ids(coding) or not unknown <= raw or max(unknown) <= len(space):
        return None
    table = _codes_by_label_id(coding) | {IGNORE: code_of_class(coding).get(IGNORE, IGNORE)}
    remedy = "make labelTrainIds of them, or describe the label ids under [mask_values]; --fix translates them"
    return Explanation("raw-ids", "labelIds of Cityscapes (0-33)", remedy, table)


def _off_by_one(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    # The ignored values in line with the classes (CamVid's 11) are shifted with them, 255 is not.
    table = shifted_table(coding)
    top = max(table)
    if top not in codes or 0 in codes or not codes - {IGNORE} <= table.keys():
        return None
    return one_too_high(coding, f"values 1 to {top}, never 0")


def one_too_high(coding: MaskEncoding, found: str) -> Explanation:
    """Values that count from 1; 0, where it occurs, means "no class" then."""
    table = {**shifted_table(coding), IGNORE: IGNORE}
    if IGNORE in code_of_class(coding):
        table[0] = code_of_class(coding)[IGNORE]
    return Explanation("off-by-one", found, "subtract 1 from every value below 255; --fix does it", table)


def shifted_table(coding: MaskEncoding) -> dict[int, int]:
    """Each code plus 1 to itself, without 255."""
    return {code + 1: code for code in coding.classes if code != IGNORE}


def one_too_low(coding: MaskEncoding, found: str) -> Explanation:
    """Values that count from 0 where the table counts from 1."""
    table = lowered_table(coding)
    return Explanation("off-by-one", found, "add 1 to every value below 255; --fix does it", table)


def lowered_table(coding: MaskEncoding) -> dict[int, int]:
    """Each class's code less 1 to itself; 255 stays what it is, unless 0 is a class and may have become 255."""
    table = {code - 1: code for code, label in coding.classes.items() if code not in (0, IGNORE) and label != IGNORE}
    kept = IGNORE in coding.classes and coding.classes.get(0, IGNORE) == IGNORE
    return {**table, IGNORE: IGNORE} if kept else table


def _stretched(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    small = sorted(code for code in coding.classes if code != IGNORE)
    fitting = [
        (factor, table)
        for factor, table in _stretches(codes, small)
        if codes <= table.keys() and _chance(codes, table) < _UNLIKELY
    ]
    if not fitting:
        return None
    factor, table = fitting[0]
    found = f"values that are {factor:g} times a class"
    if any(other[code] != table[code] for _, other in fitting for code in codes):
        return Explanation(
            "stretched-values", found, f"divide the values by {factor:g}, or what they were multiplied by"
        )
    return Explanation("stretched-values", found, f"divide the values by {factor:g}; --fix does it", table)


def _chance(codes: frozenset[int], table: Table) -> float:
    """How likely any values would be in a table, in which there are the more the smaller the factor."""
    telling = codes - {0, IGNORE}
    return (sum(code <= max(telling) for code in table) / (max(telling) + 1)) ** len(telling) if telling else 1.0


def _stretches(codes: frozenset[int], small: list[int]) -> Iterable[tuple[float, Table]]:
    """Factors that may have been applied, with the table back; the ignored value may have stayed at the top."""
    for kept in ({IGNORE}, set[int]()):
        telling = codes - kept - {0}
        back = dict.fromkeys(kept, IGNORE)
        # Any value is a multiple of some number: only several with a common factor say something.
        common = gcd(*telling) if len(telling) > 2 else 1
        for factor in range(common, 1, -1):
            if common % factor == 0:
                yield factor, back | {code * factor: code for code in (*small, IGNORE)}
        for top in (255, 65535) if len(telling) > 1 else ():
            for last in range(max(1, len(small) - 2), len(small) + 2):
                table = {code * top // last: code for code in small} | {
                    round(code * top / last): code for code in small
                }
                yield top / last, back | table


def _luminances(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    """The classes' colors as a picture in gray shows them."""
    places = code_of_class(coding)
    for owner, palette in _palettes(space):
        behind = defaultdict[int, set[int]](set)
        for color, label in palette.items():
            behind[_luminance(color)].add(label)
        if len(codes) < _TELLING or not codes <= behind.keys():
            continue
        found = f"the colors of {owner}, turned into gray"
        table = {gray: places[label] for gray, (label, *others) in behind.items() if not others and label in places}
        if codes <= table.keys():
            remedy = "write the classes' values, or the colors, in place of their grays; --fix writes values"
            return Explanation("colors-for-values", found, remedy, table)
        return Explanation("colors-for-values", found, "export the masks again; some classes have the same gray")
    return None


def _luminance(color: int) -> int:
    """As Pillow makes gray of a color (ITU-R BT.601, in steps of 1/65536)."""
    red, green, blue = color_of_value(color)
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


def _exchanged_channels(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    table = {_reversed(code): code for code in coding.classes}
    if not codes <= table.keys():
        return None
    remedy = "save the masks as RGB, not BGR; --fix exchanges the channels"
    return Explanation("foreign-values", "the classes' colors with red and blue exchanged", remedy, table)


def _other_palette(codes: frozenset[int], coding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    places = code_of_class(coding)
    for owner, palette in _palettes(space):
        if codes <= palette.keys() and set(palette.values()) <= places.keys():
            table = {color: places[label] for color, label in palette.items()}
            remedy = "name these colors under [mask_values]; --fix translates them"
            return Explanation("foreign-values", f"colors of {owner}", remedy, table)
    return None


def holds_label_ids(coding: MaskEncoding) -> bool:
    """Cityscapes' own ids, as opposed to train ids."""
    return not coding.by_color and coding.classes.get(7) == 0 and coding.classes.get(26) == 13


def _codes_by_label_id(coding: MaskEncoding) -> dict[int, int]:
    places = code_of_class(coding)
    rows = [row for row in CITYSCAPES_CLASSES if row.label_id >= 0]
    if holds_label_ids(coding):
        return {row.label_id: row.label_id for row in rows if row.label_id in coding.classes}
    return {row.label_id: places[IGNORE if row.ignored else row.train_id] for row in rows}


def _palettes(space: LabelSpace) -> Iterable[tuple[str, dict[int, int]]]:
    """The colors that a label space is painted in: whose they are, and the class of each that is one class's alone."""
    classes = Counter(value_of_color(label.color) for label in space.classes)
    own = {value_of_color(label.color): index for index, label in enumerate(space.classes)}
    black = {0: IGNORE} if 0 not in classes else {}
    yield f"'{space.name}'", black | {color: index for color, index in own.items() if classes[color] == 1}
    if space.names == CITYSCAPES.names:
        rows = (row for row in CITYSCAPES_CLASSES if row.label_id >= 0)
        drawn = {value_of_color(row.color): IGNORE for row in rows if row.ignored}
        known = {value_of_color(label.color): index for index, label in enumerate(space.classes)}
        yield "Cityscapes' annotators", drawn | known
    if space.names == CAMVID.names:
        yield (
            "CamVid's annotators",
            {
                value_of_color(color): IGNORE if merged == "ignore" else space.index(merged)
                for _, color, merged in CAMVID_RAW
            },
        )


def _reversed(code: int) -> int:
    red, green, blue = color_of_value(code)
    return value_of_color((blue, green, red))
