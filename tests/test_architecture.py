"""The rules of the architecture: what loads what, and what the documents promise."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fassd
from fassd.core.recipe import read_recipe, shipped_recipes
from fassd.tasks.predict import FEW_IMAGES

PACKAGE = Path(fassd.__file__).parent
ROOT = PACKAGE.parents[1]
MODULES = sorted(PACKAGE.rglob("*.py"))
ATTICS = {"utils", "util", "common", "helpers", "misc"}
HEAVY = {"torch", "accelerate", "openvino", "onnx", "matplotlib", "tensorboard"}


def _loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    script = f"import sys\n{statement}\nprint('LOADED', *sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def _command(*arguments: object) -> str:
    return f"from fassd.cli.main import run\nassert run({[str(one) for one in arguments]}) == 0"


@pytest.mark.parametrize(
    "statement",
    [
        "import fassd",
        "import fassd.cli.main",
        _command("--help"),
        _command("--version"),
        *(_command(verb, "--help") for verb in ("predict", "evaluate", "train", "networks", "inspect", "convert")),
        _command("benchmark", "--help"),
        _command("pretrain", "--help"),
        _command("networks"),
        _command("networks", "--json"),
    ],
)
def test_starting_loads_nothing_heavy(statement: str) -> None:
    assert not _loaded_by(statement) & HEAVY


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_inspecting_loads_no_pytorch(tiny_weights: Path, options: tuple[str, ...]) -> None:
    assert not _loaded_by(_command("inspect", tiny_weights, *options)) & HEAVY


def test_help_loads_no_rich() -> None:
    assert "rich" not in _loaded_by(_command("--help"))


def test_predicting_a_few_images_loads_neither_pytorch_nor_numba(tiny_weights: Path, tmp_path: Path) -> None:
    """Loading Numba and its machine code takes longer than a few images; compiling it, seconds."""
    for count in range(1, 5):
        Image.fromarray(np.full((96, 128, 3), 40 * count, np.uint8)).save(tmp_path / f"{count}.png")
        loaded = _loaded_by(
            _command("predict", tmp_path / "*.png", "--weights", tiny_weights, "--out", tmp_path / "out")
        )
        assert not loaded & {"torch", "rich", "matplotlib"}
        assert ("numba" in loaded) == (count > FEW_IMAGES)


def test_import_alone_loads_no_dependency() -> None:
    assert not _loaded_by("import fassd") & {"numpy", "PIL", "click", "rich", "msgspec", "safetensors", "jaxtyping"}


def test_imports_point_down() -> None:
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("installed without the project's pyproject.toml")
    pytest.importorskip("importlinter")
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _imports(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports: at the top, inside functions, and for type checkers alike."""
    names = {".".join(one.relative_to(PACKAGE.parent).with_suffix("").parts) for one in MODULES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        if isinstance(node, ast.ImportFrom) and node.module:
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in names else node.module for name in below)


def test_no_file_imports_one_that_imports_it() -> None:
    edges = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): set(_imports(path))
        for path in MODULES
        if path.name not in ("__init__.py", "__main__.py")
    }
    assert sum(map(len, edges.values())) > 500
    # Kahn's algorithm: take away files that import no other that is left; only cycles remain.
    while free := [name for name, below in edges.items() if not below & edges.keys()]:
        for name in free:
            del edges[name]
    assert not edges


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_first_line_of_a_file_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or re.match(r'r?"""\S[^\n]{10,}', text)


def test_there_are_no_attics() -> None:
    assert not [path for path in PACKAGE.rglob("*") if path.stem in ATTICS]


def test_the_init_files_of_folders_are_empty() -> None:
    folders = [path for path in MODULES if path.name == "__init__.py" and path.parent != PACKAGE]
    assert len(folders) >= 8
    assert not [path for path in folders if path.read_text(encoding="utf-8").strip()]


@pytest.mark.parametrize("name", fassd.__all__)
def test_every_public_name_can_be_fetched(name: str) -> None:
    assert getattr(fassd, name) is not None
    assert name in dir(fassd)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fassd.nonsense


@pytest.mark.parametrize("name", list(shipped_recipes()))
def test_every_recipe_parses_and_opens_with_the_command_that_uses_it(name: str) -> None:
    path = shipped_recipes()[name]
    first, *following = path.read_text(encoding="utf-8").splitlines()
    assert re.match(rf"# fassd (pre)?train {re.escape(name)} --data ", first)
    assert "--out " in first
    comments = " ".join(line for line in following if line.startswith("#"))
    assert "time" in comments
    assert "mean IoU" in comments
    assert not re.search(r"\b(TIME|SCORE|TODO)\b", comments), "a placeholder is still to be filled in"
    assert read_recipe(path, {"network": "fassd-net"}).iterations > 0


def test_the_version_is_written_once() -> None:
    settings = ROOT / "pyproject.toml"
    if not settings.is_file():
        pytest.skip("installed without the project's pyproject.toml")
    project = tomllib.loads(settings.read_text(encoding="utf-8"))["project"]
    assert "version" in project["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*", fassd.__version__)
