"""What a container or a service may use of a machine: Linux's control groups, version 1 and version 2.

A group's limits hold for the groups inside it, so that the tightest on the way up counts. Inside most containers the
own group looks like the root; what a process is told of its place then names folders that are not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC, SYS = Path("/proc"), Path("/sys")

# The files that tell limit and use, and the lines of memory.stat that name what is given back when it is needed:
# contents of files, kept in case they are read again. Version 2, then version 1.
_MEMORY_FILES = (
    ("memory.max", "memory.current", ("active_file", "inactive_file")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file")),
)


@dataclass(frozen=True)
class MemoryLimit:
    """A group's memory in bytes: how much it gets, and how much of that it cannot give back."""

    limit: int
    held: int


def memory_limits() -> list[MemoryLimit]:
    """Of this process's group and of those around it; empty where there are none, or none that are told."""
    return [found for group in _groups("memory") for found in _limits_in(group)]


def core_limit() -> float | None:
    """How many cores' time this process's group gets; None where nothing limits it."""
    shares = [share for group in _groups("cpu") for share in _shares_in(group)]
    return min(shares, default=None)


def system_text(path: Path) -> str:
    """A file of the system, empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _groups(controller: str) -> Iterator[Path]:
    """The folders that would tell of this process's group and of all around it, the innermost first."""
    for line in (system_text(PROC / "self/cgroup") or "0::/").splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = SYS / "fs/cgroup" / (controller if controllers else "")
        steps = [step for step in place.split("/") if step not in ("", "..")]
        yield from (root.joinpath(*steps[:count]) for count in range(len(steps), -1, -1))


def _limits_in(group: Path) -> Iterator[MemoryLimit]:
    for limit_file, used_file, kept in _MEMORY_FILES:
        limit, used = _number(group / limit_file), _number(group / used_file)
        if limit is not None:
            counts = re.findall(r"^(\w+) (\d+)$", system_text(group / "memory.stat"), re.MULTILINE)
            spare = sum(int(count) for name, count in counts if name in kept)
            yield MemoryLimit(limit, max(0, (used or 0) - spare))


def _shares_in(group: Path) -> Iterator[float]:
    shares = (
        system_text(group / "cpu.max").split(),
        [system_text(group / f"cpu.cfs_{part}_us").strip() for part in ("quota", "period")],
    )
    for share in shares:
        if len(share) == 2 and all(number.isdigit() for number in share):
            yield int(share[0]) / max(1, int(share[1]))


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no file, or it says "max" or -1: unlimited."""
    text = system_text(path).strip()
    return int(text) if text.isdigit() else None
