"""Benchmarks of tiny networks: what is measured, in which order, and what is refused. No test depends on a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fassd.core.checkpoint import read_checkpoint
from fassd.core.errors import CheckpointError, FassdError, FileError, MissingExtra, UnknownName, UsageError
from fassd.core.machine import describe_machine
from fassd.core.types import Event
from fassd.data.open_dataset import open_dataset
from fassd.metrics.timing import Interval
from fassd.runtimes.open import open_runtime
from fassd.scoring.evaluate import evaluate
from fassd.speed import protocol
from fassd.speed.images import timed_images
from fassd.speed.peak_memory import Peak
from fassd.speed.protocol import OpenVariant, Request, open_variant
from fassd.speed.reference import open_checkpoint
from fassd.speed.report import BenchmarkReport, ProtocolName, TimedOn, Variant
from fassd.speed.variants import BenchmarkConfig
from fassd.tasks import benchmark as verb
from fassd.tasks.benchmark import benchmark

SIZE = (64, 96)
TINY = BenchmarkConfig(networks=["fassd-net-l2"], runtimes=["eager"], sizes=[SIZE], rounds=7, warm_up=1, memory=False)
NETWORKS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, 4)
        self.output = output
    def forward(self, images):
        return self.output(self.conv(images))

alone = lambda: Net(lambda logits: logits)
torchvisions = lambda: Net(lambda logits: {"aux": logits[:, :1], "out": logits})
with_auxiliary = lambda: Net(lambda logits: (logits, logits[:, :1]))
flat = lambda: Net(lambda logits: logits.flatten(1))
classes = lambda: Net(lambda logits: logits.argmax(1, keepdim=True))
inst = Net(lambda logits: logits)
prints = lambda: Net(lambda logits: (print("in between"), logits)[1:])
leaves = lambda: Net(lambda logits: exit(3))
nothing = lambda: Net(lambda logits: {})
thousand = lambda: Net(lambda logits: logits.repeat(1, 200, 1, 1))
breaks = lambda: Net(lambda logits: 1 / 0)
number = lambda: 7
raises = lambda: {}["x"]
text = "no function"
"""


