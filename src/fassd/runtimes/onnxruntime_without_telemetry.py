"""ONNX Runtime, imported so that it tells its makers nothing.

Newer builds (1.32 does) send events by HTTPS from native code, and keep a number for the machine in the user's cache,
unless this variable is set before the library is loaded (its Privacy.md). Whoever needs it imports it from here.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as onnxruntime  # noqa: PLC0414 (re-exported, behind the line that must come first)
