"""The seam to whatever executes a network: uint8 images in, class maps out."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from fassd.core.arrays import ClassMaps, Images
from fassd.core.checkpoint import Header
from fassd.core.labels import LabelSpace


class Runtime(Protocol):
    """Executes one network. Laws that every runtime keeps are tested over all of them.

    Attributes:
        name: the row, for example "pytorch".
        header: what the checkpoint says of itself.
        label_space: the classes it answers with.
    """

    name: str
    header: Header
    label_space: LabelSpace

    @property
    def precision(self) -> str:
        """Of its arithmetic, for example "float32"."""
        ...

    def segment(
        self, images: Images, size: tuple[int, int] | None = None, among: Sequence[int] | None = None
    ) -> ClassMaps:
        """Labels every pixel.

        Args:
            images: (N, H, W, 3) uint8 RGB, N at least 1.
            size: (height, width) of the answer; None means the images' own. Logits are enlarged straight to it.
            among: only these classes may be the answer; None means all.

        Returns:
            (N, height, width) uint8, each below the number of classes.

        Raises:
            UsageError: wrong dtype or shape, an empty batch, or a side below the network's minimum.
        """
        ...

    def close(self) -> None:
        """Frees what the runtime holds."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
