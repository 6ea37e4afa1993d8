"""Conversion: a checkpoint of the authors' repositories -> a fassd checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import fassd
from fassd.core.checkpoint import BGR_NORMALIZATION, Arrays, Checkpoint, Header, write_checkpoint
from fassd.core.errors import CheckpointError, MissingExtra, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES, LabelSpace
from fassd.data.label_file import read_label_space
from fassd.networks.specs import NETWORKS, NetworkSpec, network_by_name


@dataclass(frozen=True)
class Converted:
    """The result of a conversion.

    Attributes:
        header: of the written checkpoint.
        loaded: number of weights and statistics in the checkpoint.
        unused: names of those in the file that the network does not have.
        notes: for the user.
    """

    header: Header
    loaded: int
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def convert(source: Path, out: Path, network: str, label_file: Path | None = None) -> Converted:
    """Converts a best-model, resume or ImageNet encoder file of the FASSD-Net or FC-HarDNet repositories.

    Args:
        source: the authors' file.
        out: the checkpoint to write, `.safetensors`.
        network: that the file holds; of an encoder, only this network's stages are kept.
        label_file: TOML with `[[classes]]`, needed unless there are 19 (Cityscapes) or 11 (CamVid) outputs.

    Raises:
        CheckpointError: no such file, damaged, would run code, or holds another network.
        UsageError: the classes have no names, or `out` is not a .safetensors file.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"{out} does not end in .safetensors; checkpoints do")
    spec = network_by_name(network)
    try:
        from fassd.networks.build import network_from_checkpoint
        from fassd.networks.published import read_published
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "torch", "reading PyTorch files") from None
    found = read_published(source)
    if found.kind == "encoder":
        return _convert_encoder(source, out, spec, found.arrays)
    space = _label_space(source, found.arrays, label_file)
    origin = f"converted from {source.name}"
    facts = [f"{key.replace('_', ' ')} {value:g}" for key, value in found.facts.items()]
    header = Header(
        network=spec.name,
        alpha=_alpha(spec, found.arrays),
        label_space=space,
        normalization=BGR_NORMALIZATION,
        origin=", ".join([origin, *facts]),
        terms="as its authors state",
        version=fassd.__version__,
    )
    checkpoint = Checkpoint(header, found.arrays)
    network_from_checkpoint(checkpoint, source)  # refuses what does not fit
    write_checkpoint(out, checkpoint)
    return Converted(header, len(found.arrays), (), _notes(spec))


def _convert_encoder(source: Path, out: Path, spec: NetworkSpec, arrays: Arrays) -> Converted:
    from fassd.networks.build import init_network, load_encoder

    encoder = load_encoder(init_network(spec, 1), arrays, source)
    kept = {name: value for name, value in arrays.items() if name.removeprefix("encoder.") not in encoder.unused}
    header = Header(
        content="encoder",
        network=spec.name,
        label_space=None,
        normalization=BGR_NORMALIZATION,
        origin=f"converted from the ImageNet encoder {source.name}, whose channel order is not documented",
        terms="as its authors state",
        version=fassd.__version__,
    )
    write_checkpoint(out, Checkpoint(header, kept))
    notes = ("an encoder only: train on it with 'fassd train --encoder-weights'",)
    return Converted(header, encoder.loaded, encoder.unused, notes)


def _label_space(source: Path, arrays: Arrays, label_file: Path | None) -> LabelSpace:
    if "classifier.weight" not in arrays:
        raise CheckpointError(source, "has no classifier ('finalConv'); is it from FASSD-Net or FC-HarDNet?")
    outputs = arrays["classifier.weight"].shape[0]
    if label_file is None:
        for space in (CITYSCAPES, CAMVID):
            if len(space) == outputs:
                return space
        raise UsageError(
            f"{source} has {outputs} outputs, neither 19 (Cityscapes) nor 11 (CamVid): name them with "
            "--label-space FILE, a TOML file with one [[classes]] table (name, color) for each"
        )
    space = read_label_space(label_file)
    if len(space) != outputs:
        raise UsageError(f"{label_file} names {len(space)} classes but {source} has {outputs} outputs")
    return space


def _alpha(spec: NetworkSpec, arrays: Arrays) -> int:
    """The alpha that gives branches as wide as the file's; 2 if the network or the file has no DAPF."""
    near = arrays.get("context.near.conv.weight")
    if spec.context != "dapf" or near is None or near.ndim != 4:
        return 2
    channels = spec.stages[-1].width
    return next((alpha for alpha in range(1, channels + 1) if channels // alpha == near.shape[0]), 2)


def _notes(spec: NetworkSpec) -> tuple[str, ...]:
    """Networks that differ only in strides have the same weights, so `network` alone decides which one it is."""
    family = re.sub(r"-l1$", "", spec.name)
    if family == spec.name and f"{family}-l1" not in NETWORKS:
        return ()
    return (
        f"{family} and {family}-l1 have weights of the same names and shapes; the file was converted "
        f"as {spec.name}, as --network says",
    )
