"""Training: recipe and data -> a run's folder with its best checkpoint."""

from __future__ import annotations

from pathlib import Path

import msgspec

import fassd
from fassd.core.checkpoint import Header, write_checkpoint
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.batches import Samples, training_batches
from fassd.data.dataset import file_list_digest
from fassd.networks.build import checkpoint_of, init_network
from fassd.networks.network import SegmentationNetwork
from fassd.training.curves import Curves
from fassd.training.distributed import Distributed
from fassd.training.fit import SaveBest, TrainerConfig, ValidationResult, fit
from fassd.training.readme import readme_of
from fassd.training.resume import load_for_resume
from fassd.training.run import Run, RunInfo
from fassd.training.setup import TrainConfig, TrainingData, device_of, gather_training_data, header_of, start_from
from fassd.training.state import TrainerState
from fassd.training.trackers import Trackers, chosen_trackers, flat_values
from fassd.training.train_step import SegmentationTrainStep
from fassd.training.validation import Validator


def train(order: TrainConfig, watch: Watch = ignore_events) -> TrainerState:
    """Trains as ordered, from the start or from where the run stands.

    The best checkpoint by the mean IoU on the `val` splits is `best.safetensors` in the run's folder. Started as
    several processes by `torchrun` or `accelerate launch`, each calls this, and they train one network together.

    Raises:
        FassdError: whatever is wrong with recipe, data, folder or checkpoint, before the first update where it can
            be known.
    """
    recipe, run = order.recipe, Run(order.out)
    trackers = chosen_trackers(order.trackers)
    material = gather_training_data(order)
    digest = file_list_digest(material.learned)
    engine = Distributed(device_of(order.device), recipe.sync_batchnorm)
    with engine.together():
        state = load_for_resume(run, engine, recipe, ", ".join(order.data), digest, watch) if order.resume else None
        network = init_network(material.spec, len(material.space), recipe.alpha, recipe.seed)
        if state is None:
            for text in start_from(network, order, material.space):
                _say(watch, engine, text)
            engine.lead(lambda: _begin(run, order, material))
        header = header_of(order, material)
        judge = Validator(material.scored, header, engine, run.samples_folder)
        samples, curves = Samples(material.learned, recipe.augmentation.scale[1]), Curves(run, watch)
        _say(watch, engine, f"{samples.cached} of {len(samples)} training images stay in memory once decoded")
        share = (engine.rank, engine.processes)
        with Trackers(
            trackers if engine.first else (), order.out, flat_values(recipe), lambda text: _say(watch, engine, text)
        ) as track:
            setting = TrainerConfig(
                batches=lambda first: training_batches(samples, recipe, first, order.workers, share),
                samples=len(samples),
                data=digest,
                run=run,
                validate=judge if material.scored else None,
                keep=_keep_in(run.best_path, header, judge),
                watch=curves,
                track=track,
            )
            progress = fit(SegmentationTrainStep(network, recipe, samples, engine, state), setting, state)
        if engine.first:
            curves.draw()
        return progress


def _begin(run: Run, order: TrainConfig, material: TrainingData) -> None:
    beginning = RunInfo(
        order.recipe_name,
        order.overrides,
        list(order.data),
        fassd.__version__,
        order.init_weights,
        None if order.encoder_weights is None else str(order.encoder_weights),
    )
    images = (sum(map(len, material.learned)), sum(map(len, material.scored)))
    page = readme_of(run.folder, order.recipe, beginning, len(material.space), images, material.terms)
    run.begin(order.recipe, beginning, page)


def _keep_in(path: Path, header: Header, judge: Validator) -> SaveBest[SegmentationNetwork]:
    """Writes a network as the best checkpoint, with what was found about it in its header."""

    def keep(network: SegmentationNetwork, step: int, verdict: ValidationResult | None) -> None:
        scores = [] if verdict is None else [judge.score(verdict)]
        named = msgspec.structs.replace(header, scores=scores, origin=f"{header.origin}, after update {step}")
        write_checkpoint(path, checkpoint_of(network, named))

    return keep


def _say(watch: Watch, engine: Distributed, text: str) -> None:
    if engine.first:
        watch(Event("note", {"text": text}))
