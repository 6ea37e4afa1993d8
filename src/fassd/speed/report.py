"""What a benchmark found, as `--json` prints and `--compare` reads it.

Two reports of benchmarks compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from fassd.core.errors import FileError, UsageError
from fassd.core.files import written_whole
from fassd.core.machine import Machine
from fassd.metrics.timing import Drift, Interval, Latency

ProtocolName = Literal["user", "paper"]
AUTHORS = "authors"
"""The runtime that every speed is given as a ratio to."""

# A report of a thousand variants has 1 MB.
_LARGEST_REPORT = 64 * 2**20


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to measure.

    Attributes:
        network: the row's name, or "package.module:function".
        weights: the name of shipped weights or a file; None for random weights.
        runtime: a runtime's name; "authors" for the authors' way.
        precision: of the arithmetic.
        device: "cpu", "cuda" or "cuda:N".
        size: height and width of the images, pixels.
        batch: images at once.
    """

    network: str
    weights: str | None = None
    runtime: str
    precision: str
    device: str
    size: tuple[int, int]
    batch: int

    @property
    def subject(self) -> str:
        """Network and weights, for headings."""
        return f"{self.network}, weights {self.weights}" if self.weights else self.network

    @property
    def way(self) -> str:
        """Runtime and precision, for rows."""
        return f"{self.runtime} {self.precision}"

    def __str__(self) -> str:
        """All of it, for messages."""
        height, width = self.size
        return f"{self.subject} on {self.way}, {height}x{width}, batch {self.batch}, {self.device}"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for a variant.

    Attributes:
        variant: what was measured, names as the opened runtime gives them.
        latency_ms: of a batch.
        frames_per_second: at the median latency.
        speedup: as the same network the authors' way in the same rounds; None where that was not measured.
        stages_ms: median of each stage, from calls of their own.
        drift: first third of the rounds against the last; None for few rounds.
        peak_memory_mib: physical memory of a fresh process that opens the variant and answers twice; None: unknown.
        peak_memory_problem: why it is unknown; None where it is known, or was not asked for.
        peak_device_memory_mib: memory of the GPU at most; None without one.
        mean_iou: per cent; of given weights measured on what `Report.scored_on` names, of random ones published for
            this network; None where unknown.
        calibrated_on: pictures that an int8 form made for this benchmark was calibrated on; None where none was made.
        frames_per_second_normalized: as Table IV normalizes, by this machine's own factor (paper's protocol only).
    """

    variant: Variant
    latency_ms: Latency
    frames_per_second: Interval
    speedup: Interval | None = None
    stages_ms: dict[str, float] = {}
    drift: Drift | None = None
    peak_memory_mib: float | None = None
    peak_memory_problem: str | None = None
    peak_device_memory_mib: float | None = None
    mean_iou: float | None = None
    calibrated_on: int | None = None
    frames_per_second_normalized: float | None = None


class Skipped(msgspec.Struct, frozen=True):
    """A variant that could not be measured, and why."""

    variant: Variant
    reason: str


class TimedOn(msgspec.Struct, frozen=True):
    """The pictures whose answers were timed.

    Attributes:
        sources: as they were named; none: the photo that ships.
        pictures: how many, evenly taken, brought to each size.
    """

    sources: tuple[str, ...]
    pictures: int

    def __str__(self) -> str:
        """For people."""
        if not self.sources:
            return "the photo that ships"
        return f"{self.pictures} picture{'s' * (self.pictures > 1)} of {', '.join(self.sources)}"


class ScoredOn(msgspec.Struct, frozen=True):
    """The labeled images that given weights were scored on, each at its own size.

    Attributes:
        data: "kind:PATH".
        split: of these.
        images: how many.
        size: height and width of the first.
    """

    data: str
    split: str
    images: int
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """A few words for people."""
        kind, _, path = self.data.partition(":")
        return f"{Path(path).name if kind == 'folder' else kind} {self.split}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark.

    Attributes:
        protocol: "user" (uint8 images in memory to class maps in memory) or "paper" (network and upsampling).
        rounds: times that each variant was measured.
        warm_up: times that each variant answered before.
        date: day and time, UTC, ISO 8601.
        machine: what it ran on.
        timed_on: None by the paper's protocol, which takes random numbers.
        scored_on: None where no accuracy was measured.
        measured: in the order of the request.
        skipped: what could not be measured.
        warnings: whatever makes the figures doubtful, a sentence each.
        interrupted: it was stopped before all rounds were done.
        machine_factor: how many GTX 1080 Ti this machine is, by the networks of Table IV measured as the paper did.
        format: tells this file from others.
    """

    protocol: ProtocolName
    rounds: int
    warm_up: int
    date: str
    machine: Machine
    measured: tuple[Measured, ...]
    timed_on: TimedOn | None = None
    scored_on: ScoredOn | None = None
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    interrupted: bool = False
    machine_factor: float | None = None
    format: Literal["fassd-benchmark-1"] = "fassd-benchmark-1"


