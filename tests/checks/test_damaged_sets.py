"""Data sets damaged on purpose: each damage is found, named by file and cause, and met with the right advice.

`python -m tests.checks.test_damaged_sets` prints the table of all damages, found and missed.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from _pytest.mark import ParameterSet
from tests.checks.damages import DAMAGES
from tests.checks.harmless import HARMLESS, UNUSABLE
from tests.checks.scenes import (
    BUILDING,
    CAR,
    MAKERS,
    PAVEMENT,
    PERSON,
    POLE,
    ROAD,
    SIGN,
    SKY,
    SPLITS,
    TREE,
    Scene,
    photographed,
)
from tests.checks.town import Culprit, Damage, Town

from fassd.checks.check import CheckResult
from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.checks.repair import RepairResult, repair
from fassd.cli.main import run
from fassd.core.arrays import IGNORE
from fassd.core.errors import FassdError
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image
from fassd.media.masks import read_values
from fassd.tasks.check import check

Array = np.ndarray[Any, Any]

NOT_COMPARED = {"turned-by-exif"}
"""Kinds whose repair changes labels rightly: the mask is turned as its image is."""


@dataclass(frozen=True)
class Case:
    """A damaged set, checked."""

    spec: str
    culprits: Sequence[Culprit]
    checked: CheckResult


def spec_of(form: str, root: Path) -> str:
    """What --data says of a set in this form."""
    return f"{form if form in ('camvid', 'cityscapes') else 'folder'}:{root}"


def damaged(damage: Damage, root: Path) -> Case:
    """Makes a healthy set at `root`, damages and checks it."""
    MAKERS[damage.on](root)
    culprits = damage.do(Town(root, damage.on))
    spec = spec_of(damage.on, root)
    return Case(spec, culprits, check(spec, processes=1))


def judge(damage: Damage, case: Case) -> list[str]:
    """What is wrong about the report of a damage; nothing if it was found, named and met with the right advice."""
    about = [one for one in case.checked.findings if one.kind.severity == damage.severity]
    right = [one for one in about if one.kind.name in damage.kinds]
    faults = case.checked.errors if damage.severity == "info" else [one for one in about if one not in right]
    named = _named(right)
    wrong = [] if right else ["is not found"]
    wrong += [f"is also called {one.kind.name}: {one.found}" for one in faults]
    wrong += [f"names none of {sorted(map(str, culprit))}" for culprit in case.culprits if not culprit & named]
    innocent = named - frozenset().union(*case.culprits)
    wrong += [f"accuses {path}" for path in sorted(innocent)]
    if right and not any(re.search(damage.fix, one.fix) for one in right):
        wrong.append(f"advises '{right[0].fix}'")
    return wrong


def _named(findings: Sequence[Finding]) -> set[Path]:
    return {path for one in findings for path in (*one.files, one.related_file) if path is not None}


def content(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def repair_faults(damage: Damage, case: Case, out: Path) -> list[str]:
    """What is wrong with the corrected copy."""
    before = content(Path(case.spec.partition(":")[2]))
    try:
        repaired = repair(case.checked, out)
    except FassdError as error:
        # Of a set without a sound pair nothing is left.
        refused = not damage.fixed and "nothing" in str(error) and not out.exists()
        return [] if refused else [f"cannot be repaired: {error}"]
    try:
        again = check(repaired.spec, processes=1)
    except FassdError as error:
        return [f"the copy is no data set: {error}"]
    wrong = ["the original was touched"] if content(Path(case.spec.partition(":")[2])) != before else []
    left = {one.kind.name for one in repaired.remaining}
    wrong += [
        f"the copy has the fault {one.kind.name}: {one.found}" for one in again.errors if one.kind.name not in left
    ]
    wrong += [f"the fault {name} is left" for name in left] if damage.fixed else []
    if damage.fixed and not NOT_COMPARED & set(damage.kinds):
        wrong += _other_labels(damage, repaired, out)
    return wrong


def _other_labels(damage: Damage, repaired: RepairResult, out: Path) -> list[str]:
    """Mended masks must mean what the healthy ones meant."""
    wrong = []
    healthy = out.with_name(f"{out.name}-healthy")
    MAKERS[damage.on](healthy)
    for split in SPLITS:
        sound, fixed = open_dataset(spec_of(damage.on, healthy), split), open_dataset(repaired.spec, split)
        if [pair.name for pair in sound.pairs] != [pair.name for pair in fixed.pairs]:
            wrong.append(f"the copy of {split} has other pairs")
            continue
        for one, other in zip(sound, fixed, strict=True):
            if not np.array_equal(one.labels, other.labels):
                wrong.append(f"{one.name} has other labels")
    return wrong


# ---------------------------------------------------------------------------------------------------- tests

_FIRST = {damage.kinds[0]: damage.name for damage in reversed(DAMAGES)}
"""Of each kind the first damage; these run in the quick suite."""


def _rows(quick: Callable[[Damage], bool]) -> list[ParameterSet]:
    found = [one for one in DAMAGES if one.found]
    return [pytest.param(one, id=one.name, marks=[] if quick(one) else [pytest.mark.slow]) for one in found]


FOUND = _rows(lambda one: _FIRST[one.kinds[0]] == one.name)
REPAIRED = _rows(lambda one: _FIRST[one.kinds[0]] == one.name and one.fixed)


@pytest.fixture(scope="session")
def case_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Damage], Case]:
    """A damaged set, made and checked once; not to be changed."""
    made: dict[str, Case] = {}

    def get(damage: Damage) -> Case:
        if damage.name not in made:
            made[damage.name] = damaged(damage, tmp_path_factory.mktemp("damaged") / "set")
        return made[damage.name]

    return get


@pytest.mark.parametrize("form", MAKERS)
def test_a_healthy_set_has_no_fault(tmp_path: Path, form: str) -> None:
    assert not check(MAKERS[form](tmp_path), processes=1).errors


@pytest.mark.parametrize("damage", FOUND)
def test_the_damage_is_found_and_named_with_its_fix(case_of: Callable[[Damage], Case], damage: Damage) -> None:
    assert not judge(damage, case_of(damage))


@pytest.mark.parametrize("damage", REPAIRED)
def test_a_corrected_copy_has_no_fault_that_was_fixed(
    case_of: Callable[[Damage], Case], tmp_path: Path, damage: Damage
) -> None:
    assert not repair_faults(damage, case_of(damage), tmp_path / "copy")


def test_nearly_every_damage_is_found() -> None:
    missed = [one for one in DAMAGES if not one.found]
    assert all(one.why for one in missed)
    assert len(DAMAGES) - len(missed) >= 40
    assert len(missed) <= 0.05 * len(DAMAGES)


def test_every_kind_of_finding_is_provoked() -> None:
    provoked = {kind for one in DAMAGES if one.found for kind in one.kinds}
    elsewhere = {"no-such-split", "partially-annotated", "skipped-file", "animated-image", "not-compared"}
    assert not set(FINDING_KINDS) - provoked - elsewhere
    assert provoked <= set(FINDING_KINDS)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_is_no_fault(tmp_path: Path, name: str) -> None:
    form, do = HARMLESS[name]
    MAKERS[form](tmp_path)
    do(Town(tmp_path, form))
    checked = check(spec_of(form, tmp_path), processes=1)
    assert not checked.errors
    assert not any(one.table or one.tables or one.turn for one in checked.findings)


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_no_data_set_is_refused_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    form, do, said = UNUSABLE[name]
    MAKERS[form](tmp_path)
    do(tmp_path)
    assert run(["data", "check", spec_of(form, tmp_path)]) == 2
    assert re.search(said, capsys.readouterr().err.replace("\n", " "))


@pytest.mark.parametrize(
    ("damage", "code"), [(None, 0), ("a mask has half the size", 1), ("instanceIds are missing", 0)]
)
def test_the_exit_code_says_whether_there_are_faults(tmp_path: Path, damage: str | None, code: int) -> None:
    if damage is None:
        spec = MAKERS["values"](tmp_path)
    else:
        row = next(one for one in DAMAGES if one.name == damage)
        spec = damaged(row, tmp_path / "set").spec
    assert run(["data", "check", spec]) == code


# CamVid's classes as those of the drawn streets: fences as buildings, riders as people.
_FROM_CAMVID = (SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, BUILDING, CAR, PERSON, PERSON)


def camvid_frames(data_root: Path, seed: int = 0) -> list[Scene]:
    """40 real frames with the classes of the drawn streets."""
    camvid = data_root / "camvid"
    if not camvid.is_dir():
        pytest.skip("FASSD_DATA has no folder camvid")
    table, frames = np.full(256, IGNORE, np.uint8), []
    table[: len(_FROM_CAMVID)] = _FROM_CAMVID
    images = sorted((camvid / "train").glob("*.jpg"))
    for number in np.random.default_rng(seed).permutation(len(images))[:40]:
        mask = camvid / "trainannot" / f"{images[number].stem}.png"
        frames.append(Scene(read_image(images[number]), table[read_values(mask)]))
    return frames


@pytest.mark.slow
def test_on_real_frames_nearly_every_damage_is_found_too(data_root: Path, tmp_path: Path) -> None:
    frames = camvid_frames(data_root)
    amiss = {}
    for number, damage in enumerate(one for one in DAMAGES if one.found):
        with photographed(frames):
            if wrong := judge(damage, damaged(damage, tmp_path / str(number))):
                amiss[damage.name] = wrong
        shutil.rmtree(tmp_path / str(number))
    assert len(amiss) <= 0.05 * len(DAMAGES), amiss


MOVES: dict[str, Callable[[Array], Array]] = {
    "mirrored": lambda values: values[:, ::-1],
    "upside down": lambda values: values[::-1],
    "by 40 pixels": lambda values: np.roll(values, 40, 1),
    "by 20 rows": lambda values: np.roll(values, -20, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("move", MOVES)
def test_masks_moved_under_real_frames_are_found(data_root: Path, tmp_path: Path, move: str) -> None:
    camvid = data_root / "camvid"
    if not camvid.is_dir():
        pytest.skip("FASSD_DATA has no folder camvid")
    masks = sorted((camvid / "trainannot").glob("*.png"))[::15]
    for folder in ("train", "trainannot"):
        (tmp_path / folder).mkdir()
    for number, mask in enumerate(masks):
        shutil.copy(next((camvid / "train").glob(f"{mask.stem}.*")), tmp_path / "train")
        with PIL.Image.open(mask) as picture:
            values = np.array(picture)
        changed = MOVES[move](values) if number % 8 == 0 else values
        PIL.Image.fromarray(np.ascontiguousarray(changed)).save(tmp_path / "trainannot" / mask.name)
    named = {path.name for path in _named(check(f"camvid:{tmp_path}", processes=1).errors)}
    assert named == {mask.name for mask in masks[::8]}


def test_checking_leaves_no_trace(tmp_path: Path) -> None:
    spec = MAKERS["cityscapes"](tmp_path)
    before = content(tmp_path)
    check(spec, processes=1)
    assert content(tmp_path) == before


def _table() -> None:
    print("| damage | form | kind | found and named, right fix | corrected copy |\n| --- | --- | --- | --- | --- |")
    counts = {"right": 0, "fixed": 0}
    for damage in DAMAGES:
        folder = Path(tempfile.mkdtemp())
        try:
            case = damaged(damage, folder / "set")
            wrong = judge(damage, case)
            amiss = repair_faults(damage, case, folder / "copy")
        except Exception as error:
            wrong = amiss = [f"ends with {error!r}"]
        finally:
            shutil.rmtree(folder)
        counts["right"] += damage.found and not wrong
        counts["fixed"] += damage.fixed and not amiss
        found = damage.why or "; ".join(wrong) or "yes"
        fixed = "; ".join(amiss) or ("as healthy as before" if damage.fixed else "what is left is said")
        print(f"| {damage.name} | {damage.on} | {damage.kinds[0]} | {found} | {fixed} |")
    kinds = len({damage.kinds[0] for damage in DAMAGES})
    print(f"\n{counts['right']} of {len(DAMAGES)} damages of {kinds} kinds found; {counts['fixed']} fixed whole")


if __name__ == "__main__":
    PIL.Image.init()
    _table()
