"""Explanations of mask values that differ from the description: label ids, off by one, swapped channels and others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import gcd

from fassd.core.arrays import IGNORE
from fassd.core.labels import CAMVID, CAMVID_32, CITYSCAPES, CITYSCAPES_CLASSES, LabelSpace
from fassd.data.mask_encoding import MaskEncoding, color_of_value, value_of_color

Table = Mapping[int, int]
"""The correct mask value for each value found."""

_MIN_GRAYS = 4
"""Number of grays that are unlikely to be those of the classes' colors by chance."""
_MAX_CHANCE = 0.02
"""Largest probability that values are multiples of a factor by chance."""
_INSTANCES = 1000
"""In instanceIds files, an object's value is 1000 * label id + its number."""


@dataclass(frozen=True)
class Explanation:
    """A reason for the values of some masks.

    Attributes:
        kind: the row of `FINDING_KINDS`.
        found: what the values are.
        fix: what to do.
        table: the correct value for each; empty where it is not certain.
    """

    kind: str
    found: str
    fix: str
    table: Table = field(default_factory=dict)


def explain_values(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    """The most likely reason for unknown values.

    Args:
        values: all values of masks with a common cause, at least one of them unknown.
        encoding: the known values.
        space: the classes.

    Returns:
        None where no known reason explains all values.
    """
    reasons: tuple[Callable[[frozenset[int], MaskEncoding, LabelSpace], Explanation | None], ...]
    if encoding.by_color:
        reasons = (_exchanged_channels, _other_palette)
    else:
        reasons = (black_and_white, _instance_ids, train_ids, _label_ids, _off_by_one, _stretched, _luminances)
    return next((found for reason in reasons if (found := reason(values, encoding, space))), None)


def explain_grays(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Table:
    """The color for each value of a mask that should hold colors; empty where some value is no class."""
    if not all(value < len(space) or value == IGNORE for value in values):
        return {}
    places = value_of_class(encoding)
    table = {label: places[label] for label in range(len(space)) if label in places}
    return {**table, IGNORE: places[IGNORE]} if IGNORE in places else table


def explain_colors(colors: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> tuple[str, Table]:
    """Explains colors in place of values.

    Returns:
        Their origin ("gray" for three equal channels, "" if unknown), and the value for each.
    """
    places = value_of_class(encoding)
    for source, palette in _palettes(space):
        if colors <= palette.keys():
            return source, {color: places[label] for color, label in palette.items() if label in places}
    grays = {color & 255 for color in colors}
    if all(len(set(color_of_value(color))) == 1 for color in colors) and grays <= encoding.classes.keys():
        return "gray", {value_of_color((value, value, value)): value for value in encoding.classes if value < 256}
    return "", {}


def value_of_class(encoding: MaskEncoding) -> dict[int, int]:
    """The lowest value of each class, IGNORE included."""
    places: dict[int, int] = {}
    for value, label in sorted(encoding.classes.items()):
        places.setdefault(label, value)
    if encoding.classes.get(IGNORE) == IGNORE and not encoding.by_color:
        places[IGNORE] = IGNORE
    return places


def black_and_white(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    """Black and white: only 0 and 255, of which 255 would be ignored; also where both are known values."""
    if not {IGNORE} <= values <= {0, IGNORE} or len(space) < 2 or 0 not in encoding.classes:
        return None
    if encoding.classes.get(IGNORE, IGNORE) != IGNORE:
        return None  # 255 is a class.
    second = value_of_class(encoding).get(1)
    if len(space) == 2 and second is not None:
        return Explanation(
            "black-and-white",
            "only 0 and 255",
            f"write {second} in place of 255; --fix does it",
            {0: 0, IGNORE: second},
        )
    return Explanation("black-and-white", "only 0 and 255", "export the masks again with one value for each class")


def _instance_ids(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    label_ids = {row.label_id for row in CITYSCAPES_CLASSES if row.label_id >= 0}
    if max(values) < _INSTANCES or space.names != CITYSCAPES.names:
        return None
    classes = {value: value // _INSTANCES if value >= _INSTANCES else value for value in values}
    if not set(classes.values()) <= label_ids:
        return None
    by_label_id = _values_by_label_id(encoding)
    table = {value: by_label_id[label_id] for value, label_id in classes.items()}
    fix = "use the labelIds or labelTrainIds files as masks; --fix divides the values by 1000"
    return Explanation("instance-ids", "instanceIds of Cityscapes (class x 1000 + number)", fix, table)


def train_ids(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    """Train ids where label ids of Cityscapes were expected."""
    wanted = {row.label_id: row.train_id for row in CITYSCAPES_CLASSES if not row.ignored}
    if space.names != CITYSCAPES.names or not holds_label_ids(encoding) or not values <= {*range(len(space)), IGNORE}:
        return None
    table = {train_id: label_id for label_id, train_id in wanted.items()} | {IGNORE: 0}
    fix = "name the files labelTrainIds, or describe them as train ids; --fix converts them"
    return Explanation("train-ids", "train ids of Cityscapes (0-18, 255)", fix, table)


def _label_ids(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    label_ids = {row.label_id for row in CITYSCAPES_CLASSES if row.label_id >= 0}
    unknown = values - {IGNORE}  # license plates, -1, become 255 in 8 bits
    if space.names != CITYSCAPES.names or holds_label_ids(encoding):
        return None
    if not unknown <= label_ids or max(unknown) <= len(space):
        return None
    table = _values_by_label_id(encoding) | {IGNORE: value_of_class(encoding).get(IGNORE, IGNORE)}
    fix = "convert them to labelTrainIds, or describe the label ids under [mask_values]; --fix converts them"
    return Explanation("label-ids", "labelIds of Cityscapes (0-33)", fix, table)


def _off_by_one(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    # An ignored value next to the classes (CamVid's 11) is shifted with them; 255 is not.
    table = _raised_table(encoding)
    top = max(table)
    if top not in values or 0 in values or not values - {IGNORE} <= table.keys():
        return None
    return one_too_high(encoding, f"values 1 to {top}, never 0")


def one_too_high(encoding: MaskEncoding, found: str) -> Explanation:
    """Values that count from 1; a 0 among them means "no class"."""
    table = {**_raised_table(encoding), IGNORE: IGNORE}
    if IGNORE in value_of_class(encoding):
        table[0] = value_of_class(encoding)[IGNORE]
    return Explanation("off-by-one", found, "subtract 1 from every value below 255; --fix does it", table)


def _raised_table(encoding: MaskEncoding) -> dict[int, int]:
    """A table from each value plus 1 to that value, without 255."""
    return {value + 1: value for value in encoding.classes if value != IGNORE}


def one_too_low(encoding: MaskEncoding, found: str) -> Explanation:
    """Values that count from 0 where 1 is the first class."""
    classes = [value for value, label in encoding.classes.items() if value not in (0, IGNORE) and label != IGNORE]
    table = {value - 1: value for value in classes}
    # 255 stays, unless 0 is a class and may have become 255.
    if IGNORE in encoding.classes and encoding.classes.get(0, IGNORE) == IGNORE:
        table[IGNORE] = IGNORE
    return Explanation("off-by-one", found, "add 1 to every value below 255; --fix does it", table)


def _stretched(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    small = sorted(value for value in encoding.classes if value != IGNORE)
    fitting = [
        (factor, table)
        for factor, table in _stretches(values, small)
        if values <= table.keys() and _chance(values, table) < _MAX_CHANCE
    ]
    if not fitting:
        return None
    factor, table = fitting[0]
    found = f"values that are {factor:g} times a class"
    if any(other[value] != table[value] for _, other in fitting for value in values):
        return Explanation(
            "stretched-values", found, f"divide the values by {factor:g}, or what they were multiplied by"
        )
    return Explanation("stretched-values", found, f"divide the values by {factor:g}; --fix does it", table)


def _chance(values: frozenset[int], table: Table) -> float:
    """Probability that random values all occur in the table."""
    telling = values - {0, IGNORE}
    return (sum(value <= max(telling) for value in table) / (max(telling) + 1)) ** len(telling) if telling else 1.0


def _stretches(values: frozenset[int], small: list[int]) -> Iterable[tuple[float, Table]]:
    """Possible factors with the table that undoes each; the ignored value may be multiplied or not."""
    for kept in ({IGNORE}, set[int]()):
        telling = values - kept - {0}
        back = dict.fromkeys(kept, IGNORE)
        # Any value is a multiple of some number; only several with a common factor are evidence.
        common = gcd(*telling) if len(telling) > 2 else 1
        for factor in range(common, 1, -1):
            if common % factor == 0:
                yield factor, back | {value * factor: value for value in (*small, IGNORE)}
        for top in (255, 65535) if len(telling) > 1 else ():
            for last in range(max(1, len(small) - 2), len(small) + 2):
                table = {value * top // last: value for value in small} | {
                    round(value * top / last): value for value in small
                }
                yield top / last, back | table


def _luminances(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    """Colors of the classes, converted to gray."""
    places = value_of_class(encoding)
    for source, palette in _palettes(space):
        behind = defaultdict[int, set[int]](set)
        for color, label in palette.items():
            behind[_luminance(color)].add(label)
        if len(values) < _MIN_GRAYS or not values <= behind.keys():
            continue
        found = f"the colors of {source}, turned into gray"
        table = {gray: places[label] for gray, (label, *others) in behind.items() if not others and label in places}
        if values <= table.keys():
            fix = "write the classes' values, or the colors, in place of grays; --fix writes values"
            return Explanation("colors-for-values", found, fix, table)
        return Explanation("colors-for-values", found, "export the masks again; some classes have the same gray")
    return None


def _luminance(color: int) -> int:
    """Gray of a color as Pillow computes it (ITU-R BT.601, weights in steps of 1/65536)."""
    red, green, blue = color_of_value(color)
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


def _exchanged_channels(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    swapped = {value: value_of_color(color_of_value(value)[::-1]) for value in encoding.classes}
    table = {found: value for value, found in swapped.items()}
    if not values <= table.keys():
        return None
    fix = "save the masks as RGB, not BGR; --fix swaps the channels"
    return Explanation("unknown-values", "the classes' colors with red and blue swapped", fix, table)


def _other_palette(values: frozenset[int], encoding: MaskEncoding, space: LabelSpace) -> Explanation | None:
    places = value_of_class(encoding)
    for source, palette in _palettes(space):
        if values <= palette.keys() and set(palette.values()) <= places.keys():
            table = {color: places[label] for color, label in palette.items()}
            fix = "list these colors under [mask_values]; --fix converts them"
            return Explanation("unknown-values", f"colors of {source}", fix, table)
    return None


def holds_label_ids(encoding: MaskEncoding) -> bool:
    """Whether masks hold label ids of Cityscapes, as opposed to train ids."""
    return not encoding.by_color and encoding.classes.get(7) == 0 and encoding.classes.get(26) == 13


def _values_by_label_id(encoding: MaskEncoding) -> dict[int, int]:
    places = value_of_class(encoding)
    rows = [row for row in CITYSCAPES_CLASSES if row.label_id >= 0]
    if holds_label_ids(encoding):
        return {row.label_id: row.label_id for row in rows if row.label_id in encoding.classes}
    return {row.label_id: places[IGNORE if row.ignored else row.train_id] for row in rows}


def _palettes(space: LabelSpace) -> Iterable[tuple[str, dict[int, int]]]:
    """Known palettes of a label space: their origin, and the class of each color that only one class has."""
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
                for _, color, merged in CAMVID_32
            },
        )
