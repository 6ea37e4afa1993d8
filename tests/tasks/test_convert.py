"""The authors' files, made here from the golden parameters in every container they are known to come in."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import parameters  # type: ignore[import-not-found]
import pytest
import torch

from fassd.core.checkpoint import BGR_NORMALIZATION, read_checkpoint, read_header
from fassd.core.errors import CheckpointError, FassdError, FileError, UnknownName, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES
from fassd.networks.build import init_network, load_encoder, network_from_checkpoint
from fassd.networks.network import SegmentationNetwork, upsample
from fassd.networks.published import our_name
from fassd.networks.specs import network_by_name
from fassd.runtimes.open import open_runtime
from fassd.tasks.convert import convert

GOLDEN = Path(__file__).parents[1] / "golden"
State = OrderedDict[str, torch.Tensor]
PUBLISHED = pytest.mark.parametrize("name", ["fassd-net", "fassd-net-l1", "fassd-net-l2", "fc-hardnet-70"])


def _described(name: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((GOLDEN / f"net-{name}.json").read_text())
    return described


def _state(name: str, prefix: str = "module.", classes: int | None = None, alpha: int = 2) -> State:
    """The weights as the authors save them; with other classes or another alpha where asked."""
    described = _described(name)
    spec = network_by_name(described["network"])
    built = SegmentationNetwork(spec, classes or described["classes"], alpha).state_dict()
    shapes = [[key, list(built[our_name(key)].shape)] for key, _ in described["state"]]
    return OrderedDict((prefix + key, torch.from_numpy(array)) for key, array in parameters.state(shapes).items())


def _best(state: State) -> dict[str, Any]:
    return {"epoch": 89_999, "model_state": state, "best_iou": np.float64(0.7812)}


def _zipped(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _legacy(content: object) -> bytes:
    """The container of 2020 as a GPU wrote it: storages on cuda:0, numpy's scalar under its old name."""
    buffer = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(content, buffer, _use_new_zipfile_serialization=False)
    # This container's pickles carry no lengths of names: a line ends each.
    return buffer.getvalue().replace(b"cnumpy._core.multiarray\nscalar\n", b"cnumpy.core.multiarray\nscalar\n")


CONTAINERS = pytest.mark.parametrize("container", [_legacy, _zipped], ids=["legacy", "zip"])


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _check_logits(out: Path, name: str) -> None:
    """The converted network gives the authors' logits."""
    case = _described(name)["cases"][0]
    network = network_from_checkpoint(read_checkpoint(out), out).eval()
    with torch.inference_mode():
        full = upsample(network(torch.from_numpy(parameters.image(case["id"], 1, *case["size"]))), case["size"])
    expected = np.load(GOLDEN / f"net-{name}.npz")[f"{case['id']}.full"]
    found = parameters.sample(full.numpy(), expected.shape[-2:])
    assert float(np.abs(found - expected).max()) < 1e-4 * case["max_abs_logit"]


def test_the_legacy_files_made_here_are_like_those_of_2020() -> None:
    content = _legacy(_best(_state("fassd-net-l2")))
    assert not content.startswith(b"PK")
    assert b"cuda:0" in content
    assert b"cpu" not in content[:10_000]
    assert b"numpy.core.multiarray\nscalar" in content
    assert b"numpy._core" not in content
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(io.BytesIO(content), weights_only=False)


@PUBLISHED
@CONTAINERS
def test_a_best_model_becomes_a_checkpoint_with_the_authors_logits(name: str, container: Any, tmp_path: Path) -> None:
    source = _written(tmp_path / "best.pkl", container(_best(_state(name))))
    done = convert(source, tmp_path / "out.safetensors", name)
    header = read_header(tmp_path / "out.safetensors")
    assert done.header == header
    assert (header.network, header.content, header.alpha) == (name, "network", 2)
    assert (header.label_space, header.normalization) == (CITYSCAPES, BGR_NORMALIZATION)
    assert header.origin == "converted from best.pkl, epoch 89999, best iou 0.7812"
    assert (done.loaded, done.unused) == (
        len([key for key, _ in _described(name)["state"] if "tracked" not in key]),
        (),
    )
    _check_logits(tmp_path / "out.safetensors", name)


