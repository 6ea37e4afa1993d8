"""The machine and what disturbs a measurement on it: here as it is, elsewhere from files made by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fassd.core import cgroups, machine
from fassd.core.machine import INSTRUCTIONS, Reading, describe_machine, disturbances, load_before, read_machine

INTEL = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8488C
cpu MHz\t\t: 2400.000
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni amx_bf16 amx_int8 unheard_of
processor\t: 1
model name\t: Intel(R) Xeon(R) Platinum 8488C
cpu MHz\t\t: 2600.000
"""
ARM = """processor\t: 0
Features\t: fp asimd asimdhp asimddp sve bf16 i8mm
Model\t\t: Raspberry Pi 5 Model B
"""
STAT = """cpu  600 0 600 9000 0 0 0 80
cpu0 100 0 200 3000 100 10 20 30 7 7
cpu1 500 0 400 6000 100 10 20 50 7 7
intr 5
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose /proc and /sys are empty folders."""
    for module in (machine, cgroups):
        monkeypatch.setattr(module, "PROC", tmp_path / "proc")
        monkeypatch.setattr(module, "SYS", tmp_path / "sys")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "_allowed_cores", lambda: {0, 1})
    return tmp_path


def _write(root: Path, place: str, text: str) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(text)


def test_this_machine_is_described() -> None:
    found = describe_machine()
    assert found.processor and found.system and found.python
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert set(found.instructions) <= set(INSTRUCTIONS)
    assert found.packages["numpy"] == np.__version__
    assert found.memory_gib is None or found.memory_gib > 0.1
    assert describe_machine("some GPU").accelerator == "some GPU"


@pytest.mark.parametrize(
    ("cpuinfo", "processor", "instructions"),
    [
        (
            INTEL,
            "Intel(R) Xeon(R) Platinum 8488C",
            ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
        ),
        (ARM, "Raspberry Pi 5 Model B", ("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve")),
    ],
)
def test_processors_are_recognized(made_up: Path, cpuinfo: str, processor: str, instructions: tuple[str, ...]) -> None:
    _write(made_up, "proc/cpuinfo", cpuinfo)
    found = describe_machine()
    assert (found.processor, found.instructions) == (processor, instructions)


@pytest.mark.parametrize(
    ("siblings", "threads"), [("0\n", 1), ("0-1\n", 2), ("0,64\n", 2), ("0-3\n", 4), ("0,2-3\n", 3)]
)
def test_threads_that_share_a_core_are_counted(made_up: Path, siblings: str, threads: int) -> None:
    _write(made_up, "sys/devices/system/cpu/cpu0/topology/thread_siblings_list", siblings)
    assert describe_machine().threads_per_core == threads


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", 2), ("150000 100000", 1), ("900000 100000", 2), ("50000 100000", 1)]
)
def test_a_container_may_use_its_share_of_the_cores(made_up: Path, limit: str, cores: int) -> None:
    _write(made_up, "sys/fs/cgroup/cpu.max", limit)
    assert machine.usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 2), ("150000", 1), ("900000", 2)])
def test_so_it_may_by_the_first_version_of_control_groups(made_up: Path, quota: str, cores: int) -> None:
    _write(made_up, "proc/self/cgroup", "3:cpuset:/\n1:cpu,cpuacct:/docker/1f\n")
    _write(made_up, "sys/fs/cgroup/cpu/docker/1f/cpu.cfs_quota_us", f"{quota}\n")
    _write(made_up, "sys/fs/cgroup/cpu/docker/1f/cpu.cfs_period_us", "100000\n")
    assert machine.usable_cores() == cores


def test_a_container_has_its_share_of_the_memory(made_up: Path) -> None:
    whole = machine.memory_bytes()
    assert whole is not None
    for limit, expected in (("max", whole), (str(2**28), 2**28), (str(2**62), whole)):
        _write(made_up, "sys/fs/cgroup/memory.max", limit)
        assert machine.memory_bytes() == expected


GIB = 2**30
SECOND = {"memory.max": 4 * GIB, "memory.current": 3 * GIB}
FIRST = {"memory.limit_in_bytes": 4 * GIB, "memory.usage_in_bytes": 3 * GIB}
UNLIMITED = {"memory.limit_in_bytes": 9223372036854771712, "memory.usage_in_bytes": 3 * GIB}


