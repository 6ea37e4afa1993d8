"""Cross entropy of upsampled logits and its gradient in PyTorch, in strips of rows: any device, any precision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from fassd.kernels.pixel_losses import IGNORED, RULED_OUT, UNKNOWN, LossSums, Rule
from fassd.kernels.upsample_in_numpy import axis

# Pixels of a strip: enough to keep a GPU busy; with 19 classes in float32 some tens of megabytes.
_PIXELS = 1 << 18


class TorchPixelLosses:
    """Losses of a batch, as `PixelLosses` computes them.

    Upsampling is a product with a matrix along each side, and its gradient one with the transpose, so that GPUs too add
    in a fixed order.

    Args:
        logits: (C, h, w) of each image, float32 or float64; C may differ.
        labels: (N, H, W) uint8.
        places: (N, 256) int32, which of the image's logits each label stands for, or IGNORED, RULED_OUT or UNKNOWN.
        weights: (256,) of each label.

    Attributes:
        losses: (N, H, W), of the latest `compute`, as the logits are.
        gradient: for each image (C, h, w), of `LossSums.lost` with the weights as they are, likewise.
    """

    def __init__(self, logits: Sequence[Tensor], labels: Tensor, places: Tensor, weights: Tensor) -> None:
        self.losses = logits[0].new_empty(labels.shape)
        self.gradient = [torch.zeros_like(one) for one in logits]
        self._given, self._weights = (logits, labels, places), weights
        self._downwards, self._along = (
            _matrix(places, pixels, logits[0])
            for places, pixels in zip(logits[0].shape[1:], labels.shape[1:], strict=True)
        )
        rows = max(1, _PIXELS // labels.shape[2])
        self._strips = [slice(top, top + rows) for top in range(0, labels.shape[1], rows)]

    def compute(self, images: Iterable[int], rules: Iterable[Rule]) -> list[LossSums]:
        """Losses, gradient and sums of the given images, each by its rule."""
        with torch.autocast(self.losses.device.type, enabled=False):
            return [self._lose_image(image, rule) for image, rule in zip(images, rules, strict=True)]

    def _lose_image(self, image: int, rule: Rule) -> LossSums:
        logits, labels, places = (given[image] for given in self._given)
        wide = logits @ self._along.T
        slope = torch.zeros_like(wide)
        counts = torch.zeros(len(LossSums._fields), dtype=torch.float64, device=wide.device)
        for strip in self._strips:
            down, known = self._downwards[strip], labels[strip].long()
            place, weight = places[known].long(), self._weights[known]
            logarithms = (down @ wide).log_softmax(0)
            true = place.clamp(min=0)[None]
            losses = -logarithms.gather(0, true)[0]
            losses = losses.masked_fill(place == RULED_OUT, torch.inf).masked_fill(place < RULED_OUT, 0)
            losses = self.losses[image, strip] = losses.masked_fill(place == IGNORED, 0)
            # "Not below" rather than "above", so that NaN counts and shows in the loss.
            hard = ~(losses <= rule.level)
            chosen = weight * torch.where(losses == rule.level, rule.tied, hard.to(weight))
            lost = torch.where(chosen > 0, chosen * losses, 0)
            counts += torch.stack([one.sum(dtype=torch.float64) for one in (lost, chosen, hard, place == UNKNOWN)])
            chosen = chosen.masked_fill((place == IGNORED) | (place == UNKNOWN), 0)
            shares = logarithms.exp_() * chosen
            shares.scatter_(0, true, shares.gather(0, true) - chosen.masked_fill(place < 0, 0))
            slope += down.T @ shares
        self.gradient[image] = slope @ self._along
        lost_sum, weight_sum, above, unknown = counts.tolist()
        return LossSums(lost_sum, weight_sum, int(above), int(unknown))


def _matrix(places: int, pixels: int, like: Tensor) -> Tensor:
    """(pixels, places): bilinear upsampling along one side, corners aligned."""
    lain = axis(places, pixels)
    share = torch.from_numpy(lain.far / (lain.near + lain.far))
    cell = torch.from_numpy(lain.cell.astype("int64"))
    matrix = torch.zeros(pixels, places, dtype=torch.float64)
    rows = torch.arange(pixels)
    matrix[rows, cell] = 1 - share
    matrix[rows, (cell + 1).clamp(max=places - 1)] += share
    return matrix.to(like)
