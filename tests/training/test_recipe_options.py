"""What the recipe's options do to one update."""

from __future__ import annotations

import math

import msgspec
import pytest
import torch
from torch import Tensor, nn

from fassd.core.recipe import Augmentation, Loss, Optimizer, Recipe
from fassd.data.batches import Samples, training_batches
from fassd.networks.build import init_network
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import network_by_name
from fassd.training.distributed import Distributed
from fassd.training.optimizer import LR_MULT, build_optimizer, ema_of, poly_lr, scheduled_lr, set_lr
from fassd.training.train_step import ModelWithAuxHeads, SegmentationTrainStep, StepResult


def _network(name: str = "fassd-net-l2") -> SegmentationNetwork:
    return init_network(network_by_name(name), 11)


def _trained(
    recipe: Recipe, samples: Samples, steps: int = 1
) -> tuple[SegmentationNetwork, SegmentationTrainStep, list[StepResult]]:
    network = _network()
    train_step = SegmentationTrainStep(network, recipe, samples, Distributed(torch.device("cpu")))
    batches = training_batches(samples, recipe, 0, 0)
    return network, train_step, [train_step(next(batches), step) for step in range(steps)]


@pytest.fixture(scope="session")
def light(recipe: Recipe) -> Recipe:
    """Crops large enough for norms that do not blow gradients up."""
    return msgspec.structs.replace(recipe, network="fassd-net-l2", augmentation=Augmentation((96, 128)))


