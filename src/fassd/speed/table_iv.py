"""Table IV of the paper: real-time networks on the Cityscapes validation set, as published (ICPR 2020).

The published speeds come from several GPUs. A normalized speed is divided by the GPU's speed relative to a GTX 1080 Ti
(Orsic et al., CVPR 2019), and by 1.65 where TensorRT was used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

PAPER_SIZE = (1024, 2048)
"""Height and width at which the paper timed its own networks."""


class Published(msgspec.Struct, frozen=True):
    """A row as printed.

    Attributes:
        method: the paper's name.
        network: our name for it; None for networks of others.
        size: height and width of the input.
        gpu: on which the speed was measured.
        gflops, parameters_m: None where the paper gives none.
        fps: frames per second as first published.
        fps_normalized: the same, converted to a GTX 1080 Ti.
        mean_iou: per cent.
        tensorrt: whether the published speed was measured with TensorRT.
    """

    method: str
    network: str | None
    size: tuple[int, int]
    gpu: str
    gflops: float | None
    parameters_m: float | None
    fps: float
    fps_normalized: float
    mean_iou: float
    tensorrt: bool = False


_FULL, _THREE_QUARTERS, _HALF = PAPER_SIZE, (768, 1536), (512, 1024)
_TI, _M, _P, _XP = "1080 Ti", "Titan X (M)", "Titan X (P)", "Titan XP"

# In the paper's order: not real time ("about 1" and "below 1" frame per second), then the groups of L2, L1, full size.
TABLE_IV = (
    Published("DeepLabV3+", None, _HALF, _P, None, None, 1.0, 1.0, 79.6),
    Published("PSPNet", None, (713, 713), _P, None, None, 1.0, 1.0, 79.7),
    Published("Fast-SCNN", None, _FULL, _XP, None, 1.11, 123.5, 110.3, 69.2),
    Published("SwiftNetRN-18", None, _HALF, _TI, 26.0, 11.8, 134.9, 134.9, 70.2),
    Published("FC-HarDNet-70 (L2)", "fc-hardnet-70-l2", _FULL, _TI, 6.6, 2.86, 152.8, 152.8, 72.1),
    Published("FASSD-Net-L2", "fassd-net-l2", _FULL, _TI, 8.7, 2.3, 133.1, 133.1, 74.1),
    Published("ERFNet", None, _HALF, _M, None, 2.1, 41.7, 68.4, 71.5),
    Published("CAS", None, _THREE_QUARTERS, _XP, None, None, 108.0, 96.4, 71.6),
    Published("DF1-Seg-d8", None, _FULL, _TI, None, None, 136.9, 82.9, 72.4, True),
    Published("FasterSeg", None, _FULL, _TI, 28.2, 4.4, 163.9, 99.3, 73.1, True),
    Published("FC-HarDNet-70 (L1)", "fc-hardnet-70-l1", _FULL, _TI, 15.7, 4.1, 93.4, 93.4, 74.8),
    Published("FASSD-Net-L1", "fassd-net-l1", _FULL, _TI, 20.0, 2.85, 78.0, 78.0, 76.3),
    Published("ICNet", None, _FULL, _M, 28.3, 26.5, 30.3, 49.7, 67.7),
    Published("DABNet", None, _FULL, _TI, 41.8, 0.76, 27.7, 27.7, 69.1),
    Published("GUN", None, _HALF, _XP, None, None, 33.3, 29.7, 69.6),
    Published("BiSeNet", None, _THREE_QUARTERS, _XP, None, 49.0, 65.5, 58.5, 74.8),
    Published("SwiftNetRN-18", None, _FULL, _TI, 104.0, 11.8, 39.9, 39.9, 75.4),
    Published("FC-HarDNet-70", "fc-hardnet-70", _FULL, _TI, 35.4, 4.1, 53.0, 53.0, 77.4),
    Published("FASSD-Net", "fassd-net", _FULL, _TI, 45.1, 2.85, 41.1, 41.1, 78.8),
)

# Table I, before the second training run; per cent of the Cityscapes validation set.
_ABLATION_MEAN_IOU = {
    "baseline": 75.2,
    "baseline+aspp": 75.8,
    "baseline+dapf": 77.7,
    "baseline+mda": 77.4,
    "baseline+aspp+mda": 76.8,
}

PUBLISHED_MEAN_IOU = {row.network: row.mean_iou for row in TABLE_IV if row.network} | _ABLATION_MEAN_IOU
"""Per cent, by our name, of all networks of the paper: from Table IV, or from Table I if they are only there."""


def machine_factor(frames_per_second: Mapping[str, float]) -> float | None:
    """This machine's speed in units of a GTX 1080 Ti: the geometric mean of measured over published speed.

    Args:
        frames_per_second: by our name, of the eager PyTorch reference with the paper's protocol at the paper's size.

    Returns:
        The factor that Table IV's normalization divides by; None where no published network was measured.
    """
    published = {row.network: row.fps_normalized for row in TABLE_IV if row.network}
    ratios = [measured / published[name] for name, measured in frames_per_second.items() if name in published]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None
