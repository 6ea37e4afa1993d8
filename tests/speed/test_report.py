"""Reports written, read back, read from an earlier version, and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.speed.made_reports import MACHINE, made, report_on

from fassd.core.errors import FileError, UsageError
from fassd.metrics.timing import Interval
from fassd.speed.report import (
    ScoredOn,
    Skipped,
    TimedOn,
    as_json,
    compare_reports,
    read_report,
    write_report,
)


def test_a_report_on_disk_reads_back(tmp_path: Path) -> None:
    report = report_on(made(1000), made(100, "openvino"))
    write_report(tmp_path / "new" / "a.json", report)
    assert read_report(tmp_path / "new" / "a.json") == report
    assert json.loads(as_json(report))["measured"][1]["latency_ms"]["p50"] == pytest.approx(100)


OLD_REPORT = Path(__file__).parent / "report_of_version_1.json"


def test_a_report_of_version_1_is_read_under_the_names_of_version_2() -> None:
    report = read_report(OLD_REPORT)
    eager, fast, _ = report.measured
    assert report.format == "fassd-benchmark-2"
    assert [one.variant.runtime_and_precision for one in report.measured] == [
        *("eager float32", "openvino bfloat16", "openvino bfloat16")
    ]
    assert list(eager.stages_ms) == ["normalization", "network", "upsampling", "argmax"]
    assert eager.stages_ms["normalization"] == 17.313520002062432
    assert fast.speedup == Interval(5.7962948718069995, 5.669110169485929, 5.840700960487666)
    assert fast.frames_per_second_normalized == 12.5
    assert report.timed_on == TimedOn(("photos",), 3)
    assert report.scored_on == ScoredOn("camvid:x", "val", 101, (360, 480))
    assert report.machine.packages["torch"] == "2.13.0+cpu"
    assert report.skipped == (Skipped(msgspec.structs.replace(eager.variant, batch=4), "too little memory"),)


def test_a_report_of_version_1_is_compared_with_one_of_version_2(tmp_path: Path) -> None:
    old = read_report(OLD_REPORT)
    write_report(tmp_path / "new.json", old)
    assert '"fassd-benchmark-2"' in (tmp_path / "new.json").read_text()
    found = compare_reports(old, read_report(tmp_path / "new.json"))
    assert [one.speedup.value for one in found.compared] == [1, 1, 1]
    assert found.compared[1].before_ratio == pytest.approx(5.796, abs=0.001)
    assert (found.differences, found.only_first, found.only_second) == ((), (), ())


def test_the_committed_record_of_version_1_is_read() -> None:
    record = Path(__file__).parents[2] / "benchmarks" / "results" / "2026-11-23-benchmark.json"
    if not record.is_file():
        pytest.skip("installed without the records")
    report = read_report(record)
    assert {one.variant.runtime for one in report.measured} == {"eager", "openvino"}
    assert all(one.speedup is not None for one in report.measured)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"no json", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b'{"protocol": "user"}', "no report of 'fassd benchmark'"),
        (b"[1, 2]", "no report of 'fassd benchmark'"),
        (as_json(report_on(made(1))).replace("fassd-benchmark-2", "fassd-benchmark-9").encode(), "no report of"),
        (as_json(report_on(made(1))).replace('"p50": ', '"p50": "x').encode(), "is not JSON"),
        (as_json(report_on(made(1)))[:200].encode(), "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"format": "fassd-benchmark-1", "measured": 7}', "no report of"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=said) as caught:
        read_report(path)
    assert str(path) in str(caught.value)
    assert "fassd benchmark" in str(caught.value)


def test_a_folder_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        read_report(tmp_path)


def test_comparing_gives_how_many_times_as_fast_the_second_is() -> None:
    found = compare_reports(
        report_on(made(1000), made(200, "openvino")),
        report_on(made(1000), made(50, "openvino")),
    )
    plain, fast = found.compared
    assert plain.speedup.value == pytest.approx(1)
    assert fast.speedup.value == pytest.approx(4)
    assert [fast.before_ms, fast.after_ms] == pytest.approx([200, 50])
    assert [fast.before_ratio or 0, fast.after_ratio or 0] == pytest.approx([5, 20])
    assert fast.speedup.low is not None and fast.speedup.high is not None
    assert 3.9 < fast.speedup.low < 4 < fast.speedup.high < 4.1
    assert (found.differences, found.only_first, found.only_second) == ((), (), ())


def test_comparing_the_other_way_round_gives_the_inverse() -> None:
    first, second = report_on(made(200)), report_on(made(50))
    there, back = (compare_reports(*pair).compared[0].speedup for pair in ((first, second), (second, first)))
    assert there.low and there.high
    assert [back.value, back.low or 0, back.high or 0] == pytest.approx(
        [1 / there.value, 1 / there.high, 1 / there.low]
    )


def test_few_rounds_leave_the_comparison_without_bounds() -> None:
    few = msgspec.structs.replace(made(10), frames_per_second=Interval(100.0, None, None))
    found = compare_reports(report_on(few), report_on(made(5))).compared[0].speedup
    assert found.value == pytest.approx(2)
    assert (found.low, found.high) == (None, None)


def test_what_only_one_report_has_is_said() -> None:
    found = compare_reports(report_on(made(1), made(2, size=(64, 96))), report_on(made(1), made(2, batch=4)))
    assert [one.size for one in found.only_first] == [(64, 96)]
    assert [one.batch for one in found.only_second] == [4]


def test_unlike_protocols_are_not_compared() -> None:
    with pytest.raises(UsageError, match=r"'user'.*'paper'.*different things"):
        compare_reports(report_on(made(1)), report_on(made(1), protocol="paper"))


def test_reports_without_a_common_variant_are_not_compared() -> None:
    with pytest.raises(UsageError, match=r"share no variant.*fassd-net on eager.*batch 1.*batch 8"):
        compare_reports(report_on(made(1)), report_on(made(1, batch=8)))
    with pytest.raises(UsageError, match="the second has nothing"):
        compare_reports(report_on(made(1)), report_on())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"processor": "Fast One"}, "processor: Slow One and Fast One"),
        ({"cores": 8}, "cores: 2 and 8"),
        ({"instructions": ("avx2", "amx_bf16")}, "instructions: only the second has amx_bf16"),
        ({"packages": {"fassd": "0.1.0", "torch": "2.14.0"}}, "torch: 2.13.0 and 2.14.0"),
        ({"packages": {"fassd": "0.1.0"}}, "torch: 2.13.0 and not installed"),
        ({"packages": MACHINE.packages | {"openvino": "2026.1"}}, "openvino: not installed and 2026.1"),
        ({"accelerator": "H100"}, "accelerator: None and H100"),
    ],
)
def test_another_machine_is_said(change: dict[str, Any], said: str) -> None:
    other = msgspec.structs.replace(MACHINE, **change)
    assert compare_reports(report_on(made(1)), report_on(made(1), machine=other)).differences == (said,)


def test_what_makes_either_report_doubtful_is_said() -> None:
    found = compare_reports(report_on(made(1), warnings=("hot", "busy")), report_on(made(1), warnings=("drift",)))
    assert found.doubtful == ("the first: hot", "the first: busy", "the second: drift")


def test_other_rounds_are_said() -> None:
    assert compare_reports(report_on(made(1)), report_on(made(1), rounds=5)).differences == ("rounds: 21 and 5",)


def test_other_images_are_said() -> None:
    first, second = report_on(made(1), timed_on=TimedOn((), 1)), report_on(timed_on=TimedOn(("a", "b"), 9))
    found = compare_reports(first, msgspec.structs.replace(second, measured=first.measured)).differences
    assert found == ("images: the photo that ships and 9 images of a, b",)
