"""Describes the machine that measurements run on, and what disturbed them.

Linux has all values under /proc and /sys. Other systems are queried in their own way, and a value is None where it is
unknown: describing the machine never fails.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from fassd.core.cgroups import PROC, SYS, core_limit, memory_limits, system_text

PACKAGES = ("fassd", "numpy", "openvino", "numba", "torch", "onnxruntime", "nncf")
"""The packages whose versions affect the speed of a network."""

# Instruction sets that affect it, in Linux's spelling: x86, then Arm.
INSTRUCTIONS = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2"),
)

# The names of some of them on macOS and Windows.
_SYSCTL = {
    **{"hw.optional.avx2_0": "avx2", "hw.optional.avx512f": "avx512f", "hw.optional.neon": "asimd"},
    **{"hw.optional.arm.FEAT_FP16": "asimdhp", "hw.optional.arm.FEAT_DotProd": "asimddp"},
    **{"hw.optional.arm.FEAT_BF16": "bf16", "hw.optional.arm.FEAT_I8MM": "i8mm"},
}
_WINDOWS_FEATURES = {40: "avx2", 41: "avx512f", 19: "asimd", 43: "asimddp"}


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What affects the speed of a network on this machine.

    Attributes:
        processor: name given by its maker.
        cores: the number this process may use, by affinity and container.
        threads_per_core: 2 if two of these share a physical core; None if unknown.
        instructions: those of INSTRUCTIONS that it supports.
        memory_gib: of the machine, or of the container if that has less; None if unknown.
        system: operating system and architecture.
        python: version.
        packages: versions of the installed ones of PACKAGES.
        accelerator: the GPU in use; None on a CPU.
    """

    processor: str
    cores: int
    threads_per_core: int | None
    instructions: tuple[str, ...]
    memory_gib: float | None
    system: str
    python: str
    packages: dict[str, str]
    accelerator: str | None = None


