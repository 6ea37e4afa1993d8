"""Reports read back and compared, Table IV against its own arithmetic, and the plot, by its pixels."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import Image
from fassd.core.errors import FileError, MissingExtra, UsageError
from fassd.core.machine import Machine
from fassd.metrics.timing import Interval, frames_per_second, latency, speedup
from fassd.networks.specs import NETWORKS
from fassd.speed.plot import _accuracy, _beside_published, draw_speed
from fassd.speed.report import (
    BenchmarkReport,
    Measured,
    ScoredOn,
    Skipped,
    TimedOn,
    Variant,
    as_json,
    compare_reports,
    read_report,
    write_report,
)
from fassd.speed.table_iv import PAPER_SIZE, PUBLISHED_MEAN_IOU, TABLE_IV, machine_factor

MACHINE = Machine(
    processor="Slow One",
    cores=2,
    threads_per_core=1,
    instructions=("avx2",),
    memory_gib=8.0,
    system="Linux",
    python="3.12.1",
    packages={"fassd": "0.1.0", "torch": "2.13.0"},
)


def _measured(ms: float, runtime: str = "eager", network: str = "fassd-net", **variant: Any) -> Measured:
    times = ms * np.linspace(0.99, 1.01, 21)
    shape: dict[str, Any] = {"precision": "float32", "device": "cpu", "size": PAPER_SIZE, "batch": 1} | variant
    return Measured(
        variant=Variant(network=network, runtime=runtime, **shape),
        latency_ms=latency(times),
        frames_per_second=frames_per_second(times, 1),
        speedup=speedup(times * 1000 / ms, times),
        stages_ms={"network": ms},
        mean_iou=PUBLISHED_MEAN_IOU.get(network),
    )


def _report(*measured: Measured, **change: Any) -> BenchmarkReport:
    plain = BenchmarkReport(
        protocol="user", rounds=21, warm_up=5, date="2026-01-01", machine=MACHINE, measured=measured
    )
    return msgspec.structs.replace(plain, **change)


def test_a_report_on_disk_reads_back(tmp_path: Path) -> None:
    report = _report(_measured(1000), _measured(100, "openvino"))
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
        (as_json(_report(_measured(1))).replace("fassd-benchmark-2", "fassd-benchmark-9").encode(), "no report of"),
        (as_json(_report(_measured(1))).replace('"p50": ', '"p50": "x').encode(), "is not JSON"),
        (as_json(_report(_measured(1)))[:200].encode(), "is not JSON"),
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
        _report(_measured(1000), _measured(200, "openvino")), _report(_measured(1000), _measured(50, "openvino"))
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
    first, second = _report(_measured(200)), _report(_measured(50))
    there, back = (compare_reports(*pair).compared[0].speedup for pair in ((first, second), (second, first)))
    assert there.low and there.high
    assert [back.value, back.low or 0, back.high or 0] == pytest.approx(
        [1 / there.value, 1 / there.high, 1 / there.low]
    )


def test_few_rounds_leave_the_comparison_without_bounds() -> None:
    few = msgspec.structs.replace(_measured(10), frames_per_second=Interval(100.0, None, None))
    found = compare_reports(_report(few), _report(_measured(5))).compared[0].speedup
    assert found.value == pytest.approx(2)
    assert (found.low, found.high) == (None, None)


def test_what_only_one_report_has_is_said() -> None:
    found = compare_reports(
        _report(_measured(1), _measured(2, size=(64, 96))), _report(_measured(1), _measured(2, batch=4))
    )
    assert [one.size for one in found.only_first] == [(64, 96)]
    assert [one.batch for one in found.only_second] == [4]


def test_unlike_protocols_are_not_compared() -> None:
    with pytest.raises(UsageError, match=r"'user'.*'paper'.*different things"):
        compare_reports(_report(_measured(1)), _report(_measured(1), protocol="paper"))


def test_reports_without_a_common_variant_are_not_compared() -> None:
    with pytest.raises(UsageError, match=r"share no variant.*fassd-net on eager.*batch 1.*batch 8"):
        compare_reports(_report(_measured(1)), _report(_measured(1, batch=8)))
    with pytest.raises(UsageError, match="the second has nothing"):
        compare_reports(_report(_measured(1)), _report())


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
    assert compare_reports(_report(_measured(1)), _report(_measured(1), machine=other)).differences == (said,)


def test_what_makes_either_report_doubtful_is_said() -> None:
    found = compare_reports(_report(_measured(1), warnings=("hot", "busy")), _report(_measured(1), warnings=("drift",)))
    assert found.doubtful == ("the first: hot", "the first: busy", "the second: drift")


def test_other_rounds_are_said() -> None:
    assert compare_reports(_report(_measured(1)), _report(_measured(1), rounds=5)).differences == ("rounds: 21 and 5",)


def test_other_images_are_said() -> None:
    first, second = _report(_measured(1), timed_on=TimedOn((), 1)), _report(timed_on=TimedOn(("a", "b"), 9))
    found = compare_reports(first, msgspec.structs.replace(second, measured=first.measured)).differences
    assert found == ("images: the photo that ships and 9 images of a, b",)


def test_table_iv_is_normalized_as_its_caption_says() -> None:
    factors = {"1080 Ti": 1.0, "Titan X (M)": 0.61, "Titan X (P)": 1.03, "Titan XP": 1.12}
    assert len(TABLE_IV) == 19
    for row in TABLE_IV:
        if row.fps > 1:  # the first two are printed as "about 1" and "below 1"
            expected = row.fps / factors[row.gpu] / (1.65 if row.tensorrt else 1)
            assert row.fps_normalized == pytest.approx(expected, abs=0.1), row.method


def test_table_iv_agrees_with_the_table_of_networks() -> None:
    ours = {row.network: row for row in TABLE_IV if row.network}
    assert list(ours) == [
        *("fc-hardnet-70-l2", "fassd-net-l2", "fc-hardnet-70-l1", "fassd-net-l1", "fc-hardnet-70", "fassd-net")
    ]
    for name, row in ours.items():
        paper = NETWORKS[name].paper
        assert (row.gflops, row.parameters_m) == (paper.gflops, paper.parameters_m)
        assert (row.size, row.gpu) == (PAPER_SIZE, "1080 Ti")
    assert PUBLISHED_MEAN_IOU.keys() == NETWORKS.keys()
    assert [PUBLISHED_MEAN_IOU[name] for name in ("fassd-net", "fassd-net-l1", "fassd-net-l2")] == [78.8, 76.3, 74.1]


def test_the_machines_factor_is_the_geometric_mean_over_published_networks() -> None:
    assert machine_factor({}) is None
    assert machine_factor({"peers:mine": 5.0}) is None
    assert machine_factor({"fassd-net": 41.1, "peers:mine": 5.0}) == pytest.approx(1)
    assert machine_factor({"fassd-net": 41.1 * 4, "fassd-net-l1": 78.0}) == pytest.approx(2)


def _pixels(path: Path) -> Image:
    with Pillow.open(path) as image:
        return np.array(image.convert("RGB"))


def _colors(path: Path) -> set[tuple[int, ...]]:
    return {tuple(int(part) for part in color) for color in np.unique(_pixels(path).reshape(-1, 3), axis=0)}


BLUE, ORANGE, GRAY = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x8D, 0x93, 0x9B)


def test_the_plot_shows_published_points_in_gray_and_measured_ones_in_color(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / "speed.png"
    draw_speed(_report(_measured(1000), _measured(100, "openvino")), path)
    assert _pixels(path).shape == (960, 1500, 3)
    assert {BLUE, ORANGE, GRAY} <= _colors(path)
    draw_speed(_report(_measured(1000)), path)
    assert {BLUE, GRAY} <= _colors(path)
    assert ORANGE not in _colors(path)
    assert [file.name for file in path.parent.iterdir()] == ["speed.png"]


@pytest.mark.parametrize("change", [{"size": (64, 96)}, {"network": "peers:mine"}, {"batch": 4}])
def test_a_speed_of_unknown_accuracy_is_a_line_from_top_to_bottom(tmp_path: Path, change: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "speed.png"
    draw_speed(_report(_measured(1000, **change)), path)
    blue = (_pixels(path) == BLUE).all(2)
    assert blue.any(1).sum() > 300


CAMVID = ScoredOn("camvid:x", "val", 101, (360, 480))
FULL = ScoredOn("cityscapes:x", "val", 500, PAPER_SIZE)


@pytest.mark.parametrize(
    ("scored_on", "variant", "gray", "point"),
    [
        (None, {"size": PAPER_SIZE}, True, True),
        (None, {"size": PAPER_SIZE, "weights": "w"}, True, False),
        (CAMVID, {"size": (360, 480), "weights": "w"}, False, True),
        (CAMVID, {"size": PAPER_SIZE, "weights": "w"}, False, False),
        (CAMVID, {"size": PAPER_SIZE}, False, False),
        (FULL, {"size": PAPER_SIZE, "weights": "w"}, True, True),
        (FULL, {"size": PAPER_SIZE}, True, True),
        (msgspec.structs.replace(FULL, split="train"), {"size": PAPER_SIZE, "weights": "w"}, False, True),
    ],
)
def test_speeds_stand_only_at_accuracies_that_are_theirs(
    scored_on: ScoredOn | None, variant: dict[str, Any], gray: bool, point: bool
) -> None:
    mean_iou = None if "weights" in variant and scored_on is None else 60.0
    one = msgspec.structs.replace(_measured(100, **variant), mean_iou=mean_iou)
    report = _report(one, scored_on=scored_on)
    assert _beside_published(report) == gray
    assert (_accuracy(report, one) is not None) == point


def test_measured_accuracy_is_drawn_without_points_of_other_data(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one = msgspec.structs.replace(_measured(100, size=(360, 480), weights="$w"), mean_iou=3.0)
    draw_speed(_report(one, scored_on=CAMVID), tmp_path / "speed.png")
    pixels = _pixels(tmp_path / "speed.png")
    plot = pixels[200:800, 130:1450]
    assert (plot == BLUE).all(2).any()
    assert not (plot == GRAY).all(2).any()


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_the_plot_may_be_drawn_in_lines(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"speed{suffix}"
    draw_speed(_report(_measured(1000, network="$a_{$strange:name")), path)
    assert path.stat().st_size > 5000


@pytest.mark.parametrize("name", ["speed.gif", "speed", "speed.png.txt"])
def test_a_plot_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"must end in \.png"):
        draw_speed(_report(_measured(1000)), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_plot_without_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"fassd\[plots\]"):
        draw_speed(_report(_measured(1000)), tmp_path / "speed.png")
