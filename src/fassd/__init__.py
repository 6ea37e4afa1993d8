"""fassd: real-time street segmentation with the networks of the FASSD-Net paper.

>>> import fassd
>>> segmenter = fassd.Segmenter()            # the weights that ship
>>> prediction = segmenter("street.jpg")     # .class_map, .shares, .overlay(), .save(folder)

Names are fetched on first use, so that importing fassd loads neither PyTorch nor anything else that is slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fassd.core.errors import FassdError
    from fassd.runtimes.open import open_runtime
    from fassd.segmenter import Prediction, Segmenter

__version__ = "0.1.0"
__all__ = ["FassdError", "Prediction", "Segmenter", "__version__", "open_runtime"]


def __getattr__(name: str) -> Any:
    """Fetches a public name from its home (PEP 562)."""
    if name == "FassdError":
        from fassd.core.errors import FassdError

        return FassdError
    if name == "open_runtime":
        from fassd.runtimes.open import open_runtime

        return open_runtime
    if name in ("Prediction", "Segmenter"):
        from fassd import segmenter

        return getattr(segmenter, name)
    raise AttributeError(f"module 'fassd' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
