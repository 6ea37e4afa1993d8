"""Value and gradient of the loss against its plain definition: enlarge, cross entropy, sort, mean, by autograd."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from fassd.core.arrays import IGNORE
from fassd.core.errors import UsageError
from fassd.kernels import pixel_losses
from fassd.kernels.pixel_losses import IGNORED, RULED_OUT, UNKNOWN, PixelLosses, Rule
from fassd.networks.network import upsample
from fassd.training import loss_in_pytorch as strips
from fassd.training.loss import bootstrapped_cross_entropy
from fassd.training.loss_in_pytorch import TorchPixelLosses

WAYS = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["strips", "kernel"])


def _plain(
    logits: Tensor, labels: Tensor, min_kept: int, threshold: float, annotated: Tensor | None, weights: Tensor | None
) -> Tensor:
    size = (labels.shape[1], labels.shape[2])
    enlarged = upsample(logits, size)
    if annotated is not None:
        enlarged = enlarged.masked_fill(~annotated[:, :, None, None], -torch.inf)
    losses = F.cross_entropy(enlarged, labels.long(), ignore_index=IGNORE, reduction="none").flatten(1)
    table = torch.ones(256, dtype=logits.dtype)
    if weights is not None:
        table[: len(weights)] = weights
    of_pixels = table[labels.long()].flatten(1)
    means = []
    for image, weigh in zip(losses, of_pixels, strict=True):
        order = image.sort(descending=True, stable=True).indices
        hard = order[image[order] > threshold] if image[order[min_kept]] > threshold else order[:min_kept]
        means.append((image[hard] * weigh[hard]).sum() / weigh[hard].sum())
    return torch.stack(means).mean()


def _draw(data: st.DataObject) -> tuple[Tensor, Tensor, dict[str, Any]]:
    count, classes = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 9))
    coarse = [data.draw(st.integers(1, 7)) for _ in range(2)]
    # Enlarged as networks need it, left as it is, or of any other size.
    factor = data.draw(st.sampled_from([1, 2, 4, 6, 8]))
    size = [factor * side for side in coarse] if data.draw(st.booleans()) else [data.draw(st.integers(1, 40))] * 2
    random = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    logits = torch.from_numpy(random.normal(scale=data.draw(st.sampled_from([0.5, 4])), size=(count, classes, *coarse)))
    labels = random.integers(0, classes, (count, *size))
    labels[random.random(labels.shape) < data.draw(st.sampled_from([0.0, 0.2, 0.9]))] = IGNORE
    annotated = None
    if data.draw(st.booleans()):
        marks = random.random((count, classes)) < 0.6
        marks[:, 0] = True
        annotated = torch.from_numpy(marks)
        for image, row in zip(labels, marks, strict=True):
            image[~np.append(row, [True] * (256 - classes))[image]] = IGNORE
    weights = torch.from_numpy(random.uniform(0.1, 5, classes)) if data.draw(st.booleans()) else None
    pixels = size[0] * size[1]
    rule = {"min_kept": data.draw(st.integers(1, max(1, pixels - 1))), "threshold": data.draw(st.floats(0, 4))}
    return logits, torch.from_numpy(labels), rule | {"annotated": annotated, "class_weights": weights}


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float64, 1e-12), (torch.float32, 2e-6)], ids=["strips", "kernel"])
@given(st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_value_and_gradient_are_those_of_the_plain_definition(
    dtype: torch.dtype, digits: float, data: st.DataObject
) -> None:
    logits, labels, options = _draw(data)
    if labels[0].numel() == 1:
        return
    exact, found = logits.clone().requires_grad_(), logits.to(dtype).requires_grad_()
    expected = _plain(exact, labels, *options.values())
    expected.backward()  # type: ignore[no-untyped-call]
    band = data.draw(st.sampled_from([16, 1 << 17]))
    with mock.patch.object(pixel_losses, "_PIXELS_PER_BAND", band), mock.patch.object(strips, "_PIXELS", 100):
        loss = bootstrapped_cross_entropy(found, labels, **options)
    loss.backward()  # type: ignore[no-untyped-call]
    assert exact.grad is not None
    assert found.grad is not None
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=digits)
    torch.testing.assert_close(found.grad.double(), exact.grad, rtol=0, atol=digits)


def test_the_gradient_is_the_slope() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 4, generator=random, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 4, (2, 9, 13), generator=random)
    for threshold in (0.3, 100.0):
        assert torch.autograd.gradcheck(
            lambda given, threshold=threshold: bootstrapped_cross_entropy(
                given, labels, min_kept=5, threshold=threshold
            ),
            logits,
        )


def _batch(dtype: torch.dtype, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 6, 7, generator=random, dtype=torch.float64).to(dtype)
    return logits.requires_grad_(), torch.randint(0, 5, (2, *size), generator=random).to(torch.uint8)


def _gradient(logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
    (gradient,) = torch.autograd.grad(bootstrapped_cross_entropy(logits, labels, **options), logits)
    return gradient


@WAYS
def test_pixels_that_lose_the_same_share_what_is_left(dtype: torch.dtype) -> None:
    logits = torch.zeros(1, 2, 1, 4, dtype=dtype, requires_grad=True)
    gradient = _gradient(logits, torch.zeros(1, 1, 4, dtype=torch.uint8), min_kept=2, threshold=9.0)
    torch.testing.assert_close(
        gradient, torch.tensor([-0.125, 0.125], dtype=dtype)[None, :, None, None].expand(1, 2, 1, 4)
    )


def test_neither_threads_nor_repeating_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = _batch(torch.float32, (48, 56))
    monkeypatch.setattr(pixel_losses, "_PIXELS_PER_BAND", 512)
    found = []
    for threads in (1, 3, 1):
        with mock.patch.object(torch, "get_num_threads", return_value=threads):
            loss = bootstrapped_cross_entropy(logits, labels, min_kept=2000)
        found.append((loss.detach(), *torch.autograd.grad(loss, logits)))
    for loss, gradient in found[1:]:
        assert torch.equal(loss, found[0][0])
        assert torch.equal(gradient, found[0][1])


@WAYS
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("size", [(6, 7), (48, 56)], ids=["same-size", "enlarged"])
def test_a_logit_that_is_not_finite_shows_in_the_loss(dtype: torch.dtype, value: float, size: tuple[int, int]) -> None:
    logits, labels = _batch(dtype, size)
    with torch.no_grad():
        logits[1, 2, 3, 3] = value
    for min_kept in (3, labels[0].numel() - 1):
        assert not bootstrapped_cross_entropy(logits, labels, min_kept=min_kept, threshold=0.01).isfinite()


@WAYS
def test_a_label_of_a_class_that_was_not_annotated_shows_in_the_loss(dtype: torch.dtype) -> None:
    logits, labels = _batch(dtype, (6, 7))
    annotated = torch.ones(2, 5, dtype=torch.bool)
    annotated[1, int(labels[1, 0, 0])] = False
    assert bootstrapped_cross_entropy(logits, labels, min_kept=3, annotated=annotated).isinf()


@WAYS
@pytest.mark.parametrize(
    ("label", "told"),
    [
        (torch.tensor(5, dtype=torch.uint8), "the labels hold 5; expected classes, 0 to 4, or 255"),
        (torch.tensor(254, dtype=torch.uint8), "the labels hold 254"),
        (torch.tensor(-1), "labels run from -1 to 4; expected 0 to 255"),
        (torch.tensor(256), "labels run from 0 to 256"),
    ],
)
def test_a_label_that_is_no_class_is_refused(dtype: torch.dtype, label: Tensor, told: str) -> None:
    logits, labels = _batch(dtype, (12, 14))
    labels = labels.to(label.dtype)
    labels[0, 3, 3] = label
    with pytest.raises(UsageError, match=told):
        bootstrapped_cross_entropy(logits, labels, min_kept=3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_gradient_is_as_the_logits_are(dtype: torch.dtype) -> None:
    logits, labels = _batch(torch.float32, (12, 14))
    given = logits.detach().to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    gradient = _gradient(given, labels, min_kept=3)
    assert gradient.dtype == dtype
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(gradient.float(), _gradient(logits, labels, min_kept=3), rtol=0.02, atol=1e-3)


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the largest tensor of floating point numbers that is made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        made = function(*arguments, **(options or {}))
        if isinstance(made, Tensor) and made.is_floating_point():
            self.numbers = max(self.numbers, made.numel())
        return made


@WAYS
def test_nothing_is_made_that_is_as_large_as_the_enlarged_logits(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "_PIXELS", 1000)
    logits, labels = _batch(dtype, (96, 112))
    with _Largest() as largest:
        _gradient(logits, labels, min_kept=3)
    assert 0 < largest.numbers <= labels.numel()


def test_kernel_and_strips_are_one_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_losses, "_PIXELS_PER_BAND", 512)
    monkeypatch.setattr(strips, "_PIXELS", 1000)
    logits, labels = _batch(torch.float32, (48, 56))
    planes = list(logits.detach())
    labels[0, :9] = IGNORE
    labels[1, 5, 5:] = 6
    labels[1, 6, 6:] = 7
    places = torch.full((2, 256), UNKNOWN, dtype=torch.int32)
    places[:, :5], places[:, 6], places[:, IGNORE] = torch.arange(5), RULED_OUT, IGNORED
    weights = torch.linspace(0.5, 2, 256)
    kernel = PixelLosses([one.numpy() for one in planes], labels.numpy(), places.numpy(), weights.numpy(), 2)
    by_pytorch = TorchPixelLosses(planes, labels, places, weights)
    rules = [Rule(0.0, 0.25), Rule(1.5, 0.0)]
    for one, other in zip(kernel.compute([1, 0], rules), by_pytorch.compute([1, 0], rules), strict=True):
        assert one == pytest.approx(other, rel=1e-6)
    torch.testing.assert_close(torch.from_numpy(kernel.losses), by_pytorch.losses, rtol=0, atol=2e-6)
    for found, expected in zip(kernel.gradient, by_pytorch.gradient, strict=True):
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=2e-5)
