"""Resuming a run: its own recipe and options, and its newest training state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fassd.core.errors import UsageError
from fassd.core.recipe import Recipe, differences, locate_recipe, override_recipe, read_recipe, read_values
from fassd.core.types import Event, Watch
from fassd.training.distributed import Distributed
from fassd.training.run import Run, RunInfo
from fassd.training.state import State


@dataclass(frozen=True)
class Continuation:
    """A run that is to be resumed.

    Attributes:
        recipe: of the run.
        info: how it was started.
        data: where its data are now.
    """

    recipe: Recipe
    info: RunInfo
    data: tuple[str, ...]


def continue_run(
    folder: Path,
    recipe_name: str | None,
    overrides: dict[str, Any],
    data: Sequence[str],
    weights: Sequence[str | None] = (None, None),
) -> Continuation:
    """How the run in a folder is resumed.

    Args:
        folder: of the run.
        recipe_name: if given again.
        overrides: of the recipe, if given again; None for those that were not.
        data: if given again; empty means where it was.
        weights: --init-weights and --encoder-weights, if given again.

    Raises:
        UsageError: there is no run, or something was given that contradicts it.
    """
    run = Run(folder)
    own, info = run.recipe(), run.info()
    given = {name: value for name, value in overrides.items() if value is not None}
    if recipe_name is None:
        wanted = override_recipe(own, given)
    else:
        path = locate_recipe(recipe_name)
        # A recipe without a network had it from an option, or from an earlier version of the recipe.
        network = {} if "network" in read_values(path) else {"network": own.network}
        wanted = read_recipe(path, {**network, **info.overrides, **given})
    changed = differences(own, wanted)
    if changed:
        spelled = ", ".join(f"{key} {_value(own, key)}, not {_value(wanted, key)}" for key in changed)
        raise UsageError(
            f"the run in {folder} was started with other values ({spelled}): omit them to resume, or choose another "
            "--out to start a run"
        )
    own_weights = {"--init-weights": info.init_weights, "--encoder-weights": info.encoder_weights}
    for (option, used), asked in zip(own_weights.items(), weights, strict=True):
        if asked is not None and asked != used:
            started = f"with {option} {used}" if used else f"without {option}"
            raise UsageError(f"the run in {folder} was started {started}: omit {option} to resume")
    return Continuation(own, info, tuple(data) or tuple(info.data))


def load_for_resume(run: Run, distributed: Distributed, recipe: Recipe, data: str, digest: str, watch: Watch) -> State:
    """The state that a run resumes from, the same in every process. Later lines of the run's logs are removed.

    Args:
        run: its folder.
        distributed: the processes that resume it.
        recipe: of the training.
        data: names of the data, for messages.
        digest: of the training files.
        watch: told of damaged states.

    Raises:
        UsageError: there is no state, or it is of another recipe or of other data.
        CheckpointError: every state is damaged.
    """
    found: list[State] = []
    # The main process sets damaged states aside before the others look.
    distributed.on_main_process(lambda: found.append(run.states.load()))
    state = found[0] if found else run.states.load()
    progress = state.progress
    changed = differences(progress.recipe, recipe)
    if changed:
        raise UsageError(
            f"the run was started with other values ({', '.join(changed)} differ): resume it with its own recipe"
        )
    if progress.data != digest:
        raise UsageError(
            f"the files of {data} are not those that the run was started with ({progress.samples} training images "
            "then): something was added, removed or rewritten; restore the original data, or start a new run"
        )
    for text in (*(f"set aside: {problem}" for problem in state.broken), f"resuming from {state.path}"):
        watch(Event("note", {"text": text}))
    distributed.on_main_process(lambda: run.truncate_logs(progress.iteration, progress.validated))
    return state


def _value(recipe: Recipe, key: str) -> object:
    value: object = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value
