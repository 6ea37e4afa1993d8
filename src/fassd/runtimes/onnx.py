"""ONNX Runtime as a runtime, on the CPU, and exported ONNX files: written and read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import onnx
from google.protobuf.message import DecodeError

from fassd.core.arrays import Images
from fassd.core.checkpoint import METADATA_KEY, Header, header_from, read_checkpoint
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.files import written_whole
from fassd.networks.graph import IMAGES, LOGITS
from fassd.networks.specs import network_by_name
from fassd.networks.weights import check_checkpoint
from fassd.runtimes.logits_runtime import LogitsRuntime
from fassd.runtimes.onnx_graph import build_model, up_to_logits
from fassd.runtimes.onnxruntime_without_telemetry import onnxruntime
from fassd.runtimes.rows import AUTO, CHECKPOINT, RuntimeChoice
from fassd.runtimes.runtime import NETWORK, Stages, reason_of

_DIGEST_KEY = f"{METADATA_KEY}_weights"


class ONNXRuntime(LogitsRuntime):
    """A network executed by ONNX Runtime.

    Args:
        path: of its file, for messages.
        model: of `onnx_graph`; it is cut at its logits, because the compiled kernel is faster than what follows.
        header: of its file.
        precision: "float32", or "int8" if the model is quantized.
        streams: number of threads that call at once; each gets its share of the cores.
        few_images: see `LogitsRuntime`.
    """

    name = "onnx"
    layout = "nchw"
    bytes_per_pixel: ClassVar = {"float32": 96, "int8": 96}

    def __init__(
        self,
        path: Path,
        model: onnx.ModelProto,
        header: Header,
        precision: str,
        streams: int = 1,
        few_images: bool = False,
    ) -> None:
        super().__init__(path, header, precision, streams, few_images)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            up_to_logits(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    @contextmanager
    def _running(self, images: Images, stages: Stages) -> Iterator[np.ndarray[Any, Any]]:
        with stages.timed(NETWORK):
            (logits,) = self._session.run([LOGITS], {IMAGES: np.ascontiguousarray(images)})
        yield logits


def open_file(path: Path, choice: RuntimeChoice, streams: int) -> ONNXRuntime:
    """Opens a checkpoint, or an exported .onnx file.

    Raises:
        CheckpointError: damaged, foreign, or not a complete network.
        UsageError: an exported file in another precision than asked for.
    """
    if choice.suffix == CHECKPOINT:
        checkpoint = read_checkpoint(path)
        check_checkpoint(checkpoint, path)
        model = build_model(checkpoint.header, checkpoint.arrays, LOGITS)
        return ONNXRuntime(path, model, checkpoint.header, choice.precision, streams, choice.few_images)
    model, header = read_model(path)
    quantized = is_quantized(model)
    if choice.precision != AUTO and (choice.precision == "int8") != quantized:
        raise UsageError(f"{path} is {'an' if quantized else 'not an'} int8 network; omit --precision")
    try:
        return ONNXRuntime(path, model, header, "int8" if quantized else "float32", streams, choice.few_images)
    except Exception as error:
        # ONNX Runtime's errors share no base class.
        raise CheckpointError(path, f"cannot be executed ({reason_of(error)}); export it again") from None


def write_model(model: onnx.ModelProto, path: Path) -> None:
    """Writes a model with its header and a digest of both, completely or not at all."""
    model.metadata_props.add(key=_DIGEST_KEY, value=_digest(model))
    with written_whole(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def read_model(path: Path) -> tuple[onnx.ModelProto, Header]:
    """An exported model and its header.

    Raises:
        CheckpointError: damaged, or not exported by fassd.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, OSError, ValueError) as error:
        raise CheckpointError(path, f"is not an ONNX model, or is damaged ({error}); export it again") from None
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if not {METADATA_KEY, _DIGEST_KEY} <= metadata.keys():
        raise CheckpointError(path, "is a model without a fassd header; only files of 'fassd export' have one")
    # A foreign model could name any file as its weights; fassd's models have no external data.
    if metadata[_DIGEST_KEY] != _digest(model) or any(one.external_data for one in model.graph.initializer):
        raise CheckpointError(path, "is damaged; export it again")
    try:
        header = header_from(msgspec.json.decode(metadata[METADATA_KEY]))
        network_by_name(header.network)
    except (msgspec.MsgspecError, UsageError, ValueError) as error:
        raise CheckpointError(path, f"its header is damaged or from another version ({error})") from None
    return model, header


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether convolutions of the model compute in int8."""
    return any(node.op_type in ("QuantizeLinear", "QLinearConv") for node in model.graph.node)


def _digest(model: onnx.ModelProto) -> str:
    """SHA-256 of graph, weights and header, without the digest inside."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    kept = [entry for entry in model.metadata_props if entry.key != _DIGEST_KEY]
    del bare.metadata_props[:]
    bare.metadata_props.extend(kept)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()
