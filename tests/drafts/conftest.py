"""Folders as people have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image as Pillow
from tests.drafts.laying import SIZE, Blocks, Paint

from fassd.core.arrays import Labels


@pytest.fixture
def lay(tmp_path: Path, blocks: Blocks, paint: Paint) -> Callable[..., Path]:
    """Writes pairs of image and mask at the places given, and text files."""

    def write(
        pairs: Mapping[str, str],
        code: Callable[[Labels], Pillow.Image] = Pillow.fromarray,
        values: int = 4,
        texts: Mapping[str, str] | None = None,
    ) -> Path:
        root = tmp_path / "mine"
        for seed, (image, mask) in enumerate(pairs.items()):
            labels = blocks(seed, values, SIZE)
            for place in (image, mask):
                (root / place).parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(paint(labels)).save(root / image)
            if mask:
                code(labels).save(root / mask)
        for place, text in (texts or {}).items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text(text, encoding="utf-8")
        return root

    return write