def as_json(value: msgspec.Struct) -> str:
    """Two spaces a level, a line break at the end."""
    return msgspec.json.format(msgspec.json.encode(value)).decode() + "\n"


def write_report(path: Path, report: Report) -> None:
    """Writes a report whole or not at all.

    Raises:
        FileError: the folder cannot be written.
    """
    with written_whole(path) as temporary:
        temporary.write_text(as_json(report), encoding="utf-8")


def read_report(path: Path) -> Report:
    """A report as `fassd benchmark --json` prints it.

    Raises:
        FileError: missing, no JSON, or the JSON of something else.
    """
    try:
        if path.stat().st_size > _LARGEST_REPORT:
            raise FileError(path, f"is larger than {_LARGEST_REPORT // 2**20} MiB; no report of 'fassd benchmark' is")
        content = path.read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror}); give what 'fassd benchmark --out' wrote") from None
    try:
        return msgspec.json.decode(content, type=Report)
    except msgspec.ValidationError as error:
        raise FileError(path, f"is JSON, but no report of 'fassd benchmark' of this version ({error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"is not JSON ({error}); give what 'fassd benchmark --out' wrote") from None


class Compared(msgspec.Struct, frozen=True):
    """A variant in two reports.

    Attributes:
        variant: what both measured.
        before_ms, after_ms: median latencies.
        speedup: the second report as the first; bounds from both intervals, so rather too wide than too narrow.
        before_ratio, after_ratio: each report's own ratio to the authors' way, which another machine changes little.
    """

    variant: Variant
    before_ms: float
    after_ms: float
    speedup: Interval
    before_ratio: float | None
    after_ratio: float | None


class Comparison(msgspec.Struct, frozen=True):
    """Two reports compared: what both measured, what differs between them, what only one has, and what each of them
    says that makes its figures doubtful.
    """

    protocol: ProtocolName
    compared: tuple[Compared, ...]
    differences: tuple[str, ...]
    only_first: tuple[Variant, ...]
    only_second: tuple[Variant, ...]
    doubtful: tuple[str, ...]


def compare(first: Report, second: Report) -> Comparison:
    """How many times as fast the second report is as the first, variant by variant.

    Raises:
        UsageError: the protocols differ, or nothing was measured in both.
    """
    if first.protocol != second.protocol:
        raise UsageError(
            f"the first report follows the protocol '{first.protocol}', the second '{second.protocol}': they time "
            "different things and cannot be compared; measure both with the same --protocol"
        )
    before = {one.variant: one for one in first.measured}
    after = {one.variant: one for one in second.measured}
    both = [variant for variant in before if variant in after]
    if not both:
        raise UsageError(
            "the two reports share no variant, so there is nothing to compare: the first has "
            f"{_some(before)}; the second has {_some(after)}"
        )
    named = {"first": first, "second": second}
    return Comparison(
        first.protocol,
        tuple(_compared(before[variant], after[variant]) for variant in both),
        tuple(_differences(first, second)),
        tuple(variant for variant in before if variant not in after),
        tuple(variant for variant in after if variant not in before),
        tuple(f"the {which}: {one}" for which, report in named.items() for one in report.warnings),
    )


def _compared(before: Measured, after: Measured) -> Compared:
    old, new = before.frames_per_second, after.frames_per_second
    low = high = None
    if old.low and old.high and new.low and new.high:
        low, high = new.low / old.high, new.high / old.low
    return Compared(
        after.variant,
        before.latency_ms.p50,
        after.latency_ms.p50,
        Interval(new.value / old.value, low, high),
        before.speedup.value if before.speedup else None,
        after.speedup.value if after.speedup else None,
    )


def _differences(first: Report, second: Report) -> list[str]:
    """Whatever besides the code may explain a ratio."""
    old, new = msgspec.structs.asdict(first.machine), msgspec.structs.asdict(second.machine)
    found = [
        f"{key.replace('_', ' ')}: {old[key]} and {new[key]}"
        for key in old
        if key not in ("packages", "instructions") and old[key] != new[key]
    ]
    for name in sorted(set(first.machine.instructions) ^ set(second.machine.instructions)):
        found.append(f"instructions: only the {'first' if name in first.machine.instructions else 'second'} has {name}")
    for name in sorted(first.machine.packages.keys() | second.machine.packages.keys()):
        pair = (first.machine.packages.get(name), second.machine.packages.get(name))
        if pair[0] != pair[1]:
            found.append(f"{name}: {pair[0] or 'not installed'} and {pair[1] or 'not installed'}")
    if first.rounds != second.rounds:
        found.append(f"rounds: {first.rounds} and {second.rounds}")
    if first.timed_on != second.timed_on:
        found.append(f"pictures: {first.timed_on} and {second.timed_on}")
    return found


def _some(variants: dict[Variant, Measured]) -> str:
    names = [str(variant) for variant in variants]
    return "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"