def describe_machine(accelerator: str | None = None) -> Machine:
    """This machine.

    Args:
        accelerator: the name of the GPU in use, if any.
    """
    memory = memory_bytes()
    return Machine(
        processor=_processor(),
        cores=usable_cores(),
        threads_per_core=_threads_per_core(),
        instructions=_instructions(),
        memory_gib=None if memory is None else round(memory / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages=_packages(),
        accelerator=accelerator,
    )


def usable_cores() -> int:
    """The cores that this process may use, by affinity and by the limit of the container."""
    allowed, limit = len(_allowed_cores()), core_limit()
    return allowed if limit is None else max(1, min(allowed, int(limit)))


def memory_bytes() -> int | None:
    """Memory of the machine, or of the container if that has less; None if unknown."""
    if sys.platform == "win32":
        return _windows_memory()
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    return min([whole, *(one.limit for one in memory_limits())])


def free_memory() -> int | None:
    """Available memory in bytes, of the container if that has less; None if unknown."""
    available = re.search(r"^MemAvailable:\s+(\d+) kB", system_text(PROC / "meminfo"), re.MULTILINE)
    free = [max(0, one.limit - one.held) for one in memory_limits()]
    return min([int(available[1]) * 1024, *free]) if available else None


def peak_memory_bytes() -> int | None:
    """The peak of this process's physical memory so far; None if unknown."""
    if sys.platform == "win32":
        return _windows_peak()
    # On Linux getrusage inherits the parent's peak; VmHWM is that of this program.
    own = re.search(r"VmHWM:\s+(\d+) kB", system_text(PROC / "self/status"))
    if own:
        return int(own[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


@dataclass(frozen=True)
class Reading:
    """Counters of the machine at a point in time; None where unknown.

    Attributes:
        at: seconds of a monotonic clock.
        own: CPU seconds of this process.
        busy: CPU seconds of all programs, on the cores that this process may use.
        stolen: CPU seconds that the host of a virtual machine gave to others.
        throttled: how often a core was slowed because of heat.
        megahertz: mean clock rate of the cores.
    """

    at: float
    own: float
    busy: float | None
    stolen: float | None
    throttled: int | None
    megahertz: float | None


def read_machine() -> Reading:
    """The counters now."""
    own = os.times()
    ticks = _core_ticks(system_text(PROC / "stat"), _allowed_cores())
    second = os.sysconf("SC_CLK_TCK") if ticks else 1
    # user, nice, system, idle, iowait, irq, softirq, steal; later columns are included in user.
    busy = sum(sum(core[:3]) + sum(core[5:7]) for core in ticks) / second if ticks else None
    stolen = sum(core[7] for core in ticks) / second if ticks else None
    counters = SYS.glob("devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    throttles = [int(count) for count in map(system_text, counters) if count.strip().isdigit()]
    rates = [float(rate) for rate in re.findall(r"^cpu MHz\s*: ([\d.]+)", system_text(PROC / "cpuinfo"), re.MULTILINE)]
    return Reading(
        time.monotonic(),
        own.user + own.system,
        busy,
        stolen,
        sum(throttles) if throttles else None,
        sum(rates) / len(rates) if rates else None,
    )


def load_before(cores: int) -> str | None:
    """A sentence if the machine was busy during the last minute; None if it was idle or that is unknown."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load <= 0.25 * cores:
        return None
    return f"the machine was busy before the measurement: load average {load:.1f} on {cores} {_cores(cores)}"


def disturbances(before: Reading, after: Reading, cores: int) -> list[str]:
    """Sentences about what disturbed a measurement; empty if nothing did.

    Args:
        before, after: readings at the start and the end of the measurement.
        cores: the number that the program could use.
    """
    elapsed = max(after.at - before.at, 1e-3)
    found = []
    if before.busy is not None and after.busy is not None:
        others = (after.busy - before.busy - (after.own - before.own)) / elapsed
        if others > 0.1 * cores:
            found.append(f"other programs used {others:.1f} of {cores} {_cores(cores)} during the measurement")
    if before.stolen is not None and after.stolen is not None:
        stolen = (after.stolen - before.stolen) / elapsed
        if stolen > 0.03 * cores:
            found.append(f"the host of this virtual machine took {stolen / cores:.0%} of its processor time away")
    if before.throttled is not None and after.throttled is not None and after.throttled > before.throttled:
        found.append(f"the processor was slowed {after.throttled - before.throttled} times because of heat")
    if before.megahertz and after.megahertz and after.megahertz < 0.9 * before.megahertz:
        found.append(f"the clock rate fell from {before.megahertz:.0f} to {after.megahertz:.0f} MHz")
    return found


def _cores(count: int) -> str:
    return "core" if count == 1 else "cores"


def _allowed_cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _core_ticks(stat: str, cores: set[int]) -> list[list[int]]:
    """The counters of the given cores in /proc/stat."""
    lines = re.findall(r"^cpu(\d+) (.+)$", stat, re.MULTILINE)
    return [[int(ticks) for ticks in counters.split()] for core, counters in lines if int(core) in cores]


def _processor() -> str:
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string").strip() or platform.processor()
    named = re.search(r"^(?:model name|Model)\s*: (.+)$", system_text(PROC / "cpuinfo"), re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def _instructions() -> tuple[str, ...]:
    found: set[str] = set()
    if sys.platform == "darwin":
        lines = dict(re.findall(r"^([\w.]+): (\d)", _sysctl("hw.optional"), re.MULTILINE))
        found = {name for key, name in _SYSCTL.items() if lines.get(key) == "1"}
    elif sys.platform == "win32":
        has = ctypes.windll.kernel32.IsProcessorFeaturePresent
        found = {name for number, name in _WINDOWS_FEATURES.items() if has(number)}
    else:
        flags = re.search(r"^(?:flags|Features)\s*: (.+)$", system_text(PROC / "cpuinfo"), re.MULTILINE)
        found = set(flags[1].split()) if flags else set()
    return tuple(name for name in INSTRUCTIONS if name in found)


def _threads_per_core() -> int | None:
    siblings = system_text(SYS / "devices/system/cpu/cpu0/topology/thread_siblings_list").strip()
    if not siblings:
        return None
    spans = [[int(end) for end in span.split("-")] for span in siblings.split(",")]
    return sum(span[-1] - span[0] + 1 for span in spans)


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _sysctl(key: str) -> str:
    """The output of macOS's sysctl: the value of a key, or lines of "key: value" below a prefix."""
    options = [] if key == "hw.optional" else ["-n"]
    try:
        return subprocess.run(["/usr/sbin/sysctl", *options, key], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def _windows_memory() -> int | None:
    class Status(ctypes.Structure):
        _fields_ = [("size", ctypes.c_ulong), ("load", ctypes.c_ulong), ("values", ctypes.c_ulonglong * 7)]

    status: Any = Status(size=ctypes.sizeof(Status))
    asked = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return int(status.values[0]) if asked else None


def _windows_peak() -> int | None:
    class Counters(ctypes.Structure):
        _fields_ = [("size", ctypes.c_ulong), ("faults", ctypes.c_ulong), ("values", ctypes.c_size_t * 8)]

    counters: Any = Counters(size=ctypes.sizeof(Counters))
    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined]
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    asked = kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.size)
    return int(counters.values[0]) if asked else None
