"""Training: recipe and data -> a run's folder with its best checkpoint."""

from __future__ import annotations

import msgspec

from fassd.core.checkpoint import write_checkpoint
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.batches import Samples, training_batches
from fassd.data.dataset import file_list_digest
from fassd.networks.build import checkpoint_of, init_network
from fassd.networks.network import SegmentationNetwork
from fassd.training.curves import Curves
from fassd.training.distributed import Distributed
from fassd.training.fit import Trainer, TrainerConfig
from fassd.training.resume import load_for_resume
from fassd.training.run import Run
from fassd.training.setup import (
    TrainConfig,
    checkpoint_header,
    load_initial_weights,
    load_training_data,
    select_device,
    start_run,
)
from fassd.training.state import TrainerState
from fassd.training.trackers import Trackers, flat_values, select_trackers
from fassd.training.train_step import SegmentationTrainStep
from fassd.training.validation import ValidationResult, Validator


def train(config: TrainConfig, watch: Watch = ignore_events) -> TrainerState:
    """Trains a segmentation network, from the start or from the run's newest training state.

    `best.safetensors` in the run's folder is the checkpoint with the best mean IoU on the `val` splits. Several
    processes, started by `torchrun` or `accelerate launch`, call this together and train one network.

    Returns:
        The progress at the end; `best_score` is the best mean IoU.

    Raises:
        FassdError: something is wrong with recipe, data, folder or state; raised before the first iteration where
            possible.
    """
    recipe, run = config.recipe, Run(config.out)
    trackers = select_trackers(config.trackers)
    data = load_training_data(config)
    digest = file_list_digest(data.train_sets)
    distributed = Distributed(select_device(config.device), recipe.sync_batchnorm)
    watch = watch if distributed.is_main_process else ignore_events

    def note(text: str) -> None:
        watch(Event("note", {"text": text}))

    with distributed.process_group():
        state = None
        if config.resume:
            state = load_for_resume(run, distributed, recipe, ", ".join(config.data), digest, watch)
        network = init_network(data.spec, len(data.label_space), recipe.alpha, recipe.seed)
        if state is None:
            for sentence in load_initial_weights(network, config, data.label_space):
                note(sentence)
            distributed.on_main_process(lambda: start_run(config, len(data.label_space), data.images, data.terms))

        samples = Samples(data.train_sets, recipe.augmentation.scale[1])
        note(f"{samples.cached} of {len(samples)} training images stay in memory once decoded")
        header = checkpoint_header(config, data)
        validator = Validator(data.val_sets, header, distributed, run.samples_folder)

        def save_best(network: SegmentationNetwork, iteration: int, result: ValidationResult | None) -> None:
            scores = [] if result is None else [validator.score(result)]
            origin = f"{header.origin}, after iteration {iteration}"
            best = checkpoint_of(network, msgspec.structs.replace(header, scores=scores, origin=origin))
            write_checkpoint(run.best_path, best)

        curves = Curves(run, watch)
        trackers = trackers if distributed.is_main_process else ()
        with Trackers(trackers, config.out, flat_values(recipe), note) as track:
            trainer_config = TrainerConfig(
                batches=lambda first: training_batches(
                    samples, recipe, first, config.workers, (distributed.rank, distributed.processes)
                ),
                samples=len(samples),
                data=digest,
                run=run,
                validate=validator if data.val_sets else None,
                save_best=save_best,
                watch=curves,
                track=track,
            )
            train_step = SegmentationTrainStep(network, recipe, samples, distributed, state)
            progress = Trainer(train_step, trainer_config, state).fit()
        if distributed.is_main_process:
            curves.draw()
        return progress
