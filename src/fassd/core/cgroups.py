"""Memory and CPU limits of containers and services: Linux control groups, versions 1 and 2.

The limits of a group also hold for the groups inside it, so the tightest on the path to the root counts. Inside most
containers the process's group looks like the root, and the path that the process is told does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC, SYS = Path("/proc"), Path("/sys")

# The files with the limit and the usage, and the lines of memory.stat that count reclaimable memory, the file cache:
# version 2, then version 1.
_MEMORY_FILES = (
    ("memory.max", "memory.current", ("active_file", "inactive_file")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file")),
)


@dataclass(frozen=True)
class MemoryLimit:
    """A group's memory in bytes: its limit, and the part in use that cannot be reclaimed."""

    limit: int
    held: int


def memory_limits() -> list[MemoryLimit]:
    """The limits of this process's group and of the groups around it; empty if none are known."""
    limits = []
    for group in _groups("memory"):
        for limit_file, used_file, reclaimable in _MEMORY_FILES:
            limit, used = _number(group / limit_file), _number(group / used_file)
            if limit is not None:
                counts = re.findall(r"^(\w+) (\d+)$", system_text(group / "memory.stat"), re.MULTILINE)
                spare = sum(int(count) for name, count in counts if name in reclaimable)
                limits.append(MemoryLimit(limit, max(0, (used or 0) - spare)))
    return limits


def core_limit() -> float | None:
    """The CPU time of this process's group, in cores; None if it is not limited."""
    cores = []
    for group in _groups("cpu"):
        quotas = (
            system_text(group / "cpu.max").split(),
            [system_text(group / f"cpu.cfs_{part}_us").strip() for part in ("quota", "period")],
        )
        for quota in quotas:
            if len(quota) == 2 and all(number.isdigit() for number in quota):
                cores.append(int(quota[0]) / max(1, int(quota[1])))
    return min(cores, default=None)


def system_text(path: Path) -> str:
    """The content of a system file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of the groups around it, innermost first; they may not exist."""
    for line in (system_text(PROC / "self/cgroup") or "0::/").splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = SYS / "fs/cgroup" / (controller if controllers else "")
        steps = [step for step in place.split("/") if step not in ("", "..")]
        yield from (root.joinpath(*steps[:count]) for count in range(len(steps), -1, -1))


def _number(path: Path) -> int | None:
    """The number in a file; None if the file is missing or says "max" or -1, unlimited."""
    text = system_text(path).strip()
    return int(text) if text.isdigit() else None
