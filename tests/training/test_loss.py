from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import parameters  # type: ignore[import-not-found]
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from fassd.core.arrays import IGNORE
from fassd.core.errors import UsageError
from fassd.training.loss import bootstrapped_cross_entropy, class_weights_of

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "loss.json").read_text())
CASES = pytest.mark.parametrize("case", GOLDEN["cases"], ids=range(len(GOLDEN["cases"])))


def _inputs(case: dict[str, Any], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    if "logits" in case:
        logits, labels = torch.tensor(case["logits"], dtype=torch.float64), torch.tensor(case["labels"])
    else:
        logits = torch.from_numpy(parameters.uniform("loss:large", (2, 19, 32, 64), -4, 4)).float().double()
        labels = torch.from_numpy(parameters.labels("loss-large", 2, 32, 64, 19))
    labels[labels == GOLDEN["ignore"]] = IGNORE
    return logits.to(dtype).requires_grad_(), labels


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["strips", "kernel"])
@CASES
def test_value_and_gradient_are_the_authors(case: dict[str, Any], dtype: torch.dtype) -> None:
    logits, labels = _inputs(case, dtype)
    rule = {"min_kept": case["min_K"], "threshold": case["loss_th"]}
    if "error" in case:
        with pytest.raises(UsageError, match=f"keeps {case['min_K']} pixels of an image but an image has"):
            bootstrapped_cross_entropy(logits, labels, **rule)
        return
    loss = bootstrapped_cross_entropy(logits, labels, **rule)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(case["loss"], abs=1e-6)
    assert logits.grad is not None
    if "gradient" in case:
        torch.testing.assert_close(logits.grad, torch.tensor(case["gradient"], dtype=dtype), rtol=0, atol=1e-6)
    if "gradient_norm" in case:
        assert float(logits.grad.norm()) == pytest.approx(case["gradient_norm"], abs=1e-6)


@pytest.mark.parametrize("case", [case for case in GOLDEN["cases"] if "loss_of_each_image" in case])
def test_each_image_chooses_for_itself(case: dict[str, Any]) -> None:
    logits, labels = _inputs(case)
    alone = [
        float(bootstrapped_cross_entropy(one, label, min_kept=case["min_K"], threshold=case["loss_th"]).detach())
        for one, label in zip(logits[:, None], labels[:, None], strict=True)
    ]
    assert alone == pytest.approx(case["loss_of_each_image"], abs=1e-6)


def _random(seed: int, count: int, classes: int, height: int, width: int, ignored: float) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    # Rounded, so that equal losses occur.
    logits = torch.from_numpy(random.normal(scale=2, size=(count, classes, height, width)).round(1))
    labels = random.integers(0, classes, (count, height, width))
    labels[random.random(labels.shape) < ignored] = IGNORE
    return logits, torch.from_numpy(labels)


def _hard_pixels(losses: np.ndarray[Any, Any], min_kept: int, threshold: float) -> np.ndarray[Any, Any]:
    """Positions of one image's pixels that count, as the published code finds them: by sorting."""
    order = np.argsort(-losses, kind="stable")
    if losses[order[min_kept]] > threshold:
        return order[losses[order] > threshold]
    return order[:min_kept]


def _pixel_losses(logits: Tensor, labels: Tensor) -> list[np.ndarray[Any, Any]]:
    found = []
    for image, truth in zip(logits.numpy(), labels.numpy(), strict=True):
        shares = np.exp(image - image.max(0)) / np.exp(image - image.max(0)).sum(0)
        chosen = np.take_along_axis(shares, np.where(truth == IGNORE, 0, truth)[None], 0)[0]
        found.append(np.where(truth == IGNORE, 0, -np.log(chosen)).ravel())
    return found


@given(st.data(), st.integers(0, 2**31), st.floats(0, 4), st.sampled_from([0.0, 0.2, 0.9]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_sorting_all_pixels_gives_the_same(data: st.DataObject, seed: int, threshold: float, ignored: float) -> None:
    count, classes = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 6))
    height, width = data.draw(st.integers(1, 7)), data.draw(st.integers(2, 7))
    min_kept = data.draw(st.integers(1, height * width - 1))
    logits, labels = _random(seed, count, classes, height, width, ignored)
    expected = np.mean(
        [losses[_hard_pixels(losses, min_kept, threshold)].mean() for losses in _pixel_losses(logits, labels)]
    )
    found = bootstrapped_cross_entropy(logits, labels, min_kept=min_kept, threshold=threshold)
    assert float(found) == pytest.approx(float(expected), abs=1e-12)


