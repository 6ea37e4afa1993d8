"""A run's folder: recipe, logs, training states, the best checkpoint, and a page that explains them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fassd.core.errors import FileError, UsageError
from fassd.core.files import written_whole
from fassd.core.recipe import Recipe, read_recipe, recipe_as_toml
from fassd.core.renamed import LOG_EVENTS, LOG_KEYS, run_info_with_new_keys
from fassd.training.state import States

_ITERATIONS, _VALIDATIONS, _LOG = "updates.csv", "validations.csv", "log.jsonl"


class RunInfo(msgspec.Struct, frozen=True):
    """How a run was started, beside its recipe: `--resume` takes it from here.

    Attributes:
        recipe_name: the recipe as it was named.
        overrides: the options that replaced some of its values.
        data: data sets as "kind:PATH"; of a pre-training its folder.
        version: of fassd.
        init_weights, encoder_weights: that it started from.
    """

    recipe_name: str
    overrides: dict[str, Any]
    data: list[str]
    version: str
    init_weights: str | None = None
    encoder_weights: str | None = None


class Run:
    """The folder of one training run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states = States(folder / "states")
        self.best_path = folder / "best.safetensors"
        self.recipe_path = folder / "recipe.toml"
        self.readme_path = folder / "README.md"
        self.samples_folder = folder / "samples"
        self._info_path = folder / "run.json"

    def check_free(self) -> None:
        """Refuses a folder that holds a run already.

        Raises:
            UsageError: it does.
        """
        if self.states.paths() or self.best_path.exists():
            raise UsageError(f"{self.folder} holds a run already: add --resume to continue it, or choose another --out")

    def start(self, recipe: Recipe, info: RunInfo, readme: str) -> None:
        """Makes the folder and writes what determines the run.

        Raises:
            UsageError: the folder holds a run already.
            FileError: it cannot be written.
        """
        self.check_free()
        _write(self._info_path, msgspec.json.format(msgspec.json.encode(info)).decode())
        _write(self.recipe_path, recipe_as_toml(recipe))
        _write(self.readme_path, readme)
        # Left by a run that was killed before its first state.
        self._remove_temporary_files()
        for name in (_ITERATIONS, _VALIDATIONS, _LOG):
            (self.folder / name).unlink(missing_ok=True)

    def recipe(self) -> Recipe:
        """The effective recipe of the run.

        Raises:
            UsageError: there is no run in the folder.
        """
        if not self.recipe_path.is_file():
            raise UsageError(f"{self.folder} holds no training state to resume; omit --resume to start a run")
        return read_recipe(self.recipe_path, earlier=True)

    def info(self) -> RunInfo:
        """How the run was started. Files of earlier versions are read too.

        Raises:
            FileError: `run.json` is missing or damaged.
        """
        try:
            values = msgspec.json.decode(self._info_path.read_bytes())
            return msgspec.convert(run_info_with_new_keys(values), RunInfo)
        except (OSError, msgspec.MsgspecError) as error:
            raise FileError(self._info_path, f"is damaged ({error}); give recipe and --data again") from None

    def log_iteration(self, iteration: int, loss: float, grad_norm: float, lr: float, images_per_second: float) -> None:
        """Adds an iteration to `updates.csv` and `log.jsonl`."""
        row = {
            "iteration": iteration,
            "loss": loss,
            # float16 overflows now and then, and JSON has no infinity.
            "grad_norm": grad_norm if math.isfinite(grad_norm) else None,
            "lr": lr,
            "images_per_second": round(images_per_second, 2),
        }
        self._log(_ITERATIONS, row, {"event": "iteration", **row})

    def log_validation(
        self, iteration: int, figures: dict[str, float], best: float, iou: dict[str, float | None] | None = None
    ) -> None:
        """Adds a validation to `validations.csv`, with a column for each figure and class, and to `log.jsonl`."""
        row = {"iteration": iteration, **figures, "best": best}
        line = {"event": "validated", **row, "iou": iou} if iou else {"event": "validated", **row}
        self._log(_VALIDATIONS, {**row, **(iou or {})}, line)

    def iterations(self) -> list[dict[str, float]]:
        """The rows of `updates.csv`."""
        return [_numbers(row) for row in _rows(self.folder / _ITERATIONS)]

    def validations(self) -> list[dict[str, float]]:
        """The rows of `validations.csv`; classes that did not occur are missing."""
        return [_numbers(row) for row in _rows(self.folder / _VALIDATIONS)]

    def truncate_logs(self, iteration: int, validated: int) -> None:
        """Removes log lines that are newer than a training state, and temporary files of a killed process.

        Logs of earlier versions get the column names of today.

        Args:
            iteration: of the state.
            validated: iteration of the state's last validation.
        """
        self._remove_temporary_files()
        for name, last in ((_ITERATIONS, iteration), (_VALIDATIONS, validated)):
            path = self.folder / name
            if path.is_file():
                rows = _rows(path)
                kept = [row for row in rows if int(row["iteration"]) <= last]
                _write(path, _csv(rows[0].keys(), kept) if kept else "")
        path = self.folder / _LOG
        if path.is_file():
            last_of = {"iteration": iteration, "validated": validated}
            lines = [line for line in map(_parsed, _complete_lines(path)) if line]
            kept_lines = [json.dumps(line) + "\n" for line in lines if line["iteration"] <= last_of[line["event"]]]
            _write(path, "".join(kept_lines))

    def _remove_temporary_files(self) -> None:
        """Removes files that a killed process had not finished, by the names that `written_whole` gives them."""
        for path in self.folder.rglob(".*-????????.*"):
            path.unlink(missing_ok=True)

    def _log(self, table: str, row: dict[str, Any], line: dict[str, Any]) -> None:
        path = self.folder / table
        has_header = path.is_file() and path.stat().st_size > 0
        _append(path, _csv(() if has_header else row.keys(), [row]))
        _append(self.folder / _LOG, json.dumps(line) + "\n")


def _csv(header: Iterable[str], rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(header)
    if names:
        writer.writerow(names)
    writer.writerows(row.values() for row in rows)
    return text.getvalue()


def _complete_lines(path: Path) -> list[str]:
    """The lines of a file but for a last one without an end, which a killed process may have left."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table, with the column names of today."""
    reader = csv.DictReader(_complete_lines(path))
    # Behind these columns, `validations.csv` has one for each class, whatever its name.
    keys = LOG_KEYS if path.name == _ITERATIONS else {"step": "iteration"}
    reader.fieldnames = [keys.get(name, name) for name in reader.fieldnames or ()]
    return list(reader)


def _numbers(row: dict[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if value}


def _parsed(line: str) -> dict[str, Any]:
    """A line of `log.jsonl` with the keys of today; empty if it is damaged."""
    try:
        parsed = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    values = {str(LOG_KEYS.get(key, key)): value for key, value in parsed.items()}
    return {**values, "event": LOG_EVENTS.get(values["event"], values["event"])}


def _write(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise FileError(path, f"cannot be written ({error.strerror}); free some space and use --resume") from None
