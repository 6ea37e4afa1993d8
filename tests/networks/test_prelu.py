"""PReLU while training on a processor, against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fassd.networks.conv import PReLU

CHANNELS_LAST, PLANES = torch.channels_last, torch.contiguous_format


def _results(layer: nn.PReLU, features: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A layer's output, and the gradients by features and weights."""
    given = features.detach().requires_grad_()
    answer = layer(given)
    of_features, of_weights = torch.autograd.grad(answer, (given, layer.weight), gradient)
    return answer, of_features, of_weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", [CHANNELS_LAST, PLANES])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 1, 4, 6), (3, 8, 1, 1), (2, 4, 5, 1)])
def test_it_is_pytorchs_to_the_bit_but_for_the_order_of_sums(
    dtype: torch.dtype, layout: torch.memory_format, shape: tuple[int, int, int, int]
) -> None:
    random = torch.Generator().manual_seed(0)
    features, gradient = (torch.randn(shape, generator=random).to(dtype, memory_format=layout) for _ in range(2))
    features[0, 0, 0, 0] = 0.0
    ours, theirs = PReLU(shape[1]), nn.PReLU(shape[1]).to(dtype)
    with torch.no_grad():
        ours.weight.uniform_(-1, 1, generator=random)
        theirs.weight.copy_(ours.weight)
    found, expected = _results(ours, features, gradient), _results(theirs, features, gradient)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    assert found[0].dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(found[2], expected[2].float(), rtol=tolerance, atol=tolerance)


def test_its_gradients_are_those_of_finite_differences() -> None:
    layer = PReLU(3).double()
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = layer.weight.detach().clone()

    def answer(given: Tensor, weight: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(layer, {"weight": weight}, (given,))
        return found

    assert torch.autograd.gradcheck(answer, (features.requires_grad_(), weights.requires_grad_()))


def test_autocast_leaves_features_in_full_precision_alone() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert PReLU(2)(torch.ones(1, 2, 3, 3)).dtype == torch.float32


def test_outside_training_it_is_pytorchs_own() -> None:
    answer = PReLU(2).eval()(torch.ones(1, 2, 3, 3))
    assert answer.grad_fn is not None
    assert answer.grad_fn.name() == "PreluKernelBackward0"