@PUBLISHED
@CONTAINERS
def test_a_resume_file_does_as_well(name: str, container: Any, tmp_path: Path) -> None:
    state = _state(name)
    content = {
        "epoch": 500,
        "model_state": state,
        "optimizer_state": {
            "state": {number: {"momentum_buffer": value} for number, value in enumerate(list(state.values())[:3])},
            "param_groups": [{"lr": 0.01, "momentum": 0.9, "nesterov": False, "params": [0, 1, 2]}],
        },
        "scheduler_state": {"max_iter": 90_000, "gamma": 0.9, "base_lrs": [0.02], "last_epoch": 500},
    }
    source = _written(tmp_path / "resume.pkl", container(content))
    done = convert(source, tmp_path / "out.safetensors", name)
    assert done.header.origin == "converted from resume.pkl, epoch 500"
    _check_logits(tmp_path / "out.safetensors", name)


def test_eleven_outputs_are_camvid_s(tmp_path: Path) -> None:
    source = _written(tmp_path / "best.pkl", _zipped(_best(_state("fassd-net-11classes"))))
    assert convert(source, tmp_path / "out.safetensors", "fassd-net").header.label_space == CAMVID
    _check_logits(tmp_path / "out.safetensors", "fassd-net-11classes")


@pytest.mark.parametrize("wrapped", [True, False])
def test_keys_without_the_wrapper_s_prefix_or_the_dictionary_around_them_will_do(tmp_path: Path, wrapped: bool) -> None:
    state = _state("fassd-net-l2", prefix="")
    source = _written(tmp_path / "best.pkl", _zipped({"model_state": state} if wrapped else state))
    assert convert(source, tmp_path / "out.safetensors", "fassd-net-l2").header.origin == "converted from best.pkl"
    _check_logits(tmp_path / "out.safetensors", "fassd-net-l2")


def test_a_converted_checkpoint_opens_as_a_runtime(tmp_path: Path) -> None:
    source = _written(tmp_path / "best.pkl", _legacy(_best(_state("fassd-net-l2"))))
    convert(source, tmp_path / "out.safetensors", "fassd-net-l2")
    with open_runtime(tmp_path / "out.safetensors") as runtime:
        assert runtime.segment(np.zeros((1, 64, 96, 3), np.uint8)).shape == (1, 64, 96)


@pytest.mark.parametrize("alpha", [1, 4, 6, 8])
def test_alpha_is_read_off_the_branches(tmp_path: Path, alpha: int) -> None:
    state = _state("fassd-net", alpha=alpha)
    source = _written(tmp_path / "best.pkl", _zipped(_best(state)))
    assert convert(source, tmp_path / "out.safetensors", "fassd-net").header.alpha == alpha
    checkpoint = read_checkpoint(tmp_path / "out.safetensors")
    network = network_from_checkpoint(checkpoint, source)
    near = network.state_dict()["context.near.conv.weight"]
    assert torch.equal(near, state["module.DAPF.conv1x1.weight"])
    assert near.shape[0] == 224 // alpha


LABEL_FILE = "\n".join(f'[[classes]]\nname = "c{number}"\ncolor = [{number}, 0, 0]' for number in range(7))


def test_outputs_of_no_known_label_space_want_names(tmp_path: Path) -> None:
    source = _written(tmp_path / "best.pkl", _zipped(_best(_state("fassd-net-l2", classes=7))))
    with pytest.raises(UsageError, match=r"has 7 outputs, neither 19.* nor 11.*--label-space FILE"):
        convert(source, tmp_path / "out.safetensors", "fassd-net-l2")
    names = tmp_path / "mine.toml"
    names.write_text(LABEL_FILE)
    space = convert(source, tmp_path / "out.safetensors", "fassd-net-l2", names).header.label_space
    assert space is not None
    assert space.names == tuple(f"c{number}" for number in range(7))


