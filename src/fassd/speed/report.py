"""The report of a benchmark: what `--json` prints, `--out` writes and `--compare` reads; and two reports compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from fassd.core.errors import FileError, UsageError
from fassd.core.files import written_whole
from fassd.core.machine import Machine
from fassd.metrics.timing import Interval, Latency, TimingDrift

ProtocolName = Literal["user", "paper"]
EAGER = "eager"
"""The runtime name of the eager PyTorch reference, to which every speedup refers."""

FORMER_EAGER = "authors"
"""What version 1 of the report, and the option --runtime, called the eager PyTorch reference."""

# A report of a thousand variants has 1 MB.
_LARGEST_REPORT = 64 * 2**20

# Keys of version 1, and of the stages in it, that have another name in version 2.
_KEYS_OF_VERSION_1 = {
    "times_as_fast": "speedup",
    "frames_per_second_normalised": "frames_per_second_normalized",
    "normalisation": "normalization",
    "pictures": "images",
}


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One combination to time.

    Attributes:
        network: the row's name, or "package.module:function".
        weights: the name of shipped weights or a file; None for random weights.
        runtime: a runtime's name; "eager" for the eager PyTorch reference.
        precision: of the arithmetic.
        device: "cpu", "cuda" or "cuda:N".
        size: height and width of the images, pixels.
        batch: images per batch.
    """

    network: str
    weights: str | None = None
    runtime: str
    precision: str
    device: str
    size: tuple[int, int]
    batch: int

    @property
    def network_and_weights(self) -> str:
        """For headings."""
        return f"{self.network}, weights {self.weights}" if self.weights else self.network

    @property
    def runtime_and_precision(self) -> str:
        """For rows."""
        return f"{self.runtime} {self.precision}"

    def __str__(self) -> str:
        """For messages."""
        height, width = self.size
        return (
            f"{self.network_and_weights} on {self.runtime_and_precision}, {height}x{width}, batch {self.batch}, "
            f"{self.device}"
        )


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one variant.

    Attributes:
        variant: what was measured, with the names that the opened runtime reports.
        latency_ms: per batch.
        frames_per_second: at the median latency.
        speedup: over the eager reference of the same network in the same rounds; None where that was not measured.
        stages_ms: median of each stage, from separate calls.
        drift: first third of the rounds against the last; None for few rounds.
        peak_memory_mib: physical memory of a fresh process that opens the variant and predicts twice; None: unknown.
        peak_memory_problem: why it is unknown; None where it is known, or was not measured on request.
        peak_device_memory_mib: peak memory of the GPU; None without one.
        mean_iou: per cent. Of given weights: measured on `BenchmarkReport.scored_on`. Of random weights: the published
            value of this network. None where unknown.
        calibrated_on: number of images that an int8 form made for this benchmark was calibrated on; None where none
            was made.
        frames_per_second_normalized: as Table IV normalizes, by this machine's own factor (paper's protocol only).
    """

    variant: Variant
    latency_ms: Latency
    frames_per_second: Interval
    speedup: Interval | None = None
    stages_ms: dict[str, float] = {}
    drift: TimingDrift | None = None
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
    """The images on which variants were timed.

    Attributes:
        sources: as the user named them; none: the photo that ships.
        images: how many, evenly sampled, resized to each size.
    """

    sources: tuple[str, ...]
    images: int

    def __str__(self) -> str:
        """For people."""
        if not self.sources:
            return "the photo that ships"
        return f"{self.images} image{'s' * (self.images > 1)} of {', '.join(self.sources)}"


class ScoredOn(msgspec.Struct, frozen=True):
    """The labeled images on which given weights were scored, at the images' own sizes.

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


