"""OpenVINO as a runtime, on the CPU."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from fassd.core.arrays import Images
from fassd.core.checkpoint import Header, read_checkpoint
from fassd.core.errors import UsageError
from fassd.networks import graph, specs
from fassd.networks.weights import check_checkpoint
from fassd.runtimes import cache as graph_cache
from fassd.runtimes import openvino_graph
from fassd.runtimes.logits_runtime import LogitsRuntime
from fassd.runtimes.openvino_core import best_precision, core, precision_hint, processor
from fassd.runtimes.openvino_file import is_quantized, read_model
from fassd.runtimes.openvino_without_telemetry import openvino
from fassd.runtimes.rows import AUTO, CHECKPOINT, RuntimeChoice
from fassd.runtimes.runtime import NETWORK, Stages

_SIZES_KEPT = 4


@dataclass(frozen=True)
class Body:
    """A network up to its coarse logits, not yet compiled.

    Attributes:
        path: of its file.
        digest: SHA-256 of the file.
        build: makes the model: uint8 (N, H, W, 3) images of any size to float32 (N, h, w, classes) logits.
    """

    path: Path
    digest: str
    build: Callable[[], openvino.Model]


class OpenVINORuntime(LogitsRuntime):
    """A network executed by OpenVINO.

    A graph is compiled for each size of images, which is a tenth faster than one graph for all sizes. The last few are
    kept in memory, and on disk for the next process.

    Args:
        body: the network.
        header: of its file.
        precision: "float32", "bfloat16", or "int8" if the body is quantized.
        streams: number of threads that call at once; each gets its share of the cores.
        few_images: see `LogitsRuntime`.
    """

    name = "openvino"
    layout = "nhwc"
    bytes_per_pixel: ClassVar = {"float32": 64, "bfloat16": 40, "int8": 64}

    def __init__(self, body: Body, header: Header, precision: str, streams: int = 1, few_images: bool = False) -> None:
        super().__init__(body.path, header, precision, streams, few_images)
        # Layers of a quantized network that are not in int8 compute in bfloat16 if the processor can.
        self._float_precision = best_precision() if precision == "int8" else precision
        self._body = body
        self._streams = streams
        self._graphs: OrderedDict[tuple[int, ...], _Graph] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def _running(self, images: Images, stages: Stages) -> Iterator[np.ndarray[Any, Any]]:
        with self._graph(images.shape).request() as request:
            with stages.timed(NETWORK):
                # OpenVINO needs one writable block of memory, which must live until the request has run.
                given = np.require(images, requirements=["C", "W"])
                request.set_input_tensor(openvino.Tensor(given, shared_memory=True))
                request.infer()
            yield request.get_output_tensor().data

    def _graph(self, shape: tuple[int, ...]) -> _Graph:
        with self._lock:
            if shape not in self._graphs:
                self._graphs[shape] = _Graph(self._compile(shape), self._streams)
            self._graphs.move_to_end(shape)
            if len(self._graphs) > _SIZES_KEPT:
                self._graphs.popitem(last=False)
            return self._graphs[shape]

    def _compile(self, shape: tuple[int, ...]) -> openvino.CompiledModel:
        settings = {**precision_hint(self._float_precision), "NUM_STREAMS": self._streams}
        made_by = _graph_code(), openvino.get_version(), processor()
        key = graph_cache.key_of(self._body.digest, shape, sorted(settings.items()), *made_by)
        if (stored := graph_cache.load(key)) is not None:
            try:
                return core().import_model(stored, "CPU", settings)
            except RuntimeError:
                graph_cache.forget(key)
        model = self._body.build()
        model.reshape(shape)
        compiled = core().compile_model(model, "CPU", settings)
        graph_cache.store(key, compiled.export_model().getvalue())
        return compiled

    def close(self) -> None:
        """Releases the compiled graphs."""
        self._graphs.clear()


class _Graph:
    """A compiled graph with one request per thread."""

    def __init__(self, compiled: openvino.CompiledModel, requests: int) -> None:
        self._free: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        for _ in range(requests):
            self._free.put(compiled.create_infer_request())

    @contextmanager
    def request(self) -> Iterator[openvino.InferRequest]:
        request = self._free.get()
        try:
            yield request
        finally:
            self._free.put(request)


@cache
def _graph_code() -> str:
    """Digest of the code that builds graphs, so that the cache never returns one built by other code."""
    sources = (Path(module.__file__ or "").read_bytes() for module in (specs, graph, openvino_graph))
    return hashlib.sha256(b"".join(sources)).hexdigest()


def open_file(path: Path, choice: RuntimeChoice, streams: int) -> OpenVINORuntime:
    """Opens a checkpoint, or an exported .xml file.

    Raises:
        CheckpointError: damaged, foreign, or not a complete network.
        UsageError: an exported file in another precision than asked for.
    """
    if choice.suffix != CHECKPOINT:
        return _open_exported(path, choice, streams)
    checkpoint = read_checkpoint(path)
    check_checkpoint(checkpoint, path)

    def build() -> openvino.Model:
        model = openvino_graph.build_logits(checkpoint.header, checkpoint.arrays)
        return openvino_graph.with_channels_last(model)

    body = Body(path, hashlib.sha256(path.read_bytes()).hexdigest(), build)
    return OpenVINORuntime(body, checkpoint.header, choice.precision, streams, choice.few_images)


def _open_exported(path: Path, choice: RuntimeChoice, streams: int) -> OpenVINORuntime:
    asked = choice.precision
    model, header = read_model(path)
    quantized = is_quantized(model)
    if asked != AUTO and (asked == "int8") != quantized:
        raise UsageError(f"{path} is {'an' if quantized else 'not an'} int8 network; omit --precision")
    precision = "int8" if quantized else best_precision() if asked == AUTO else asked
    digest = hashlib.sha256(path.read_bytes() + path.with_suffix(".bin").read_bytes()).hexdigest()
    # A file that ends in class maps is cut at its logits, because the compiled kernel is faster than what follows.
    body = Body(path, digest, lambda: openvino_graph.with_channels_last(model.clone()))
    return OpenVINORuntime(body, header, precision, streams, choice.few_images)