def test_a_label_file_overrides_the_guess_and_has_to_fit(tmp_path: Path) -> None:
    source = _written(tmp_path / "best.pkl", _zipped(_best(_state("fassd-net-l2"))))
    names = tmp_path / "mine.toml"
    names.write_text(LABEL_FILE)
    with pytest.raises(UsageError, match=r"mine\.toml names 7 classes but .* has 19 outputs"):
        convert(source, tmp_path / "out.safetensors", "fassd-net-l2", names)
    with pytest.raises(FileError, match="cannot be read"):
        convert(source, tmp_path / "out.safetensors", "fassd-net-l2", tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("fassd-net", "fassd-net-l2"),
        ("fassd-net-l2", "fassd-net"),
        ("fassd-net", "fc-hardnet-70"),
        ("fc-hardnet-70", "fassd-net"),
        ("fc-hardnet-70", "baseline"),
        ("fassd-net", "baseline+dapf"),
    ],
)
def test_another_network_than_the_one_held_is_refused_and_nothing_written(tmp_path: Path, held: str, said: str) -> None:
    source = _written(tmp_path / "best.pkl", _zipped(_best(_state(held))))
    with pytest.raises(CheckpointError, match=f"does not hold {said.replace('+', '.')} with 19 classes") as refusal:
        convert(source, tmp_path / "out.safetensors", said)
    assert refusal.value.path == source
    assert [path.name for path in tmp_path.iterdir()] == ["best.pkl"]


def test_an_unknown_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        convert(tmp_path / "best.pkl", tmp_path / "out.safetensors", "fassdnet")


@pytest.mark.parametrize(
    ("name", "as_name", "note"),
    [
        ("fassd-net", "fassd-net", "fassd-net and fassd-net-l1 have weights of the same names"),
        ("fassd-net", "fassd-net-l1", "the file was converted as fassd-net-l1, as --network says"),
        ("fc-hardnet-70", "fc-hardnet-70-l1", "fc-hardnet-70 and fc-hardnet-70-l1"),
        ("fassd-net-l2", "fassd-net-l2", None),
    ],
)
def test_networks_that_their_file_does_not_tell_apart_are_noted(
    tmp_path: Path, name: str, as_name: str, note: str | None
) -> None:
    source = _written(tmp_path / "best.pkl", _zipped(_best(_state(name))))
    done = convert(source, tmp_path / "out.safetensors", as_name)
    assert done.header.network == as_name
    assert len(done.notes) == (0 if note is None else 1)
    assert note is None or note in done.notes[0]


def _encoder(counters: bool) -> State:
    """The ImageNet file: FC-HarDNet-70's encoder under bare keys."""
    state = _state("fc-hardnet-70", prefix="")
    return OrderedDict(
        (key.removeprefix("base."), value)
        for key, value in state.items()
        if key.startswith("base.") and (counters or not key.endswith("num_batches_tracked"))
    )


@CONTAINERS
@pytest.mark.parametrize("counters", [True, False], ids=["with-counters", "without"])
@pytest.mark.parametrize(
    ("name", "left"), [("fassd-net", 45), ("fassd-net-l1", 45), ("fassd-net-l2", 45), ("fc-hardnet-70", 0)]
)
def test_an_imagenet_encoder_is_cut_to_the_network(
    name: str, left: int, counters: bool, container: Any, tmp_path: Path
) -> None:
    state = _encoder(counters)
    source = _written(tmp_path / "imagenet_weights.pth", container(state))
    done = convert(source, tmp_path / "out.safetensors", name)
    assert (done.header.content, done.header.network, done.header.label_space) == ("encoder", name, None)
    assert (len(done.unused), done.loaded) == (left, len(_encoder(False)) - left)
    # Entries 15 to 17 are a pooling, the fifth block and its transition.
    without_place = [our_name(f"base.{key}") for key in _encoder(False) if int(key.split(".")[0]) >= 15]
    assert sorted(done.unused) == (sorted(key.removeprefix("encoder.") for key in without_place) if left else [])
    assert "an encoder only" in done.notes[0]

    network = init_network(network_by_name(name), 19)
    checkpoint = read_checkpoint(tmp_path / "out.safetensors")
    assert len(checkpoint.arrays) == done.loaded
    assert load_encoder(network, checkpoint.arrays, source).unused == ()
    for key, value in network.encoder.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            original = next(theirs for theirs in state if our_name(f"base.{theirs}") == f"encoder.{key}")
            assert torch.equal(value, state[original])


