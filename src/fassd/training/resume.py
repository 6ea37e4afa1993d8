"""Going on with a run without repeating how it was begun."""

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
    """A run's own recipe and how it was begun, its data where they are now."""

    recipe: Recipe
    beginning: RunInfo
    data: tuple[str, ...]


def continue_run(
    folder: Path,
    recipe_name: str | None,
    overrides: dict[str, Any],
    data: Sequence[str],
    started_from: Sequence[str | None] = (None, None),
) -> Continuation:
    """What the run in a folder goes on with.

    Args:
        folder: of the run.
        recipe_name: if it was given again.
        overrides: if any were given again; None for those that were not.
        data: if it was given again; empty means where it was.
        started_from: weights, and an encoder, if they were given again.

    Raises:
        UsageError: there is no run, or something was given that contradicts it.
    """
    run = Run(folder)
    own, beginning = run.recipe(), run.beginning()
    given = {name: value for name, value in overrides.items() if value is not None}
    if recipe_name is None:
        wanted = override_recipe(own, given)
    else:
        path = locate_recipe(recipe_name)
        # A recipe without a network had it from an option, or from an earlier version of the recipe.
        network = {} if "network" in read_values(path) else {"network": own.network}
        wanted = read_recipe(path, {**network, **beginning.overrides, **given})
    changed = differences(own, wanted)
    if changed:
        spelled = ", ".join(f"{key} {_value(wanted, key)} instead of {_value(own, key)}" for key in changed)
        raise UsageError(
            f"the run in {folder} was begun with another recipe ({spelled}): leave that away to go on with the run's "
            "own, or begin another run with another --out"
        )
    used_weights = {"--init-weights": beginning.init_weights, "--encoder-weights": beginning.encoder_weights}
    for (option, used), asked in zip(used_weights.items(), started_from, strict=True):
        if asked is not None and asked != used:
            began = f"with {option} {used}" if used else f"without {option}"
            raise UsageError(f"the run in {folder} was started {began}; omit {option} to resume it")
    return Continuation(own, beginning, tuple(data) or tuple(beginning.data))


def load_for_resume(run: Run, engine: Distributed, recipe: Recipe, data: str, digest: str, watch: Watch) -> State:
    """The state that a run goes on from, the same in every process; the run's logs go back to it.

    Args:
        run: its folder.
        engine: the processes that go on with it.
        recipe: what it shall be trained by.
        data: what it shall learn from, in words.
        digest: of those files.
        watch: hears of states that are broken, in the first process alone.

    Raises:
        UsageError: there is no state, or it is of another recipe or of other data.
        CheckpointError: no state is sound.
    """
    found: list[State] = []
    # The first process sets broken states aside, before the others look.
    engine.lead(lambda: found.append(run.states.load()))
    state = found[0] if found else run.states.load()
    progress = state.progress
    changed = differences(progress.recipe, recipe)
    if changed:
        raise UsageError(f"the run was begun with another recipe ({', '.join(changed)} differ); resume with its own")
    if progress.data != digest:
        raise UsageError(
            f"the files of {data} are not those that the run was begun with ({progress.samples} training images then): "
            "something was added, removed or rewritten; resume with its data, or begin anew"
        )
    for text in (*(f"set aside: {problem}" for problem in state.broken), f"going on from {state.path}"):
        if engine.first:
            watch(Event("note", {"text": text}))
    engine.lead(lambda: run.truncate_logs(progress.step, progress.validated))
    return state


def _value(recipe: Recipe, key: str) -> object:
    value: object = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value
