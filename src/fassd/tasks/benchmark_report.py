"""What a benchmark found, as `--json` prints and `--compare` reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from fassd.core.errors import FileError
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
        times_as_fast: as the same network the authors' way in the same rounds; None where that was not measured.
        stages_ms: median of each stage, from calls of their own.
        drift: first third of the rounds against the last; None for few rounds.
        peak_memory_mib: physical memory of a fresh process that opens the variant and answers twice; None: unknown.
        peak_memory_problem: why it is unknown; None where it is known, or was not asked for.
        peak_device_memory_mib: memory of the GPU at most; None without one.
        mean_iou: per cent; of given weights measured on what `Report.scored_on` names, of random ones published for
            this network; None where unknown.
        calibrated_on: pictures that an int8 form made for this benchmark was calibrated on; None where none was made.
        frames_per_second_normalised: as Table IV normalises, by this machine's own factor (paper's protocol only).
    """

    variant: Variant
    latency_ms: Latency
    frames_per_second: Interval
    times_as_fast: Interval | None = None
    stages_ms: dict[str, float] = {}
    drift: Drift | None = None
    peak_memory_mib: float | None = None
    peak_memory_problem: str | None = None
    peak_device_memory_mib: float | None = None
    mean_iou: float | None = None
    calibrated_on: int | None = None
    frames_per_second_normalised: float | None = None


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
    """The labelled images that given weights were scored on, each at its own size.

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