def _copies(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_the_lr_rises_to_the_schedule_and_follows_it() -> None:
    values = Optimizer(lr=0.1, warmup_iterations=3)
    rates = [scheduled_lr(values, step, 10) for step in range(10)]
    poly = [poly_lr(0.1, step, 10) for step in range(10)]
    assert rates[:4] == pytest.approx([0.25 * poly[0], 0.5 * poly[1], 0.75 * poly[2], poly[3]])
    assert rates[3:] == poly[3:]


def test_without_a_warm_up_the_lr_is_the_schedule_s() -> None:
    rates = [scheduled_lr(Optimizer(), step, 9) for step in range(9)]
    assert rates == [poly_lr(0.02, step, 9) for step in range(9)]


@pytest.mark.parametrize("decay_all", [True, False])
def test_batchnorm_layers_prelu_weights_and_biases_may_be_spared_decay(recipe: Recipe, decay_all: bool) -> None:
    model = ModelWithAuxHeads(_network("fassd-net"), recipe)
    optimizer = build_optimizer(model, Optimizer(weight_decay=0.5, decay_norm_and_bias=decay_all))
    decays = {id(one): group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            spared = not decay_all and (not isinstance(module, nn.Conv2d) or parameter.ndim == 1)
            assert decays.pop(id(parameter)) == (0.0 if spared else 0.5), name
    assert not decays


def test_the_encoder_may_have_a_lower_lr(recipe: Recipe) -> None:
    model = ModelWithAuxHeads(_network(), recipe)
    optimizer = build_optimizer(model, Optimizer(encoder_lr_mult=0.25))
    set_lr(optimizer, 0.08)
    rates = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    assert {group[LR_MULT] for group in optimizer.param_groups} == {0.25, 1.0}
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == (0.02 if ".encoder." in name else 0.08), name


def test_a_frozen_encoder_stays_as_it_is_and_the_rest_learns(light: Recipe, samples: Samples) -> None:
    frozen = msgspec.structs.replace(light, optimizer=Optimizer(encoder_lr_mult=0.0))
    before = _copies(_network())
    network, _, _ = _trained(frozen, samples)
    for name, value in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, before[name]) == name.startswith("encoder."), name


def test_the_gradient_is_clipped_to_the_given_norm(light: Recipe, samples: Samples) -> None:
    """Without momentum and decay one update moves the weights by rate x gradient."""
    values = Optimizer(lr=1.0, momentum=0.0, weight_decay=0.0, clip_grad_norm=0.01)
    before = dict(_copies(_network()))
    network, _, (result,) = _trained(msgspec.structs.replace(light, optimizer=values), samples)
    moved = torch.stack([(value.detach() - before[name]).norm() for name, value in network.named_parameters()]).norm()
    assert result.grad_norm > 0.1
    assert float(moved) == pytest.approx(0.01, rel=1e-3)


def test_a_gradient_below_the_limit_is_not_clipped(light: Recipe, samples: Samples) -> None:
    wide = msgspec.structs.replace(light, optimizer=Optimizer(clip_grad_norm=1e6))
    first, second = (_trained(one, samples)[0].state_dict() for one in (light, wide))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_parts_of_a_batch_add_up_to_the_gradient_of_the_whole(light: Recipe, samples: Samples) -> None:
    """Norms see a part at a time, so the two agree only where they use fixed statistics."""
    results = []
    for parts in (1, 2):
        recipe = msgspec.structs.replace(light, batch_size=4, accumulation_steps=parts)
        network = _network()
        train_step = SegmentationTrainStep(network, recipe, samples, Distributed(torch.device("cpu")))
        network.eval()
        result = train_step(next(training_batches(samples, recipe, 0, 0)), 0)
        gradients = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
        results.append((result, gradients))
    (whole, expected), (parted, found) = results
    assert parted.loss == pytest.approx(whole.loss, rel=1e-5)
    assert expected.keys() == dict(network.named_parameters()).keys()
    for name, gradient in expected.items():
        scale = float(gradient.norm()) + 1e-6
        assert float((found[name] - gradient).norm()) < 1e-3 * scale, name


def test_auxiliary_losses_reach_the_decoder_stages_through_their_own_heads(light: Recipe, samples: Samples) -> None:
    recipe = msgspec.structs.replace(light, loss=Loss(min_kept=512, aux_weight=0.5))
    network, train_step, (result,) = _trained(recipe, samples)
    _, _, (plain,) = _trained(msgspec.structs.replace(light, loss=Loss(min_kept=512)), samples)
    heads = {name: value for name, value in train_step.tensors().items() if name.startswith("heads.")}
    assert len(heads) == 2 * (len(network.decoder) - 1)
    assert result.loss > 1.3 * plain.loss
    images = torch.randn(1, 3, 96, 128)
    first, *auxiliary = ModelWithAuxHeads(network, recipe).eval()(images)
    assert torch.equal(first, network.eval()(images))
    assert [logits.shape[1] for logits in auxiliary] == [11] * (len(network.decoder) - 1)
    assert "heads.0.weight" not in network.state_dict()


def test_the_moving_average_follows_the_weights_with_rising_decay() -> None:
    network = _network()
    mean = ema_of(network, 0.5)
    weights = network.classifier.weight
    expected = torch.zeros_like(weights)
    for updates in range(12):
        weights.data.fill_(float(updates))
        network.encoder.stem[0].norm.running_mean.fill_(float(updates))  # type: ignore[union-attr, operator]
        mean.update_parameters(network)
        kept = min(0.5, (1 + updates) / (10 + updates)) if updates else 0.0
        expected = kept * expected + (1 - kept) * updates
    assert isinstance(mean.module, SegmentationNetwork)
    torch.testing.assert_close(mean.module.classifier.weight.detach(), expected.expand_as(weights))
    statistics = mean.module.state_dict()["encoder.stem.0.norm.running_mean"]
    torch.testing.assert_close(statistics, expected.flatten()[:1].expand_as(statistics))


def test_the_moving_average_is_validated_where_there_is_one(light: Recipe, samples: Samples) -> None:
    network, plain, _ = _trained(light, samples)
    assert plain.eval_model is network
    network, mean, _ = _trained(msgspec.structs.replace(light, ema_decay=0.9), samples, steps=3)
    assert mean.eval_model is not network
    assert not torch.equal(mean.eval_model.classifier.weight, network.classifier.weight)


def test_float16_skips_an_iteration_that_overflows_and_lowers_its_scale(light: Recipe, samples: Samples) -> None:
    before = _copies(_network())
    network, train_step, (result,) = _trained(msgspec.structs.replace(light, precision="float16"), samples)
    _, _, (exact,) = _trained(light, samples)
    moved = not torch.equal(network.classifier.weight, before["classifier.weight"])
    assert result.is_finite
    assert result.loss == pytest.approx(exact.loss, rel=0.02)
    assert moved == math.isfinite(result.grad_norm)
    assert train_step.scaler["scale"] == (65536.0 if moved else 32768.0)