def test_with_k_pixels_or_fewer_above_the_threshold_the_k_worst_count() -> None:
    # Two classes, losses log(1 + e^-z): three pixels above 0.3, three below. At K = 3 both rules name the same three.
    logits = torch.zeros(1, 2, 1, 6, dtype=torch.float64)
    logits[0, 0] = torch.tensor([0.0, -1.0, -2.0, 3.0, 4.0, 5.0])
    labels = torch.zeros(1, 1, 6, dtype=torch.long)
    losses = F.cross_entropy(logits, labels, reduction="none").flatten()
    above = losses[losses > 0.3].mean()
    assert float(bootstrapped_cross_entropy(logits, labels, min_kept=3)) == pytest.approx(float(above))
    assert float(bootstrapped_cross_entropy(logits, labels, min_kept=2)) == pytest.approx(float(above))
    worst = losses.sort(descending=True).values[:4].mean()
    assert float(bootstrapped_cross_entropy(logits, labels, min_kept=4)) == pytest.approx(float(worst))


def test_a_loss_at_the_threshold_does_not_pass_it() -> None:
    logits, labels = torch.zeros(1, 2, 1, 4, dtype=torch.float64), torch.zeros(1, 1, 4, dtype=torch.long)
    logits[0, 0, 0, 0] = -3
    at = float(F.cross_entropy(logits[..., 1:], labels[..., 1:]))
    losses = F.cross_entropy(logits, labels, reduction="none").flatten().sort(descending=True).values
    found = bootstrapped_cross_entropy(logits, labels, min_kept=2, threshold=at)
    assert float(found) == pytest.approx(float(losses[:2].mean()))


