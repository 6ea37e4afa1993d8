"""Exported PyTorch programs (.pt2): written, executed by PyTorch alone, and opened as a runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
import torch.fx.experimental._config as sizes_config
from torch import Tensor, fx, nn
from torch.export import Dim

from fassd.core.arrays import Images
from fassd.core.checkpoint import METADATA_KEY, Checkpoint, Header, header_from
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.files import cannot_be_written
from fassd.networks.build import network_from_checkpoint
from fassd.networks.graph import CLASS_MAP
from fassd.networks.inference import InferenceNetwork, normalize
from fassd.networks.network import upsample
from fassd.networks.specs import network_by_name
from fassd.runtimes.exported import Array, ExportSpec, Facts, LayerMaps
from fassd.runtimes.pytorch import TorchRuntime
from fassd.runtimes.rows import AUTO, RuntimeChoice
from fassd.runtimes.runtime import check_classes, execution_failed, reason_of
from fassd.runtimes.torch_safety import header_of

_CONVOLUTION = torch.ops.aten.conv2d.default


class _Deployed(nn.Module):
    """The traced module: `InferenceNetwork` in contiguous memory, so that no size is special, and the class map."""

    def __init__(self, body: InferenceNetwork, spec: ExportSpec) -> None:
        super().__init__()
        self.network = body.network.to(memory_format=torch.contiguous_format)
        self.normalization = body.normalization
        self.ending = spec.ending
        self.arithmetic = torch.bfloat16 if spec.precision == "bfloat16" else torch.float32
        self.network.to(self.arithmetic)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(normalize(images, self.normalization).contiguous().to(self.arithmetic)).float()
        if self.ending != CLASS_MAP:
            return logits
        return upsample(logits, (images.shape[1], images.shape[2])).argmax(1).to(torch.uint8)


def write(spec: ExportSpec, path: Path) -> Facts:
    """Writes a network as a PyTorch program."""
    header = spec.checkpoint.header
    body = InferenceNetwork(network_from_checkpoint(spec.checkpoint, path), header.normalization).eval()
    side = body.network.spec.minimum_side
    sides = {0: Dim("n", min=1), 1: Dim("height", min=side), 2: Dim("width", min=side)}
    example = torch.zeros(2, 8 * side + 1, 9 * side + 2, 3, dtype=torch.uint8)
    # Otherwise a map of one pixel, or a batch of one image, would be specialized.
    with sizes_config.patch(backed_size_oblivious=True), torch.no_grad():  # type: ignore[attr-defined]
        program = torch.export.export(_Deployed(body, spec), (example,), dynamic_shapes=(sides,), strict=False)
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names files of this machine
    extra = {METADATA_KEY: msgspec.json.encode(_Inside(header, spec.precision)).decode()}
    try:
        torch.export.save(program, path, extra_files=extra)
    except RuntimeError as error:
        raise cannot_be_written(path, reason_of(error)) from None
    return {"torch": torch.__version__}


class _Inside(msgspec.Struct, frozen=True):
    """The metadata of a program."""

    header: Header
    precision: str


def open_alone(path: Path, precision: str) -> TorchFile:
    """See `ExportKind.open_alone`."""
    return TorchFile(torch.export.load(path).module())


class TorchFile:
    """A PyTorch program executed as it is."""

    def __init__(self, program: Any) -> None:
        self._program = program

    def run(self, images: Images) -> Array:
        """See `ExportedFile`."""
        with torch.inference_mode():
            output: Array = self._program(torch.from_numpy(images.copy())).numpy()
        return output

    def layers(self, images: Images) -> LayerMaps:
        """See `ExportedFile`."""
        maps: LayerMaps = {}

        class Tapping(fx.Interpreter):
            def run_node(self, n: fx.Node) -> Any:
                value = super().run_node(n)
                if n.target is _CONVOLUTION:
                    kernel = str(n.args[1].target)  # type: ignore[union-attr]
                    name = kernel.removeprefix("network.").removesuffix(".weight").removesuffix(".conv")
                    maps[name] = value.float().clone().numpy()  # activations work in place
                return value

        with torch.inference_mode():
            Tapping(self._program).run(torch.from_numpy(images.copy()))
        return maps


def layer_maps(checkpoint: Checkpoint, path: Path, images: Images) -> LayerMaps:
    """The maps of every layer of a checkpoint in float32; exported files are compared with them.

    Args:
        checkpoint: a complete network.
        path: names it in messages.
        images: (N, H, W, 3) uint8 RGB.
    """
    deployed = InferenceNetwork(network_from_checkpoint(checkpoint, path), checkpoint.header.normalization).eval()
    maps: LayerMaps = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            maps[name] = output.clone().numpy()  # activations work in place

        return hook

    for name, module in deployed.network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(keep(name.removesuffix(".conv")))
    with torch.inference_mode():
        deployed(torch.from_numpy(images.copy()))
    return maps


class ProgramRuntime(TorchRuntime):
    """A PyTorch program as a runtime, cut at its logits: upsampling and argmax are those of every network."""

    def __init__(self, path: Path, program: fx.GraphModule, inside: _Inside) -> None:
        super().__init__("pytorch", inside.header, inside.precision, "cpu")
        self._path = path
        self._program = program

    def _run(self, images: Images) -> Tensor:
        try:
            logits: Tensor = self._program(torch.from_numpy(images.copy()))
        except Exception as error:
            # PyTorch's errors share no base class.
            raise execution_failed(self._path, self.name, images, error) from None
        check_classes(self._path, logits.shape[1], len(self.label_space))
        return logits.float()


def open_file(path: Path, choice: RuntimeChoice, streams: int) -> ProgramRuntime:
    """Opens a .pt2 file that `fassd export` wrote, on the CPU.

    Raises:
        CheckpointError: damaged, foreign, or with content that could run code.
        UsageError: another precision than the file's.
    """
    try:
        metadata = msgspec.json.decode(header_of(path))
        inside = _Inside(header_from(metadata["header"]), str(metadata["precision"]))
        network_by_name(inside.header.network)
        runtime = ProgramRuntime(path, _up_to_logits(torch.export.load(path).module()), inside)
    except CheckpointError:
        raise
    except Exception as error:
        # PyTorch's errors for a damaged program share no base class.
        problem = f"its contents are damaged or from another version ({reason_of(error)})"
        raise CheckpointError(path, problem) from None
    if choice.precision not in (AUTO, inside.precision):
        raise UsageError(f"{path} computes in {inside.precision}, not in {choice.precision}; omit --precision")
    return runtime


def _up_to_logits(program: Any) -> fx.GraphModule:
    """The program cut after its last convolution, the classifier."""
    cut: fx.GraphModule = program
    *_, logits = (node for node in cut.graph.nodes if node.target is _CONVOLUTION)
    (end,) = (node for node in cut.graph.nodes if node.op == "output")
    end.args = ((logits,),)
    cut.graph.eliminate_dead_code()
    cut.recompile()
    return cut
