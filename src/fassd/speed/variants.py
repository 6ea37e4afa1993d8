"""What a benchmark is asked for, and the variants that this means."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fassd.core.catalog import locate_weights
from fassd.core.checkpoint import RGB_NORMALIZATION, Header, read_header, write_checkpoint
from fassd.core.errors import CheckpointError, MissingExtra, UnknownName, UsageError
from fassd.core.labels import CITYSCAPES
from fassd.networks.specs import network_by_name
from fassd.runtimes.open import open_runtime
from fassd.runtimes.rows import AUTO, RUNTIMES
from fassd.speed.protocol import Request, is_checkpoint
from fassd.speed.report import AUTHORS, ProtocolName, Variant

PAPER_ROUNDS, USER_ROUNDS = 10_000, 50
PROPOSED = ("fassd-net", "fassd-net-l1", "fassd-net-l2")
"""The networks that the paper proposes, measured where none is named."""

_LARGEST_BATCH = 200_000_000


@dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure: every combination of these.

    Attributes:
        networks: names of rows; they get random weights.
        own: networks of the user's own, "package.module:function"; their code is run.
        weights: names of shipped weights, checkpoints or exported files.
        runtimes: names, "auto" for the best that is there, "authors" for the authors' way; empty: what the protocol
            allows of these two.
        precisions: names, or "auto".
        images: what to time on, as `fassd predict` takes it; none: the images of `data`, or else the photo that ships.
        data: "kind:PATH" of labeled images to score `weights` on; None: no accuracy is measured.
        split: of these.
        sizes: heights and widths, pixels; none: that of the first image to time on, the paper's for the photo.
        batches: images at once.
        device: "auto", "cpu", "cuda" or "cuda:N".
        protocol: see `fassd.speed.protocol`.
        rounds: times that each variant is measured; None: 50, and 10,000 by the paper's protocol.
        warm_up: times that each answers before.
        memory: whether peak memory is measured, in a process of its own for each variant.
    """

    networks: Sequence[str] = ()
    own: Sequence[str] = ()
    weights: Sequence[str] = ()
    runtimes: Sequence[str] = ()
    precisions: Sequence[str] = ("auto",)
    images: Sequence[str] = ()
    data: str | None = None
    split: str = "val"
    sizes: Sequence[tuple[int, int]] = ()
    batches: Sequence[int] = (1,)
    device: str = "auto"
    protocol: ProtocolName = "user"
    rounds: int | None = None
    warm_up: int = 5
    memory: bool = True

    @property
    def rounds_wanted(self) -> int:
        """Times that each variant is measured."""
        return self.rounds or (PAPER_ROUNDS if self.protocol == "paper" else USER_ROUNDS)


@dataclass(frozen=True)
class _Subject:
    """A network with its weights; no file means that its name tells where to import it."""

    network: str
    weights: str | None
    file: Path | None


def check(order: BenchmarkConfig) -> None:
    """Refuses what can be refused before any file is read.

    Raises:
        UnknownName: a network or runtime of that name does not exist.
        UsageError: a number or a combination that cannot be.
    """
    if order.rounds is not None and order.rounds < 1:
        raise UsageError(f"iterations are {order.rounds}; at least 1 is needed to measure anything")
    if order.warm_up < 0:
        raise UsageError(f"warm-up is {order.warm_up}; 0 or more answers are possible")
    for network in order.networks:
        network_by_name(network)
    for runtime in order.runtimes:
        if runtime not in (known := (AUTO, AUTHORS, *RUNTIMES)):
            raise UnknownName("runtime", runtime, known)
    if order.data is not None and not order.weights:
        raise UsageError(
            f"--data {order.data} is to score weights on, and none are given: name some with --weights; pictures to "
            "time random weights on are named with --images"
        )
    others = [name for name in order.runtimes if name != AUTHORS]
    if order.protocol == "paper" and (others or order.images or set(order.precisions) - {"auto", "float32"}):
        asked = f"runtime '{others[0]}'" if others else "--images" if order.images else "another precision"
        raise UsageError(
            f"the paper's protocol hands random float32 numbers to PyTorch, and {asked} is asked for; "
            "use --protocol user, which takes every runtime, precision and picture"
        )


