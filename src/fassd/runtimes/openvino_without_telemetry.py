"""OpenVINO without telemetry: import it from here only.

`import openvino` and `import nncf` send telemetry through the package openvino_telemetry, and work without it if it
cannot be imported. Import this module before NNCF too.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as openvino  # noqa: E402, PLC0414 (re-exported, after the line that must come first)
