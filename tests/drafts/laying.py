"""What the folders of these tests are made of."""

from __future__ import annotations

from collections.abc import Callable

from fassd.core.arrays import Image, Labels

Blocks = Callable[..., Labels]
Paint = Callable[[Labels], Image]
SIZE = (64, 96)


def pairs_of(image: str, mask: str, splits: tuple[str, ...] = ("train", "val"), count: int = 3) -> dict[str, str]:
    """Places of pairs: {split} and {n} are filled in."""
    names = [(split, f"{split}{number}_07") for split in splits for number in range(count)]
    return {image.format(split=split, n=name): mask.format(split=split, n=name) for split, name in names}
