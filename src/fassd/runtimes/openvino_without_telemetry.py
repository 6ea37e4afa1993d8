"""OpenVINO, imported so that it tells its makers nothing.

`import openvino` and `import nncf` send a message home through the package openvino_telemetry, and both do without
where that cannot be imported. Whoever needs either imports this module first.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as openvino  # noqa: E402, PLC0414 (re-exported, behind the line that must come first)