def test_an_encoder_is_no_network(tmp_path: Path) -> None:
    source = _written(tmp_path / "imagenet_weights.pth", _zipped(_encoder(True)))
    convert(source, tmp_path / "out.safetensors", "fassd-net")
    with pytest.raises(CheckpointError, match="holds an encoder only"):
        open_runtime(tmp_path / "out.safetensors")


def test_an_encoder_with_too_few_stages_is_refused(tmp_path: Path) -> None:
    short = OrderedDict((key, value) for key, value in _encoder(True).items() if int(key.split(".")[0]) < 15)
    source = _written(tmp_path / "imagenet_weights.pth", _zipped(short))
    with pytest.raises(CheckpointError, match="the encoder of fc-hardnet-70: 45 weights are missing"):
        convert(source, tmp_path / "out.safetensors", "fc-hardnet-70")
    assert not (tmp_path / "out.safetensors").exists()


class Hostile:
    """Runs a command as soon as it is unpickled."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.flag}",)


class HostileByEval(Hostile):
    """The same by way of a builtin."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, (f"__import__('pathlib').Path({str(self.flag)!r}).touch()",)


def _pickled(content: object) -> bytes:
    return pickle.dumps(content)


@pytest.mark.parametrize("kind", [Hostile, HostileByEval])
@pytest.mark.parametrize("container", [_legacy, _zipped, _pickled], ids=["legacy", "zip", "bare-pickle"])
@pytest.mark.parametrize("place", ["whole", "beside", "score", "weight", "metadata"])
def test_a_file_that_wants_to_run_code_is_refused_and_does_not(
    kind: type[Hostile], container: Any, place: str, tmp_path: Path
) -> None:
    flag = tmp_path / "ran"
    hostile = kind(flag)
    state: dict[str, Any] = {"module.finalConv.weight": torch.zeros(19, 64, 1, 1)}
    content: Any = {"epoch": 1, "model_state": state}
    if place == "whole":
        content = hostile
    elif place == "weight":
        state["module.finalConv.bias"] = hostile
    elif place == "metadata":
        content["model_state"] = OrderedDict(state)
        content["model_state"]._metadata = hostile
    else:
        content[{"beside": "extra", "score": "best_iou"}[place]] = hostile
    source = _written(tmp_path / "best.pkl", container(content))
    with pytest.raises(CheckpointError) as refusal:
        convert(source, tmp_path / "out.safetensors", "fassd-net-l2")
    assert not flag.exists()
    assert not (tmp_path / "out.safetensors").exists()
    assert refusal.value.path == source
    assert "wants to run code" in refusal.value.problem
    if container is not _pickled:
        assert ("eval" if kind is HostileByEval else "system") in refusal.value.problem


def test_the_hostile_files_would_do_harm_if_they_were_let(tmp_path: Path) -> None:
    for number, kind in enumerate((Hostile, HostileByEval)):
        flag = tmp_path / f"ran{number}"
        for content in (_legacy(kind(flag)), _zipped(kind(flag))):
            torch.load(io.BytesIO(content), weights_only=False)
            assert flag.exists()
            flag.unlink()


