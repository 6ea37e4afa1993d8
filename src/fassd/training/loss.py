"""The loss: bootstrapped cross entropy (Wu et al., 2016) in the form of the published code."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fassd.core.arrays import IGNORE
from fassd.core.errors import UsageError
from fassd.networks.network import upsample


def bootstrapped_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    kept: int = 4096,
    threshold: float = 0.3,
    marked: Tensor | None = None,
    class_weights: Tensor | None = None,
) -> Tensor:
    """The mean loss of the hard pixels of each image, then the mean over images.

    In an image where more than `kept` pixels lose more than `threshold`, those pixels count; in any other the
    `kept` worst do. 0.3 means a probability of the true class below 0.741. Ignored pixels lose 0 and can be among
    the worst `kept` where an image has fewer marked ones. With class weights the same pixels are chosen, and their
    mean is weighted.

    Args:
        logits: (N, classes, h, w); brought to the labels' size first if they differ.
        labels: (N, H, W) integers, a class or IGNORE.
        kept: K of the published code; below the number of pixels.
        threshold: on the loss of a pixel.
        marked: (N, classes) bool, the classes that were marked in each image: the cross entropy is over these
            logits alone, the others get no gradient. None means all.
        class_weights: (classes,) positive. None means 1 for each.

    Returns:
        A scalar, float32 (float64 for float64 logits).

    Raises:
        UsageError: an image has `kept` pixels or fewer (the published code fails there as well).
    """
    pixels = labels[0].numel()
    if pixels <= kept:
        raise UsageError(f"the loss keeps {kept} pixels of an image but an image has {pixels}: keep fewer, crop larger")
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    if logits.shape[2:] != labels.shape[1:]:
        # In plain layout the softmax over classes runs faster, and the coarse map is cheap to lay out anew.
        logits = upsample(logits.contiguous(), (labels.shape[1], labels.shape[2]))
    if marked is not None:
        logits = logits.masked_fill(~marked[:, :, None, None], float("-inf"))
    labels = labels.long()
    losses = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none").flatten(1)
    if class_weights is None:
        weights = torch.ones_like(losses)
    else:
        # An ignored pixel that fills up the worst `kept` weighs 1, as without class weights.
        table = torch.cat([class_weights, class_weights.new_ones(1)])
        weights = table[labels.clamp(max=len(class_weights))].flatten(1).to(losses.dtype)
    return torch.stack([_hard_mean(*image, kept, threshold) for image in zip(losses, weights, strict=True)]).mean()


def _hard_mean(losses: Tensor, weights: Tensor, kept: int, threshold: float) -> Tensor:
    """Mean of one image's hard pixels.

    "The (K+1)-th largest is above the threshold" is "more than K are above it", so nothing needs to be sorted.
    """
    # A NaN is no easy pixel: "not below" lets it through, so that it shows in the loss.
    above = ~(losses <= threshold)
    if int(above.sum()) > kept:
        chosen, chosen_weights = losses[above], weights[above]
    else:
        chosen, order = losses.topk(kept, sorted=False)
        chosen_weights = weights[order]
    return (chosen * chosen_weights).sum() / chosen_weights.sum()


def class_weights_of(labels: list[np.ndarray[Any, Any]], classes: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """1 / ln(1.02 + share) of each class in the labels, scaled to mean 1 (Paszke et al., ENet, 2016).

    Args:
        labels: (H, W) each, a class or IGNORE.
        classes: how many there are.
    """
    counts = np.zeros(classes, np.int64)
    for one in labels:
        counts += np.bincount(one.ravel(), minlength=256)[:classes]
    weights = 1 / np.log(1.02 + counts / max(1, counts.sum()))
    return np.asarray(weights / weights.mean(), np.float32)
