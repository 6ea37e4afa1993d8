"""What would stop a training after an hour is refused before it starts, by the file that would have stopped it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.checks.damages import DAMAGES
from tests.checks.harmless import HARMLESS
from tests.checks.scenes import MAKERS, SPLITS
from tests.checks.town import Damage, Town

from fassd.checks.quick_check import quick_check
from fassd.core.errors import FassdError, FileError
from fassd.data.open_dataset import open_dataset

ONLY_IN_PIXELS = {
    "an image is cut short",
    "an image lost its last bytes",
    "an image is broken in the middle",
    "a bit of an image has fallen over",
}
"""Nothing short of decoding every image finds these; `fassd data check` does."""

FATAL = {
    "missing-mask",
    "duplicate-stem",
    "empty-file",
    "unreadable-image",
    "unreadable-mask",
    "size-differs",
    "unknown-values",
    "colors-for-values",
    "values-for-colors",
    "jpeg-mask",
}
_FIRST = {damage.kinds[0]: damage.name for damage in reversed(DAMAGES) if damage.kinds[0] in FATAL}
ROWS = [
    pytest.param(one, id=one.name, marks=[] if _FIRST.get(one.kinds[0]) == one.name else [pytest.mark.slow])
    for one in DAMAGES
]


def _spec(form: str, root: Path) -> str:
    return f"{form if form in ('camvid', 'cityscapes') else 'folder'}:{root}"


def _beforehand(spec: str) -> FassdError | None:
    """What is said before the start."""
    try:
        for split in SPLITS:
            quick_check(open_dataset(spec, split))
    except FassdError as error:
        return error
    return None


def _later(spec: str) -> FassdError | None:
    """What reading every pair runs into."""
    try:
        for split in SPLITS:
            for _ in open_dataset(spec, split):
                pass
    except FassdError as error:
        return error
    return None


@pytest.mark.parametrize("damage", ROWS)
def test_what_would_fail_later_is_refused_beforehand(tmp_path: Path, damage: Damage) -> None:
    MAKERS[damage.on](tmp_path)
    culprits = damage.do(Town(tmp_path, damage.on))
    spec = _spec(damage.on, tmp_path)
    before, later = _beforehand(spec), _later(spec)
    assert bool(before) == (bool(later) and damage.name not in ONLY_IN_PIXELS)
    if isinstance(before, FileError) and culprits:
        assert before.path in frozenset().union(*culprits, {tmp_path})
        assert "\n" not in before.problem.replace(str(before.path), "")


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_is_not_refused(tmp_path: Path, name: str) -> None:
    form, do = HARMLESS[name]
    MAKERS[form](tmp_path)
    do(Town(tmp_path, form))
    assert _beforehand(_spec(form, tmp_path)) is _later(_spec(form, tmp_path)) is None