@CONTAINERS
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused_as_damaged(container: Any, share: float, tmp_path: Path) -> None:
    content = container(_best(_state("fassd-net-l2")))
    source = _written(tmp_path / "best.pkl", content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match="or a damaged one") as refusal:
        convert(source, tmp_path / "out.safetensors", "fassd-net-l2")
    assert (refusal.value.path, "run code" in str(refusal.value)) == (source, False)


@pytest.mark.parametrize(
    "content",
    [
        b"hello, this is no checkpoint",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        bytes(range(256)) * 8,
        b"PK\x03\x04" + bytes(64),
    ],
    ids=["text", "picture", "bytes", "zip"],
)
def test_a_file_of_another_kind_is_not_accused_of_running_code(content: bytes, tmp_path: Path) -> None:
    source = _written(tmp_path / "best.pkl", content)
    with pytest.raises(CheckpointError, match="not a PyTorch checkpoint") as refusal:
        convert(source, tmp_path / "out.safetensors", "fassd-net-l2")
    assert "run code" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([1, 2, 3], "holds a list"),
        (torch.ones(3), "holds a Tensor"),
        ({}, "neither 'model_state' nor a bare state"),
        ({"model_state": {}}, "neither 'model_state' nor a bare state"),
        ({"model_state": {"a": 3}}, "neither 'model_state' nor a bare state"),
        ({"module.conv.weight": torch.ones(3)}, "has no classifier"),
        ({0: torch.ones(3)}, "best.pkl"),
        ({"model_state": {"a": torch.ones(3)}, "epoch": None}, "best.pkl"),
        ({"model_state": {"a": torch.ones(3)}, "best_iou": "high"}, "best.pkl"),
        ({"finalConv.weight": torch.ones(19, 64, 1, 1).to_sparse()}, "best.pkl"),
        ({"finalConv.weight": torch.ones(19, 64, 1, 1, device="meta")}, "best.pkl"),
        ({"model_state": {"a": torch.ones(3)}, "epoch": 10**400}, "best.pkl"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(content: object, complaint: str, tmp_path: Path) -> None:
    source = _written(tmp_path / "best.pkl", _zipped(content))
    with pytest.raises(CheckpointError, match=complaint):
        convert(source, tmp_path / "out.safetensors", "fassd-net-l2")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for source in (tmp_path / "missing.pkl", tmp_path):
        with pytest.raises(CheckpointError, match="there is no such file"):
            convert(source, tmp_path / "out.safetensors", "fassd-net")


@pytest.mark.parametrize("out", ["out.pth", "out", "out.safetensors.bak"])
def test_what_is_written_is_called_safetensors(out: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not end in \.safetensors"):
        convert(tmp_path / "best.pkl", tmp_path / out, "fassd-net")


def test_every_refusal_is_one_of_ours(tmp_path: Path) -> None:
    """Any byte of a small file turned over: converted or refused in a sentence, never anything else."""
    content = bytearray(_legacy(_best(OrderedDict({"module.finalConv.weight": torch.ones(2, 2)}))))
    random = np.random.default_rng(0)
    for place in random.integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[place] ^= int(random.integers(1, 256))
        source = _written(tmp_path / "best.pkl", bytes(damaged))
        with pytest.raises(FassdError):
            convert(source, tmp_path / "out.safetensors", "fassd-net-l2")


def test_without_pytorch_the_extra_is_named(tmp_path: Path) -> None:
    program = """
import sys, pathlib
sys.modules["torch"] = None
from fassd.core.errors import MissingExtra
from fassd.tasks.convert import convert
try:
    convert(pathlib.Path("best.pkl"), pathlib.Path("out.safetensors"), "fassd-net")
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (
        done.stdout.strip()
        == "reading PyTorch files needs the package 'torch': install it with pip install 'fassd[torch]'"
    )


def test_a_checkpoint_of_ours_is_not_converted(tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="safetensors file already"):
        convert(tiny_weights, tmp_path / "out.safetensors", "fassd-net-l2")
    assert not (tmp_path / "out.safetensors").exists()
