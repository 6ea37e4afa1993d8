"""ONNX Runtime without telemetry: import it from here only.

Newer builds (such as 1.32) send events by HTTPS from native code and keep an ID of the machine in the user's cache,
unless this variable is set before the library is loaded (its Privacy.md).
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as onnxruntime  # noqa: PLC0414 (re-exported, after the line that must come first)
