"""fassd: real-time semantic segmentation of streets with the networks of the FASSD-Net paper.

>>> import fassd
>>> segmenter = fassd.Segmenter()            # the weights that ship
>>> prediction = segmenter("street.jpg")     # .class_map, .shares, .overlay(), .save(folder)

Names are imported on first use, so that importing fassd loads neither PyTorch nor anything else that is slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fassd.core.errors import FassdError, ImageError
    from fassd.runtimes.open import open_runtime
    from fassd.segmenter import Prediction, Segmenter

__version__ = "0.1.0"
__all__ = ["FassdError", "ImageError", "Prediction", "Segmenter", "__version__", "open_runtime"]


def __getattr__(name: str) -> Any:
    """Imports a public name on first use (PEP 562)."""
    if name in ("FassdError", "ImageError"):
        from fassd.core import errors

        return getattr(errors, name)
    if name == "open_runtime":
        from fassd.runtimes.open import open_runtime

        return open_runtime
    if name in ("Prediction", "Segmenter"):
        from fassd import segmenter

        return getattr(segmenter, name)
    raise AttributeError(f"module 'fassd' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
