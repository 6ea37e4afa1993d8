from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fassd.core.checkpoint import (
    BGR_NORMALIZATION,
    METADATA_KEY,
    RGB_NORMALIZATION,
    Checkpoint,
    Header,
    Score,
    read_checkpoint,
    read_digest,
    read_header,
    write_checkpoint,
)
from fassd.core.errors import CheckpointError, FileError
from fassd.core.labels import CAMVID, CITYSCAPES

SMALLEST = Header(network="baseline", label_space=CAMVID, normalization=RGB_NORMALIZATION)
FULLEST = Header(
    content="network",
    network="fassd-net",
    alpha=6,
    label_space=CITYSCAPES,
    normalization=BGR_NORMALIZATION,
    input_side=960,
    recipe={"network": "fassd-net", "augmentation": {"crop_size": [360, 480]}, "seed": 1},
    data=[{"name": "camvid", "images": 367, "terms": "research"}],
    scores=[Score("camvid", "val", 101, 0.625, None, 11, "fassd evaluate ...")],
    terms="research only; £ and “quotes” survive",
    origin="made by a test",
    version="0.1.0",
)
DAMAGED = "its content is not that of its digest"
ENCODER = Header(content="encoder", network="fassd-net", label_space=None, normalization=BGR_NORMALIZATION)


def _arrays() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    return {
        "b.weight": random.normal(size=(4, 3, 3, 1)).astype(np.float32),
        "a.weight": random.normal(size=(5,)).astype(np.float16),
        "turned": np.asfortranarray(random.normal(size=(3, 4)).astype(np.float32)),
    }


@pytest.mark.parametrize("header", [SMALLEST, FULLEST, ENCODER], ids=["smallest", "fullest", "encoder"])
def test_what_is_written_is_read_back(tmp_path: Path, header: Header) -> None:
    path, arrays = tmp_path / "x.safetensors", _arrays()
    write_checkpoint(path, Checkpoint(header, arrays))
    found = read_checkpoint(path)
    assert found.header == header == read_header(path)
    assert found.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert (found.arrays[name] == array).all()


def test_a_checkpoint_is_a_plain_safetensors_file_with_json_in_it(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, Checkpoint(FULLEST, _arrays()))
    assert load_file(path).keys() == _arrays().keys()
    content = path.read_bytes()
    front = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    said = json.loads(front["__metadata__"][METADATA_KEY])
    assert len(said.pop("sha256")) == 64
    assert said == json.loads(msgspec.json.encode(FULLEST))


def test_equal_checkpoints_are_equal_files(tmp_path: Path) -> None:
    for name, arrays in (("x", _arrays()), ("y", dict(reversed(_arrays().items())))):
        write_checkpoint(tmp_path / name, Checkpoint(SMALLEST, arrays))
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, Checkpoint(SMALLEST, _arrays()))
    before = path.read_bytes()
    unwritable = {"a": np.zeros(100, np.float32), "b": np.array([object()])}
    with pytest.raises(Exception, match="object"):
        write_checkpoint(path, Checkpoint(SMALLEST, unwritable))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_file_error(tmp_path: Path) -> None:
    """The largest file that the process may write stands for the full disk."""
    program = """
import resource, signal, sys, pathlib
import numpy as np
from fassd.core.checkpoint import RGB_NORMALIZATION, Checkpoint, Header, write_checkpoint
from fassd.core.errors import FileError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
header = Header(network="baseline", label_space=None, normalization=RGB_NORMALIZATION)
try:
    write_checkpoint(pathlib.Path(sys.argv[1]), Checkpoint(header, {"a": np.zeros(10000)}))
except FileError as error:
    print(error)
"""
    path = tmp_path / "x.safetensors"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert list(tmp_path.iterdir()) == []
    assert done.stdout.startswith(f"{path}: cannot be written"), done.stderr[-300:]


def test_a_folder_that_cannot_be_made_is_a_file_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written"):
        write_checkpoint(tmp_path / "file" / "x.safetensors", Checkpoint(SMALLEST, _arrays()))


def _whole() -> dict[str, Any]:
    header: dict[str, Any] = msgspec.to_builtins(SMALLEST)
    return header


