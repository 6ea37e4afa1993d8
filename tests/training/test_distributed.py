"""Two processes on this machine train as one does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from fassd.core.checkpoint import RGB_NORMALIZATION
from fassd.core.errors import UsageError
from fassd.core.recipe import Recipe
from fassd.data.batches import Samples
from fassd.networks import inference
from fassd.networks.build import init_network
from fassd.networks.specs import network_by_name
from fassd.training.distributed import Distributed
from fassd.training.train_step import SegmentationTrainStep

SCRIPT = Path(__file__).with_name("together.py")
PATIENCE_S = 120


@pytest.fixture(scope="module")
def data(make_camvid: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five frames to learn from, and three to score: no even number."""
    return f"camvid:{make_camvid(tmp_path_factory.mktemp('data'), {'train': 5, 'val': 3})}"


@contextmanager
def _started(processes: int, what: str, data: str, out: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes, told of each other as `torchrun` does."""
    out.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    around = {"WORLD_SIZE": processes, "MASTER_ADDR": "localhost", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    several = [
        subprocess.Popen(
            [sys.executable, "-W", "error::FutureWarning", SCRIPT, what, data, out],
            env={**os.environ, **{name: str(value) for name, value in around.items()}}
            | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        yield several
    finally:
        for process in several:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def found(data: str, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """What one process found, and what two did together."""
    found = {}
    for number in (1, 2):
        out = tmp_path_factory.mktemp(f"by-{number}")
        with _started(number, "both", data, out) as several:
            said = [process.communicate(timeout=PATIENCE_S)[1] for process in several]
            assert [process.returncode for process in several] == [0] * number, said
        found[number] = json.loads((out / "found.json").read_text())
    return found


@pytest.mark.parametrize(
    ("which", "losses", "gradients", "lengths"),
    [("alone", 1e-12, 1e-10, 1e-11), ("in_a_row", 1e-9, 1e-7, 1e-7)],
)
def test_two_processes_of_half_a_batch_train_like_one_of_the_batch(
    found: dict[int, Any], which: str, losses: float, gradients: float, lengths: float
) -> None:
    """In float64. From the same weights all agrees but for the order of additions.

    Norms over a few values multiply what that rounds away, a hundred times at each update here and a thousand times
    where crops leave the deepest norms four values; a batch in another order does the same in a single process.
    """
    (expected,) = found[1][which]
    assert len({loss for one in expected for loss in one["losses"]}) == 3
    for several in found[2][which]:
        for two, one in zip(several, expected, strict=True):
            for name, tolerance in {"losses": losses, "gradients": gradients, "lengths": lengths}.items():
                assert two[name] == pytest.approx(one[name], rel=tolerance, abs=1e-12), name


def test_two_processes_validate_every_image_once(found: dict[int, Any]) -> None:
    """Three images are shared by two processes; the weights are trained ones, and the same."""
    (confusion,) = found[1]["confusion"]
    assert sum(map(sum, confusion)) == 3 * (96 - 8) * 128
    assert sum(1 for answers in zip(*confusion, strict=True) if any(answers)) > 3
    assert sorted(found[2]["scored"]) == sorted(found[1]["scored"])
    for name in ("confusion", "figures", "iou"):
        assert found[2][name] == found[1][name]


def test_two_processes_train_to_the_end_and_one_reports(found: dict[int, Any]) -> None:
    assert found[1]["iteration"] == found[2]["iteration"] == 3
    assert found[2]["kinds"] == found[1]["kinds"]
    assert found[2]["kinds"].count("validated") == 1


@pytest.mark.slow
def test_if_a_process_is_killed_the_others_end_and_say_what_to_do(data: str, tmp_path: Path) -> None:
    with _started(2, "endless", data, tmp_path) as (first, second):
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "run" / "updates.csv").exists():
            assert first.poll() is None, first.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(second.pid, signal.SIGKILL)
        said = first.communicate(timeout=60)[1]
    assert first.returncode == 2
    assert "process 0 of 2 lost contact with another one" in said
    assert "start all of them again with --resume" in said
    assert "Traceback" not in said
    assert list((tmp_path / "run" / "states").glob("state-*.safetensors"))


@pytest.mark.parametrize(("batch", "accumulate", "processes"), [(3, 1, 2), (4, 4, 2), (6, 2, 2)])
def test_a_batch_that_cannot_be_shared_out_evenly_is_refused(
    recipe: Recipe, samples: Samples, batch: int, accumulate: int, processes: int
) -> None:
    engine = Distributed(torch.device("cpu"))
    engine.processes = processes
    uneven = msgspec.structs.replace(recipe, batch_size=batch, accumulation_steps=accumulate)
    with pytest.raises(UsageError, match=f"multiple of {accumulate * processes}"):
        SegmentationTrainStep(init_network(network_by_name("baseline"), 3), uneven, samples, engine)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Whatever a launcher may set; Accelerate, which remembers what it found, begins anew."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield monkeypatch
    monkeypatch.undo()
    AcceleratorState._reset_state(reset_partial_state=True)


def test_precision_is_the_recipe_s_whatever_accelerate_was_configured_to(launched: pytest.MonkeyPatch) -> None:
    launched.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    launched.setenv("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    accelerator = Distributed(torch.device("cpu")).accelerator
    assert accelerator.mixed_precision == "no"
    assert accelerator.state.dynamo_plugin.backend == "NO"


@pytest.mark.parametrize("plugin", ["DEEPSPEED", "FSDP", "MEGATRON_LM"])
def test_a_launcher_that_would_share_out_the_weights_is_refused(launched: pytest.MonkeyPatch, plugin: str) -> None:
    launched.setenv(f"ACCELERATE_USE_{plugin}", "true")
    with pytest.raises(UsageError, match=f"set to use {plugin}.*torchrun"):
        Distributed(torch.device("cpu"))


def test_more_processes_than_gpus_are_refused(launched: pytest.MonkeyPatch) -> None:
    launched.setenv("LOCAL_WORLD_SIZE", "4")
    launched.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="4 processes on this machine need a GPU each, but PyTorch finds 2"):
        Distributed(torch.device("cuda"))


def test_norms_synchronized_by_pytorch_are_folded_like_others() -> None:
    """As validation on several GPUs does; on a processor such a norm refuses to answer."""
    network = init_network(network_by_name("fassd-net-l2"), 3).eval()
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    expected = inference.InferenceNetwork(network, RGB_NORMALIZATION)(images)
    shared = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    assert torch.equal(inference.InferenceNetwork(shared, RGB_NORMALIZATION)(images), expected)
