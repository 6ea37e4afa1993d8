"""Whether a .pt2 file is safe to open.

`torch.export.load` unpickles what a file holds and evaluates its sizes as Python, so a foreign file may run code. Files
of `fassd export` need neither: they consist of operations, integer sizes and raw weights. Only such files pass, and
only if they are intact.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from fassd.core.checkpoint import METADATA_KEY
from fassd.core.errors import CheckpointError

_MODEL, _SAMPLE = "models/model.json", "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_HEADER = f"extra/{METADATA_KEY}"
_RAW = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
_BOOKKEEPING = {"archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id"}
_SIZE = re.compile(
    r"(Symbol\('[su]\d+', positive=True, integer=True\)|Integer\(-?\d+\)|-?\d+|Add|Mul|FloorDiv|Max|Min|Mod|[(), ])*"
)
_OPERATIONS = re.compile(
    r"_operator\.(add|sub|mul|floordiv|ge|le|eq)|torch\.ops\.aten\."
    r"(_assert_tensor_metadata|add|add_|argmax|avg_pool2d|batch_norm|cat|contiguous|conv2d|detach_|div|flip|lift_fresh_copy"
    r"|expand|mean|permute|prelu|relu|relu_|sub|sym_size|to|upsample_bilinear2d|adaptive_avg_pool2d)\.\w+"
)
_LARGEST = 2**30
# Errors of reading a damaged archive. Lists in place of tables raise others, see below.
_BROKEN = (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError)


def header_of(path: Path) -> bytes:
    """The header inside a .pt2 file that is safe to open.

    Raises:
        CheckpointError: damaged, foreign, or with content that could run code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST or archive.testzip() is not None:
                raise CheckpointError(path, "is damaged; export it again")
            return _header(archive, path)
    except (*_BROKEN, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(path, f"is not a .pt2 file, or is damaged ({error}); export it again") from None


def _header(archive: zipfile.ZipFile, path: Path) -> bytes:
    names = {name.partition("/")[2]: name for name in archive.namelist()}
    if len({name.partition("/")[0] for name in names.values()}) != 1 or _HEADER not in names:
        raise CheckpointError(path, "is a program without a fassd header; only files of 'fassd export' have one")
    known = {_MODEL, _SAMPLE, *_CONFIGS, _HEADER, *_BOOKKEEPING}
    strange = [name for name in names if name not in known and not _RAW.fullmatch(name)]
    if len(names) != len(archive.namelist()) or strange:
        raise _refused(path, f"the entry {strange[0] if strange else 'twice'}")
    for config in _CONFIGS:
        for name, entry in json.loads(archive.read(names[config]))["config"].items():
            if entry["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
                raise _refused(path, f"the weights {name} as a pickle")
    sample = archive.read(names[_SAMPLE]) if _SAMPLE in names else b""
    if sample:
        try:
            torch.load(io.BytesIO(sample), weights_only=True)
        except Exception:
            # PyTorch would fall back to unpickling it.
            raise _refused(path, "sample inputs as a pickle") from None
    model = json.loads(archive.read(names[_MODEL]))
    if model.get("guards_code"):
        raise _refused(path, "code")
    for key, value in _strings(model):
        if key == "expr_str" and not _SIZE.fullmatch(value):
            raise _refused(path, f"the size {value[:60]}")
        if key == "target" and not _OPERATIONS.fullmatch(value):
            raise _refused(path, f"the operation {value[:60]}")
    return archive.read(names[_HEADER])


def _refused(path: Path, what: str) -> CheckpointError:
    return CheckpointError(path, f"holds {what}, which 'fassd export' never writes and which could run code")


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All strings in a JSON value, each with its key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, key)
    elif isinstance(value, str):
        yield key, value