def _written(path: Path, header: dict[str, Any] | str | None) -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(_arrays(), path, None if header is None else {METADATA_KEY: text})


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (None, "without a fassd header"),
        ("", "header is damaged"),
        ("{", "header is damaged"),
        ({**_whole(), "surprise": 1}, "from another version.*surprise"),
        ({**_whole(), "alpha": "two"}, "header is damaged.*alpha"),
        ({**_whole(), "pixels": {"channel_order": "rgb"}}, "header is damaged"),
        ({**_whole(), "label_space": {"name": "x", "classes": []}}, "has 0 classes"),
        ({key: value for key, value in _whole().items() if key != "network"}, "header is damaged.*network"),
    ],
)
def test_a_file_with_no_header_or_a_damaged_one_is_refused_by_name(
    tmp_path: Path, header: dict[str, Any] | str | None, complaint: str
) -> None:
    path = tmp_path / "x.safetensors"
    _written(path, header)
    for read in (read_header, read_checkpoint):
        with pytest.raises(CheckpointError, match=complaint) as refusal:
            read(path)
        assert refusal.value.path == path


def test_a_file_that_states_no_digest_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    _written(path, _whole())
    assert read_checkpoint(path).header == SMALLEST
    assert read_digest(path) is None


@pytest.mark.parametrize("stated", ["", "0" * 64, "5", 5, None])
def test_a_digest_that_is_none_is_refused(tmp_path: Path, stated: object) -> None:
    path = tmp_path / "x.safetensors"
    _written(path, {"sha256": stated, **_whole()})
    with pytest.raises(CheckpointError, match=DAMAGED):
        read_checkpoint(path)


def test_a_flipped_bit_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, Checkpoint(ENCODER, _arrays()))
    sound, noticed = path.read_bytes(), 0
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place * 5 % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError) as refusal:
            read_header(path)
        noticed += DAMAGED in str(refusal.value)
    # The rest breaks the format itself.
    assert noticed > len(sound) / 3


@pytest.mark.parametrize("change", ["a header", "a name", "exchanged", "an end"])
def test_what_is_changed_by_hand_is_refused(tmp_path: Path, change: str) -> None:
    path, arrays = tmp_path / "x.safetensors", _arrays()
    write_checkpoint(path, Checkpoint(FULLEST, arrays))
    with safe_open(path, framework="numpy") as opened:
        metadata = opened.metadata()
    if change == "a header":
        metadata[METADATA_KEY] = metadata[METADATA_KEY].replace("0.625", "0.925")
    elif change == "a name":
        arrays["c.weight"] = arrays.pop("b.weight")
    elif change == "exchanged":
        arrays["a.weight"] = arrays["a.weight"][::-1].copy()
    else:
        arrays["d"] = np.zeros(1, np.float32)
    save_file(arrays, path, metadata)
    with pytest.raises(CheckpointError, match=DAMAGED):
        read_checkpoint(path)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, Checkpoint(SMALLEST, _arrays()))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"x\.safetensors: not a safetensors file, or a damaged one"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip archive, perhaps", b"\xff" * 64, b"\x80\x02}q\x00."])
def test_a_foreign_file_is_sent_to_convert(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="fassd convert"):
        read_header(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match="there is no such file"):
            read_checkpoint(path)


def test_weights_in_a_type_that_numpy_lacks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    front = {
        "__metadata__": {METADATA_KEY: json.dumps(_whole())},
        "a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]},
    }
    encoded = json.dumps(front).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"\0\0")
    with pytest.raises(CheckpointError, match="weights cannot be read"):
        read_checkpoint(path)


def test_pixels_are_imagenet_constants_in_either_order() -> None:
    assert RGB_NORMALIZATION.mean == (0.485, 0.456, 0.406)
    assert RGB_NORMALIZATION.std == (0.229, 0.224, 0.225)
    assert (BGR_NORMALIZATION.mean, BGR_NORMALIZATION.std) == (
        RGB_NORMALIZATION.mean[::-1],
        RGB_NORMALIZATION.std[::-1],
    )
    assert (RGB_NORMALIZATION.channel_order, BGR_NORMALIZATION.channel_order) == ("rgb", "bgr")
