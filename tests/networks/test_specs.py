from __future__ import annotations

import pytest

from fassd.core.errors import UnknownName, UsageError
from fassd.networks.specs import NETWORKS, check_alpha, network_by_name, plan_hard_block


@pytest.mark.parametrize(
    ("growth", "layers", "widths", "inputs", "out"),
    [
        (10, 4, [10, 18, 10, 28], [1000, 1010, 18, 1028], 48),
        (16, 4, [16, 28, 16, 46], [1000, 1016, 28, 1044], 78),
        (18, 8, [18, 30, 18, 52, 18, 30, 18, 88], [1000, 1018, 30, 1048, 52, 70, 30, 1100], 160),
        (24, 8, [24, 40, 24, 70, 24, 40, 24, 118], [1000, 1024, 40, 1064, 70, 94, 40, 1134], 214),
        (32, 8, [32, 54, 32, 92, 32, 54, 32, 158], [1000, 1032, 54, 1086, 92, 124, 54, 1178], 286),
    ],
)
def test_a_hard_block_is_as_wide_as_published(
    growth: int, layers: int, widths: list[int], inputs: list[int], out: int
) -> None:
    plan = plan_hard_block(1000, growth, layers)
    assert [layer.out_channels for layer in plan.layers] == widths
    assert [layer.in_channels for layer in plan.layers] == inputs
    assert plan.out_channels == out


def test_layers_read_the_nearest_first_at_distances_of_powers_of_two() -> None:
    links = [layer.links for layer in plan_hard_block(10, 10, 8).layers]
    assert links == [(0,), (1, 0), (2,), (3, 2, 0), (4,), (5, 4), (6,), (7, 6, 4, 0)]


@pytest.mark.parametrize(("layers", "output"), [(4, (1, 3, 4)), (8, (1, 3, 5, 7, 8))])
def test_the_odd_layers_and_the_last_are_the_output(layers: int, output: tuple[int, ...]) -> None:
    assert plan_hard_block(10, 10, layers).output_layers == output


@pytest.mark.parametrize(
    ("name", "output_stride", "minimum_side"),
    [
        ("fassd-net", 4, 29),
        ("fassd-net-l1", 6, 43),
        ("fassd-net-l2", 8, 57),
        ("fc-hardnet-70", 4, 61),
        ("fc-hardnet-70-l1", 6, 91),
        ("fc-hardnet-70-l2", 8, 121),
        ("baseline", 4, 29),
        ("baseline+aspp", 4, 29),
        ("baseline+dapf", 4, 29),
        ("baseline+mda", 4, 29),
        ("baseline+aspp+mda", 4, 29),
    ],
)
def test_strides_and_minimum_sides_are_as_published(name: str, output_stride: int, minimum_side: int) -> None:
    spec = network_by_name(name)
    assert (spec.output_stride, spec.minimum_side) == (output_stride, minimum_side)


def test_there_are_eleven_networks_under_their_own_names() -> None:
    assert len(NETWORKS) == 11
    assert all(spec.name == name for name, spec in NETWORKS.items())


def test_an_unknown_network_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"did you mean .*fassd-net-l2"):
        network_by_name("fassdnet-l2")


@pytest.mark.parametrize("size", [(28, 500), (500, 28)])
def test_an_image_that_is_too_small_is_refused_with_both_numbers(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"the crop is {size[1]}x{size[0]} pixels; baseline needs at least 29"):
        network_by_name("baseline").check_size(*size, "the crop")


@pytest.mark.parametrize(("alpha", "possible"), [(-1, False), (0, False), (1, True), (224, True), (225, False)])
def test_alpha_leaves_every_branch_a_channel(alpha: int, possible: bool) -> None:
    spec = network_by_name("fassd-net")
    if possible:
        check_alpha(spec, alpha)
    else:
        with pytest.raises(UsageError, match=f"alpha is {alpha}.* 1 to 224 is possible"):
            check_alpha(spec, alpha)
