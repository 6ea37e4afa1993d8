from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fassd.training.validation import top_k_hits


@given(st.integers(1, 9), st.integers(2, 8), st.integers(1, 6), st.integers(0, 999))
def test_top_k_hits_are_those_that_sorting_finds(images: int, classes: int, guesses: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=generator)
    targets = torch.randint(classes, (images,), generator=generator)
    found = 0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        ranking = sorted(range(classes), key=lambda one, row=row: -row[one])  # type: ignore[misc]
        found += target in ranking[:guesses]
    assert top_k_hits(logits, targets, guesses) == found


@pytest.mark.parametrize(("guesses", "found"), [(1, 1), (2, 2), (5, 3)])
def test_of_fewer_classes_than_k_all_count(guesses: int, found: int) -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0]] * 3)
    assert top_k_hits(logits, torch.tensor([0, 1, 2]), guesses) == found