@pytest.mark.parametrize(
    ("place", "groups", "free"),
    [
        pytest.param("0::/", {}, 10, id="no groups"),
        pytest.param("0::/", {"": SECOND}, 1, id="a container"),
        pytest.param(
            "0::/", {"": SECOND, "memory.stat": "anon 7\ninactive_file 1073741824\n"}, 2, id="contents of files"
        ),
        pytest.param("0::/", {"": {"memory.max": "max", "memory.current": 3 * GIB}}, 10, id="without a limit"),
        pytest.param("0::/user.slice/job.scope", {"user.slice/job.scope": SECOND}, 1, id="a service"),
        pytest.param("0::/user.slice/job.scope", {"user.slice": SECOND}, 1, id="a limit further out"),
        pytest.param("0::/user.slice/job.scope", {"other.slice": SECOND}, 10, id="another's limit"),
        pytest.param("0::/../../job", {"job": SECOND}, 1, id="seen from inside"),
        pytest.param("4:memory:/docker/1f\n0::/", {"memory/docker/1f": FIRST}, 1, id="version 1"),
        pytest.param("4:memory:/docker/1f\n0::/", {"memory": FIRST}, 1, id="version 1 inside a container"),
        pytest.param("4:memory:/docker/1f\n0::/", {"memory/docker/1f": UNLIMITED}, 10, id="version 1 without a limit"),
        pytest.param("4:cpu,cpuacct:/docker/1f", {"memory/docker/1f": FIRST}, 10, id="another controller"),
        pytest.param(
            "4:memory:/docker/1f",
            {
                "memory/docker/1f": FIRST,
                "memory/docker/1f/memory.stat": "inactive_file 5\ntotal_active_file 1073741824\n",
            },
            2,
            id="version 1, contents of files",
        ),
        pytest.param("0::/", {"": {"memory.max": GIB, "memory.current": 2 * GIB}}, 0, id="over the limit"),
    ],
)
def test_free_memory_is_what_is_left_to_the_container(
    made_up: Path, place: str, groups: dict[str, dict[str, object] | str], free: int
) -> None:
    _write(made_up, "proc/meminfo", f"MemTotal: {16 * 2**20} kB\nMemAvailable: {10 * 2**20} kB\n")
    _write(made_up, "proc/self/cgroup", place + "\n")
    for group, files in groups.items():
        for name, content in files.items() if isinstance(files, dict) else [("", files)]:
            _write(made_up, f"sys/fs/cgroup/{group}/{name}", f"{content}\n")
    assert machine.free_memory() == free * GIB


def test_free_memory_of_this_machine_is_part_of_it() -> None:
    free = machine.free_memory()
    assert free is None or 10**7 < free < 10**14


def test_a_machine_that_tells_nothing_is_described_all_the_same(made_up: Path) -> None:
    found = describe_machine()
    assert found.processor
    assert machine.free_memory() is None
    assert (found.cores, found.instructions, found.threads_per_core) == (2, (), None)
    reading = read_machine()
    assert (reading.busy, reading.stolen, reading.throttled, reading.megahertz) == (None, None, None, None)
    assert disturbances(reading, read_machine(), 2) == []


def test_a_reading_adds_up_the_allowed_cores(made_up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(made_up, "proc/stat", STAT)
    _write(made_up, "proc/cpuinfo", INTEL)
    for core, count in ((0, 3), (1, 4)):
        _write(made_up, f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count", f"{count}\n")
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    both = read_machine()
    assert both.busy == pytest.approx(12.6)
    assert (both.stolen, both.throttled, both.megahertz) == (0.8, 7, 2500)
    monkeypatch.setattr(machine, "_allowed_cores", lambda: {0})
    assert read_machine().busy == pytest.approx(3.3)


QUIET = Reading(at=100, own=50, busy=1000, stolen=10, throttled=5, megahertz=3000)
AFTER = replace(QUIET, at=110, own=69, busy=1019.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"busy": 1034.0}, "other programs used 1.5 of 2 cores"),
        ({"stolen": 12.0}, "took 10% of its processor time"),
        ({"throttled": 8}, "slowed 3 times because of heat"),
        ({"megahertz": 2400.0}, "fell from 3000 to 2400 MHz"),
        ({"busy": None, "stolen": None, "throttled": None, "megahertz": None}, ""),
    ],
)
def test_disturbances_of_a_measurement_are_reported(change: dict[str, float | None], said: str) -> None:
    found = disturbances(QUIET, replace(AFTER, **change), cores=2)  # type: ignore[arg-type]
    assert len(found) == bool(said)
    assert said in "".join(found)


@pytest.mark.parametrize(("load", "said"), [(0.3, None), (1.8, "load average 1.8 on 2 cores")])
def test_a_busy_machine_is_reported(monkeypatch: pytest.MonkeyPatch, load: float, said: str | None) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 9.0, 9.0), raising=False)
    found = load_before(2)
    assert found is None if said is None else said in (found or "")


def test_a_reading_of_this_machine_only_grows() -> None:
    first, second = read_machine(), read_machine()
    assert second.at >= first.at
    assert second.own >= first.own
    assert first.busy is None or second.busy is None or second.busy >= first.busy


_CHILD = "from fassd.core.machine import peak_memory_bytes\nprint(peak_memory_bytes())"


@pytest.mark.skipif(sys.platform != "linux", reason="the trap is Linux's")
def test_a_process_does_not_inherit_the_peak_of_its_parent() -> None:
    held = np.ones(300 * 2**20, np.uint8)
    child = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    assert int(child.stdout) < 150 * 2**20 < held.nbytes


def test_the_peak_remembers_what_was_freed() -> None:
    script = f"import numpy\nheld = numpy.ones(200 * 2**20, numpy.uint8)\ndel held\n{_CHILD}"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 200 * 2**20 < int(child.stdout) < 400 * 2**20


def test_the_peak_falls_back_on_what_posix_tells(made_up: Path) -> None:
    assert (machine.peak_memory_bytes() or 0) > 2**20
