"""The loss: bootstrapped cross entropy (Wu et al., 2016) in the form of the published code.

Value and gradient are computed together from the softmax of the upsampled logits, which is never stored. One pass over
an image computes every pixel's loss, and the gradient of those above the threshold. Only an image with few of them
needs a second pass, for its `min_kept` highest losses. The passes run in a compiled kernel on CPUs
(`kernels/pixel_losses.py`), in PyTorch elsewhere (`training/loss_in_pytorch.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fassd.core.arrays import IGNORE, Labels
from fassd.core.errors import UsageError
from fassd.kernels.pixel_losses import IGNORED, RULED_OUT, UNKNOWN, PixelLosses, Rule
from fassd.training.loss_in_pytorch import TorchPixelLosses

_LABELS = 256


def bootstrapped_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    min_kept: int = 4096,
    threshold: float = 0.3,
    annotated: Tensor | None = None,
    class_weights: Tensor | None = None,
) -> Tensor:
    """The mean loss of the hard pixels of each image, then the mean over images.

    In an image where more than `min_kept` pixels have a loss above `threshold`, those pixels count; in any other image
    the `min_kept` pixels of highest loss. 0.3 means a probability of the true class below 0.741. Ignored pixels have
    loss 0 and can be among the `min_kept` of an image that has fewer annotated ones. Class weights do not change which
    pixels count; their mean is weighted.

    Args:
        logits: (N, classes, h, w); upsampled to the size of the labels if they differ.
        labels: (N, H, W) integers, a class or IGNORE.
        min_kept: K of the published code; less than the number of pixels.
        threshold: loss above which a pixel counts.
        annotated: (N, classes) bool, the classes that were annotated in each image: the cross entropy is over these
            logits alone, the others get no gradient. None means all.
        class_weights: (classes,) positive. None means 1.

    Returns:
        A scalar, float32 (float64 for float64 logits).

    Raises:
        UsageError: an image has `min_kept` pixels or fewer (the published code fails there as well); a label is neither
            a class nor IGNORE.
    """
    pixels = labels[0].numel()
    if pixels <= min_kept:
        raise UsageError(
            f"the loss keeps {min_kept} pixels of an image but an image has {pixels}: lower loss.min_kept or raise "
            "augmentation.crop_size"
        )
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    if annotated is None:
        annotated = torch.ones(logits.shape[:2], dtype=torch.bool)
    weights = torch.ones(_LABELS, dtype=torch.float64)
    if class_weights is not None:
        # Ignored pixels among the `min_kept` weigh 1, as without class weights.
        weights[: len(class_weights)] = class_weights
    loss: Tensor = _HardMean.apply(logits, _as_bytes(labels), annotated.cpu(), weights, Rule(threshold, 0), min_kept)  # type: ignore[no-untyped-call]
    return loss


class _HardMean(torch.autograd.Function):
    """The loss as one node of the autograd graph."""

    @staticmethod
    def forward(
        context: Any, logits: Tensor, labels: Tensor, annotated: Tensor, weights: Tensor, above: Rule, min_kept: int
    ) -> Tensor:
        """A scalar; saves its gradient with respect to the logits."""
        pixel_losses = _pixel_losses(logits.detach(), labels, annotated, weights)
        sums = pixel_losses.compute(range(len(labels)), [above] * len(labels))
        if any(one.unknown for one in sums):
            raise UsageError(_unknown_labels(labels, logits.shape[1]))
        # "The (K+1)-th largest is above the threshold" is "more than K are above it": no image needs to be sorted.
        few = [image for image, one in enumerate(sums) if one.hard <= min_kept]
        rules = [_rule_for_highest(torch.as_tensor(pixel_losses.losses[image]), min_kept) for image in few]
        for image, one in zip(few, pixel_losses.compute(few, rules), strict=True):
            sums[image] = one
        gradient = torch.zeros_like(logits)
        for image, (planes, one) in enumerate(zip(pixel_losses.gradient, sums, strict=True)):
            gradient[image, annotated[image]] = torch.as_tensor(planes) / (one.weight * len(sums))
        context.save_for_backward(gradient)
        return logits.new_tensor(np.mean([one.lost / one.weight for one in sums]))

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The saved gradient, times that of the scalar."""
        return context.saved_tensors[0] * gradients[0], None, None, None, None, None


def _pixel_losses(logits: Tensor, labels: Tensor, annotated: Tensor, weights: Tensor) -> PixelLosses | TorchPixelLosses:
    """The losses of a batch, still to be computed: by the kernel where possible."""
    # The index of each label among the annotated classes of each image.
    places = torch.full((len(labels), _LABELS), UNKNOWN, dtype=torch.int32)
    places[:, : annotated.shape[1]] = torch.where(annotated, annotated.cumsum(1) - 1, RULED_OUT).int()
    places[:, IGNORE] = IGNORED
    planes = [one if marks.all() else one[marks] for one, marks in zip(logits.contiguous(), annotated, strict=True)]
    # The sum is not finite if any logit is not.
    if logits.device.type == "cpu" and logits.dtype == torch.float32 and logits.sum().isfinite():
        arrays = [one.numpy() for one in planes]
        tables = (places.numpy(), weights.float().numpy())
        return PixelLosses(arrays, labels.contiguous().numpy(), *tables, torch.get_num_threads())
    return TorchPixelLosses(planes, labels, places.to(logits.device), weights.to(logits))


def _rule_for_highest(losses: Tensor, min_kept: int) -> Rule:
    """Selects the `min_kept` (K) highest losses; pixels tied with the K-th loss share the remaining weight equally."""
    level = losses.flatten().topk(min_kept, sorted=False).values.min()
    left = min_kept - int((losses > level).sum())
    return Rule(float(level), left / max(1, int((losses == level).sum())))


def _as_bytes(labels: Tensor) -> Tensor:
    if labels.dtype == torch.uint8:
        return labels
    if int(labels.min()) < 0 or int(labels.max()) >= _LABELS:
        raise UsageError(f"labels run from {int(labels.min())} to {int(labels.max())}; expected 0 to {_LABELS - 1}")
    return labels.to(torch.uint8)


def _unknown_labels(labels: Tensor, classes: int) -> str:
    found = [label for label in np.unique(labels.cpu().numpy()).tolist() if classes <= label != IGNORE]
    return f"the labels hold {', '.join(map(str, found))}; expected classes, 0 to {classes - 1}, or {IGNORE} (ignored)"


def class_weights_of(labels: Iterable[Labels], classes: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """1 / ln(1.02 + share) of each class in the labels, scaled to mean 1 (Paszke et al., ENet, 2016).

    Args:
        labels: (H, W) each, a class or IGNORE; read one after the other.
        classes: how many there are.
    """
    counts = np.zeros(classes, np.int64)
    for one in labels:
        counts += np.bincount(one.ravel(), minlength=256)[:classes]
    weights = 1 / np.log(1.02 + counts / max(1, counts.sum()))
    return np.asarray(weights / weights.mean(), np.float32)
