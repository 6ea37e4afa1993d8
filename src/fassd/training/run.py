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
from fassd.core.renamed import run_info_with_new_keys
from fassd.training.state import States

_UPDATES, _VALIDATIONS, _LOG = "updates.csv", "validations.csv", "log.jsonl"


class RunInfo(msgspec.Struct, frozen=True):
    """How a run was begun, beside its recipe: what `--resume` need not be told again.

    Attributes:
        recipe_name: what was given as the recipe.
        overrides: the options that replaced some of its values.
        data: data sets as "kind:PATH".
        version: of fassd.
        init_weights, encoder_weights: of the network, or of its encoder, that it started from.
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
        self._beginning_path = folder / "run.json"

    def check_free(self) -> None:
        """Refuses a folder that holds a run already.

        Raises:
            UsageError: it does.
        """
        if self.states.paths() or self.best_path.exists():
            raise UsageError(f"{self.folder} holds a run already: add --resume to go on, or name another --out")

    def begin(self, recipe: Recipe, beginning: RunInfo, readme: str) -> None:
        """Makes the folder and notes what decides the run.

        Raises:
            UsageError: the folder holds a run already.
            FileError: it cannot be written.
        """
        self.check_free()
        _write(self._beginning_path, msgspec.json.format(msgspec.json.encode(beginning)).decode())
        _write(self.recipe_path, recipe_as_toml(recipe))
        _write(self.readme_path, readme)
        # Left by a run that was killed before its first state.
        self._clear_debris()
        for path in (_UPDATES, _VALIDATIONS, _LOG):
            (self.folder / path).unlink(missing_ok=True)

    def recipe(self) -> Recipe:
        """The effective recipe of the run.

        Raises:
            UsageError: there is no run in the folder.
        """
        if not self.recipe_path.is_file():
            raise UsageError(f"{self.folder} holds no training state to resume; leave --resume away to begin")
        return read_recipe(self.recipe_path, earlier=True)

    def beginning(self) -> RunInfo:
        """How the run was begun.

        Raises:
            FileError: the note is missing or damaged.
        """
        try:
            values = msgspec.json.decode(self._beginning_path.read_bytes())
            return msgspec.convert(run_info_with_new_keys(values), RunInfo)
        except (OSError, msgspec.MsgspecError) as error:
            raise FileError(self._beginning_path, f"is damaged ({error}); give recipe and --data again") from None

    def log_update(self, step: int, loss: float, gradient: float, rate: float, speed: float) -> None:
        """Adds an update to `updates.csv` and `log.jsonl`."""
        self._log(
            _UPDATES,
            "step",
            {
                "step": step,
                "loss": loss,
                # float16 overflows now and then, and JSON knows no infinity.
                "gradient": gradient if math.isfinite(gradient) else None,
                "rate": rate,
                "images_per_second": round(speed, 2),
            },
        )

    def log_validation(
        self, step: int, figures: dict[str, float], best: float, iou: dict[str, float | None] | None = None
    ) -> None:
        """Adds a validation to `validations.csv`, a column a figure and a class, and to `log.jsonl`."""
        row = {"step": step, **figures, "best": best}
        self._log(_VALIDATIONS, "validated", {**row, **(iou or {})}, {**row, "iou": iou} if iou else row)

    def updates(self) -> list[dict[str, float]]:
        """What `updates.csv` holds."""
        return [_numbers(row) for row in _rows(self.folder / _UPDATES)]

    def validations(self) -> list[dict[str, float]]:
        """What `validations.csv` holds; a class that did not occur is missing."""
        return [_numbers(row) for row in _rows(self.folder / _VALIDATIONS)]

    def truncate_logs(self, step: int, validated: int) -> None:
        """Takes what a killed process logged after its last state out of the logs, and its debris off the disk.

        Args:
            step: the updates that the state has seen.
            validated: after which it was validated last.
        """
        self._clear_debris()
        for name, last in ((_UPDATES, step), (_VALIDATIONS, validated)):
            path = self.folder / name
            if path.is_file():
                rows = list(_rows(path))
                kept = [row for row in rows if int(row["step"]) <= last]
                _write(path, _csv(rows[0].keys(), kept) if kept else "")
        if (self.folder / _LOG).is_file():
            lines = [line for line in map(_parsed, _lines(self.folder / _LOG)) if line]
            limits = {"step": step, "validated": validated}
            kept_lines = [json.dumps(line) + "\n" for line in lines if line["step"] <= limits[line["event"]]]
            _write(self.folder / _LOG, "".join(kept_lines))

    def _clear_debris(self) -> None:
        """Removes what a killed process had begun to write: `written_whole` names it so, in every folder of the run."""
        for path in self.folder.rglob(".*-????????.*"):
            path.unlink(missing_ok=True)

    def _log(self, table: str, event: str, row: dict[str, Any], line: dict[str, Any] | None = None) -> None:
        path = self.folder / table
        begun = path.is_file() and path.stat().st_size > 0
        _append(path, _csv(() if begun else row.keys(), [row]))
        _append(self.folder / _LOG, json.dumps({"event": event, **(line or row)}) + "\n")


def _csv(header: Iterable[str], rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(header)
    if names:
        writer.writerow(names)
    writer.writerows(row.values() for row in rows)
    return text.getvalue()


def _lines(path: Path) -> list[str]:
    """The whole lines of a file; a killed process may have left a part of one."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def _rows(path: Path) -> Iterable[dict[str, str]]:
    return csv.DictReader(_lines(path))


def _numbers(row: dict[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if value}


def _parsed(line: str) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _write(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise FileError(path, f"cannot be written ({error.strerror}); make room and go on with --resume") from None