class BenchmarkReport(msgspec.Struct, frozen=True, kw_only=True):
    """All results of one benchmark.

    Attributes:
        protocol: "user" (uint8 images in memory to class maps in memory) or "paper" (network and upsampling).
        rounds: how many; every round times every variant once.
        warm_up: rounds before the measured ones.
        date: day and time, UTC, ISO 8601.
        machine: what it ran on.
        timed_on: None with the paper's protocol, whose input is random numbers.
        scored_on: None where no accuracy was measured.
        measured: in the order of the request.
        skipped: what could not be measured.
        warnings: sentences on everything that makes the figures doubtful.
        interrupted: stopped before all rounds were done.
        machine_factor: this machine's speed in units of a GTX 1080 Ti, from the networks of Table IV measured with the
            paper's protocol.
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
    format: Literal["fassd-benchmark-2"] = "fassd-benchmark-2"


def as_json(value: msgspec.Struct) -> str:
    """Indented by two spaces, with a line break at the end."""
    return msgspec.json.format(msgspec.json.encode(value)).decode() + "\n"


def write_report(path: Path, report: BenchmarkReport) -> None:
    """Writes a report completely or not at all.

    Raises:
        FileError: the folder cannot be written.
    """
    with written_whole(path) as temporary:
        temporary.write_text(as_json(report), encoding="utf-8")


def read_report(path: Path) -> BenchmarkReport:
    """Reads a report of this version, or of the version before ("fassd-benchmark-1") under today's names.

    Raises:
        FileError: missing, not JSON, or not a report.
    """
    try:
        if path.stat().st_size > _LARGEST_REPORT:
            raise FileError(path, f"is larger than {_LARGEST_REPORT // 2**20} MiB; no report of 'fassd benchmark' is")
        content = path.read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror}); give what 'fassd benchmark --out' wrote") from None
    try:
        found = msgspec.json.decode(content)
        if isinstance(found, dict) and found.get("format") == "fassd-benchmark-1":
            found = _with_new_names(found) | {"format": "fassd-benchmark-2"}
        return msgspec.convert(found, BenchmarkReport)
    except msgspec.ValidationError as error:
        raise FileError(path, f"is JSON, but no report of 'fassd benchmark' of this version ({error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(path, f"is not JSON ({error}); give what 'fassd benchmark --out' wrote") from None


def _with_new_names(value: Any) -> Any:
    """Values of version 1 under the names of version 2, at any depth."""
    if isinstance(value, list):
        return [_with_new_names(one) for one in value]
    if not isinstance(value, dict):
        return value
    renamed = {_KEYS_OF_VERSION_1.get(key, key): _with_new_names(one) for key, one in value.items()}
    return renamed | ({"runtime": EAGER} if renamed.get("runtime") == FORMER_EAGER else {})


class VariantComparison(msgspec.Struct, frozen=True):
    """One variant in two reports.

    Attributes:
        variant: what both measured.
        before_ms, after_ms: median latencies.
        speedup: the second report over the first; the bounds combine both intervals and are rather too wide than too
            narrow.
        before_ratio, after_ratio: the speedup over the eager reference within each report, which hardly depends on the
            machine.
    """

    variant: Variant
    before_ms: float
    after_ms: float
    speedup: Interval
    before_ratio: float | None
    after_ratio: float | None


class BenchmarkComparison(msgspec.Struct, frozen=True):
    """Two reports compared.

    Attributes:
        protocol: of both.
        compared: variants that both measured.
        differences: what besides the code may explain a speedup, in sentences.
        only_first, only_second: variants that only one report has.
        doubtful: the warnings of both reports.
    """

    protocol: ProtocolName
    compared: tuple[VariantComparison, ...]
    differences: tuple[str, ...]
    only_first: tuple[Variant, ...]
    only_second: tuple[Variant, ...]
    doubtful: tuple[str, ...]


def compare_reports(first: BenchmarkReport, second: BenchmarkReport) -> BenchmarkComparison:
    """The speedup of the second report over the first, variant by variant.

    Raises:
        UsageError: the protocols differ, or no variant is in both.
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
            f"{_first_names(before)}; the second has {_first_names(after)}"
        )
    named = {"first": first, "second": second}
    return BenchmarkComparison(
        first.protocol,
        tuple(_compare_variant(before[variant], after[variant]) for variant in both),
        tuple(_differences(first, second)),
        tuple(variant for variant in before if variant not in after),
        tuple(variant for variant in after if variant not in before),
        tuple(f"the {which}: {warning}" for which, report in named.items() for warning in report.warnings),
    )


def _compare_variant(before: Measured, after: Measured) -> VariantComparison:
    old, new = before.frames_per_second, after.frames_per_second
    low = high = None
    if old.low and old.high and new.low and new.high:
        low, high = new.low / old.high, new.high / old.low
    return VariantComparison(
        after.variant,
        before.latency_ms.p50,
        after.latency_ms.p50,
        Interval(new.value / old.value, low, high),
        before.speedup.value if before.speedup else None,
        after.speedup.value if after.speedup else None,
    )


def _differences(first: BenchmarkReport, second: BenchmarkReport) -> list[str]:
    """What besides the code may explain a speedup."""
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
        found.append(f"images: {first.timed_on} and {second.timed_on}")
    return found


def _first_names(variants: dict[Variant, Measured]) -> str:
    """At most three variants, for messages."""
    names = [str(variant) for variant in variants]
    return "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"