def test_an_image_without_labels_gives_zero_and_no_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = bootstrapped_cross_entropy(logits, torch.full((1, 4, 4), IGNORE), min_kept=5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_of_any_integer_type_will_do(dtype: torch.dtype) -> None:
    logits, labels = _random(0, 2, 5, 6, 6, 0.2)
    expected = bootstrapped_cross_entropy(logits, labels, min_kept=4)
    assert torch.equal(bootstrapped_cross_entropy(logits, labels.to(dtype), min_kept=4), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_logits_lose_in_float32(dtype: torch.dtype) -> None:
    logits, labels = _random(0, 2, 5, 6, 6, 0.2)
    found = bootstrapped_cross_entropy(logits.to(dtype), labels, min_kept=4)
    assert found.dtype == torch.float32
    assert torch.equal(found, bootstrapped_cross_entropy(logits.to(dtype).float(), labels, min_kept=4))


def test_a_pixel_that_is_not_a_number_shows_in_the_loss() -> None:
    """Even where more than K others are above the threshold: the training loop stops at such a loss."""
    logits, labels = _random(0, 1, 5, 6, 6, 0.0)
    logits[0, 0, 0, 0] = float("nan")
    assert bootstrapped_cross_entropy(logits, labels, min_kept=2, threshold=0.01).isnan()


def _annotated_labels(labels: Tensor, annotated: Tensor) -> Tensor:
    """Labels of unannotated classes become IGNORE, as data sets do."""
    return torch.stack(
        [
            torch.where(torch.isin(image, torch.nonzero(marks).flatten()), image, IGNORE)
            for image, marks in zip(labels, annotated, strict=True)
        ]
    )


ANNOTATED = torch.tensor([[True, False, True, False, True], [True] * 5, [False, True, False, False, False]])


@pytest.mark.parametrize("size", [(6, 6), (13, 11)], ids=["same-size", "enlarged"])
def test_with_annotated_classes_the_loss_is_that_of_their_logits_alone(size: tuple[int, int]) -> None:
    logits, _ = _random(0, 3, 5, 6, 6, 0.0)
    labels = _annotated_labels(_random(1, 3, 5, *size, 0.1)[1], ANNOTATED)
    found = bootstrapped_cross_entropy(logits, labels, min_kept=7, annotated=ANNOTATED)
    alone = []
    for image, truth, marks in zip(logits, labels, ANNOTATED, strict=True):
        places = torch.full((256,), IGNORE)
        places[:5][marks] = torch.arange(int(marks.sum()))
        alone.append(float(bootstrapped_cross_entropy(image[None, marks], places[truth][None], min_kept=7)))
    assert float(found) == pytest.approx(np.mean(alone), abs=1e-12)


@pytest.mark.parametrize("size", [(6, 6), (13, 11)], ids=["same-size", "enlarged"])
def test_unannotated_logits_get_no_gradient_and_annotated_ones_do(size: tuple[int, int]) -> None:
    logits = _random(0, 3, 5, 6, 6, 0.0)[0].float().requires_grad_()
    labels = _annotated_labels(_random(1, 3, 5, *size, 0.1)[1], ANNOTATED)
    loss = bootstrapped_cross_entropy(logits, labels, min_kept=7, annotated=ANNOTATED)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    by_class = logits.grad.abs().sum((2, 3))
    assert not by_class[~ANNOTATED].any()
    # The third image has one annotated class: nothing to tell it from, nothing to learn.
    assert bool((by_class[:2][ANNOTATED[:2]] > 0).all())


def test_everything_annotated_is_the_same_as_nothing_said() -> None:
    logits, labels = _random(0, 2, 5, 6, 6, 0.2)
    everything = torch.ones(2, 5, dtype=torch.bool)
    plain = bootstrapped_cross_entropy(logits, labels, min_kept=4)
    assert torch.equal(bootstrapped_cross_entropy(logits, labels, min_kept=4, annotated=everything), plain)


@pytest.mark.parametrize(("min_kept", "threshold"), [(4, 0.3), (30, 4.0)], ids=["threshold", "worst-k"])
def test_weights_of_one_change_nothing(min_kept: int, threshold: float) -> None:
    logits, labels = _random(0, 2, 5, 6, 6, 0.2)
    plain = bootstrapped_cross_entropy(logits, labels, min_kept=min_kept, threshold=threshold)
    ones = torch.ones(5)
    found = bootstrapped_cross_entropy(logits, labels, min_kept=min_kept, threshold=threshold, class_weights=ones)
    torch.testing.assert_close(found, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("min_kept", "threshold"), [(4, 0.3), (12, 4.0)], ids=["threshold", "worst-k"])
def test_weights_choose_the_same_pixels_and_weigh_their_mean(min_kept: int, threshold: float) -> None:
    logits, labels = _random(0, 3, 5, 6, 6, 0.2)
    weights = np.array([0.1, 5.0, 1.0, 2.0, 0.5])
    expected = []
    for losses, truth in zip(_pixel_losses(logits, labels), labels.flatten(1).numpy(), strict=True):
        hard = _hard_pixels(losses, min_kept, threshold)
        assert (truth[hard] != IGNORE).all()
        expected.append((losses[hard] * weights[truth[hard]]).sum() / weights[truth[hard]].sum())
    found = bootstrapped_cross_entropy(
        logits, labels, min_kept=min_kept, threshold=threshold, class_weights=torch.from_numpy(weights)
    )
    assert float(found) == pytest.approx(np.mean(expected), abs=1e-12)


def test_the_scale_of_the_weights_does_not_matter() -> None:
    logits, labels = _random(0, 2, 5, 6, 6, 0.2)
    weights = torch.tensor([0.1, 5.0, 1.0, 2.0, 0.5])
    one, other = (
        bootstrapped_cross_entropy(logits, labels, min_kept=4, class_weights=factor * weights) for factor in (1, 8)
    )
    torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_class_weights_follow_enet_s_formula() -> None:
    labels = [np.array([[0, 0, 0, 1], [255, 255, 255, 255]], np.uint8), np.array([[0, 1, 1, 0]], np.uint8)]
    weights = class_weights_of(labels, 3)
    expected = 1 / np.log(1.02 + np.array([5, 3, 0]) / 8)
    assert weights == pytest.approx(expected / expected.mean(), rel=1e-6)
    assert weights.dtype == np.float32


def test_classes_weigh_the_same_where_they_are_equally_common_or_nothing_is_labeled() -> None:
    assert class_weights_of([np.array([[0, 1, 2]], np.uint8)], 3) == pytest.approx([1, 1, 1])
    assert class_weights_of([np.full((2, 2), 255, np.uint8)], 3) == pytest.approx([1, 1, 1])
