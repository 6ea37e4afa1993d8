"""Pre-training: recipe and class folders -> a run with its best encoder, for `fassd train --encoder-weights`."""

from __future__ import annotations

import msgspec
import numpy as np

from fassd.core.checkpoint import Checkpoint, write_checkpoint
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.batches import training_batches
from fassd.data.class_folders import image_list_digest
from fassd.networks.build import arrays_of
from fassd.networks.classifier import Classifier, init_classifier
from fassd.networks.specs import network_by_name
from fassd.training.curves import Curves
from fassd.training.distributed import Distributed
from fassd.training.fit import Trainer, TrainerConfig
from fassd.training.resume import load_for_resume
from fassd.training.run import Run
from fassd.training.setup import PretrainConfig, encoder_header, load_pretraining_data, select_device, start_run
from fassd.training.state import TrainerState
from fassd.training.trackers import Trackers, flat_values, select_trackers
from fassd.training.train_step import ClassificationTrainStep
from fassd.training.validation import TOP_K_CONVENTIONS, ValidationResult, validate_classifier


def pretrain(config: PretrainConfig, watch: Watch = ignore_events) -> TrainerState:
    """Trains an encoder as a classifier of images, from the start or from the run's newest training state.

    `best.safetensors` in the run's folder is the encoder with the best top-1 accuracy on `val`. Several processes,
    started by `torchrun` or `accelerate launch`, call this together and train one network.

    Returns:
        The progress at the end; `best_score` is the best top-1 accuracy.

    Raises:
        FassdError: something is wrong with recipe, data, folder or state; raised before the first iteration where
            possible.
    """
    recipe, run = config.recipe, Run(config.out)
    trackers = select_trackers(config.trackers)
    train_set, val_set = load_pretraining_data(config)
    digest = image_list_digest(train_set)
    distributed = Distributed(select_device(config.device), recipe.sync_batchnorm)
    watch = watch if distributed.is_main_process else ignore_events

    def note(text: str) -> None:
        watch(Event("note", {"text": text}))

    with distributed.process_group():
        state = None
        if config.resume:
            state = load_for_resume(run, distributed, recipe, str(config.data), digest, watch)
        network = init_classifier(network_by_name(recipe.network), len(train_set.classes), recipe.seed)
        if state is None:
            images = len(train_set), 0 if val_set is None else len(val_set)
            distributed.on_main_process(lambda: start_run(config, len(train_set.classes), images))
        header = encoder_header(config, train_set, digest)

        def validate(network: Classifier, iteration: int) -> ValidationResult:
            assert val_set is not None
            return validate_classifier(network, val_set, recipe, distributed, config.workers)

        def save_best(network: Classifier, iteration: int, result: ValidationResult | None) -> None:
            origin = f"{header.origin}, after iteration {iteration}"
            if result is not None and val_set is not None:
                top_1, top_5 = result.figures["top_1"], result.figures["top_5"]
                origin += f": top-1 {top_1:.2%}, top-5 {top_5:.2%} of {len(val_set)} val images ({TOP_K_CONVENTIONS})"
            arrays = arrays_of(network, np.float32)
            encoder = {name: array for name, array in arrays.items() if name.startswith("encoder.")}
            write_checkpoint(run.best_path, Checkpoint(msgspec.structs.replace(header, origin=origin), encoder))

        curves = Curves(run, watch)
        trackers = trackers if distributed.is_main_process else ()
        with Trackers(trackers, config.out, flat_values(recipe), note) as track:
            trainer_config = TrainerConfig(
                batches=lambda first: training_batches(
                    train_set, recipe, first, config.workers, (distributed.rank, distributed.processes)
                ),
                samples=len(train_set),
                data=digest,
                run=run,
                validate=None if val_set is None else validate,
                save_best=save_best,
                watch=curves,
                track=track,
            )
            train_step = ClassificationTrainStep(network, recipe, distributed, state)
            progress = Trainer(train_step, trainer_config, state).fit()
        if distributed.is_main_process:
            curves.draw()
        return progress
