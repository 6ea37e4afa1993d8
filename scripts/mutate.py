"""Mutation testing: changes one place of the program at a time and runs the tests that should notice.

Draws places at random (seeded) from the rooms that decide whether results are right, and changes each by one of
cosmic-ray's operators: another comparison, another number, `not` before a condition, a loop that never runs. A mutant
is killed when a test fails or exceeds the time limit; otherwise it survives. Annotations and decorators stay.

    python scripts/mutate.py --mutants 300 --out mutation.json     # run again to resume
    python scripts/mutate.py --again mutation.json     # only the survivors of that report, after new tests
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src/fassd")

_TESTS_BY_KERNELS = [
    "tests/training/test_loss.py",
    "tests/training/test_loss_gradient.py",
    "tests/data/test_transforms.py",
]
ROOMS = {
    "metrics": ["tests/metrics", "tests/scoring"],
    "scoring": ["tests/scoring", "tests/cli/test_evaluate_command.py"],
    "exports": ["tests/exports", "tests/tasks/test_export.py", "tests/cli/test_export.py"],
    "checks": ["tests/checks", "tests/cli/test_data_check.py"],
    "runtimes": ["tests/runtimes", "tests/tasks/test_export.py", "tests/cli/test_runtimes.py"],
    "kernels": ["tests/kernels", "tests/metrics", *_TESTS_BY_KERNELS],
    "networks": ["tests/networks", "tests/runtimes/test_graphs.py", "tests/tasks/test_convert.py"],
}
"""The tests of each room, the likeliest to notice first."""

# `x == None` for `x is None`, and likewise with small numbers and words: the same answers.
_EQUIVALENT = {"Is_Eq", "IsNot_NotEq", "Eq_Is", "NotEq_IsNot"}
# No change, a change of decorators, and one that fails at dotted names.
_LEFT_OUT = {"core/NoOp", "core/RemoveDecorator", "core/ExceptionReplacer"}
_LIMIT_FACTOR, _LIMIT_EXTRA_S = 3, 30


@dataclass(frozen=True)
class Mutant:
    """A change of one place.

    Attributes:
        room: of the package.
        file: relative to the project.
        line: from 1.
        operator: cosmic-ray's name of the change.
        occurrence: which of the places that the operator finds in the file.
    """

    room: str
    file: str
    line: int
    operator: str
    occurrence: int


@dataclass(frozen=True)
class Outcome:
    """What the tests made of a mutant: "killed", "timeout" (killed as well) or "survived"."""

    mutant: Mutant
    result: str
    seconds: float
    diff: str


def main() -> int:
    """Draws or reads mutants, tests them, writes and prints the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=300, help="How many.")
    parser.add_argument("--seed", type=int, default=0, help="Of the draw.")
    parser.add_argument("--room", action="append", choices=list(ROOMS), help="Only these rooms; may be repeated.")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="Mutants tested at once.")
    parser.add_argument("--out", type=Path, default=Path("mutation.json"), help="The report.")
    parser.add_argument("--again", type=Path, help="Test only the survivors of this report, and update it.")
    asked = parser.parse_args()
    earlier: list[Outcome] = []
    if asked.again:
        asked.out = asked.again
        earlier = _read(asked.again)
        places = {(one.file, one.operator, one.occurrence): one for one, _ in _mutants_of(list(ROOMS))}
        mutants = [found for one in earlier if one.result == "survived" and (found := _same_place(one, places))]
        earlier = [one for one in earlier if one.result != "survived"]
    else:
        mutants = draw(asked.room or list(ROOMS), asked.mutants, asked.seed)
    if not asked.again and asked.out.is_file():
        done = _read(asked.out)
        earlier = [one for one in done if one.mutant in mutants]
        mutants = [one for one in mutants if one not in {outcome.mutant for outcome in earlier}]
    outcomes = list(earlier)
    with tempfile.TemporaryDirectory(prefix="fassd-mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(asked.workers):
            copies.put(_copy_of_project(Path(folder) / str(number)))
        limits = _time_limits({one.room for one in mutants}, copies)
        with ThreadPoolExecutor(asked.workers) as pool:
            for number, outcome in enumerate(pool.map(lambda one: _test(one, copies, limits), mutants), 1):
                outcomes.append(outcome)
                where = f"{outcome.mutant.file}:{outcome.mutant.line}"
                print(f"{number}/{len(mutants)} {outcome.result:8} {outcome.seconds:5.0f} s  {where}", flush=True)
                _write(asked.out, asked.seed, outcomes)
    _print(outcomes)
    return 0


def draw(rooms: list[str], count: int, seed: int) -> list[Mutant]:
    """Mutants of different places, each place as likely as any other, whatever can be done to it."""
    by_place: dict[tuple[str, int, int], list[Mutant]] = {}
    for mutant, place in _mutants_of(rooms):
        by_place.setdefault(place, []).append(mutant)
    chance = random.Random(seed)
    places = chance.sample(sorted(by_place), min(count, len(by_place)))
    return [chance.choice(by_place[place]) for place in places]


def _same_place(outcome: Outcome, places: dict[tuple[str, str, int], Mutant]) -> Mutant | None:
    """The mutant of an earlier report in today's source; None where the line is gone or another."""
    found = places.get((outcome.mutant.file, outcome.mutant.operator, outcome.mutant.occurrence))
    return found if found and _diff(found, (ROOT / found.file).read_text(encoding="utf-8")) == outcome.diff else None


def _mutants_of(rooms: list[str]) -> Iterator[tuple[Mutant, tuple[str, int, int]]]:
    names = [
        name
        for name in cosmic_ray.plugins.operator_names()
        if not cosmic_ray.plugins.get_operator(name).arguments()
        and name.rpartition("Operator_")[2] not in _EQUIVALENT
        and name not in _LEFT_OUT
    ]
    for room in rooms:
        for path in sorted((ROOT / PACKAGE / room).glob("*.py")):
            source = path.read_text(encoding="utf-8")
            fixed = _left_alone(source)
            nodes = list(ast_nodes(get_ast(source)))
            for name in names:
                operator = cosmic_ray.plugins.get_operator(name)()
                places = [place for node in nodes for place in operator.mutation_positions(node)]
                for occurrence, (start, _) in enumerate(places):
                    if not any(first <= start < last for first, last in fixed):
                        file = str(path.relative_to(ROOT))
                        yield Mutant(room, file, start[0], name, occurrence), (file, *start)


def _left_alone(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where annotations, decorators and type aliases stand: line from 1, column from 0."""
    found: list[ast.expr | ast.stmt] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found += node.decorator_list
        if isinstance(node, ast.FunctionDef) and node.returns:
            found.append(node.returns)
        if isinstance(node, ast.arg) and node.annotation:
            found.append(node.annotation)
        if isinstance(node, ast.AnnAssign):
            found.append(node if "TypeAlias" in ast.unparse(node.annotation) else node.annotation)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            found.append(node)
    return [((one.lineno, one.col_offset), (one.end_lineno or 0, one.end_col_offset or 0)) for one in found]


def _copy_of_project(folder: Path) -> Path:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in files:
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _time_limits(rooms: set[str], copies: SimpleQueue[Path]) -> dict[str, float]:
    """Seconds that a room's tests may take with a mutant, from what they take without; they must pass."""

    def limit(room: str) -> float:
        copy, since = copies.get(), time.monotonic()
        code = _run(room, copy, None)
        copies.put(copy)
        if code != 0:
            raise SystemExit(f"the tests of {room} fail without any mutant (exit code {code}); mend them first")
        print(f"{room}: its tests pass in {time.monotonic() - since:.0f} s", flush=True)
        return _LIMIT_FACTOR * (time.monotonic() - since) + _LIMIT_EXTRA_S

    with ThreadPoolExecutor(copies.qsize()) as pool:
        return dict(zip(sorted(rooms), pool.map(limit, sorted(rooms)), strict=True))


def _run(room: str, copy: Path, limit: float | None, file: str = "") -> int | None:
    """Exit code of a room's tests in a copy of the project, those named after a file first; None where time ran out."""
    nearest = [f"tests/{room}/test_{Path(file).stem}.py"]
    tests = [*(name for name in nearest if (copy / name).is_file()), *ROOMS[room]]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["XDG_CACHE_HOME"] = str(copy / ".cache")
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=copy, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):  # the tests' own processes end with them
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _test(mutant: Mutant, copies: SimpleQueue[Path], limits: dict[str, float]) -> Outcome:
    copy = copies.get()
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    since = time.monotonic()
    try:
        path.write_text(_mutated(mutant, source), encoding="utf-8")
        code = _run(mutant.room, copy, limits[mutant.room], mutant.file)
    finally:
        path.write_text(source, encoding="utf-8")
        copies.put(copy)
    result = "timeout" if code is None else "survived" if code == 0 else "killed"
    return Outcome(mutant, result, round(time.monotonic() - since, 1), _diff(mutant, source))


def _mutated(mutant: Mutant, source: str) -> str:
    operator = cosmic_ray.plugins.get_operator(mutant.operator)()
    mutated = mutate_code(source, operator, mutant.occurrence)
    assert mutated is not None and mutated != source, mutant
    return str(mutated)


def _diff(mutant: Mutant, source: str) -> str:
    lines = difflib.unified_diff(source.splitlines(), _mutated(mutant, source).splitlines(), n=0, lineterm="")
    return "\n".join([line for line in lines if not line.startswith(("---", "+++", "@@"))])


def _read(path: Path) -> list[Outcome]:
    outcomes = json.loads(path.read_text(encoding="utf-8"))["outcomes"]
    return [Outcome(Mutant(**one.pop("mutant")), **one) for one in outcomes]


def _write(path: Path, seed: int, outcomes: list[Outcome]) -> None:
    report = {"seed": seed, "outcomes": [asdict(one) for one in outcomes]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _print(outcomes: list[Outcome]) -> None:
    for one in outcomes:
        if one.result == "survived":
            print(f"\n{one.mutant.file}:{one.mutant.line} {one.mutant.operator}\n{one.diff}")
    print()
    all_, alive = Counter(one.mutant.room for one in outcomes), Counter[str]()
    alive.update(one.mutant.room for one in outcomes if one.result == "survived")
    for room, count in [*all_.items(), ("all", len(outcomes))]:
        killed = count - (alive.total() if room == "all" else alive[room])
        print(f"{room:10} {killed:4} of {count:4} killed  {100 * killed / count:5.1f} %")


if __name__ == "__main__":
    sys.exit(main())
