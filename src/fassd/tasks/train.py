"""Training: recipe and data -> a run's folder with its best checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import fassd
from fassd.core.checkpoint import Header, write_checkpoint
from fassd.core.errors import UsageError
from fassd.core.recipe import Recipe, differences
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.batches import Samples
from fassd.data.fingerprint import digest_of
from fassd.networks.build import checkpoint_of, fresh_network
from fassd.networks.network import SegmentationNetwork
from fassd.tasks.judge import Judge
from fassd.tasks.training_order import Material, TrainingOrder, device_of, gather_material, header_of, start_from
from fassd.training.curves import Curves
from fassd.training.engine import Engine
from fassd.training.fit import Keep, Setting, Verdict, fit
from fassd.training.readme import readme_of
from fassd.training.run import Beginning, Run
from fassd.training.state import Progress, State
from fassd.training.trackers import Trackers, check_trackers, default_trackers


def train(order: TrainingOrder, watch: Watch = ignore_events) -> Progress:
    """Trains as ordered, from the start or from where the run stands.

    The best checkpoint by the mean IoU on the `val` splits is `best.safetensors` in the run's folder. Started as
    several processes by `torchrun` or `accelerate launch`, each calls this, and they train one network together.

    Raises:
        FassdError: whatever is wrong with recipe, data, folder or checkpoint, before the first update where it can
            be known.
    """
    recipe, run = order.recipe, Run(order.out)
    trackers = default_trackers() if order.trackers is None else order.trackers
    check_trackers(trackers)
    material = gather_material(order)
    digest = digest_of(material.learned)
    engine = Engine(device_of(order), recipe.sync_norms)
    with engine.together():
        state = _state_of(run, order, digest, engine) if order.resume else None
        network = fresh_network(material.spec, len(material.space), recipe.alpha, recipe.seed)
        if state is None:
            _say(watch, engine, start_from(network, order, material.space))
            engine.lead(lambda: _begin(run, order, material))
        else:
            _say(watch, engine, [f"set aside: {problem}" for problem in state.broken])
            _say(watch, engine, [f"going on from {state.path}"])
            engine.lead(lambda: run.go_back_to(state.progress.step, state.progress.validated))
        header = header_of(order, material)
        judge = Judge(material.scored, header, engine, run.samples_folder)
        curves = Curves(run, watch)
        with Trackers(
            trackers if engine.first else (), order.out, _flat(recipe), lambda text: _say(watch, engine, [text])
        ) as track:
            setting = Setting(
                recipe=recipe,
                samples=Samples(material.learned),
                data=digest,
                run=run,
                engine=engine,
                validate=judge if material.scored else None,
                keep=_keep_in(run.best_path, header, judge),
                workers=order.workers,
                watch=curves,
                track=track,
            )
            progress = fit(network, setting, state)
        if engine.first:
            curves.draw()
        return progress


def _state_of(run: Run, order: TrainingOrder, digest: str, engine: Engine) -> State:
    """The state to go on from, the same in every process."""
    found: list[State] = []
    # The first process sets broken states aside, before the others look.
    engine.lead(lambda: found.append(run.states.load()))
    state = found[0] if found else run.states.load()
    _check_resumable(state.progress, order, digest)
    return state


def _check_resumable(progress: Progress, order: TrainingOrder, digest: str) -> None:
    changed = differences(progress.recipe, order.recipe)
    if changed:
        raise UsageError(f"the run was begun with another recipe ({', '.join(changed)} differ); resume with its own")
    if progress.data != digest:
        raise UsageError(
            f"the files of {', '.join(order.data)} are not those that the run was begun with ({progress.samples} "
            "training images then): something was added, removed or rewritten; resume with its data, or begin anew"
        )


def _begin(run: Run, order: TrainingOrder, material: Material) -> None:
    encoder = None if order.encoder is None else str(order.encoder)
    beginning = Beginning(order.recipe_name, order.overrides, list(order.data), fassd.__version__, order.start, encoder)
    images = (sum(map(len, material.learned)), sum(map(len, material.scored)))
    page = readme_of(run.folder, order.recipe, beginning, len(material.space), images, material.terms)
    run.begin(order.recipe, beginning, page)


def _keep_in(path: Path, header: Header, judge: Judge) -> Keep:
    """Writes a network as the best checkpoint, with what was found about it in its header."""

    def keep(network: SegmentationNetwork, step: int, verdict: Verdict | None) -> None:
        scores = [] if verdict is None else [judge.score(verdict)]
        named = msgspec.structs.replace(header, scores=scores, origin=f"{header.origin}, after update {step}")
        write_checkpoint(path, checkpoint_of(network, named))

    return keep


def _flat(recipe: Recipe) -> dict[str, Any]:
    """The recipe's values by their full names, as trackers show them."""
    values = msgspec.to_builtins(recipe)
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inside = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{name}.{key}".rstrip("."): str(one) if isinstance(one, list) else one for key, one in inside}
    return flat


def _say(watch: Watch, engine: Engine, texts: Sequence[str]) -> None:
    for text in texts if engine.first else ():
        watch(Event("note", {"text": text}))
