"""The configuration of a benchmark, and the variants that follow from it."""

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
from fassd.speed.report import EAGER, FORMER_EAGER, ProtocolName, Variant

PAPER_ROUNDS, USER_ROUNDS = 10_000, 50
PROPOSED = ("fassd-net", "fassd-net-l1", "fassd-net-l2")
"""The networks that the paper proposes; measured if the user names none."""

_MOST_PIXELS = 200_000_000


@dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure: every combination of these.

    Attributes:
        networks: names of rows; they get random weights.
        custom: custom networks, "package.module:function"; their code is run.
        weights: names of shipped weights, checkpoints or exported files.
        runtimes: names, "auto" for the best one installed, "eager" for the eager PyTorch reference; empty: those of
            the last two that the protocol allows.
        precisions: names, or "auto".
        images: what to time on, as `fassd predict` takes it; none: the images of `data`, or else the photo that ships.
        data: "kind:PATH" of labeled images to score `weights` on; None: no accuracy is measured.
        split: of these.
        sizes: heights and widths, pixels; none: that of the first image to time on, the paper's for the photo.
        batches: images per batch.
        device: "auto", "cpu", "cuda" or "cuda:N".
        protocol: see `fassd.speed.protocol`.
        rounds: every round times every variant once; None: 50, or 10,000 with the paper's protocol.
        warm_up: rounds before the measured ones.
        memory: whether peak memory is measured, in a separate process for each variant.
    """

    networks: Sequence[str] = ()
    custom: Sequence[str] = ()
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
        """`rounds`, or the protocol's default."""
        return self.rounds or (PAPER_ROUNDS if self.protocol == "paper" else USER_ROUNDS)


@dataclass(frozen=True)
class _Subject:
    """A network with its weights; without a file it is a custom network, imported by its name."""

    network: str
    weights: str | None
    file: Path | None


def check(config: BenchmarkConfig) -> None:
    """Refuses what can be refused before any file is read.

    Raises:
        UnknownName: a network or runtime of that name does not exist.
        UsageError: an impossible number or combination.
    """
    if config.rounds is not None and config.rounds < 1:
        raise UsageError(f"rounds are {config.rounds}; at least 1 is needed to measure anything")
    if config.warm_up < 0:
        raise UsageError(f"warm-up is {config.warm_up}; 0 or more rounds are possible")
    for network in config.networks:
        network_by_name(network)
    for runtime in config.runtimes:
        if runtime == FORMER_EAGER:
            raise UsageError(f"the runtime {FORMER_EAGER} is called {EAGER} now: the eager PyTorch reference")
        if runtime not in (known := (AUTO, EAGER, *RUNTIMES)):
            raise UnknownName("runtime", runtime, known)
    if config.data is not None and not config.weights:
        raise UsageError(f"--data {config.data} needs --weights to score; for timing alone use --images")
    others = [name for name in config.runtimes if name != EAGER]
    if config.protocol == "paper" and (others or config.images or set(config.precisions) - {"auto", "float32"}):
        requested = f"the runtime '{others[0]}'" if others else "--images" if config.images else "another precision"
        raise UsageError(
            f"the paper's protocol feeds random float32 numbers to PyTorch and excludes {requested}; use --protocol "
            "user, which takes every runtime, precision and image"
        )


def requests_of(config: BenchmarkConfig, folder: Path) -> list[Request]:
    """All variants of a configuration, without repetition.

    Args:
        config: checked, with its sizes.
        folder: for checkpoints with random weights.

    Raises:
        UnknownName: shipped weights of that name do not exist.
        CheckpointError: a damaged file.
        MissingExtra: random weights need PyTorch.
        UsageError: an impossible number, size or combination.
    """
    for (height, width), batch in itertools.product(config.sizes, config.batches):
        if height < 1 or width < 1 or batch < 1 or height * width * batch > _MOST_PIXELS:
            noun = "image of" if batch == 1 else "images of"
            raise UsageError(
                f"a batch of {batch} {noun} {height}x{width} is requested; a batch has at least one pixel and at most "
                f"{_MOST_PIXELS // 10**6} megapixels"
            )
    runtimes = config.runtimes or ((EAGER,) if config.protocol == "paper" else (EAGER, AUTO))
    found: dict[Request, None] = {}
    subjects = list(_subjects(config, folder))
    for size, batch, subject in itertools.product(config.sizes, config.batches, subjects):
        if subject.file is not None:  # the minimum of a custom network is unknown
            network_by_name(subject.network).check_size(*size, "an image of the benchmark")
        for runtime, precision in itertools.product(runtimes, config.precisions):
            one = _for_eager(subject, folder) if runtime == EAGER else subject
            if one.file is None and runtime == AUTO:
                continue
            variant = Variant(
                network=one.network,
                weights=one.weights,
                runtime=runtime,
                # The eager reference has one precision, whatever the others use.
                precision="float32" if runtime == EAGER else precision,
                device=config.device,
                size=size,
                batch=batch,
            )
            found[Request(variant, config.protocol, None if one.file is None else str(one.file))] = None
    return list(found)


def _subjects(config: BenchmarkConfig, folder: Path) -> Iterator[_Subject]:
    named = config.networks or (() if config.weights or config.custom else PROPOSED)
    for network in dict.fromkeys(named):
        yield _Subject(network, None, _random_checkpoint(network, folder))
    for weights in dict.fromkeys(config.weights):
        yield _Subject(header_of(weights).network, weights, locate_weights(weights))
    for place in dict.fromkeys(config.custom):
        yield _Subject(place, None, None)


def _for_eager(subject: _Subject, folder: Path) -> _Subject:
    """The eager reference cannot open an exported file: it takes random weights, whose speed is the same."""
    if subject.file is None or is_checkpoint(subject.file):
        return subject
    return _Subject(subject.network, None, _random_checkpoint(subject.network, folder))


def header_of(weights: str) -> Header:
    """The header of given weights, a checkpoint or an exported file.

    Raises:
        UnknownName, CheckpointError: there are none, or they are damaged, or hold an encoder only.
    """
    path = locate_weights(weights)
    if is_checkpoint(path):
        header = read_header(path)
        if header.content != "network":
            raise CheckpointError(path, "holds an encoder only, which predicts nothing; give the weights of a network")
        return header
    with open_runtime(path) as runtime:
        return runtime.header


def _random_checkpoint(network: str, folder: Path) -> Path:
    """Always the same random weights, so that compiled graphs are found in the cache again."""
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