@pytest.fixture(scope="module")
def report() -> BenchmarkReport:
    return benchmark(replace(TINY, runtimes=["eager", "pytorch"], precisions=["float32", "bfloat16"]))


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], BenchmarkConfig]:
    """Configurations for a custom network from a file in the current folder."""
    (tmp_path / "peers_of_mine.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return lambda name: replace(TINY, networks=(), custom=[f"peers_of_mine:{name}"], rounds=1)


def test_every_combination_is_measured_in_every_round(report: BenchmarkReport) -> None:
    names = [one.variant.runtime_and_precision for one in report.measured]
    assert names == ["eager float32", "pytorch float32", "pytorch bfloat16"]
    assert (report.rounds, report.warm_up, report.interrupted, report.skipped) == (7, 1, False, ())
    assert {(one.variant.network, one.variant.size, one.variant.batch) for one in report.measured} == {
        ("fassd-net-l2", SIZE, 1)
    }


def test_speedups_refer_to_the_eager_reference(report: BenchmarkReport) -> None:
    assert report.measured[0].speedup == Interval(1, 1, 1)
    for one in report.measured:
        assert one.speedup is not None and one.speedup.value > 0
        assert one.frames_per_second.value == pytest.approx(1000 / one.latency_ms.p50)
        assert one.mean_iou == 74.1


def _variant(runtime: str, **change: object) -> Variant:
    plain = Variant(network="n", runtime=runtime, precision="float32", device="cpu", size=SIZE, batch=1)
    return msgspec.structs.replace(plain, **change)


@pytest.mark.parametrize(
    ("eager", "fast", "ratio"),
    [
        ([_variant("eager")], _variant("openvino"), 5),
        ([_variant("eager")], _variant("openvino", precision="int8", weights="exported.xml"), 5),
        ([_variant("eager"), _variant("eager", weights="w")], _variant("openvino", weights="w"), 50),
        ([_variant("eager", batch=2)], _variant("openvino"), None),
        ([_variant("eager", network="m")], _variant("openvino"), None),
        ([_variant("eager", device="cuda")], _variant("openvino"), None),
        ([_variant("eager", size=(96, 64))], _variant("openvino"), None),
    ],
)
def test_a_speedup_refers_to_the_same_network_and_images(
    eager: list[Variant], fast: Variant, ratio: float | None
) -> None:
    times = np.array([[*(100.0, 1000.0)[: len(eager)], 20.0]] * 7)
    variants = [OpenVariant(Request(one, "user", None), lambda *_: None, lambda: None) for one in (*eager, fast)]
    found = verb._measured(variants, len(eager), times).speedup
    assert found == (None if ratio is None else Interval(ratio, ratio, ratio))


def test_without_the_eager_reference_there_is_no_speedup() -> None:
    (one,) = benchmark(replace(TINY, runtimes=["pytorch"], precisions=["float32"], rounds=1)).measured
    assert one.speedup is None


def test_each_stage_is_measured(report: BenchmarkReport) -> None:
    assert list(report.measured[0].stages_ms) == ["normalization", "network", "upsampling", "argmax"]
    assert all(next(iter(one.stages_ms)) == "network" for one in report.measured[1:])
    assert all(value > 0 for one in report.measured for value in one.stages_ms.values())


def test_a_report_reads_back_as_it_was_written(report: BenchmarkReport) -> None:
    assert msgspec.json.decode(msgspec.json.encode(report), type=BenchmarkReport) == report


def test_sizes_batches_and_weights_are_multiplied(tiny_weights: Path) -> None:
    config = replace(TINY, sizes=[SIZE, (80, 64)], batches=[1, 2], weights=[str(tiny_weights)], rounds=1)
    found = benchmark(config).measured
    assert len(found) == len({one.variant for one in found}) == 8
    assert {one.variant.weights for one in found} == {None, str(tiny_weights)}
    of_weights = next(one for one in found if one.variant.weights)
    assert of_weights.variant.network == "fassd-net-l2"
    assert of_weights.mean_iou is None, "the published accuracy is that of other weights"


def test_the_speedup_of_an_exported_file_refers_to_its_network_with_random_weights(
    tmp_path: Path, tiny_weights: Path
) -> None:
    from fassd.runtimes.openvino_file import write_model
    from fassd.runtimes.openvino_graph import build_logits

    exported, read = tmp_path / "net.xml", read_checkpoint(tiny_weights)
    write_model(build_logits(read.header, read.arrays), exported)
    config = replace(TINY, networks=(), weights=[str(exported)], runtimes=(), rounds=6)
    eager, openvino = benchmark(config).measured
    assert (eager.variant.runtime_and_precision, eager.variant.weights) == ("eager float32", None)
    assert (openvino.variant.runtime, openvino.variant.weights) == ("openvino", str(exported))
    assert eager.variant.network == openvino.variant.network == "fassd-net-l2"
    assert openvino.speedup is not None


def test_what_auto_turns_out_to_be_is_measured_once() -> None:
    config = replace(TINY, runtimes=["auto", "pytorch", "auto"], precisions=["float32"], rounds=1)
    variants = [one.variant for one in benchmark(config).measured]
    assert len(variants) == len(set(variants)) <= 2
    assert "auto" not in {variant.runtime for variant in variants}


def test_all_variants_see_the_images_of_the_round(gray_photos: list[Path], tiny_weights: Path) -> None:
    config = replace(TINY, images=[str(gray_photos[0].parent)], sizes=(), rounds=1)
    found = benchmark(config)
    assert found.measured[0].variant.size == (80, 120)
    assert found.timed_on == TimedOn((str(gray_photos[0].parent),), 5)
    variant = Variant(network="x", runtime="eager", precision="float32", device="cpu", size=SIZE, batch=1)
    images = timed_images([str(path) for path in (gray_photos[0], gray_photos[4])], None, "val")
    opened = open_variant(Request(variant, "user", str(tiny_weights)), images)
    first, second, third = (np.asarray(opened.predict(number, None)) for number in range(3))
    assert np.array_equal(first, third)
    reference = open_checkpoint(tiny_weights, "cpu")
    assert np.array_equal(second, reference.segment(images.batches(SIZE, 1)[1]))


def test_without_images_it_is_the_photo_that_ships() -> None:
    found = benchmark(replace(TINY, rounds=1))
    assert found.timed_on == TimedOn((), 1)
    assert str(found.timed_on) == "the photo that ships"


def test_shipped_weights_bring_their_int8_form(tmp_path: Path) -> None:
    config = replace(TINY, networks=(), weights=["fassd-net-l2-street"], runtimes=["auto"], precisions=["int8"])
    (one,) = benchmark(replace(config, rounds=1)).measured
    assert (one.variant.runtime_and_precision, one.calibrated_on) == ("openvino int8", None)
    assert one.variant.weights == "fassd-net-l2-street"


@pytest.mark.slow
def test_random_weights_in_int8_are_calibrated_on_the_images(gray_photos: list[Path]) -> None:
    config = replace(
        TINY, images=[str(gray_photos[0].parent)], runtimes=["eager", "auto"], precisions=["int8"], rounds=1
    )
    eager, fast = benchmark(config).measured
    assert (eager.variant.runtime_and_precision, eager.calibrated_on) == ("eager float32", None)
    assert (fast.variant.runtime_and_precision, fast.calibrated_on) == ("openvino int8", 5)


def test_given_weights_are_scored_as_evaluate_scores_them(camvid_root: Path, tiny_weights: Path) -> None:
    data = f"camvid:{camvid_root}"
    config = replace(TINY, weights=[str(tiny_weights)], data=data, split="val", rounds=1, batches=[1, 2])
    found = benchmark(config)
    with open_runtime(tiny_weights, "cpu", "float32", "pytorch") as runtime:
        dataset = open_dataset(data, "val", runtime.label_space)
        expected = evaluate(runtime, dataset).parts[0].mean_iou
    assert expected is not None
    assert found.scored_on is not None and found.scored_on.images == len(dataset)
    assert found.timed_on == TimedOn((f"{data} val",), len(dataset))
    assert [one.mean_iou for one in found.measured] == [74.1, pytest.approx(100 * expected)] * 2


def test_data_that_cannot_be_scored_are_refused_before_anything_is_measured(
    camvid_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "run_rounds", lambda *_: pytest.fail("measured"))
    config = replace(TINY, weights=["fassd-net-l2-street"], data=f"camvid:{camvid_root}")
    with pytest.raises(FassdError, match="no split"):
        benchmark(replace(config, split="tset"))


def test_an_interrupted_benchmark_reports_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def watch(event: Event) -> None:
        if event.kind == "round" and event.values["done"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(verb, "peak_memory", lambda *_: pytest.fail("nothing starts after Ctrl-C"))
    found = benchmark(replace(TINY, memory=True), watch)
    assert (found.rounds, found.interrupted, len(found.measured)) == (2, True, 1)


def test_ctrl_c_while_memory_is_measured_keeps_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> Peak:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "peak_memory", stop)
    found = benchmark(replace(TINY, memory=True))
    assert (found.rounds, found.interrupted) == (7, True)
    assert found.measured[0].peak_memory_mib is None


def test_whoever_watches_sees_each_part_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "peak_memory", lambda *_: Peak(123.0))
    seen: list[Event] = []
    found = benchmark(replace(TINY, rounds=2, memory=True), seen.append)
    assert [(one.kind, one.values["done"], one.values["total"]) for one in seen] == [
        ("opened", 1, 1),
        ("warmed", 1, 1),
        ("round", 1, 2),
        ("round", 2, 2),
        ("memory", 1, 1),
    ]
    assert found.measured[0].peak_memory_mib == 123


