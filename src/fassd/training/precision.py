"""The precision of forward and backward pass, and which convolutions are safe in bfloat16 on this processor."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fassd.networks.conv import Conv

# bfloat16 has 8 significant bits: products of random numbers deviate by about 0.3 %. Wrong kernels deviate by 90 % or
# give NaN.
_SAFE_DEVIATION = 0.05


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("amx"))
    return False


def precision_of(name: Literal["auto", "float32", "bfloat16", "float16"], device: torch.device) -> torch.dtype:
    """The dtype of a recipe's `precision` on a device."""
    if name == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def find_unsafe_bf16_convs(network: nn.Module, inputs: Tensor) -> list[str]:
    """Finds convolutions whose bfloat16 gradients are wrong on this processor, and keeps those in float32.

    PyTorch's CPU weight gradient of dilated 3x1 convolutions in channels-last layout came out as NaN on some
    processors. Each distinct convolution is run alone on random numbers in both precisions and compared.

    Args:
        network: gets `full_precision` set on these layers.
        inputs: (N, 3, H, W), shape, layout and device of a training batch; values do not matter.

    Returns:
        The names of these layers.
    """
    shapes: dict[str, torch.Size] = {}
    hooks = [
        layer.register_forward_hook(lambda _, given, __, name=name: shapes.__setitem__(name, given[0].shape))
        for name, layer in network.named_modules()
        if isinstance(layer, Conv)
    ]
    was_training = network.training
    with torch.no_grad():
        network.eval()(inputs)
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    unsafe = []
    for name, layer in network.named_modules():
        if isinstance(layer, Conv) and not _agrees(layer, shapes[name], inputs.device):
            layer.full_precision = True
            unsafe.append(name)
    return unsafe


def _agrees(layer: Conv, shape: torch.Size, device: torch.device) -> bool:
    generator = torch.Generator(device).manual_seed(0)
    layout = torch.channels_last
    features = torch.randn(shape, generator=generator, device=device).contiguous(memory_format=layout)
    exact = _gradients(layer, features, False)
    reduced = _gradients(layer, features, True)
    return all(
        bool(torch.isfinite(found).all()) and float((found - wanted).norm()) <= _SAFE_DEVIATION * float(wanted.norm())
        for found, wanted in zip(reduced, exact, strict=True)
    )


def _gradients(layer: Conv, features: Tensor, reduced: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Output, input gradient and weight gradient of one layer, as float32."""
    features = features.detach().clone(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast(features.device.type, torch.bfloat16, enabled=reduced):
        output = layer(features)
    wanted = torch.cos(torch.arange(output.numel(), device=features.device)).view_as(output).to(output.dtype)
    wanted = wanted.contiguous(memory_format=torch.channels_last)
    by_input, by_weight = torch.autograd.grad(output, (features, layer.weight), wanted)
    return output.detach().float(), by_input.float(), by_weight.float()
