"""`fassd benchmark` on tiny networks: what it prints, what programs may rely on, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fassd.cli import benchmark as command
from fassd.cli.benchmark_tables import print_report
from fassd.core.machine import describe_machine
from fassd.metrics.timing import Interval, Latency
from fassd.speed.report import BenchmarkReport, Measured, ScoredOn, TimedOn, Variant, read_report, write_report
from fassd.speed.table_iv import PAPER_SIZE, TABLE_IV
from fassd.speed.variants import BenchmarkConfig

Fassd = Callable[..., tuple[int, str, str]]
QUICK = ("--size", "64x96", "--rounds", "2", "--warm-up", "0", "--no-memory")
EAGER = ("--runtime", "eager")


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else the machine does is no part of these tests."""
    monkeypatch.setattr("fassd.tasks.benchmark.load_before", lambda cores: None)
    monkeypatch.setattr("fassd.tasks.benchmark.disturbances", lambda *_: [])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two reports by the user's protocol, the second twice as fast, and one by the paper's."""
    folder = tmp_path_factory.mktemp("reports")
    for name, ms, protocol in (("a", 100.0, "user"), ("b", 50.0, "user"), ("paper", 100.0, "paper")):
        write_report(folder / f"{name}.json", _report(ms, protocol))
    (folder / "other.json").write_text('{"a": 1}')
    (folder / "text.json").write_text("text")
    return folder


def _report(
    ms: float, protocol: str = "user", networks: tuple[str, ...] = ("fassd-net", "fassd-net-l2")
) -> BenchmarkReport:
    measured = tuple(
        Measured(
            variant=Variant(
                network=network, runtime=runtime, precision="float32", device="cpu", size=PAPER_SIZE, batch=1
            ),
            latency_ms=Latency(one, one * 1.1, one * 1.2, one, one * 0.9),
            frames_per_second=Interval(1000 / one, 990 / one, 1010 / one),
            speedup=Interval(ms / one, 0.99 * ms / one, 1.01 * ms / one),
            stages_ms={"network": 0.8 * one, "class map": 0.2 * one},
            peak_memory_mib=1234.5,
            frames_per_second_normalized=41.1 if protocol == "paper" else None,
        )
        for network in networks
        for runtime, one in (("eager", ms), ("openvino", ms / 10))
    )
    return BenchmarkReport(
        protocol=protocol,  # type: ignore[arg-type]
        rounds=20,
        warm_up=5,
        date="2026-01-01",
        machine=describe_machine(),
        measured=measured,
        machine_factor=0.25 if protocol == "paper" else None,
        warnings=("the room is [bold]warm",),
    )


def test_json_is_one_object_and_nothing_else(fassd: Fassd, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    code, printed, said = fassd(
        *("benchmark", "fassd-net-l2", *EAGER, "--runtime", "pytorch", "--precision", "float32"),
        *(*QUICK, "--batch", "1", "--batch", "2", "--json", "--out", out),
    )
    assert (code, said) == (0, "")
    found = json.loads(printed)
    assert found["format"] == "fassd-benchmark-2"
    assert (found["protocol"], found["rounds"]) == ("user", 2)
    assert {"processor", "cores", "instructions", "memory_gib", "python", "packages"} <= found["machine"].keys()
    assert [(one["variant"]["runtime"], one["variant"]["batch"]) for one in found["measured"]] == [
        *(("eager", 1), ("pytorch", 1), ("eager", 2), ("pytorch", 2))
    ]
    for one in found["measured"]:
        assert one["variant"]["size"] == [64, 96]
        assert {"p50", "p90", "p99", "mean"} <= one["latency_ms"].keys()
        assert one["frames_per_second"].keys() == {"value", "low", "high"}
    assert out.read_text() == printed
    assert read_report(out).rounds == 2


def test_the_table_names_every_variant(fassd: Fassd) -> None:
    code, printed, said = fassd("benchmark", "fassd-net-l2", *EAGER, *QUICK)
    assert (code, said) == (0, "")
    lines = printed.splitlines()
    assert "64x96, batch 1" in lines
    row = next(line for line in lines if line.startswith("  eager float32")).split()
    assert row[6:9] == ["too", "few", "1.00"]
    assert "Table IV" not in printed, "nothing was measured at the paper's size"


def test_the_papers_protocol_and_weights_are_taken(fassd: Fassd, tiny_weights: Path) -> None:
    code, printed, _ = fassd("benchmark", "--weights", tiny_weights, "--protocol", "paper", *QUICK, "--json")
    (one,) = json.loads(printed)["measured"]
    assert code == 0
    assert (one["variant"]["network"], one["variant"]["weights"]) == ("fassd-net-l2", str(tiny_weights))
    assert list(one["stages_ms"]) == ["network", "upsampling"]


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("protocol", ["user", "paper"])
def test_tables_fit_and_show_table_iv_beside_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, protocol: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_report(_report(100.0, protocol, ("fassd-net", "peers:mine")))
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in printed
    assert "doubtful: the room is [bold]warm" in lines
    for row in TABLE_IV:
        line = next(line for line in lines if line.startswith(row.method) and f"{row.mean_iou:.1f}" in line)
        assert f" {row.fps_normalized:.1f}" in line
        assert ("GFLOPs" in printed) == (columns == 120)
    here = next(line for line in lines if line.startswith("FASSD-Net  ")).split()
    assert here[-2:] == (["100", "41.1"] if protocol == "paper" else ["10.0", "100"])
    assert any(line.startswith("peers:mine") and line.endswith(here[-1]) for line in lines)
    assert ("0.25 of a GTX 1080 Ti" in " ".join(printed.split())) == (protocol == "paper")


def _printed(capsys: pytest.CaptureFixture[str], report: BenchmarkReport) -> str:
    print_report(report)
    return capsys.readouterr().out


def test_only_columns_that_say_something_are_there_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    full = _report(100.0)
    assert all(word in _printed(capsys, full) for word in ("ratio:", "MiB"))
    bare = [msgspec.structs.replace(one, speedup=None, peak_memory_mib=None) for one in full.measured]
    printed = _printed(capsys, msgspec.structs.replace(full, measured=tuple(bare)))
    assert "no peak memory" not in printed
    lost = msgspec.structs.replace(bare[0], peak_memory_problem="its process was ended")
    assert ": its process was ended\n" in _printed(capsys, msgspec.structs.replace(full, measured=(lost,)))
    assert "ratio" not in printed and "MiB" not in printed and "mIoU" not in printed.split("Table IV")[0]


@pytest.mark.parametrize("columns", [80, 120])
def test_measured_accuracy_and_what_int8_was_made_of_are_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    report = _report(1234.5)
    measured = [
        msgspec.structs.replace(
            one,
            variant=msgspec.structs.replace(one.variant, weights="w", runtime="pytorch-compiled", precision="bfloat16"),
            mean_iou=56.781,
            calibrated_on=32,
        )
        for one in report.measured
    ]
    printed = _printed(
        capsys,
        msgspec.structs.replace(
            report,
            measured=tuple(measured),
            timed_on=TimedOn(("camvid:x val",), 32),
            scored_on=ScoredOn("camvid:x", "val", 101, (360, 480)),
        ),
    )
    assert max(map(len, printed.splitlines())) <= columns
    assert "…" not in printed
    assert " 56.78 " in printed
    assert ("p90" in printed) == (columns == 120)
    for said in ("timed on 32 images of camvid:x val", "mIoU: of 101 images of camvid val", "on its 32 images"):
        assert said in printed


def test_stages_are_drawn_to_scale(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(_report(100.0))
    lines = [line for line in capsys.readouterr().out.splitlines() if "█" in line and "+" in line]
    assert [(line.count("█"), line.count("▚")) for line in lines[:2]] == [(22, 5), (2, 1)]


def test_a_comparison_prints_ratios_and_differences(fassd: Fassd, made: Path) -> None:
    code, printed, said = fassd("benchmark", "--compare", made / "a.json", made / "b.json")
    assert (code, said) == (0, "")
    row = next(line for line in printed.splitlines() if line.startswith("  openvino float32")).split()
    assert row == ["openvino", "float32", "10.0", "5.00", "2.00", "1.96-2.04", "10.00", "10.00"]
    assert max(map(len, printed.splitlines())) <= 80
    code, printed, said = fassd("benchmark", "--compare", made / "a.json", made / "b.json", "--json")
    found = json.loads(printed)
    assert (code, said) == (0, "")
    assert [one["speedup"]["value"] for one in found["compared"]] == [pytest.approx(2)] * 4


def test_a_plot_is_written(fassd: Fassd, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "speed.png"
    assert fassd("benchmark", "fassd-net-l2", *EAGER, *QUICK, "--json", "--plot", path)[0] == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("change", "code"), [({}, 0), ({"skipped": True}, 1), ({"interrupted": True}, 130)])
def test_the_exit_code_says_whether_all_was_measured(
    fassd: Fassd, monkeypatch: pytest.MonkeyPatch, made: Path, change: dict[str, bool], code: int
) -> None:
    from fassd.speed.report import Skipped

    report = read_report(made / "a.json")
    if change.get("skipped"):
        report = msgspec.structs.replace(report, skipped=(Skipped(report.measured[0].variant, "not there"),))
    report = msgspec.structs.replace(report, interrupted=change.get("interrupted", False))
    monkeypatch.setattr("fassd.tasks.benchmark.benchmark", lambda config, watch: report)
    found, printed, _ = fassd("benchmark")
    assert found == code
    assert ("not measured: fassd-net on eager" in printed) == (code == 1)
    assert ("stopped early" in printed) == (code == 130)


def test_what_was_measured_is_printed_even_where_it_cannot_be_written(
    fassd: Fassd, monkeypatch: pytest.MonkeyPatch, made: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr("fassd.tasks.benchmark.benchmark", lambda config, watch: read_report(made / "a.json"))
    (tmp_path / "way").write_text("in the way")
    monkeypatch.setattr("fassd.core.files.check_writable", lambda path: None)
    code, printed, said = fassd("benchmark", "--out", tmp_path / "way" / "a.json", "--json")
    assert (code, json.loads(printed)["rounds"]) == (2, 20)
    assert "cannot be written" in said


def test_every_option_arrives(fassd: Fassd, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[BenchmarkConfig] = []

    def note(config: BenchmarkConfig, *_: object) -> int:
        seen.append(config)
        return 0

    monkeypatch.setattr(command, "_measure", note)
    assert fassd("benchmark")[0] == 0
    fassd(
        *("benchmark", "fassd-net", "baseline", "--weights", "w", "--network", "a.b:c", "--runtime", "openvino"),
        *("--runtime", "eager", "--precision", "int8", "--size", "720x1280", "--size", "64x96", "--batch", "4"),
        *("--device", "cpu", "--protocol", "paper", "--rounds", "9", "--warm-up", "3", "--no-memory"),
        *("--images", "a.jpg", "--images", "camvid:x", "--data", "camvid:y", "--split", "train"),
    )
    plain, full = seen
    assert (plain.networks, plain.sizes, plain.batches, plain.rounds, plain.memory) == (
        (),
        [],
        (1,),
        None,
        True,
    )
    assert (full.networks, full.weights, full.custom) == (("fassd-net", "baseline"), ("w",), ("a.b:c",))
    assert (full.runtimes, full.precisions) == (("openvino", "eager"), ("int8",))
    assert (full.sizes, full.batches, full.device, full.protocol) == ([(720, 1280), (64, 96)], (4,), "cpu", "paper")
    assert (full.images, full.data, full.split) == (("a.jpg", "camvid:x"), "camvid:y", "train")
    assert (full.rounds, full.warm_up, full.memory) == (9, 3, False)


BAD = [
    ("unknown network", "fassd-net-l3", "fassd-net-l1"),
    ("below the minimum", "fassd-net-l2 --size 32x32", "at least 57"),
    ("no size", "--size 1024", "for example 1024x2048"),
    ("no size at all", "--size 0x0", "at least one pixel"),
    ("too large", "--size 99999x99999", "200 megapixels"),
    ("no rounds", "--rounds 0", "rounds"),
    ("rounds by their old name", "--iterations 9", "--iterations is called --rounds now"),
    ("plot by its old name", "--picture a.png", "--picture is called --plot now"),
    ("eager by its old name", "--runtime authors", "authors is called eager now"),
    ("no batch", "--batch 0", "batch"),
    ("unknown precision", "--precision int4", "int4"),
    ("unknown weights", "--weights fassd-net-l2-stret", "fassd-net-l2-street"),
    ("encoder weights", "--weights {world}/encoder.safetensors", "encoder only"),
    ("damaged weights", "--weights {world}/cut.safetensors", "damaged"),
    ("custom network without a function", "--network torch", "package.module:function"),
    ("custom network not there", "--network no_such_peer:net", "no module 'no_such_peer'"),
    ("custom function not there", "--network json:lodes", "did you mean loads"),
    ("custom network no module", "--network os:getcwd", "returns str"),
    ("paper's protocol elsewhere", "--protocol paper --runtime openvino", "--protocol user"),
    ("unknown runtime", "--runtime eagr", "did you mean eager"),
    ("no such images", "--images {made}/no.jpg", "does not exist"),
    ("no images", "--images {made}", "no images"),
    ("images for the paper", "--protocol paper --images {made}", "--protocol user"),
    ("data without weights", "--data camvid:{made}", "--weights"),
    ("data of no kind", "--weights fassd-net-l2-street --data {made}", "expected kind:PATH"),
    ("out below a file", "--out {made}/text.json/a.json", "cannot be written"),
    ("unknown device", "fassd-net-l2 --device toaster --runtime eager --size 64x96", "toaster"),
    ("plot of no kind", "--plot {out}/a.gif", ".png"),
    ("plot is a folder", "--plot {made}", "must end in"),
    ("out is a folder", "--out {made}", "is a folder"),
    ("compare: missing", "--compare {made}/a.json {made}/no.json", "no.json: cannot be read"),
    ("compare: no JSON", "--compare {made}/a.json {made}/text.json", "text.json: is not JSON"),
    ("compare: foreign JSON", "--compare {made}/a.json {made}/other.json", "other.json: is JSON, but no report"),
    ("compare: other protocol", "--compare {made}/a.json {made}/paper.json", "cannot be compared"),
    ("compare and measure", "fassd-net --compare {made}/a.json {made}/b.json", "alone"),
    ("compare and time images", "--images {made} --compare {made}/a.json {made}/b.json", "alone"),
    ("compare and write", "--out {out} --compare {made}/a.json {made}/b.json", "alone"),
]


@pytest.mark.parametrize(("line", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_gets_a_line_that_helps(
    fassd: Fassd, world: Path, made: Path, tmp_path: Path, line: str, said: str
) -> None:
    out = tmp_path / "out"
    words = [word.format(world=world, made=made, out=out) for word in line.split()]
    code, printed, error = fassd("benchmark", *words)
    assert (code, printed) == (2, "")
    assert said in " ".join(error.split())
    assert "Traceback" not in error
    assert not out.exists()