def test_nothing_is_kept_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASSD_CACHE", str(tmp_path))
    benchmark(replace(TINY, runtimes=["auto"], rounds=1))
    assert not list(tmp_path.iterdir())
    assert os.environ["FASSD_CACHE"] == str(tmp_path)


def test_a_variant_that_cannot_be_opened_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingExtra("onnxruntime", "onnx", "the runtime onnx")

    monkeypatch.setattr(protocol, "open_runtime", missing)
    found = benchmark(replace(TINY, runtimes=["onnx", "eager"], rounds=1))
    assert [one.variant.runtime_and_precision for one in found.measured] == ["eager float32"]
    assert [(one.variant.runtime, "fassd[onnx]" in one.reason) for one in found.skipped] == [("onnx", True)]
    with pytest.raises(MissingExtra, match="onnxruntime"):
        benchmark(replace(TINY, runtimes=["onnx"], rounds=1))


@pytest.mark.parametrize(("change", "said"), [(1.5, "50% slower"), (0.5, "50% faster"), (1.01, None)])
def test_drift_is_a_warning(change: float, said: str | None) -> None:
    times = np.linspace(1, change, 30)[:, None]
    variant = OpenVariant(Request(_variant("openvino"), "user", None), lambda *_: None, lambda: None)
    found = verb._drift_warnings([verb._measured([variant], 0, times * 10)])
    assert len(found) == bool(said)
    if said:
        assert "1 of 1 variants" in found[0]
        assert said.split()[1] in found[0]


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"networks": ["fassd-net-l3"]}, UnknownName, "fassd-net-l1 or fassd-net-l2|fassd-net-l2"),
        ({"weights": ["fassd-net-l2-stret"]}, UnknownName, "fassd-net-l2-street"),
        ({"weights": ["no.safetensors"]}, CheckpointError, "no such file"),
        ({"sizes": [(32, 32)]}, UsageError, "at least 57"),
        ({"sizes": [(0, 64)]}, UsageError, "0x64"),
        ({"sizes": [(30_000, 30_000)]}, UsageError, "200 megapixels"),
        ({"batches": [0]}, UsageError, "0 images"),
        ({"rounds": 0}, UsageError, "at least 1"),
        ({"warm_up": -1}, UsageError, "warm-up is -1"),
        ({"runtimes": ["openvono"]}, UnknownName, "openvono"),
        ({"runtimes": ["eagr"]}, UnknownName, "did you mean eager"),
        ({"runtimes": ["authors"]}, UsageError, "the runtime authors is called eager now"),
        ({"runtimes": ["pytorch"], "precisions": ["int8"]}, UsageError, "does not compute in int8"),
        ({"protocol": "paper", "images": ["a.jpg"]}, UsageError, "--images"),
        ({"images": ["no.jpg"]}, FileError, "does not exist"),
        ({"data": "camvid:x"}, UsageError, "--weights"),
        ({"device": "toaster"}, UsageError, "toaster"),
        ({"protocol": "paper", "runtimes": ["openvino"]}, UsageError, "--protocol user"),
        ({"protocol": "paper", "precisions": ["int8"]}, UsageError, "--protocol user"),
        ({"networks": (), "custom": ["nonsense"]}, UsageError, "package.module:function"),
        ({"networks": (), "custom": ["no_such_module:f"]}, UsageError, "no module 'no_such_module'"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], kind: type[FassdError], said: str) -> None:
    with pytest.raises(kind, match=said):
        benchmark(replace(TINY, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["alone", "torchvisions", "with_auxiliary"])
@pytest.mark.parametrize("kind", ["user", "paper"])
def test_a_custom_network_is_measured_by_the_same_rule(
    peers: Callable[[str], BenchmarkConfig], name: str, kind: ProtocolName
) -> None:
    (one,) = benchmark(replace(peers(name), protocol=kind, runtimes=(), batches=[2])).measured
    assert one.variant.network == f"peers_of_mine:{name}"
    assert one.variant.runtime_and_precision == "eager float32"
    assert one.mean_iou is None
    assert {"network", "upsampling"} == one.stages_ms.keys() - {"normalization", "argmax"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("flat", r"gives \(1, \d+\) torch.float32"),
        ("classes", "torch.int64"),
        ("nothing", "NoneType"),
        ("thousand", "1000, 16, 24"),
        ("breaks", r"fails on \(1, 3, 64, 96\).*ZeroDivisionError"),
        ("number", "returns int; expected a torch.nn.Module"),
        ("raises", "calling 'peers_of_mine:raises' without arguments failed"),
        ("text", "is str; expected a function"),
        ("inst", "is a network itself"),
        ("leaves", "fails on .*SystemExit: 3"),
        ("alon", "did you mean alone"),
    ],
)
def test_a_custom_network_that_is_none_is_refused(
    peers: Callable[[str], BenchmarkConfig], name: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        benchmark(peers(name))


def test_what_a_custom_network_prints_does_not_mix_with_the_report(
    peers: Callable[[str], BenchmarkConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark(peers("prints"))
    printed, said = capsys.readouterr()
    assert printed == ""
    assert "in between" in said


def test_a_module_that_breaks_on_import_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_of_mine.py").write_text("import not_there_at_all")
    (tmp_path / "worse_of_mine.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for module, said in (("broken_of_mine", "no module 'not_there_at_all'"), ("worse_of_mine", "ZeroDivisionError")):
        with pytest.raises(UsageError, match=said):
            benchmark(replace(TINY, networks=(), custom=[f"{module}:net"]))


def test_machine_and_date_are_in_the_report(report: BenchmarkReport) -> None:
    assert report.machine == describe_machine()
    assert report.date.endswith("+00:00")
