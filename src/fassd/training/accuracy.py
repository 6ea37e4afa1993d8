"""How well a classifier names pictures: top-1 and top-5."""

from __future__ import annotations

import torch
from torch import Tensor

from fassd.core.recipe import Recipe
from fassd.data.class_batches import views_to_judge
from fassd.data.class_folders import ClassFolders
from fassd.networks.classifier import Classifier
from fassd.networks.inference import normalise
from fassd.training.descent import pixels_of
from fassd.training.engine import Engine
from fassd.training.fit import Verdict


def hits(logits: Tensor, targets: Tensor, guesses: int) -> int:
    """How many pictures have their class among the network's first guesses.

    Args:
        logits: (N, classes).
        targets: (N,) int64.
        guesses: that count; of fewer classes all.
    """
    first = logits.topk(min(guesses, logits.shape[1]), 1).indices
    return int((first == targets[:, None]).any(1).sum())


def judge(network: Classifier, pictures: ClassFolders, recipe: Recipe, engine: Engine, workers: int) -> Verdict:
    """Scores a classifier on the middle of every picture, once, in float32, shared out over all processes.

    Args:
        network: left in the mode in which it is.
        pictures: of `val`.
        recipe: crop, channel order, batch.
        engine: processes and device.
        workers: that prepare batches, for each process.
    """
    top_1 = top_5 = 0
    pixels, was_training = pixels_of(recipe), network.training
    network.eval()
    with torch.inference_mode():
        for batch in views_to_judge(pictures, recipe, workers, (engine.rank, engine.processes)):
            targets = batch.labels.to(engine.device)
            logits = network(normalise(batch.images.to(engine.device), pixels))
            top_1 += hits(logits, targets, 1)
            top_5 += hits(logits, targets, 5)
    network.train(was_training)
    first, fifth = engine.total([top_1, top_5])
    return Verdict({"top_1": first / len(pictures), "top_5": fifth / len(pictures)})