def requests_of(order: BenchmarkConfig, folder: Path) -> list[Request]:
    """Every variant that is asked for, once.

    Args:
        order: what is asked for, checked, with its sizes.
        folder: for checkpoints with random weights.

    Raises:
        UnknownName: shipped weights of that name do not exist.
        CheckpointError: a damaged file.
        MissingExtra: random weights need PyTorch.
        UsageError: a number, a size or a combination that cannot be.
    """
    _check_images(order)
    runtimes = order.runtimes or ((AUTHORS,) if order.protocol == "paper" else (AUTHORS, AUTO))
    found: dict[Request, None] = {}
    subjects = list(_subjects(order, folder))
    for size, batch, subject in itertools.product(order.sizes, order.batches, subjects):
        _check_size(subject, size)
        for runtime, precision in itertools.product(runtimes, order.precisions):
            one = _for_authors(subject, folder) if runtime == AUTHORS else subject
            if one.file is None and runtime == AUTO:
                continue
            # The authors' way has one precision, whatever is asked of the others.
            variant = Variant(
                network=one.network,
                weights=one.weights,
                runtime=runtime,
                precision="float32" if runtime == AUTHORS else precision,
                device=order.device,
                size=size,
                batch=batch,
            )
            found[Request(variant, order.protocol, None if one.file is None else str(one.file))] = None
    return list(found)


def _check_images(order: BenchmarkConfig) -> None:
    for (height, width), batch in itertools.product(order.sizes, order.batches):
        if height < 1 or width < 1 or batch < 1 or height * width * batch > _LARGEST_BATCH:
            many = "image of" if batch == 1 else "images of"
            raise UsageError(
                f"a batch of {batch} {many} {height}x{width} is asked for; at least one pixel and at most "
                f"{_LARGEST_BATCH // 10**6} megapixels can be answered at once"
            )


def _check_size(subject: _Subject, size: tuple[int, int]) -> None:
    # A network of one's own says itself what it cannot take.
    if subject.file is not None:
        network_by_name(subject.network).check_size(*size, "an image of the benchmark")


def _subjects(order: BenchmarkConfig, folder: Path) -> Iterator[_Subject]:
    named = order.networks or (() if order.weights or order.own else PROPOSED)
    for network in dict.fromkeys(named):
        yield _Subject(network, None, _random_checkpoint(network, folder))
    for weights in dict.fromkeys(order.weights):
        yield _Subject(header_of(weights).network, weights, locate_weights(weights))
    for place in dict.fromkeys(order.own):
        yield _Subject(place, None, None)


def _for_authors(subject: _Subject, folder: Path) -> _Subject:
    """What an exported file is compared with: the authors' way cannot open it, and is as fast with any weights."""
    if subject.file is None or is_checkpoint(subject.file):
        return subject
    return _Subject(subject.network, None, _random_checkpoint(subject.network, folder))


def header_of(weights: str) -> Header:
    """What given weights say of themselves, be they a checkpoint or an exported file.

    Raises:
        UnknownName, CheckpointError: there are none, damaged ones, or those of an encoder.
    """
    path = locate_weights(weights)
    if is_checkpoint(path):
        header = read_header(path)
        if header.content != "network":
            raise CheckpointError(path, "holds an encoder only, which answers nothing; give the weights of a network")
        return header
    with open_runtime(path) as runtime:
        return runtime.header


def _random_checkpoint(network: str, folder: Path) -> Path:
    """Always the same random weights, so that graphs compiled from them are found again."""
    try:
        from fassd.networks.build import checkpoint_of, init_network
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "torch", "a network with random weights (without them: --weights NAME)") from None
    path = folder / f"{network}.safetensors"
    if path.exists():
        return path
    header = Header(
        network=network, label_space=CITYSCAPES, normalization=RGB_NORMALIZATION, origin="random, for a benchmark"
    )
    write_checkpoint(path, checkpoint_of(init_network(network_by_name(network), len(CITYSCAPES)), header))
    return path
